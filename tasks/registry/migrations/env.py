"""Alembic's entry: migrate over the connection that ``tasks.registry.schema`` opened."""

from __future__ import annotations

from alembic import context

from tasks.registry.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite changes tables by copying them, and like PostgreSQL does so in one transaction
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
