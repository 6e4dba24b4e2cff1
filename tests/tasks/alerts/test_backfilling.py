"""An outage longer than the broker remembers: what GraceDB brings back, once, without starting anything stale."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from support import bulletins, gracedb

from deployments import cli
from deployments.local import backfill
from tasks import registry, resources
from tasks.alerts import backfilling, triage
from tasks.errors import Unavailable, UnusableData
from tasks.messages import announcements
from tasks.options import BackfillOptions
from tasks.records import Home, PlanMode
from tasks.registry import outbox

CUT = datetime(2026, 1, 10, tzinfo=UTC)
BACK = CUT + timedelta(days=10)


@pytest.fixture
def site():
    with gracedb.server() as held:
        yield held


def filled(site, *, days: float, per_event: int = 3) -> list[bytes]:
    """Fill the server with one event each six hours, each with notices of every kind; return all notices."""
    sent = []
    for number in range(int(days * 4)):
        moment = CUT + timedelta(hours=6 * number + 1)
        name = f"S{moment:%y%m%d}{'abcd'[number % 4]}"
        minutes = [(moment - bulletins.T0).total_seconds() / 60 + each for each in range(per_event)]
        payloads = {
            f"{name}-{kind.lower()}.json,{version}": bulletins.gw(name, kind, minutes=at)
            for version, (kind, at) in enumerate(zip(("PRELIMINARY", "INITIAL", "UPDATE"), minutes, strict=True))
        }
        site.add(name, created=f"{moment:%Y-%m-%d %H:%M:%S} UTC", files=payloads)
        sent += payloads.values()
    return sent


def book_of(root):
    return closing(registry.open(f"sqlite:///{root / 'registry.sqlite'}"))


def heard(root, *moments: datetime) -> None:
    """Put messages into the registry as the listener does."""
    with book_of(root) as book:
        for number, moment in enumerate(moments):
            payload = bulletins.mission(f"fb{number}")
            sha256 = hashlib.sha256(payload).hexdigest()
            book.record_notice(
                sha256=sha256, path=root / sha256, received=moment, topic="t", partition=0, offset=number
            )


def fill(site, root, since=None, until=None, **options):
    root.mkdir(exist_ok=True)
    chosen = BackfillOptions(url=site.url, **{"lookback_days": 0, **options})
    return backfill.fill(since, until, chosen, root=root, url=f"sqlite:///{root / 'registry.sqlite'}")


def test_after_ten_days_away_all_notices_are_there_within_a_minute(site, tmp_path):
    sent = filled(site, days=10)
    heard(tmp_path, CUT - timedelta(hours=1), CUT, BACK, BACK + timedelta(hours=1))
    began = time.monotonic()

    made = fill(site, tmp_path, until=BACK + timedelta(hours=2))

    assert time.monotonic() - began < 60
    assert [(span.since, span.until) for span in made.spans] == [(CUT, BACK)]
    assert (made.new, made.known, made.refused) == (120, 0, ())
    with book_of(tmp_path) as book:
        waiting = {each.sha256: each for each in book.undispatched(1000)}
    hashes = [hashlib.sha256(payload).hexdigest() for payload in sent]
    assert set(hashes) <= waiting.keys()
    assert all(waiting[sha256].path.read_bytes() == payload for sha256, payload in zip(hashes, sent, strict=True))


def test_the_same_again_and_a_late_delivery_by_the_broker_add_nothing(site, tmp_path):
    sent = filled(site, days=1)
    span = (CUT, CUT + timedelta(days=1))
    assert fill(site, tmp_path, *span).new == 12
    assert (again := fill(site, tmp_path, *span)).new == 0
    assert again.known == 12
    with book_of(tmp_path) as book:
        sha256 = hashlib.sha256(sent[0]).hexdigest()
        assert not book.record_notice(sha256=sha256, path=tmp_path / "x", topic="igwn.gwalert", partition=0, offset=7)
        assert len(book.undispatched(100)) == 12


def test_a_gap_that_was_filled_is_not_asked_for_again(site, tmp_path):
    filled(site, days=2)
    heard(tmp_path, CUT, CUT + timedelta(days=2))
    now = CUT + timedelta(days=2, hours=1)
    assert fill(site, tmp_path, until=now).new == 24
    asked = len(site.asked)
    assert fill(site, tmp_path, until=now).spans == ()
    assert len(site.asked) == asked


def test_notices_before_the_gap_of_events_that_changed_in_it_stay_away(site, tmp_path):
    old, new = bulletins.gw("S260101a", minutes=-14 * 1440), bulletins.gw("S260101a", "UPDATE", minutes=-5 * 1440)
    files = {"S260101a-preliminary.json": old, "S260101a-update.json": new}
    site.add("S260101a", created="2026-01-05 22:30:00 UTC", files=files)
    made = fill(site, tmp_path, CUT, BACK, lookback_days=7)
    assert made.new == 1


def test_one_event_that_is_broken_does_not_keep_the_others(site, tmp_path):
    filled(site, days=1)
    site.add("S260110x", created="2026-01-10 03:00:00 UTC", files={"S260110x-update.json": b"{"})
    made = fill(site, tmp_path, CUT, CUT + timedelta(days=1))
    assert made.new == 12
    [words] = made.refused
    assert words.startswith("S260110x: not JSON")


def test_operators_are_told_once_of_the_gap_and_what_filled_it(site, tmp_path):
    filled(site, days=1)
    for _ in range(2):
        fill(site, tmp_path, CUT, CUT + timedelta(days=1))
    with book_of(tmp_path) as book, book.begin() as session:
        claimed = outbox.claim_message(session, now=datetime.now(UTC))
        assert "12 missed notices" in claimed.message.text
        assert outbox.claim_message(session, now=datetime.now(UTC)) is None


def test_a_server_that_fails_half_way_keeps_what_is_stored(site, tmp_path):
    filled(site, days=1)
    site.faults = [0, 0, 0, 0, 503]
    with pytest.raises(Unavailable):
        fill(site, tmp_path, CUT, CUT + timedelta(days=1))
    made = fill(site, tmp_path, CUT, CUT + timedelta(days=1))
    assert made.new + made.known == 12


def test_a_span_that_ends_before_it_begins_is_refused(site, tmp_path):
    with pytest.raises(UnusableData, match="must end after it begins"):
        fill(site, tmp_path, BACK, CUT)


def test_what_was_missed_is_announced_and_starts_no_telescope(site, tmp_path):
    payload = bulletins.gw("S260112q", minutes=-3 * 1440)
    site.add("S260112q", created="2026-01-12 22:30:00 UTC", files={"S260112q-preliminary.json": payload})
    fill(site, tmp_path, CUT, BACK)
    with book_of(tmp_path) as book:
        [stored] = book.undispatched()

    alert = triage.understand.fn(stored.path, stored.topic, tmp_path)
    with resources.registry(Home(root=tmp_path)) as book:
        registered = book.record_alert(alert)
    missed = triage.decide.fn(alert, "sevendt", "", registered, BACK)
    fresh = triage.decide.fn(alert, "sevendt", "", registered, alert.notice.time_created)
    assert (fresh.action, fresh.plan) == ("GO", PlanMode.AUTOMATIC)
    assert (missed.action, missed.plan) == ("GO", PlanMode.BUTTON)
    assert announcements.announce.fn(alert, missed, registered, home=Home(root=tmp_path)) > 0


def test_the_verb_says_what_it_did(site, tmp_path, capsys):
    filled(site, days=1)
    where = ["--url", site.url, "--root", str(tmp_path), "--registry", f"sqlite:///{tmp_path / 'registry.sqlite'}"]
    code = cli.run(["backfill", "--since", "2026-01-10", "--until", "2026-01-11", *where, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (told["new"], told["known"], told["events"]) == (12, 0, 4)
    assert cli.run(["backfill", "--since", "2026-01-12", "--until", "2026-01-11", *where]) == 2
    assert len(list((tmp_path / backfilling.FOLDER).glob("*.json"))) == 1
