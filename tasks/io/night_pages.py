"""The night's page, its tables, and small pictures of its stacks."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from astropy.io import fits
from astropy.visualization import AsinhStretch, ZScaleInterval
from PIL import Image
from pydantic import TypeAdapter

from tasks.io import night_plots, pages
from tasks.records import Candidate, NightReport, Photometry, QaBit, Reduced, Rejected, Stack

PREVIEW_WIDTH = 640
THUMBNAIL_WIDTH = 480
MOST_ROWS = 400
MOST_CARDS = 60
# two stacks of one night put a source within this of each other
SAME_PLACE_ARCSEC = 2.0

Staged = Callable[[Path], AbstractContextManager[Path]]
Row = dict[str, str | float | int | None]

_REPORT = TypeAdapter(NightReport)


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A place in the sky with all surviving candidates there, the strongest first."""

    candidates: tuple[Candidate, ...]

    @property
    def strongest(self) -> Candidate:
        """Return the candidate with the largest signal to noise."""
        return self.candidates[0]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Frames lost for one reason."""

    unit: str
    stage: str
    reason: str
    names: tuple[str, ...]


def to_json(report: NightReport) -> str:
    """Write a report as JSON."""
    return _REPORT.dump_json(report, indent=1).decode() + "\n"


def write_previews(report: NightReport, folder: Path, staged: Staged) -> dict[Path, Path]:
    """Draw each stack as a small PNG; return the picture of each stack's image."""
    previews = {}
    for stack in report.stacks:
        picture = folder / f"{stack.image.name}.png"
        with staged(picture) as temporary:
            draw_preview(stack.image, temporary)
        previews[stack.image] = picture
    return previews


def draw_preview(image: Path, picture: Path) -> None:
    """Draw an image, binned to 640 px width, in ZScale with an asinh stretch, north as in the file."""
    with fits.open(image, memmap=False) as hdus:
        data = np.asarray(hdus[0].data, dtype=np.float32)
    step = max(1, data.shape[1] // PREVIEW_WIDTH)
    small = data[: data.shape[0] // step * step, : data.shape[1] // step * step]
    small = small.reshape(small.shape[0] // step, step, -1, step).mean(axis=(1, 3))
    low, high = ZScaleInterval(contrast=0.2).get_limits(small[np.isfinite(small) & (small != 0)])
    scaled = AsinhStretch(0.15)(np.clip((np.nan_to_num(small, nan=low) - low) / max(high - low, 1e-9), 0, 1))
    Image.fromarray((255 * scaled[::-1]).astype(np.uint8)).save(picture, format="PNG", optimize=True)


def as_data_url(picture: Path) -> str:
    """Return a PNG as a data URL, for a page that is one file."""
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"


def thumbnail(picture: Path) -> str:
    """Return a picture as a data URL of some ten kilobytes: Prefect keeps it in its database."""
    small = io.BytesIO()
    with Image.open(picture) as image:
        image.thumbnail((THUMBNAIL_WIDTH, THUMBNAIL_WIDTH))
        image.convert("RGB").save(small, format="JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"


def render(report: NightReport, previews: Mapping[Path, Path]) -> str:
    """Write the night's page, complete in one file."""
    seen = sightings(survivors(report))
    shown = [each.strongest for each in seen[:MOST_CARDS]]
    stamps = {each.id: as_data_url(each.stamp) for each in shown if each.stamp and each.stamp.exists()}
    return pages.render(
        "night.html",
        report=report,
        losses=losses(report.rejected),
        stacks=stack_rows(report),
        pictures=[(stack, previews[stack.image].name, thumbnail(previews[stack.image])) for stack in report.stacks],
        candidates=survivors(report),
        sightings=seen[:MOST_CARDS],
        more=len(seen[MOST_CARDS:]),
        bands=band_rows(report),
        stamps=stamps,
        flagged=len(report.candidates) - len(survivors(report)),
        frames=frame_rows(report),
        plots=night_plots.night_plots(report),
        masters=master_rows(report),
    )


def sightings(candidates: Sequence[Candidate]) -> list[Sighting]:
    """Join candidates that lie at the same place, whatever their unit, filter and time; the strongest come first."""
    groups: list[list[Candidate]] = []
    for each in sorted(candidates, key=lambda each: -abs(each.snr)):
        near = next((group for group in groups if _apart_arcsec(group[0], each) < SAME_PLACE_ARCSEC), None)
        groups.append([each]) if near is None else near.append(each)
    return [Sighting(candidates=tuple(group)) for group in groups]


def band_rows(report: NightReport) -> list[Row]:
    """Return a row per unit and filter: frames made and lost, medians of seeing, zero point, depth and WCS residual."""
    groups: dict[tuple[str, str], list[Reduced]] = {}
    for each in report.reduced:
        groups.setdefault((each.frame.unit, each.frame.filter), []).append(each)
    return [_band_row(unit, band, group, report) for (unit, band), group in sorted(groups.items())]


def survivors(report: NightReport) -> tuple[Candidate, ...]:
    """Return the candidates that no flag speaks against, strongest first."""
    return tuple(sorted((each for each in report.candidates if not each.flags), key=lambda each: -abs(each.snr)))


def losses(rejected: Sequence[Rejected]) -> tuple[Loss, ...]:
    """Group rejections by unit, stage and reason, in which a frame's own name says nothing."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for each in rejected:
        groups.setdefault((each.unit, each.stage, each.cause), []).append(each.name)
    return tuple(
        Loss(unit=unit, stage=stage, reason=reason, names=tuple(names))
        for (unit, stage, reason), names in sorted(groups.items())
    )


def frame_rows(report: NightReport) -> list[Row]:
    """Return a row per frame: what became of it, its seeing, zero point and depth."""
    done = [_frame_row(each, report.qa.get(each.frame.path.name, 0)) for each in report.reduced]
    lost = [_lost_row(each) for each in report.rejected]
    return (lost + sorted(done, key=lambda row: (str(row["unit"]), str(row["frame"]))))[:MOST_ROWS]


def stack_rows(report: NightReport) -> list[Row]:
    """Return a row per stack."""
    return [_stack_row(each) for each in report.stacks]


def master_rows(report: NightReport) -> list[Row]:
    """Return a row per master: whether it was made, borrowed or doubtful, its figures, its faults."""
    return [
        {
            "unit": each.unit,
            "master": f"{each.kind} {each.label}".strip(),
            "status": each.status,
            "age_days": each.age_days,
            "file": each.file.name,
            "figures": ", ".join(f"{key.removeprefix('QA').lower()} {value:g}" for key, value in each.figures.items()),
            "faults": "; ".join(each.faults),
        }
        for each in report.masters
    ]


def candidate_rows(report: NightReport) -> list[Row]:
    """Return a row per candidate that survives."""
    return [_candidate_row(each) for each in survivors(report)[:MOST_ROWS]]


def markdown(report: NightReport) -> str:
    """Write the report in short, for the run's page."""
    lines = [
        f"# Night {report.night}",
        "",
        (
            f"**{report.frames_ok}** frames reduced, **{len(report.rejected)}** rejected, **{len(report.stacks)}** "
            f"stacks, **{len(survivors(report))}** candidates, in {report.seconds:.0f} s. "
            f"Units: {', '.join(report.units)}."
        ),
        "",
        "| stage | seconds | done | failed | p50 s | p95 s |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {each.stage} | {each.seconds:.1f} | {each.done} | {each.failed} | {each.p50_s:.2f} | {each.p95_s:.2f} |"
            for each in report.timings
        ),
        "",
    ]
    if report.rejected:
        lines += ["## Left out", "", "| unit | stage | frames | reason |", "|---|---|---|---|"]
        lines += [f"| {x.unit} | {x.stage} | {_few(x.names)} | {_cell(x.reason)} |" for x in losses(report.rejected)]
    return "\n".join([*lines, "", f"Page: `{report.page}`"])


def _band_row(unit: str, band: str, group: Sequence[Reduced], report: NightReport) -> Row:
    lost = {each.name for each in report.rejected if each.unit == unit}
    flagged = sum(each.frame.path.name in report.qa for each in group)
    return {
        "unit": unit,
        "filter": band,
        "frames": len(group),
        "flagged": flagged,
        "lost of unit": len(lost),
        "seeing_arcsec": round(median(each.photometry.seeing_arcsec for each in group), 2),
        "zero_point_mag": round(median(each.photometry.zero_point_mag["AUTO"] for each in group), 3),
        "zp_range_mag": round(_range([each.photometry.zero_point_mag["AUTO"] for each in group]), 3),
        "depth5_mag": round(median(each.photometry.depth5_mag["1"] for each in group), 2),
        "rms_arcsec": round(
            median(max(each.astrometry.rms_ra_arcsec, each.astrometry.rms_dec_arcsec) for each in group), 3
        ),
        **_response(band, group),
    }


def _range(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _apart_arcsec(one: Candidate, other: Candidate) -> float:
    """Return the distance of two positions, which are taken to be near each other."""
    across = ((one.ra_deg - other.ra_deg + 180) % 360 - 180) * math.cos(math.radians(one.dec_deg))
    return 3600 * math.hypot(across, one.dec_deg - other.dec_deg)


def _frame_row(each: Reduced, qa: int) -> Row:
    photometry = each.photometry
    return {
        "frame": each.frame.path.name,
        "unit": each.frame.unit,
        "status": f"reduced; {words_of(qa)}" if qa else "reduced",
        "filter": each.frame.filter,
        "start": each.frame.date_obs.strftime("%H:%M:%S"),
        "seeing_arcsec": round(photometry.seeing_arcsec, 2),
        "zero_point_mag": round(photometry.zero_point_mag["AUTO"], 3),
        "depth5_mag": round(photometry.depth5_mag["1"], 2),
        **_checks(photometry),
        "rms_arcsec": round(max(each.astrometry.rms_ra_arcsec, each.astrometry.rms_dec_arcsec), 3),
        "seconds": round(each.seconds, 1),
    }


def words_of(qa: int) -> str:
    """Return bits of ``QaBit`` in words."""
    return ", ".join(bit.name.lower().replace("_", " ") for bit in QaBit(qa) if bit.name)


def _lost_row(each: Rejected) -> Row:
    return {"frame": each.name, "unit": each.unit, "status": f"rejected in {each.stage}: {each.cause}"}


def _stack_row(each: Stack) -> Row:
    photometry = each.photometry
    return {
        "object": each.object,
        "unit": each.unit,
        "filter": each.filter,
        "start": each.date_obs.strftime("%H:%M:%S"),
        "frames": len(each.inputs),
        "exposure_s": each.exposure_s,
        "seeing_arcsec": round(photometry.seeing_arcsec, 2),
        "zero_point_mag": round(photometry.zero_point_mag["AUTO"], 3),
        "depth5_mag": round(photometry.depth5_mag["1"], 2),
        **_checks(photometry),
        "stars": photometry.stars,
        "quality": words_of(each.qa) or "good",
    }


def _response(filter_: str, group: Sequence[Reduced]) -> Row:
    """Return a unit's colour term (mean weighted by the frames' errors), spatial rms, and frames of another filter."""
    terms = [each.photometry.terms for each in group if each.photometry.terms is not None]
    weights = [(t.colour_mag, t.colour_error_mag**-2) for t in terms if t.colour_mag is not None and t.colour_error_mag]
    total = sum(weight for _, weight in weights)
    spatial = [t.spatial_rms_mag for t in terms if t.spatial_rms_mag is not None]
    return {
        "colour_term": _rounded(sum(value * weight for value, weight in weights) / total if total else None, 4),
        "colour_error": _rounded(total**-0.5 if total else None, 4),
        "spatial_mag": _rounded(median(spatial) if spatial else None, 3),
        "other_filter": sum(each.photometry.seen_filter not in {"", filter_} for each in group),
    }


def _checks(photometry: Photometry) -> Row:
    """Return depth by empty apertures, rms of the zero point over the frame, colour term, and the filter that was seen."""
    terms = photometry.terms
    return {
        "empty5_mag": _rounded(photometry.empty5_mag.get("1"), 2),
        "spatial_mag": _rounded(terms.spatial_rms_mag if terms else None, 3),
        "colour_mag": _rounded(terms.colour_mag if terms else None, 3),
        "seen_filter": photometry.seen_filter,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _candidate_row(each: Candidate) -> Row:
    return {
        "id": each.id,
        "object": each.object,
        "unit": each.unit,
        "filter": each.filter,
        "ra_deg": round(each.ra_deg, 6),
        "dec_deg": round(each.dec_deg, 6),
        "mag": None if each.mag is None else round(each.mag, 3),
        "snr": round(each.snr, 1),
        "sign": each.sign,
    }


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
