"""Plans as text: a table for observers, CSV, and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tasks.records import Plan, Tile

WIDTHS = (4, 8, 10, 10, 8)
HEADINGS = ("rank_id", "tile_id", "RA", "DEC", "Prob", "Timeobs")
CSV_HEADINGS = (
    "rank",
    "id",
    "ra_deg",
    "dec_deg",
    "start",
    "exposure_s",
    "filter",
    "probability",
    "cumulative",
    "airmass",
    "moon_deg",
    "unit",
)


def text_table(plan: Plan) -> str:
    """Return one telescope's tiles: degrees, probability, UTC to the millisecond; the reason if there are none."""
    lines = [f"# {plan.telescope}", " ".join(HEADINGS)]
    if not plan.tiles:
        lines += ["# No tiles to observe", *([f"# {plan.reason}"] if plan.reason else [])]
    lines += [_row(rank, tile) for rank, tile in enumerate(plan.tiles, start=1)]
    return "\n".join(lines) + "\n"


def all_tables(plans: Sequence[Plan]) -> str:
    """Return the tables of all telescopes, separated by blank lines."""
    return "\n".join(text_table(plan) for plan in plans)


def _row(rank: int, tile: Tile) -> str:
    values = (f"{rank}", tile.id, f"{tile.ra_deg:.4f}", f"{tile.dec_deg:.4f}", f"{tile.probability:.4f}")
    padded = [f"{value:<{width}}" for value, width in zip(values, WIDTHS, strict=True)]
    return " ".join([*padded, to_millisecond(tile.start)]).rstrip()


def to_millisecond(moment: datetime | None) -> str:
    """Format a time as ``2026-01-15 23:59:59.123``, truncated to the millisecond."""
    return "" if moment is None else moment.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")


def csv_table(plan: Plan) -> str:
    """Return one telescope's tiles as CSV; ``cumulative`` is the probability of the union so far."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_HEADINGS)
    for rank, tile in enumerate(plan.tiles, start=1):
        airmass = "" if tile.airmass is None else f"{tile.airmass:.3f}"
        place = (f"{tile.ra_deg:.6f}", f"{tile.dec_deg:.6f}", _iso(tile.start))
        moon = "" if tile.moon_deg is None else f"{tile.moon_deg:.1f}"
        figures = (f"{tile.probability:.6g}", f"{tile.cumulative:.6g}", airmass, moon, tile.unit)
        writer.writerow([rank, tile.id, *place, f"{tile.exposure_s:g}", tile.filter, *figures])
    return file.getvalue()


def as_object(plans: Sequence[Plan], *, probability: float, area_deg2: float) -> dict[str, Any]:
    """Return plans as a JSON object: ``telescopes`` by name, and their joint probability and area."""
    return {
        "event_id": plans[0].event_id if plans else "",
        "probability": probability,
        "area_deg2": area_deg2,
        "telescopes": {plan.telescope: _telescope(plan) for plan in plans},
    }


def json_text(plans: Sequence[Plan], *, probability: float, area_deg2: float) -> str:
    """Return ``as_object`` as JSON text."""
    return json.dumps(as_object(plans, probability=probability, area_deg2=area_deg2), indent=1, allow_nan=False) + "\n"


def _telescope(plan: Plan) -> dict[str, Any]:
    return {
        "tiles": [_tile(tile) for tile in plan.tiles],
        "probability": plan.probability,
        "area_deg2": plan.area_deg2,
        "seconds": round(plan.seconds, 3),
        "reason": plan.reason,
        "engine": plan.engine,
        "start": _iso(plan.start),
        "end": _iso(plan.end),
        "not_taken": dict(plan.not_taken),
        "remarks": list(plan.remarks),
        "priority": plan.priority,
    }


def _tile(tile: Tile) -> dict[str, Any]:
    return {
        "id": tile.id,
        "ra_deg": tile.ra_deg,
        "dec_deg": tile.dec_deg,
        "start": _iso(tile.start),
        "exposure_s": tile.exposure_s,
        "filter": tile.filter,
        "probability": tile.probability,
        "cumulative": tile.cumulative,
        "airmass": tile.airmass,
        "moon_deg": tile.moon_deg,
        "unit": tile.unit or None,
    }


def _iso(moment: datetime | None) -> str:
    return "" if moment is None else moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
