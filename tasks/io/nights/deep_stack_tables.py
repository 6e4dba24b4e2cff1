"""Lists, plots and tables of deep stacks: selected frames, and the frames of each field and filter."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from tasks.records import Reduced, Selection, Stack

APERTURES = ("AUTO", "0", "1", "2", "3", "4", "5")
COLUMNS = (
    "NAXIS1", "NAXIS2", "CTYPE1", "CRVAL1", "CRPIX1", "CD1_1", "CD1_2", "CTYPE2", "CRVAL2", "CRPIX2", "CD2_1", "CD2_2",
    "RACENT", "DECCENT", "EXPTIME", "GAIN", "EGAIN", "OBJECT", "FILTER", "DATE-OBS", "CENTALT", "CENTAZ", "AIRMASS",
    "MJD", "JD", "SEEING", "PEEING", "ELLIP", "ELONG", "SKYSIG", "SKYVAL", "REFCAT", "MAGLOW", "MAGUP", "STDNUMB",
    "ASTNMAT", "ASTRMSX", "ASTRMSY", "QAFLAG", "AUTO", "APER", *(f"APER_{i}" for i in range(1, 6)),
    *(f"{name}_{key}" for key in APERTURES for name in ("ZP", "EZP", "UL3", "UL5")),
)  # fmt: skip
TILE_COLUMNS = (
    "object", "filter", "units", "frames", "nights", "exposure_s", "seeing_median", "seeing_min", "ul5_1_median",
    "ul5_1_max", "first", "last",
)  # fmt: skip
CHOSEN, LEFT = "#0072b2", "#b0b7c3"


def header_table(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Return header cards as CSV, a row per frame: file name and the columns of 7DT's production tables."""
    return _csv(
        ["file", *(column.lower() for column in COLUMNS)],
        ([name, *(cards.get(column, "") for column in COLUMNS)] for name, cards in rows),
    )


def tile_table(fields: Iterable[Sequence[Reduced]]) -> str:
    """Return as CSV a summary of the frames of each field and filter."""
    return _csv(TILE_COLUMNS, map(_tile_row, fields))


def stack_rows(stacks: Iterable[Stack]) -> list[dict[str, Any]]:
    """Return a row for each deep stack: frames, exposure time in s, seeing in arcsec, depth in mag (5 sigma)."""
    return [
        {
            "stack": stack.image.name,
            "frames": len(stack.inputs),
            "exposure_s": stack.exposure_s,
            "seeing_arcsec": round(stack.photometry.seeing_arcsec, 2),
            "depth_mag": round(stack.photometry.depth5_mag["1"], 2),
        }
        for stack in stacks
    ]


def selection_list(selection: Selection) -> str:
    """Return the names of the selected frames, one per line, after ``#`` lines of figures and limits."""
    lines = [f"# {name} = {value:g}" for name, value in selection.figures.items()]
    for name, limit in (("SEEING <", selection.seeing_limit_arcsec), ("UL5_1 >", selection.depth_limit_mag)):
        lines += [f"# {name} {limit:.4f}"] if limit is not None else []
    return "\n".join([*lines, *(item.image.name for item in selection.frames)]) + "\n"


def statistics(selection: Selection) -> str:
    """Return figures, limits and rejected frames as JSON."""
    document = {
        "object": selection.object,
        "filter": selection.filter,
        **selection.figures,
        "seeing_limit": selection.seeing_limit_arcsec,
        "depth_limit": selection.depth_limit_mag,
        "left_out": {frame.name: frame.reason for frame in selection.rejected},
    }
    return json.dumps(document, indent=1) + "\n"


def plot(selection: Selection, frames: Sequence[Reduced]) -> bytes:
    """Plot depth against seeing of selected and other frames, with the limits; return a PNG."""
    figure = Figure(figsize=(6.4, 4.2))
    axes = figure.add_subplot()
    names = {item.image for item in selection.frames}
    for chosen, colour, words in ((False, LEFT, "left out"), (True, CHOSEN, "stacked")):
        group = [item for item in frames if (item.image in names) is chosen]
        seeing = [item.photometry.seeing_arcsec for item in group]
        axes.scatter(seeing, [_depth(item) for item in group], s=14, color=colour, label=f"{words}: {len(group)}")
    if selection.seeing_limit_arcsec is not None and selection.depth_limit_mag is not None:
        axes.axvline(selection.seeing_limit_arcsec, color="black", linewidth=0.8)
        axes.axhline(selection.depth_limit_mag, color="black", linewidth=0.8)
    axes.set(xlabel="seeing [arcsec]", ylabel="5 sigma depth [mag]", title=f"{selection.object} {selection.filter}")
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": "brightsiren"})
    return buffer.getvalue()


def _tile_row(frames: Sequence[Reduced]) -> list[str | int | float]:
    seeing = sorted(item.photometry.seeing_arcsec for item in frames)
    depth = sorted(_depth(item) for item in frames)
    days = sorted(item.frame.date_obs for item in frames)
    return [
        frames[0].frame.object,
        frames[0].frame.filter,
        " ".join(sorted({item.frame.unit for item in frames})),
        len(frames),
        len({day.date() for day in days}),
        sum(item.frame.exposure_s for item in frames),
        round(_middle(seeing), 3),
        round(seeing[0], 3),
        round(_middle(depth), 3),
        round(depth[-1], 3),
        days[0].isoformat(timespec="seconds"),
        days[-1].isoformat(timespec="seconds"),
    ]


def _middle(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _depth(item: Reduced) -> float:
    return item.photometry.depth5_mag["1"]


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()
