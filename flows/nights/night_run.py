"""Context of a night's run around its stages: lock, journal, memory gauge, messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from tasks import futures
from tasks.messages import delivery, night_messages
from tasks.nights import housekeeping, journal, memory_use
from tasks.records import Home, NightFolder, NightReport
from tasks.records.outbox import Outgoing

# longest wait for Slack, in s; the next run sends the outbox again
PATIENCE_S = 5.0


class NightRun:
    """A running reduction of a night; ``report`` is None until ``finish``."""

    report: NightReport | None = None

    def finish(self, report: NightReport) -> NightReport:
        """Set the night's report, which is announced at the end of the run."""
        self.report = report
        return report


@contextmanager
def running(night: date, folders: tuple[NightFolder, ...], root: Path, home: Home) -> Iterator[NightRun]:
    """Hold a night's lock, write its journal, record memory and announce start and end, while the block runs.

    Raises
    ------
    Unavailable
        If another run reduces one of the units.
    """
    with housekeeping.night_lock(night, root, folders), memory_use.memory() as gauge:
        journal.begin(night, root, folders)
        _announce(night_messages.started(night, folders), home)
        run = NightRun()
        try:
            yield run
            if run.report is not None:
                memory_use.show(futures.unwrapped(run.report), gauge)
        except Exception as error:
            journal.fail(night, root, folders, str(error))
            _announce(night_messages.failed(night, folders, str(error)), home)
            raise
        if run.report is not None:
            journal.end(night, root, folders, futures.unwrapped(run.report))
            _announce(night_messages.finished(run.report), home)


def _announce(messages: tuple[Outgoing, ...], home: Home) -> None:
    """Put messages into the outbox and send them; if that fails, the night continues."""
    for message in messages:
        delivery.enqueue_message.with_options(retries=1)(message, home, return_state=True)
    delivery.deliver.with_options(retries=1)(home, patience_s=PATIENCE_S, return_state=True)
