"""The outbox: written with the cause, sent once, in order, tried until done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from support import alerts

from tasks import registry
from tasks.errors import UnusableData
from tasks.records import Audience
from tasks.records.outbox import Claimed, Outgoing, Sent, StoreFile
from tasks.registry import delivery, events, models, outbox, unsent

NOW = datetime(2026, 1, 15, 3, 0, tzinfo=UTC)


def message(
    key: str, *, mode: str = "reply", subject: str = "event:S241102br", audience: Audience = Audience.GW
) -> Outgoing:
    return Outgoing(subject=subject, kind="test", key=key, audience=audience, mode=mode, text=f"text of {key}")


def file(sha256: str) -> StoreFile:
    return StoreFile(source=Path("page"), remote="a/index.html", sha256=sha256, size=3)


def enqueue(store: registry.Registry, *messages: Outgoing) -> list[bool]:
    with store.begin() as session:
        return [outbox.enqueue_message(session, each, now=NOW) for each in messages]


def claim(store: registry.Registry, *, at: datetime = NOW) -> Claimed | None:
    with store.begin() as session:
        return outbox.claim_message(session, now=at)


def sent(store: registry.Registry, claimed: Claimed, ts: str | None = None) -> bool:
    with store.begin() as session:
        return outbox.message_sent(session, claimed, channel="C1", ts=ts or str(claimed.id), now=NOW)


def test_a_message_is_made_once_per_subject_kind_and_content(store: registry.Registry) -> None:
    assert enqueue(store, message("a"), message("a"), message("b")) == [True, False, True]
    assert enqueue(store, message("a")) == [False]


def test_a_cause_that_is_undone_leaves_no_message(store: registry.Registry) -> None:
    with pytest.raises(RuntimeError, match="pulled the plug"), store.begin() as session:
        events.record_alert(session, alerts.gw(), now=NOW)
        outbox.enqueue_message(session, message("a"), now=NOW)
        raise RuntimeError("pulled the plug")
    assert claim(store) is None


def test_a_reply_goes_into_the_newest_thread_and_an_amendment_to_the_newest_of_its_kind(
    store: registry.Registry,
) -> None:
    enqueue(store, message("first", mode="top"), message("second", mode="top"))
    for ts in ("1.1", "2.2"):
        opened = claim(store)
        assert opened is not None
        sent(store, opened, ts)
    enqueue(store, message("reply"), message("later"), message("change", mode="amend"))
    threads = []
    for ts in ("3.3", "4.4", None):
        said = claim(store)
        assert said is not None
        threads.append(said.thread)
        sent(store, said, ts)
    assert threads == ["2.2", "2.2", "4.4"]


def test_a_thread_keeps_its_order_and_its_replies_get_the_top_messages_timestamp(store: registry.Registry) -> None:
    enqueue(store, message("top", mode="top"), message("one"), message("two"))
    top = claim(store)
    assert top is not None
    assert (top.message.key, top.thread) == ("top", None)
    assert claim(store) is None
    sent(store, top, "1700000000.000100")
    one = claim(store)
    assert one is not None
    assert (one.message.key, one.thread, one.channel) == ("one", "1700000000.000100", "C1")
    with store.begin() as session:
        outbox.message_failed(session, one, error="away", now=NOW, retry=True)
    assert claim(store) is None
    again = claim(store, at=NOW + outbox.FIRST_DELAY)
    assert again is not None
    assert again.message.key == "one"
    sent(store, again)
    last = claim(store, at=NOW + outbox.FIRST_DELAY)
    assert last is not None
    assert last.message.key == "two"


def test_new_events_go_before_the_replies_of_old_ones(store: registry.Registry) -> None:
    enqueue(store, message("a", subject="event:old"), message("b", subject="event:new", mode="top"))
    first = claim(store)
    assert first is not None
    assert first.message.subject == "event:new"


def test_of_many_senders_each_message_has_one(store: registry.Registry) -> None:
    enqueue(store, *(message("a", subject=f"event:{k}") for k in range(24)))

    def drain(_: int) -> list[int]:
        tried = [claim(store) for _ in range(24)]
        return [claimed.id for claimed in tried if claimed is not None]

    with ThreadPoolExecutor(6) as pool:
        taken = sorted(number for numbers in pool.map(drain, range(6)) for number in numbers)
    assert taken == sorted(set(taken))
    while (left := claim(store)) is not None:
        taken.append(left.id)
    assert len(taken) == 24


def test_a_sender_that_died_is_replaced_and_can_no_longer_speak(store: registry.Registry) -> None:
    enqueue(store, message("a"))
    dead = claim(store)
    heir = claim(store, at=NOW + outbox.LEASE)
    assert dead is not None
    assert heir is not None
    assert (dead.uncertain, heir.uncertain) == (False, True)
    assert not sent(store, dead)
    assert sent(store, heir)
    assert claim(store, at=NOW + 10 * outbox.LEASE) is None


def test_failures_wait_longer_and_longer_but_never_for_ever(store: registry.Registry) -> None:
    enqueue(store, message("a"))
    at, waits = NOW, []
    for _ in range(30):
        claimed = claim(store, at=at)
        assert claimed is not None
        with store.begin() as session:
            outbox.message_failed(session, claimed, error="away", now=at, retry=True)
        with store.read() as session:
            due = outbox.next_due(session, outbox.MESSAGES)
        assert due is not None
        waits.append(due - at)
        at = due
    assert waits == sorted(waits)
    assert waits[0] == outbox.FIRST_DELAY
    assert waits[-1] == outbox.LONGEST_DELAY


def test_what_was_given_up_can_be_tried_again_after_mending(store: registry.Registry) -> None:
    enqueue(store, message("a"))
    claimed = claim(store)
    assert claimed is not None
    with store.begin() as session:
        outbox.message_failed(session, claimed, error="no such channel", now=NOW, retry=False)
        assert outbox.counts(session, outbox.MESSAGES) == {"failed": 1}
        assert [(entry.id, entry.reason) for entry in unsent.given_up(session)] == [("m1", "no such channel")]
        assert unsent.retry(session, now=NOW) == 1
        assert unsent.given_up(session) == ()
    assert claim(store) is not None


def test_what_a_person_drops_is_given_up_no_more_and_keeps_its_reason(store: registry.Registry) -> None:
    enqueue(store, message("a"), message("b", subject="event:other"))
    with store.begin() as session:
        outbox.enqueue_upload(session, file("one"), now=NOW)
        while (claimed := outbox.claim_message(session, now=NOW)) is not None:
            outbox.message_failed(session, claimed, error="no such channel", now=NOW, retry=False)
        upload = outbox.claim_upload(session, now=NOW)
        assert upload is not None
        outbox.upload_failed(session, upload, error="refused", now=NOW, retry=False)
        assert [entry.id for entry in unsent.given_up(session)] == ["m1", "m2", "u1"]
        assert unsent.drop(session, ["m1", "u1"], now=NOW) == 2
        assert [entry.id for entry in unsent.given_up(session)] == ["m2"]
        assert outbox.counts(session, outbox.MESSAGES) == {"dropped": 1, "failed": 1}
        assert outbox.counts(session, outbox.UPLOADS) == {"dropped": 1}
        assert session.scalars(sa.select(models.Message.error).filter_by(id=1)).one() == "no such channel"
        assert unsent.retry(session, ["m2"], now=NOW) == 1
        for name in ("m1", "m2", "u1", "u99", "nonsense"):
            with pytest.raises(UnusableData, match=f"has the id {name}"):
                unsent.retry(session, [name], now=NOW)
        # new content is to be brought, whatever became of the old
        assert outbox.enqueue_upload(session, file("two"), now=NOW)
        assert outbox.counts(session, outbox.UPLOADS) == {"waiting": 1}


def test_a_sender_that_waited_for_its_turn_obeys_a_silence_that_began_meanwhile(
    store: registry.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue(store, message("a"), message("b", subject="event:other"))
    spoken: list[str] = []

    def send(claimed: Claimed) -> Sent:
        spoken.append(claimed.message.key)
        return Sent(channel="C1", ts=str(claimed.id))

    def sleep(_: float) -> None:
        with store.begin() as session:
            outbox.hold(session, outbox.MESSAGES, until=datetime.now(UTC) + timedelta(minutes=1))

    monkeypatch.setattr(delivery.time, "sleep", sleep)
    drained = delivery.drain_messages(store, send, pace_s=30.0)
    assert (spoken, drained.sent, drained.waiting) == (["a"], 1, 1)
    with store.read() as session:
        [entry] = unsent.waiting(session)
    assert (entry.id, entry.reason.startswith("quiet was asked for until")) == ("m2", True)


def test_a_replys_thread_is_the_newest_that_was_opened_and_an_amendment_rewrites_its_own_kind(
    store: registry.Registry,
) -> None:
    enqueue(store, message("first", mode="top"), message("second", mode="top"), message("reply"))
    enqueue(store, message("again", mode="amend"), message("picture", mode="edit"))
    threads = []
    while (claimed := claim(store)) is not None:
        threads.append((claimed.message.key, claimed.thread))
        sent(store, claimed, f"ts-{claimed.message.key}")
    assert threads == [
        ("first", None),
        ("second", None),
        ("reply", "ts-second"),
        ("again", "ts-reply"),
        ("picture", "ts-second"),
    ]


def test_a_held_lane_is_quiet_for_every_sender(store: registry.Registry) -> None:
    enqueue(store, message("a"))
    with store.begin() as session:
        outbox.hold(session, outbox.MESSAGES, until=NOW + timedelta(seconds=30))
        outbox.hold(session, outbox.MESSAGES, until=NOW + timedelta(seconds=10))
    assert claim(store, at=NOW + timedelta(seconds=29)) is None
    assert claim(store, at=NOW + timedelta(seconds=30)) is not None


def test_new_content_under_an_old_path_is_brought_again(store: registry.Registry) -> None:
    def put(sha256: str) -> bool:
        with store.begin() as session:
            return outbox.enqueue_upload(session, file(sha256), now=NOW)

    assert [put("one"), put("one")] == [True, False]
    with store.begin() as session:
        busy = outbox.claim_upload(session, now=NOW)
    assert busy is not None
    assert put("two")
    with store.begin() as session:
        assert not outbox.upload_sent(session, busy, now=NOW)
        fresh = outbox.claim_upload(session, now=NOW)
        assert fresh is not None
        assert fresh.sha256 == "two"
        assert outbox.upload_sent(session, fresh, now=NOW)
        assert outbox.claim_upload(session, now=NOW) is None
        assert outbox.counts(session, outbox.UPLOADS) == {"sent": 1}


def test_what_only_operators_must_know_waits_for_everything_else(store: registry.Registry) -> None:
    enqueue(
        store, *(message(f"n{k}", subject=f"notice:{k}", mode="top", audience=Audience.OPERATORS) for k in range(3))
    )
    enqueue(store, message("top", mode="top"))
    first = claim(store)
    assert first is not None
    assert first.message.key == "top"
