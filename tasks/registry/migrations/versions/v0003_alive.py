"""When a plan's process last told that it lives: a plan whose process died is soon taken up by another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tasks.registry.columns import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the time; of a plan that runs meanwhile it is known that it began."""
    op.add_column("plan", sa.Column("alive", UtcDateTime(timezone=True), nullable=True))
    op.execute("update plan set alive = created")


def downgrade() -> None:
    """Take the time away."""
    op.drop_column("plan", "alive")
