"""What is said of a night: that it began, how it ended, why it failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from tasks.io.messages import blockkit
from tasks.io.messages.blockkit import Rendered
from tasks.io.nights.report_rows import losses, survivors
from tasks.records import NightReport, NightTrouble, Reduced

WORST = 3
REASON_LENGTH = 1500


def opening(night: date) -> Rendered:
    """Head the thread of a night."""
    return blockkit.rendered(f"Night {night}", [blockkit.header(f"Night {night}")])


def started(units: Sequence[str], files: int, too: Sequence[str]) -> Rendered:
    """Say that a run began: units, files in their folders, which of them hold a target of opportunity."""
    urgent = f", target of opportunity: {', '.join(too)}" if too else ""
    text = f"Reduction began: {', '.join(units)}, {files} files{urgent}"
    return blockkit.rendered(text, [blockkit.section(blockkit.escape(text))])


def finished(report: NightReport) -> Rendered:
    """Say how a run ended: frames, calibrations, stacks, candidates, depth by filter, worst frames, page."""
    text = (
        f"{', '.join(report.units)}: {report.frames_ok} frames reduced, {len(report.rejected)} left out, "
        f"{len(report.stacks)} stacks, {len(survivors(report))} candidates in {report.seconds / 60:.1f} min"
    )
    blocks = [blockkit.section(f"*{blockkit.escape(text)}*")]
    blocks += blockkit.fields(
        [
            ("Depth (5 sigma, stack, mag)", blockkit.escape(_depths(report))),
            ("Worst seeing", blockkit.escape(_worst(report.reduced))),
            ("Calibrations", blockkit.escape(_calibrations(report))),
            ("Left out", blockkit.escape(_left_out(report))),
        ]
    )
    return blockkit.rendered(text, [*blocks, blockkit.context([blockkit.escape(f"Page: {report.page}")])])


def failed(units: Sequence[str], reason: str) -> Rendered:
    """Say that a run failed, and why."""
    text = f"Reduction of {', '.join(units)} failed: {' '.join(reason.split())[:REASON_LENGTH]}"
    return blockkit.rendered(text, [blockkit.section(f":warning: {blockkit.escape(text)}")])


def troubled(trouble: NightTrouble) -> Rendered:
    """Say that a run crashed, or goes on for too long."""
    units = ", ".join(trouble.units) or "all units"
    since = trouble.since.strftime("%Y-%m-%d %H:%M UTC")
    if trouble.what == "crashed":
        text = f"Reduction of {units} crashed ({since}): {trouble.reason or 'its process gave no sign of life'}"
        advice = "What was done is kept; the night is tried again by itself."
    else:
        text = f"Reduction of {units} has gone on since {since}"
        advice = f"Look at run {trouble.name}, or cancel it: what was done is kept."
    blocks = [blockkit.section(f":warning: {blockkit.escape(text)}"), blockkit.context([blockkit.escape(advice)])]
    return blockkit.rendered(text, blocks)


def _depths(report: NightReport) -> str:
    depths: dict[str, list[float]] = {}
    for each in report.stacks:
        depths.setdefault(each.filter, []).append(each.photometry.depth5_mag["1"])
    return "\n".join(f"{band} {max(found):.2f} ({len(found)})" for band, found in sorted(depths.items()))


def _worst(reduced: Sequence[Reduced]) -> str:
    ordered = sorted(reduced, key=lambda each: -each.photometry.seeing_arcsec)[:WORST]
    return "\n".join(f"{each.photometry.seeing_arcsec:.2f} arcsec {each.frame.path.name}" for each in ordered)


def _calibrations(report: NightReport) -> str:
    lines = [
        f"{each.unit} {each.kind} {each.label}: {each.status}" + (f", {each.age_days:g} d old" if each.age_days else "")
        for each in report.masters
        if each.status != "made"
    ]
    return "\n".join(lines) if lines else "all made this night" if report.masters else ""


def _left_out(report: NightReport) -> str:
    return "\n".join(f"{len(each.names)}: {each.reason}" for each in losses(report.rejected)[:WORST])
