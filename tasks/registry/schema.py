"""The schema's revision: upgrade, downgrade, compare. One process at a time, in one transaction."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from alembic import autogenerate, command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from tasks.registry import engine as engines
from tasks.registry.models import Base

MIGRATIONS = Path(__file__).parent / "migrations"
# any number that nobody else uses: PostgreSQL's advisory lock of our migrations
MIGRATION_LOCK = 7_307_201_170_817
# databases that this process has seen at the newest revision
_SEEN: set[str] = set()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to ``revision``; at that revision already, change nothing, and lock nothing where it is the last."""
    if revision == "head" and _is_last(engine):
        return
    with engine.begin() as connection:
        _lock(connection)
        command.upgrade(_config(connection), revision)


def upgrade_once(engine: Engine) -> None:
    """Bring the schema to the newest revision unless this process has seen it there."""
    if engines.identity(engine) not in _SEEN:
        upgrade(engine)
        # a file of SQLite has its identity only when it is made
        _SEEN.add(engines.identity(engine))


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Take the schema back to ``revision``."""
    _SEEN.discard(engines.identity(engine))
    with engine.begin() as connection:
        _lock(connection)
        command.downgrade(_config(connection), revision)


def current(engine: Engine) -> str | None:
    """Return the schema's revision, or None for an empty database."""
    with engine.execution_options(reading=True).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def differences(engine: Engine) -> list[Any]:
    """Return what the migrations and the models disagree on; empty when all is well."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(autogenerate.compare_metadata(context, Base.metadata))


def _is_last(engine: Engine) -> bool:
    """Tell without a lock whether nothing is to be done; a database that somebody is making may not be looked at yet."""
    try:
        return current(engine) == _head()
    except OperationalError:
        return False


@functools.cache
def _head() -> str | None:
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def _lock(connection: Connection) -> None:
    # on SQLite the transaction itself is exclusive: it begins IMMEDIATE
    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})


def _config(connection: Connection) -> Config:
    config = Config()
    # Alembic reads % as interpolation, and a checkout may lie under any name
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
