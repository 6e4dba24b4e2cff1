"""The registry, opened: transactions, and the calls that make one of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tasks.records import Alert, Decision
from tasks.records.events import EventHistory, Registered, StoredNotice
from tasks.registry import engine as engines
from tasks.registry import events, history, notices, schema


class Registry:
    """Our own durable record.

    ``begin`` gives a transaction for the functions of the modules beside this one (``events``, ``outbox``, ``plans``,
    ``notices``), so that a cause and its effects are written together or not at all. The methods are for
    those who need one call.

    Parameters
    ----------
    engine
        Made by ``tasks.registry.engine.make_engine``.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Give a session whose changes are committed together, or undone together."""
        with engines.reachable(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session for queries: it takes no lock that a writer would wait for."""
        reader = self.engine.execution_options(reading=True)
        with engines.reachable(), Session(reader) as session:
            yield session

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def record_notice(
        self,
        *,
        sha256: str,
        path: Path,
        received: datetime | None = None,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
    ) -> bool:
        """Record a notice that is safe on disk; return whether its bytes are new."""
        stored = StoredNotice(
            sha256=sha256,
            path=path,
            received=received or now(),
            topic=topic,
            partition=partition,
            offset=offset,
        )
        return bool(self.record_notices([stored]))

    def record_notices(self, stored: Sequence[StoredNotice]) -> frozenset[str]:
        """Record notices that are safe on disk, all or none; return the hashes of those that are new."""
        with self.begin() as session:
            return notices.record_notices(session, stored)

    def undispatched(self, limit: int = 100) -> tuple[StoredNotice, ...]:
        """Return notices that no run has been made for, oldest first."""
        with self.read() as session:
            return notices.undispatched(session, limit)

    def unanswered(self, *, before: datetime, limit: int = 100) -> tuple[StoredNotice, ...]:
        """Return notices dispatched before a time that have come to nothing."""
        with self.read() as session:
            return notices.unanswered(session, before=before, limit=limit)

    def mark_dispatched(self, sha256: str, *, run: str) -> bool:
        """Note the run that was made for a notice."""
        with self.begin() as session:
            return notices.mark_dispatched(session, sha256, run=run, now=now())

    def record_dead(self, sha256: str, reason: str) -> bool:
        """Note that a notice cannot be understood, and why."""
        with self.begin() as session:
            return notices.record_dead(session, sha256, reason)

    def record_alert(self, alert: Alert) -> Registered:
        """Give a notice its place in its event, once; asking again returns the same answer."""
        with self.begin() as session:
            return events.record_alert(session, alert, now=now())

    def record_decision(self, alert: Alert, decision: Decision) -> bool:
        """Record what a policy said of a notice."""
        with self.begin() as session:
            return events.record_decision(session, alert, decision, now=now())

    def history(self, slug: str) -> EventHistory:
        """Return all that is known of an event."""
        with self.read() as session:
            return history.of_event(session, slug)

    def events(self, limit: int = 100) -> tuple[str, ...]:
        """Return the slugs of the events, newest first."""
        with self.read() as session:
            return history.events(session, limit)


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def open_registry(url: str, *, upgrade: bool = True) -> Registry:
    """Open the registry at a URL, its schema brought up to date; any number of processes may do so at once.

    A process looks at the schema's revision once for each database: a database that is put back to an older revision
    needs new processes.

    Raises
    ------
    UnusableData
        If the URL is of neither SQLite nor PostgreSQL.
    Unavailable
        If the database does not answer.
    """
    engine = engines.make_engine(url)
    if upgrade:
        with engines.reachable():
            schema.upgrade_once(engine)
    return Registry(engine)
