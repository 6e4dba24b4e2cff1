"""A night's text files: log of processes, log of frames, header dumps, index of products."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astropy.io import fits

from tasks.records import (
    Difference,
    NightReport,
    Photometry,
    ProcessTiming,
    Reduced,
    Rejected,
    Stack,
    Stage,
    StageResult,
)

SUMMARY = ("process", "status", "time [s]", "done", "failed", "skipped", "p50 [s]", "p95 [s]", "within")
FRAMES = (
    "image",
    "object",
    "filter",
    "exptime",
    "data_reduction",
    "astrometry",
    "photometry",
    "stack",
    "subtraction",
    "qaflag",
    "reason",
)


def summary_log(report: NightReport, *, filed_s: float, filed: int) -> str:
    """Return a row per process; its status is true if nothing failed.

    If a process is part of another, ``within`` names that one and the times are empty.

    Parameters
    ----------
    report
        The night's report.
    filed_s, filed
        Time to write the text files, in s, and their number.
    """
    filing = ProcessTiming(process="data_transfer", seconds=filed_s, done=filed, failed=0)
    lost = len(report.rejected)
    whole = ProcessTiming(process="total", seconds=report.seconds, done=report.frames_ok, failed=lost)
    rows = [
        (
            each.process,
            each.failed == 0,
            "" if each.within else f"{each.seconds:.3f}",
            each.done,
            each.failed,
            each.skipped,
            "" if each.within else f"{each.p50_s:.3f}",
            "" if each.within else f"{each.p95_s:.3f}",
            each.within,
        )
        for each in (*report.processes, filing, whole)
    ]
    return _table(SUMMARY, rows)


def frames_log(results: Sequence[StageResult]) -> str:
    """Return a row per light: the stages it passed, its flags, and the reason if it was rejected."""
    reduced = {each.frame.path: each for result in results for each in result.reduced}
    stacked = {path: stack.image for result in results for stack in result.stacks for path in stack.inputs}
    searched = {each.stack.image for result in results for each in result.differences}
    lost = {each.name: each for result in results for each in result.rejected}
    rows = []
    for light in sorted((each for result in results for each in result.calibrated), key=lambda x: str(x.frame.path)):
        frame, done = light.frame, reduced.get(light.frame.path)
        stack = stacked.get(done.image) if done else None
        ways = (True, done is not None, done is not None, stack is not None, stack in searched)
        reason = lost[frame.path.name].reason if frame.path.name in lost else ""
        facts = (frame.path.name, frame.object, frame.filter, f"{frame.exposure_s:g}")
        qa = light.qa | (done.qa if done else 0)
        rows.append((*facts, *ways, qa, " ".join(reason.split())))
    names = {row[0] for row in rows}
    rows += [
        _lost_row(each) for name, each in sorted(lost.items()) if each.stage == Stage.CALIBRATE and name not in names
    ]
    return _table(FRAMES, rows)


def header_dump(image: Path) -> str:
    """Return the cards of an image as text, one per line."""
    text: str = fits.getheader(image).tostring(sep="\n", endcard=True, padding=False)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def header_of(image: Path) -> Path:
    """Return the path of an image's header dump, in the folder ``header`` beside it."""
    return image.parent / "header" / (image.name.removesuffix(".fits") + ".head")


def indexes(report: NightReport) -> dict[Path, str]:
    """Return an index of the night's products for each object, unit and filter, by its path."""
    groups: dict[Path, dict[str, Any]] = {}
    for word, products in (("singles", report.reduced), ("stacks", report.stacks), ("differences", report.differences)):
        for each in products:
            place = each.image.parent / "index" / f"{report.night.isoformat()}.json"
            groups.setdefault(place, {"night": report.night.isoformat()}).setdefault(word, []).append(_entry(each))
    return {place: json.dumps(content, indent=1, sort_keys=True) + "\n" for place, content in sorted(groups.items())}


def _entry(each: Reduced | Stack | Difference) -> dict[str, Any]:
    files = {word: getattr(each, word).name for word in ("image", "variance", "mask")}
    if isinstance(each, Difference):
        return {**files, "stack": each.stack.image.name, "reference": each.reference.name, "engine": each.engine}
    if isinstance(each, Reduced):
        when = {"date_obs": each.frame.date_obs.isoformat(), "exposure_s": each.frame.exposure_s}
        return {**files, **when, "raw": each.frame.path.name, **_measured(each.photometry)}
    when = {"date_obs": each.date_obs.isoformat(), "exposure_s": each.exposure_s}
    return {**files, **when, "inputs": [path.name for path in each.inputs], **_measured(each.photometry)}


def _measured(photometry: Photometry) -> dict[str, Any]:
    return {
        "catalogue": f"{photometry.catalogue.parent.name}/{photometry.catalogue.name}",
        "seeing_arcsec": round(photometry.seeing_arcsec, 3),
        "zero_point_mag": round(photometry.zero_point_mag["AUTO"], 4),
        "depth5_mag": round(photometry.depth5_mag["1"], 3),
    }


def _lost_row(each: Rejected) -> tuple[Any, ...]:
    return (each.name, "", "", "", *(False,) * 5, "", " ".join(each.reason.split()))


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
