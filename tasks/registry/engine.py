"""The engine: SQLite by default, PostgreSQL by URL; the same behaviour on both."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from tasks.errors import Unavailable, UnusableData

log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 30_000
ALLOWED = ("sqlite", "postgresql")


def make_engine(url: str) -> Engine:
    """Make the engine of ``sqlite:///file`` or ``postgresql://user:password@host/name``.

    Raises
    ------
    UnusableData
        If the URL is neither; the message never repeats a password.
    """
    target = _parse(url)
    if target.get_backend_name() == "sqlite":
        return _sqlite(target)
    return sa.create_engine(target.set(drivername="postgresql+psycopg"), pool_pre_ping=True)


def identity(engine: Engine) -> str:
    """Tell one database from another: by its URL, and a file of SQLite also by its inode, for it may be made anew."""
    url = engine.url.render_as_string(hide_password=True)
    if engine.dialect.name != "sqlite":
        return url
    path = Path(str(engine.url.database))
    if not path.is_file():
        return url
    status = path.stat()
    return f"{url} {status.st_dev} {status.st_ino}"


@contextmanager
def reachable() -> Iterator[None]:
    """Turn a database that is away or locked into ``Unavailable``."""
    try:
        yield
    except OperationalError as error:
        raise Unavailable(f"the registry's database does not answer: {error.orig}") from error


def _parse(url: str) -> URL:
    try:
        target = make_url(url)
    except ArgumentError as error:
        raise UnusableData("the registry's URL cannot be read: expected sqlite:///… or postgresql://…") from error
    if target.get_backend_name() not in ALLOWED:
        raise UnusableData(f"the registry cannot live in {target.get_backend_name()!r}: allowed are sqlite, postgresql")
    return target


def _sqlite(target: URL) -> Engine:
    if target.database in (None, "", ":memory:"):
        raise UnusableData("the registry must survive its process: an SQLite URL needs a file, sqlite:////path/to/file")
    Path(str(target.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(target, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    """Hand transactions to us; turn on WAL, foreign keys and waiting; sync every commit."""
    del record
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at the start: a reader that turns writer would fail at once, whatever the time-out."""
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
