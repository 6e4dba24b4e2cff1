"""Quiet events: what is for nobody is told to nobody, and once a day they are told of together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from slack_sdk import WebClient
from support import alerts
from support import slack as stand_in

from tasks import registry, resources
from tasks.alerts import registration
from tasks.io.messages import slack_sender
from tasks.messages import announcements, event_page, plan_announcements, quiet_digest
from tasks.planning import claims
from tasks.records import Alert, Audience, Home, PlanMode
from tasks.registry import delivery

MIDNIGHT = datetime(2026, 1, 16, tzinfo=UTC)
CHANNELS = {
    Audience.GW: "C-GW",
    Audience.TEST: "C-TEST",
    Audience.OPERATORS: "C-OPS",
    Audience.LOW_SIGNIFICANCE: "C-LOW",
}
LOW = {"significant": False, "far_hz": 1 / 86400}


class House:
    """Responds to notices as the flow does, at times of the test's choice."""

    def __init__(self, root: Path, store: registry.Registry, workspace: stand_in.Workspace) -> None:
        self.root, self.store, self.workspace = root, store, workspace
        client = WebClient(token=stand_in.TOKEN, base_url=workspace.url, timeout=5, retry_handlers=[])
        self.sender = slack_sender.SlackSender(client, CHANNELS)
        self.time = MIDNIGHT

    def now(self) -> datetime:
        return self.time

    def hear(self, alert: Alert, audience: Audience = Audience.LOW_SIGNIFICANCE, **choices) -> None:
        verdict = alerts.decision("NO", score=0, audience=audience, **{"plan": PlanMode.NO, **choices})
        registered = registration.register.fn(alert, home=Home(root=self.root))
        announcements.announce.fn(alert, verdict, registered, home=Home(root=self.root))
        event_page.publish_picture_and_page.fn(
            alert, verdict, registered, self.root / "registry.sqlite", home=Home(root=self.root)
        )
        self.deliver()

    def digest(self, interval_h: float = 24.0) -> list[str]:
        """Make the digest that is due; return what the channel holds of digests, as text."""
        for _ in range(2):
            quiet_digest.digest.fn(interval_h, home=Home(root=self.root))
            self.deliver()
        told = [each for each in self.workspace.messages if "low-significance event" in each["text"]]
        assert {each["channel"] for each in told} <= {"C-LOW"}
        return [str(each["blocks"]) for each in told]

    def deliver(self) -> None:
        drained = delivery.drain_messages(self.store, self.sender.send)
        assert drained.failed == 0, drained.reasons

    def of_event(self) -> list[str]:
        """Return the channels of what was told of single events."""
        return [m["channel"] for m in self.workspace.messages if "low-significance event" not in m["text"]]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with stand_in.workspace() as workspace, resources.registry(Home(root=tmp_path)) as store:
        made = House(tmp_path, store, workspace)
        for module in (announcements, quiet_digest):
            monkeypatch.setattr(module, "now", made.now)
        yield made


def test_what_came_since_the_last_digest_is_told_once_a_day(house) -> None:
    house.time = MIDNIGHT - timedelta(hours=5)
    house.hear(alerts.gw("S260115a", **LOW), Audience.NOBODY)
    house.hear(alerts.gw("S260115a", "UPDATE", minutes=30, **LOW), Audience.NOBODY)
    house.hear(alerts.gw("S260115b"), Audience.GW)
    house.hear(alerts.gw("MS260115c", test=True, **LOW))
    house.hear(alerts.gw("S260115d", **LOW))
    house.hear(alerts.retraction("S260115d"), Audience.GW)
    assert house.digest() == []
    house.time = MIDNIGHT + timedelta(seconds=30)
    house.hear(alerts.gw("S260116e", **LOW), Audience.NOBODY)
    assert house.digest() == [], "what was written shortly before midnight may not be seen yet"
    house.time = MIDNIGHT + timedelta(hours=3)
    [first] = house.digest()
    assert "2 low-significance events from 2026-01-15 00:00:00 UTC to 2026-01-16 00:00:00 UTC" in first
    assert "S260115a UPDATE: BNS 62 %" in first
    assert "one per 1.0 days. 2 notices." in first
    assert "S260115d PRELIMINARY" in first
    assert "Retracted since." in first
    assert not any(name in first for name in ("S260115b", "S260115c", "S260116e"))

    house.time = MIDNIGHT + timedelta(days=9, hours=1)
    _, second = house.digest()
    assert "1 low-significance event from 2026-01-16 00:00:00 UTC to 2026-01-25 00:00:00 UTC" in second
    assert "S260116e" in second
    house.time += timedelta(days=1)
    assert len(house.digest()) == 2, "nothing came: nothing is told"


def test_an_event_that_became_significant_is_in_no_digest(house) -> None:
    house.hear(alerts.gw(**LOW))
    house.hear(alerts.gw(minutes=3), Audience.GW)
    house.time += timedelta(days=1, minutes=2)
    assert house.digest() == []


def test_a_flood_is_told_in_one_message_that_slack_takes(house) -> None:
    for number in range(70):
        alert = alerts.gw(f"S260116x{number}", time=alerts.T0 + timedelta(hours=number), **LOW)
        registered = registration.register.fn(alert, home=Home(root=house.root))
        quiet = alerts.decision("NO", score=0, audience=Audience.NOBODY)
        announcements.announce.fn(alert, quiet, registered, home=Home(root=house.root))
    house.time += timedelta(days=1, minutes=2)
    [text] = house.digest()
    assert "70 low-significance events" in text
    assert "S260116x59 " in text
    assert "S260116x60 " not in text
    assert "and 10 more" in text


def test_no_digest_is_made_where_none_is_wanted(house) -> None:
    house.hear(alerts.gw(**LOW))
    house.time += timedelta(hours=7)
    assert house.digest(0.0) == []
    assert len(house.digest(6.0)) == 1


def test_what_is_for_nobody_is_told_to_nobody_and_is_on_record(house) -> None:
    house.hear(alerts.gw(), Audience.NOBODY)
    house.hear(alerts.gw(alert_type="UPDATE", minutes=9), Audience.NOBODY)
    house.hear(alerts.gw("MS241102a", test=True), Audience.NOBODY)
    house.hear(alerts.retraction(), Audience.GW)
    assert house.workspace.messages == []
    known = house.store.history("S241102br")
    assert [entry.decision.audience for entry in known.notices] == ["nobody", "nobody", "gw"]
    assert known.messages == ()
    assert "S241102br" in event_page.publish_page.fn("S241102br", home=Home(root=house.root)).read_text()


def test_a_thread_whose_event_is_for_nobody_now_is_kept_true_without_a_word_more(house) -> None:
    house.hear(alerts.gw(), Audience.GW)
    said = len(house.workspace.messages)
    house.hear(alerts.gw(alert_type="UPDATE", minutes=9, sky_map=alerts.sky_map(area90_deg2=28.4)), Audience.NOBODY)
    top = house.workspace.messages[0]
    assert len(house.workspace.messages) == said
    assert (top["edits"], "28.4 deg" in top["text"]) == (2, True)
    house.hear(alerts.retraction(), Audience.NOBODY)
    assert house.workspace.messages[-1]["broadcast"], "who was told is told of the retraction"


def test_a_plan_for_nobody_is_quiet_but_its_failure_is_not(house) -> None:
    alert, home = alerts.gw(), Home(root=house.root)
    wanted = alerts.request(alert)
    house.hear(alert, Audience.NOBODY, plan=PlanMode.AUTOMATIC)
    event = registration.load_event.fn("S241102br", home)
    assert claims.claim_plan.fn(alert, wanted, home)
    plan_announcements.announce_started_plan.fn(event, wanted, home, engine="siren")
    plan_announcements.announce_failed_plan.fn(event, wanted, "the disk is full", home)
    house.deliver()
    [told] = house.workspace.messages
    assert (told["channel"], "the disk is full" in str(told["blocks"])) == ("C-OPS", True)
    assert claims.claim_plan.fn(alert, wanted, home)
    assert plan_announcements.announce_plans.fn(event, wanted, (alerts.plan(),), home)
    house.deliver()
    assert len(house.workspace.messages) == 1
    assert house.store.history("S241102br").plans[0].telescopes == ("7DT",)
