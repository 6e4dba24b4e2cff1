"""Assemble an alert: a notice and the summaries of its sky maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tasks.errors import UnusableData
from tasks.records import Alert, MapRole, ParsedNotice, SkyMap, SkyMapSummary
from tasks.science.skymaps import credible_regions


def assemble(parsed: ParsedNotice, *, sha256: str, read: Callable[[bytes], SkyMap]) -> Alert:
    """Return a notice with summaries of its sky maps.

    Parameters
    ----------
    parsed
        The notice and the bytes of its maps.
    sha256
        SHA-256 of the notice's own bytes.
    read
        Reader of a sky map's bytes. If it raises ``UnusableData``, a remark replaces that map.
    """
    summaries: dict[MapRole, SkyMapSummary] = {}
    remarks = list(parsed.notice.remarks)
    for role, content in parsed.maps.items():
        try:
            summaries[role] = credible_regions.summary(read(content), role)
        except UnusableData as error:
            remarks.append(f"sky map ({role}): {error}")
    return Alert(
        notice=replace(parsed.notice, remarks=tuple(remarks)),
        sha256=sha256,
        sky_map=summaries.get(MapRole.GW) or summaries.get(MapRole.HEALPIX),
        combined=summaries.get(MapRole.COMBINED),
    )
