"""The tables. Every key that makes doing something twice impossible is a unique constraint here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, Index, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import Text

from tasks.registry.columns import UtcDateTime

# constraints need names to be dropped again, also on SQLite
CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=CONVENTION)
    type_annotation_map = {str: Text(), float: Double(), datetime: UtcDateTime()}  # noqa: RUF012 - SQLAlchemy's way to declare it


def _states(*names: str) -> CheckConstraint:
    return CheckConstraint("state in ({})".format(", ".join(f"'{name}'" for name in names)), name="state")


class Event(Base):
    """An LVK superevent or a mission's trigger."""

    __tablename__ = "event"
    __table_args__ = (UniqueConstraint("mission", "name"), _states("open", "retracted", "reinstated"))

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    mission: Mapped[str]
    name: Mapped[str]
    slug: Mapped[str] = mapped_column(index=True)
    t0: Mapped[datetime | None]
    state: Mapped[str]
    # by hash and not by foreign key: event and notice would need each other to be made
    newest_sha256: Mapped[str | None]
    test: Mapped[bool]
    muted: Mapped[bool]
    created: Mapped[datetime]


class Notice(Base):
    """The bytes of a notice, where they lie, and what was understood of them."""

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("sha256"),
        # a duplicate has no content hash of its own: it points at the notice that has
        UniqueConstraint("event_id", "content_sha256"),
        _states("received", "dispatched", "understood", "dead"),
        Index("ix_notice_state_received", "state", "received"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    path: Mapped[str]
    received: Mapped[datetime]
    state: Mapped[str]
    dispatched: Mapped[datetime | None]
    run: Mapped[str | None]
    error: Mapped[str | None]
    event_id: Mapped[int | None] = mapped_column(ForeignKey("event.id"))
    content_sha256: Mapped[str | None]
    standing: Mapped[str | None]
    number: Mapped[int | None]
    moment: Mapped[datetime | None]
    previous_sha256: Mapped[str | None]
    superseded_by: Mapped[str | None]
    duplicate_of: Mapped[str | None]
    kind: Mapped[str | None]
    alert_type: Mapped[str | None]
    significant: Mapped[bool | None]
    test: Mapped[bool | None]
    event_state: Mapped[str | None]
    announced: Mapped[datetime | None]
    answered: Mapped[datetime | None]
    alert: Mapped[str | None]


class Delivery(Base):
    """One message of a broker: the same bytes may come by many."""

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("topic", "partition", "offset"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    topic: Mapped[str]
    partition: Mapped[int]
    offset: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[datetime]
    notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id"), index=True)


class Localisation(Base):
    """What one sky map of a notice says, in numbers; the map itself is a file."""

    __tablename__ = "localisation"
    __table_args__ = (UniqueConstraint("notice_id", "role"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id"))
    role: Mapped[str]
    area50_deg2: Mapped[float | None]
    area90_deg2: Mapped[float | None]
    distance_mpc: Mapped[float | None]
    distance_std_mpc: Mapped[float | None]
    ra_deg: Mapped[float | None]
    dec_deg: Mapped[float | None]
    error_deg: Mapped[float | None]
    path: Mapped[str | None]


class Decision(Base):
    """What a policy said of a notice."""

    __tablename__ = "decision"
    __table_args__ = (UniqueConstraint("notice_id", "policy_sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id"))
    policy: Mapped[str]
    policy_sha256: Mapped[str]
    score: Mapped[int | None]
    action: Mapped[str]
    code: Mapped[str]
    created: Mapped[datetime]
    decision: Mapped[str]


class Plan(Base):
    """One planning run: a set of telescopes, for one notice, with one set of parameters."""

    __tablename__ = "plan"
    __table_args__ = (
        UniqueConstraint("notice_id", "telescopes", "parameters_sha256"),
        _states("running", "done", "empty", "failed", "cancelled", "superseded"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(ForeignKey("event.id"), index=True)
    notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id"))
    telescopes: Mapped[str]
    parameters_sha256: Mapped[str]
    state: Mapped[str]
    attempt: Mapped[int]
    reason: Mapped[str]
    probability: Mapped[float | None]
    area_deg2: Mapped[float | None]
    asked_by: Mapped[str | None]
    created: Mapped[datetime]
    alive: Mapped[datetime | None]
    finished: Mapped[datetime | None]
    plans: Mapped[str]


class Tile(Base):
    """One pointing of a plan."""

    __tablename__ = "tile"
    __table_args__ = (
        UniqueConstraint("plan_id", "telescope", "visit", "name"),
        _states("planned", "withdrawn", "observed"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    plan_id: Mapped[int] = mapped_column(ForeignKey("plan.id"))
    telescope: Mapped[str]
    visit: Mapped[int]
    name: Mapped[str]
    ra_deg: Mapped[float]
    dec_deg: Mapped[float]
    start: Mapped[datetime | None]
    exposure_s: Mapped[float]
    filter: Mapped[str]
    probability: Mapped[float]
    state: Mapped[str]


class Message(Base):
    """Outbox: a message to send, written in the transaction of its cause."""

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("subject", "kind", "content_key"),
        UniqueConstraint("channel", "ts"),
        _states("waiting", "sending", "sent", "failed"),
        Index("ix_message_state_due", "state", "due"),
        Index("ix_message_subject_id", "subject", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str]
    kind: Mapped[str]
    content_key: Mapped[str]
    event_id: Mapped[int | None] = mapped_column(ForeignKey("event.id"), index=True)
    audience: Mapped[str]
    mode: Mapped[str]
    text: Mapped[str]
    blocks: Mapped[str]
    broadcast: Mapped[bool]
    attachment: Mapped[str | None]
    state: Mapped[str]
    attempt: Mapped[int]
    uncertain: Mapped[bool]
    due: Mapped[datetime]
    created: Mapped[datetime]
    sent: Mapped[datetime | None]
    error: Mapped[str | None]
    # a person decided that what was given up is not to be sent any more
    dropped: Mapped[datetime | None]
    # only a message of its own has a timestamp; an edit rewrites one that exists
    channel: Mapped[str | None]
    ts: Mapped[str | None]
    file: Mapped[str | None]


class Upload(Base):
    """Outbox: a file to bring into the product store; new content under the same path is sent again."""

    __tablename__ = "upload"
    __table_args__ = (
        UniqueConstraint("remote"),
        _states("waiting", "sending", "sent", "failed"),
        Index("ix_upload_state_due", "state", "due"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    remote: Mapped[str]
    source: Mapped[str]
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    event_id: Mapped[int | None] = mapped_column(ForeignKey("event.id"), index=True)
    state: Mapped[str]
    attempt: Mapped[int]
    due: Mapped[datetime]
    created: Mapped[datetime]
    sent: Mapped[datetime | None]
    error: Mapped[str | None]
    dropped: Mapped[datetime | None]


class Hold(Base):
    """Until when every sender must stay quiet: in a lane of the outbox by a Retry-After, to one place by its pace."""

    __tablename__ = "hold"

    lane: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime]


class Action(Base):
    """Somebody pressed a button."""

    __tablename__ = "action"
    __table_args__ = (UniqueConstraint("trigger"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    trigger: Mapped[str]
    user: Mapped[str]
    button: Mapped[str]
    message_id: Mapped[int | None] = mapped_column(ForeignKey("message.id"))
    created: Mapped[datetime]
    outcome: Mapped[str]


class Link(Base):
    """Two events that may be one thing in the sky; the smaller id comes first."""

    __tablename__ = "link"
    __table_args__ = (UniqueConstraint("first_id", "second_id"), CheckConstraint("first_id < second_id", name="order"))

    id: Mapped[int] = mapped_column(primary_key=True)
    first_id: Mapped[int] = mapped_column(ForeignKey("event.id"))
    second_id: Mapped[int] = mapped_column(ForeignKey("event.id"))
    kind: Mapped[str]
    evidence: Mapped[str]
    created: Mapped[datetime]
