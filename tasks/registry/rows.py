"""The two ways in which a row changes: inserted once, and compare-and-set."""

from __future__ import annotations

from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from tasks.registry.models import Base

M = TypeVar("M", bound=Base)


def insert_once(session: Session, model: type[M], *, key: dict[str, Any], values: dict[str, Any]) -> tuple[M, bool]:
    """Insert a row unless its unique ``key`` is there; return the row and whether this call made it."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.flush()
    table = model.metadata.tables[model.__tablename__]
    statement = insert(table).values(**key, **values).on_conflict_do_nothing(index_elements=list(key))
    # a row comes back only where one was inserted: the count of rows is not given by every driver
    answer = session.execute(statement.returning(*table.primary_key.columns))
    made = answer.first() is not None
    return session.scalars(sa.select(model).filter_by(**key)).one(), made


def compare_and_set(session: Session, model: type[M], *where: ColumnElement[bool], **values: Any) -> bool:
    """Change the row that meets all conditions; return whether there was one."""
    return change(session, model, *where, **values) == 1


def change(session: Session, model: type[M], *where: ColumnElement[bool], **values: Any) -> int:
    """Change all rows that meet all conditions; return how many."""
    statement = sa.update(model).where(*where).values(**values).execution_options(synchronize_session="fetch")
    result = session.execute(statement)
    return result.rowcount if isinstance(result, CursorResult) else 0
