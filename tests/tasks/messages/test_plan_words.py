"""What the thread is told of a plan: its begin, its end with a picture, and what a new map keeps of the old region."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import alerts

from tasks import resources
from tasks.alerts import registration, triage
from tasks.messages import announcements, event_page, plan_announcements
from tasks.planning import claims
from tasks.records import Home, Plan, Tile
from tasks.registry import outbox


def outgoing(root: Path) -> list[tuple[str, str, str]]:
    found = []
    with resources.registry(Home(root=root)) as book, book.begin() as session:
        while (claimed := outbox.claim_message(session, now=datetime.now(UTC))) is not None:
            found.append((claimed.message.kind, claimed.message.mode, claimed.message.text))
            outbox.message_sent(session, claimed, channel="C", ts=str(claimed.id), now=datetime.now(UTC))
    return found


def test_a_plan_begins_in_the_thread_and_ends_with_its_picture(tmp_path):
    alert = alerts.gw()
    registered = registration.register.fn(alert, home=Home(root=tmp_path))
    announcements.announce.fn(alert, alerts.decision(), registered, home=Home(root=tmp_path))
    outgoing(tmp_path)
    event = registration.load_event.fn(registered.slug, home=Home(root=tmp_path))
    home, wanted = Home(root=tmp_path), alerts.request(alert)
    for _ in range(2):
        claims.claim_plan.fn(alert, wanted, home, asked_by="Ana")
        plan_announcements.announce_started_plan.fn(event, wanted, home, engine="siren", asked_by="Ana")
    (picture := tmp_path / "coverage.png").write_bytes(b"\x89PNG")
    tile = Tile(id="T1", ra_deg=1.0, dec_deg=2.0, probability=0.5)
    made = (Plan(event_id="S241102br", telescope="7DT", engine="siren", tiles=(tile,), probability=0.5, area_deg2=1.2),)
    plan_announcements.announce_plans.fn(event, wanted, made, home, files=(picture,))

    told = outgoing(tmp_path)
    assert [(kind, mode) for kind, mode, _ in told] == [
        ("plan-started", "reply"),
        ("edit-plan-started", "edit"),
        ("plans", "reply"),
        ("coverage", "file"),
        ("edit-plans", "edit"),
    ]
    assert told[0][2] == "Planning S241102br for 7DT with siren, requested by Ana."


@pytest.mark.parametrize(("name", "held", "outside"), [("initial", "97.4", "73.0"), ("update", "98.8", "82.8")])
def test_the_thread_says_what_a_new_map_keeps_of_the_old_region(shared_data, tmp_path, name, held, outside):
    for each in ("preliminary", name):
        path = shared_data / "notices" / f"S241102br-{each}.json"
        alert = triage.understand.fn(path, None, tmp_path)
        registered = registration.register.fn(alert, home=Home(root=tmp_path))
        announcements.announce.fn(alert, alerts.decision(), registered, home=Home(root=tmp_path))
    [words] = [text for kind, _, text in outgoing(tmp_path) if kind == "update"]
    kept = (
        f"the old 90 % region holds {held} % of the new probability; {outside} % of its area lies outside the new one"
    )
    assert kept in words
    page = event_page.publish_page.fn("S241102br", home=Home(root=tmp_path)).read_text()
    assert kept in page
