"""Messages about a night: start, end, failure, crash or stall."""

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
    """Return the top message of a night's thread."""
    return blockkit.rendered(f"Night {night}", [blockkit.header(f"Night {night}")])


def started(units: Sequence[str], files: int, too: Sequence[str]) -> Rendered:
    """Return the message that a run began: units, number of files, units with a target of opportunity."""
    urgent = f", target of opportunity: {', '.join(too)}" if too else ""
    text = f"Reduction began: {', '.join(units)}, {files} files{urgent}"
    return blockkit.rendered(text, [blockkit.section(blockkit.escape(text))])


def finished(report: NightReport) -> Rendered:
    """Return the summary of a run: frames, calibrations, stacks, candidates, depth by filter, worst frames, page."""
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
    """Return the message that a run failed, with the reason."""
    text = f"Reduction of {', '.join(units)} failed: {' '.join(reason.split())[:REASON_LENGTH]}"
    return blockkit.rendered(text, [blockkit.section(f":warning: {blockkit.escape(text)}")])


def troubled(trouble: NightTrouble) -> Rendered:
    """Return the message that a run crashed or runs too long."""
    units = ", ".join(trouble.units) or "all units"
    since = trouble.since.strftime("%Y-%m-%d %H:%M UTC")
    if trouble.what == "crashed":
        text = f"Reduction of {units} crashed ({since}): {trouble.reason or 'its process sent no heartbeat'}"
        advice = "Finished products are kept; the night is retried automatically."
    else:
        text = f"Reduction of {units} has been running since {since}"
        advice = f"Check run {trouble.name}, or cancel it: finished products are kept."
    blocks = [blockkit.section(f":warning: {blockkit.escape(text)}"), blockkit.context([blockkit.escape(advice)])]
    return blockkit.rendered(text, blocks)


def _depths(report: NightReport) -> str:
    depths: dict[str, list[float]] = {}
    for stack in report.stacks:
        depths.setdefault(stack.filter, []).append(stack.photometry.depth5_mag["1"])
    return "\n".join(f"{band} {max(values):.2f} ({len(values)})" for band, values in sorted(depths.items()))


def _worst(reduced: Sequence[Reduced]) -> str:
    ordered = sorted(reduced, key=lambda light: -light.photometry.seeing_arcsec)[:WORST]
    return "\n".join(f"{light.photometry.seeing_arcsec:.2f} arcsec {light.frame.path.name}" for light in ordered)


def _calibrations(report: NightReport) -> str:
    lines = [
        f"{master.unit} {master.kind} {master.label}: {master.status}"
        + (f", {master.age_days:g} d old" if master.age_days else "")
        for master in report.masters
        if master.status != "made"
    ]
    return "\n".join(lines) if lines else "all made this night" if report.masters else ""


def _left_out(report: NightReport) -> str:
    return "\n".join(f"{len(loss.names)}: {loss.reason}" for loss in losses(report.rejected)[:WORST])
