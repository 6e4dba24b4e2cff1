"""The first schema: notices, events, decisions, plans, the outbox, nights."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tasks.registry.columns import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = UtcDateTime(timezone=True)
# in the order in which they need each other
TABLES = (
    "event",
    "hold",
    "night",
    "frame",
    "link",
    "message",
    "notice",
    "upload",
    "action",
    "decision",
    "delivery",
    "localisation",
    "plan",
    "tile",
)


def upgrade() -> None:
    """Make all tables."""
    _event()
    _hold()
    _night()
    _frame()
    _link()
    _message()
    _notice()
    _upload()
    _action()
    _decision()
    _delivery()
    _localisation()
    _plan()
    _tile()


def downgrade() -> None:
    """Drop all tables."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("mission", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("t0", MOMENT, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("newest_sha256", sa.Text(), nullable=True),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("muted", sa.Boolean(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.CheckConstraint("state in ('open', 'retracted', 'reinstated')", name="ck_event_state"),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sa.UniqueConstraint("mission", "name", name="uq_event_mission_name"),
    )
    op.create_index("ix_event_slug", "event", ["slug"], unique=False)


def _hold() -> None:
    op.create_table(
        "hold",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("lane", name="pk_hold"),
    )


def _night() -> None:
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


def _frame() -> None:
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


def _link() -> None:
    op.create_table(
        "link",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("first_id", sa.Integer(), nullable=False),
        sa.Column("second_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.CheckConstraint("first_id < second_id", name="ck_link_order"),
        sa.ForeignKeyConstraint(["first_id"], ["event.id"], name="fk_link_first_id_event"),
        sa.ForeignKeyConstraint(["second_id"], ["event.id"], name="fk_link_second_id_event"),
        sa.PrimaryKeyConstraint("id", name="pk_link"),
        sa.UniqueConstraint("first_id", "second_id", name="uq_link_first_id_second_id"),
    )


def _message() -> None:
    op.create_table(
        "message",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("content_key", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=True),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("blocks", sa.Text(), nullable=False),
        sa.Column("broadcast", sa.Boolean(), nullable=False),
        sa.Column("attachment", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("uncertain", sa.Boolean(), nullable=False),
        sa.Column("due", MOMENT, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("sent", MOMENT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("ts", sa.Text(), nullable=True),
        sa.CheckConstraint("state in ('waiting', 'sending', 'sent', 'failed')", name="ck_message_state"),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name="fk_message_event_id_event"),
        sa.PrimaryKeyConstraint("id", name="pk_message"),
        sa.UniqueConstraint("channel", "ts", name="uq_message_channel_ts"),
        sa.UniqueConstraint("subject", "kind", "content_key", name="uq_message_subject_kind_content_key"),
    )
    op.create_index("ix_message_event_id", "message", ["event_id"], unique=False)
    op.create_index("ix_message_state_due", "message", ["state", "due"], unique=False)
    op.create_index("ix_message_subject_id", "message", ["subject", "id"], unique=False)


def _notice() -> None:
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("received", MOMENT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("dispatched", MOMENT, nullable=True),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("event_id", sa.Integer(), nullable=True),
        sa.Column("content_sha256", sa.Text(), nullable=True),
        sa.Column("standing", sa.Text(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("moment", MOMENT, nullable=True),
        sa.Column("previous_sha256", sa.Text(), nullable=True),
        sa.Column("superseded_by", sa.Text(), nullable=True),
        sa.Column("duplicate_of", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("alert_type", sa.Text(), nullable=True),
        sa.Column("significant", sa.Boolean(), nullable=True),
        sa.Column("test", sa.Boolean(), nullable=True),
        sa.Column("event_state", sa.Text(), nullable=True),
        sa.Column("announced", MOMENT, nullable=True),
        sa.Column("alert", sa.Text(), nullable=True),
        sa.CheckConstraint("state in ('received', 'dispatched', 'understood', 'dead')", name="ck_notice_state"),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name="fk_notice_event_id_event"),
        sa.PrimaryKeyConstraint("id", name="pk_notice"),
        sa.UniqueConstraint("event_id", "content_sha256", name="uq_notice_event_id_content_sha256"),
        sa.UniqueConstraint("sha256", name="uq_notice_sha256"),
    )
    op.create_index("ix_notice_state_received", "notice", ["state", "received"], unique=False)


def _upload() -> None:
    op.create_table(
        "upload",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("remote", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("due", MOMENT, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("sent", MOMENT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("state in ('waiting', 'sending', 'sent', 'failed')", name="ck_upload_state"),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name="fk_upload_event_id_event"),
        sa.PrimaryKeyConstraint("id", name="pk_upload"),
        sa.UniqueConstraint("remote", name="uq_upload_remote"),
    )
    op.create_index("ix_upload_event_id", "upload", ["event_id"], unique=False)
    op.create_index("ix_upload_state_due", "upload", ["state", "due"], unique=False)


def _action() -> None:
    op.create_table(
        "action",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("button", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Integer(), nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name="fk_action_message_id_message"),
        sa.PrimaryKeyConstraint("id", name="pk_action"),
        sa.UniqueConstraint("trigger", name="uq_action_trigger"),
    )


def _decision() -> None:
    op.create_table(
        "decision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("policy_sha256", sa.Text(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name="fk_decision_notice_id_notice"),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
        sa.UniqueConstraint("notice_id", "policy_sha256", name="uq_decision_notice_id_policy_sha256"),
    )


def _delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("received", MOMENT, nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name="fk_delivery_notice_id_notice"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.UniqueConstraint("topic", "partition", "offset", name="uq_delivery_topic_partition_offset"),
    )
    op.create_index("ix_delivery_notice_id", "delivery", ["notice_id"], unique=False)


def _localisation() -> None:
    op.create_table(
        "localisation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("area50_deg2", sa.Double(), nullable=True),
        sa.Column("area90_deg2", sa.Double(), nullable=True),
        sa.Column("distance_mpc", sa.Double(), nullable=True),
        sa.Column("distance_std_mpc", sa.Double(), nullable=True),
        sa.Column("ra_deg", sa.Double(), nullable=True),
        sa.Column("dec_deg", sa.Double(), nullable=True),
        sa.Column("error_deg", sa.Double(), nullable=True),
        sa.Column("path", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name="fk_localisation_notice_id_notice"),
        sa.PrimaryKeyConstraint("id", name="pk_localisation"),
        sa.UniqueConstraint("notice_id", "role", name="uq_localisation_notice_id_role"),
    )


def _plan() -> None:
    op.create_table(
        "plan",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.Column("telescopes", sa.Text(), nullable=False),
        sa.Column("parameters_sha256", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("area_deg2", sa.Double(), nullable=True),
        sa.Column("asked_by", sa.Text(), nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("finished", MOMENT, nullable=True),
        sa.Column("plans", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state in ('running', 'done', 'empty', 'failed', 'cancelled', 'superseded')", name="ck_plan_state"
        ),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name="fk_plan_event_id_event"),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name="fk_plan_notice_id_notice"),
        sa.PrimaryKeyConstraint("id", name="pk_plan"),
        sa.UniqueConstraint(
            "notice_id", "telescopes", "parameters_sha256", name="uq_plan_notice_id_telescopes_parameters_sha256"
        ),
    )
    op.create_index("ix_plan_event_id", "plan", ["event_id"], unique=False)


def _tile() -> None:
    op.create_table(
        "tile",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("plan_id", sa.Integer(), nullable=False),
        sa.Column("telescope", sa.Text(), nullable=False),
        sa.Column("visit", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ra_deg", sa.Double(), nullable=False),
        sa.Column("dec_deg", sa.Double(), nullable=False),
        sa.Column("start", MOMENT, nullable=True),
        sa.Column("exposure_s", sa.Double(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state in ('planned', 'withdrawn', 'observed')", name="ck_tile_state"),
        sa.ForeignKeyConstraint(["plan_id"], ["plan.id"], name="fk_tile_plan_id_plan"),
        sa.PrimaryKeyConstraint("id", name="pk_tile"),
        sa.UniqueConstraint("plan_id", "telescope", "visit", "name", name="uq_tile_plan_id_telescope_visit_name"),
    )
