"""When a person dropped what the outbox had given up; the two tables of nights go: nothing ever wrote or read them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tasks.registry.columns import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = UtcDateTime(timezone=True)


def upgrade() -> None:
    """Add the time, drop the tables."""
    for table in ("message", "upload"):
        op.add_column(table, sa.Column("dropped", MOMENT, nullable=True))
    op.drop_table("frame")
    op.drop_table("night")


def downgrade() -> None:
    """Make the tables again, empty, and take the time away."""
    op.create_table(
        "night",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("night", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed", MOMENT, nullable=False),
        sa.Column("page", sa.Text(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.CheckConstraint("state in ('settled', 'running', 'done', 'failed')", name="ck_night_state"),
        sa.PrimaryKeyConstraint("id", name="pk_night"),
        sa.UniqueConstraint("night", name="uq_night_night"),
    )
    op.create_table(
        "frame",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("night_id", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["night_id"], ["night.id"], name="fk_frame_night_id_night"),
        sa.PrimaryKeyConstraint("id", name="pk_frame"),
        sa.UniqueConstraint("night_id", "unit", "name", name="uq_frame_night_id_unit_name"),
    )
    for table in ("message", "upload"):
        op.drop_column(table, "dropped")
