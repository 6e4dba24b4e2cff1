"""The ways in which rows change: inserted once, alone or by many, and compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import InstrumentedAttribute, Session

from tasks.registry.models import Base

M = TypeVar("M", bound=Base)

# a message has 17 values, and a statement of SQLite takes at most 32,766
ROWS_A_STATEMENT = 500


def insert_once(session: Session, model: type[M], *, key: dict[str, Any], values: dict[str, Any]) -> tuple[M, bool]:
    """Insert a row unless its unique ``key`` is there; return the row and whether this call made it."""
    session.flush()
    statement = insert(session)(model).values(**key, **values).on_conflict_do_nothing(index_elements=list(key))
    # a row comes back only where one was inserted: the count of rows is not given by every driver
    row = session.scalars(statement.returning(model)).one_or_none()
    if row is not None:
        return row, True
    return session.scalars(sa.select(model).filter_by(**key)).one(), False


def insert_missing(session: Session, model: type[Base], values: Sequence[dict[str, Any]], *, key: Sequence[str]) -> int:
    """Insert those of many rows whose unique ``key`` is not there, in their order; return how many were inserted."""
    [number] = sa.inspect(model).primary_key
    inserted = 0
    for first in range(0, len(values), ROWS_A_STATEMENT):
        rows = list(values[first : first + ROWS_A_STATEMENT])
        statement = insert(session)(model).values(rows).on_conflict_do_nothing(index_elements=list(key))
        inserted += len(session.execute(statement.returning(number)).all())
    return inserted


def ids(session: Session, column: InstrumentedAttribute[str], wanted: Collection[str]) -> dict[str, int]:
    """Return the numbers of the rows that have one of ``wanted`` (SQLite: at most 32,766) in a column, by that value."""
    [number] = column.class_.__table__.primary_key.columns
    answer = session.execute(sa.select(column, number).where(column.in_(wanted)))
    return {str(value): int(key) for value, key in answer}


def compare_and_set(session: Session, model: type[M], *where: ColumnElement[bool], **values: Any) -> bool:
    """Change the row that meets all conditions; return whether there was one."""
    return change(session, model, *where, **values) == 1


def change(session: Session, model: type[M], *where: ColumnElement[bool], **values: Any) -> int:
    """Change all rows that meet all conditions; return how many."""
    statement = sa.update(model).where(*where).values(**values).execution_options(synchronize_session="fetch")
    result = session.execute(statement)
    return result.rowcount if isinstance(result, CursorResult) else 0


def insert(session: Session) -> Callable[[Any], Any]:
    """Return the function that begins an INSERT … ON CONFLICT for the session's database."""
    return postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
