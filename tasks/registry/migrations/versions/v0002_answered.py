"""When a notice's run came to its end: what has none is done again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tasks.registry.columns import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the time; what was announced before counts as answered."""
    op.add_column("notice", sa.Column("answered", UtcDateTime(timezone=True), nullable=True))
    op.execute("update notice set answered = announced")


def downgrade() -> None:
    """Take the time away."""
    op.drop_column("notice", "answered")
