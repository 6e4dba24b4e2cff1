"""What the observers are told of a night: messages for the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from prefect.context import FlowRunContext

from tasks.io.messages import night_text
from tasks.io.messages.blockkit import Rendered
from tasks.records import Audience, NightFolder, NightReport, NightTrouble
from tasks.records.outbox import Outgoing


def started(night: date, folders: Sequence[NightFolder]) -> tuple[Outgoing, ...]:
    """Open the night's thread, where that is new, and say in it that a run began."""
    units = tuple(dict.fromkeys(each.unit for each in folders))
    files = sum(1 for each in folders for path in each.folder.iterdir() if path.is_file())
    words = night_text.started(units, files, [each.unit for each in folders if each.too])
    opening = _message(night, "night", night_text.opening(night), key=night.isoformat(), mode="top")
    return opening, _message(night, "started", words)


def finished(made: NightReport) -> tuple[Outgoing, ...]:
    """Say how a run ended."""
    return (_message(made.night, "finished", night_text.finished(made), broadcast=True),)


def failed(night: date, folders: Sequence[NightFolder], reason: str) -> tuple[Outgoing, ...]:
    """Say that a run failed, and why."""
    units = tuple(dict.fromkeys(each.unit for each in folders))
    return (_message(night, "failed", night_text.failed(units, reason), broadcast=True),)


def troubled(trouble: NightTrouble) -> tuple[Outgoing, ...]:
    """Say of a run that cannot itself that it crashed or stalled; once each."""
    opening = _message(
        trouble.night, "night", night_text.opening(trouble.night), key=trouble.night.isoformat(), mode="top"
    )
    return opening, _message(trouble.night, trouble.what, night_text.troubled(trouble), key=trouble.run, broadcast=True)


def _message(
    night: date, kind: str, words: Rendered, *, key: str = "", mode: str = "reply", broadcast: bool = False
) -> Outgoing:
    """Make a message that a retry of the same run does not repeat."""
    context = FlowRunContext.get()
    run = str(context.flow_run.id) if context and context.flow_run else "no run"
    return Outgoing(
        subject=f"night:{night.isoformat()}",
        kind=kind,
        key=key or run,
        audience=Audience.OPERATORS,
        mode=mode,
        text=words.text,
        blocks=words.blocks,
        broadcast=broadcast,
    )
