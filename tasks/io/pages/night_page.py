"""The night's page, its report as JSON, and small pictures of its stacks."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.visualization import AsinhStretch, ZScaleInterval
from PIL import Image
from pydantic import TypeAdapter

from tasks.io.nights import report_rows
from tasks.io.pages import night_plots, templating
from tasks.records import NightReport

PREVIEW_WIDTH = 640
THUMBNAIL_WIDTH = 480
MOST_CARDS = 60

Staged = Callable[[Path], AbstractContextManager[Path]]

_REPORT = TypeAdapter(NightReport)


def to_json(report: NightReport) -> str:
    """Return a report as JSON."""
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
    """Draw an image, binned to a width of about 640 px, in ZScale with an asinh stretch, oriented as in the file."""
    with fits.open(image, memmap=False) as hdus:
        data = np.asarray(hdus[0].data, dtype=np.float32)
    step = max(1, data.shape[1] // PREVIEW_WIDTH)
    small = data[: data.shape[0] // step * step, : data.shape[1] // step * step]
    small = small.reshape(small.shape[0] // step, step, -1, step).mean(axis=(1, 3))
    low, high = ZScaleInterval(contrast=0.2).get_limits(small[np.isfinite(small) & (small != 0)])
    scaled = AsinhStretch(0.15)(np.clip((np.nan_to_num(small, nan=low) - low) / max(high - low, 1e-9), 0, 1))
    Image.fromarray((255 * scaled[::-1]).astype(np.uint8)).save(picture, format="PNG", optimize=True)


def as_data_url(picture: Path) -> str:
    """Return a PNG as a data URL, to embed it in a page."""
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"


def thumbnail(picture: Path) -> str:
    """Return a picture as a data URL of some ten kilobytes, small enough for Prefect's database."""
    small = io.BytesIO()
    with Image.open(picture) as image:
        image.thumbnail((THUMBNAIL_WIDTH, THUMBNAIL_WIDTH))
        image.convert("RGB").save(small, format="JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"


def render(report: NightReport, previews: Mapping[Path, Path]) -> str:
    """Return the night's page, complete in one HTML file."""
    sightings = report_rows.sightings(report_rows.survivors(report))
    shown = [sighting.strongest for sighting in sightings[:MOST_CARDS]]
    stamps = {one.id: as_data_url(one.stamp) for one in shown if one.stamp and one.stamp.exists()}
    return templating.render(
        "night.html",
        report=report,
        losses=report_rows.losses(report.rejected),
        stacks=report_rows.stack_rows(report),
        pictures=[(stack, previews[stack.image].name, thumbnail(previews[stack.image])) for stack in report.stacks],
        candidates=report_rows.survivors(report),
        sightings=sightings[:MOST_CARDS],
        more=len(sightings[MOST_CARDS:]),
        bands=report_rows.band_rows(report),
        stamps=stamps,
        flagged=len(report.candidates) - len(report_rows.survivors(report)),
        not_checked=report_rows.not_checked(report),
        frames=report_rows.frame_rows(report),
        plots=night_plots.night_plots(report),
        masters=report_rows.master_rows(report),
    )


def markdown(report: NightReport) -> str:
    """Return a short report in Markdown, for the run's page in Prefect."""
    lines = [
        f"# Night {report.night}",
        "",
        (
            f"**{report.frames_ok}** frames reduced, **{len(report.rejected)}** rejected, **{len(report.stacks)}** "
            f"stacks, **{len(report_rows.survivors(report))}** candidates, in {report.seconds:.0f} s. "
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
        lines += [
            f"| {x.unit} | {x.stage} | {_few(x.names)} | {_cell(x.reason)} |"
            for x in report_rows.losses(report.rejected)
        ]
    return "\n".join([*lines, "", f"Page: `{report.page}`"])


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
