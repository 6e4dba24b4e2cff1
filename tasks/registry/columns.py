"""What goes into a column: times in UTC, text that every database takes, records as JSON text."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic_core import to_jsonable_python
from sqlalchemy import DateTime
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from tasks.records.decoding import reader

R = TypeVar("R")

# PostgreSQL indexes at most about 2700 bytes; an honest id has at most a few dozen characters
IDENTITY_LENGTH = 64
TEXT_LENGTH = 2000


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC, also on databases that forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; a naive time is a mistake of ours and raises."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive time {value.isoformat()}: the registry takes aware times only")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def text(value: str, limit: int = TEXT_LENGTH) -> str:
    """Make text from outside fit for any database: no NUL, no lone surrogate, not endless."""
    clean = value[:limit].encode("utf-8", "backslashreplace").decode()
    return clean.replace("\x00", "\\x00")


def identity(value: str) -> str:
    """Return an id as it is where it is short and printable ASCII, else a hash of it."""
    if value.isascii() and value.isprintable() and 0 < len(value) <= IDENTITY_LENGTH:
        return value
    return f"sha256-{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def dump(record: Any) -> str:
    """Write a record as ASCII JSON; infinities stay readable for ``load``."""
    return json.dumps(to_jsonable_python(record), sort_keys=True)


def load(kind: type[R], document: str) -> R:
    """Read a record written by ``dump``."""
    record: R = reader(kind).validate_python(json.loads(document))  # type: ignore[arg-type]  # a class is hashable
    return record
