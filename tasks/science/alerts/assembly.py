"""From a notice to an alert: every sky map that came with it reduced to numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tasks.errors import UnusableData
from tasks.records import Alert, MapRole, ParsedNotice, SkyMap, SkyMapSummary
from tasks.science.skymaps import credible_regions


def assemble(parsed: ParsedNotice, *, sha256: str, read: Callable[[bytes], SkyMap]) -> Alert:
    """Reduce a notice's sky maps to numbers.

    Parameters
    ----------
    parsed
        The notice and the bytes of its maps.
    sha256
        Hash of the notice's own bytes.
    read
        Reader of a sky map's bytes. Where it raises ``UnusableData`` the notice goes on without that map, and says so.
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
