"""What Slack calls a picture that it took: the top message shows it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the name."""
    op.add_column("message", sa.Column("file", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take the name away."""
    op.drop_column("message", "file")
