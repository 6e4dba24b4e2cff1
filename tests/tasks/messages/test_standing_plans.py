"""A later notice that changes nothing lets the plan stand; the same notice again is decided as before."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from support import alerts

from tasks import resources
from tasks.alerts import registration, triage
from tasks.io.messages import event_announcements
from tasks.messages import announcements
from tasks.records import Alert, Decision, Home, Plan, PlanMode, Tile
from tasks.records.events import Registered
from tasks.registry import plans
from tasks.registry.store import now
from tasks.science.alerts import best_position

NEAR = alerts.sky_map(area90_deg2=50, distance_mpc=80)
SOON = alerts.CREATED + timedelta(hours=1)
PLAN = Plan(event_id="S241102br", telescope="7DT", engine="siren", tiles=(Tile(id="T1", ra_deg=1, dec_deg=2),))


def taken_in(root: Path, alert: Alert, clock=SOON) -> tuple[Registered, Decision]:
    registered = registration.register.fn(alert, home=Home(root=root))
    decision = triage.decide.fn(alert, "sevendt", "", registered, clock)
    announcements.announce.fn(alert, decision, registered, home=Home(root=root))
    return registered, decision


def planned(root: Path, alert: Alert) -> None:
    with resources.registry(Home(root=root)) as book, book.begin() as session:
        assert plans.record(session, alerts.request(alert), (PLAN,), now=now())


def test_an_initial_with_the_same_map_keeps_the_plan_of_the_preliminary(tmp_path):
    first, second = alerts.gw(sky_map=NEAR), alerts.gw(alert_type="INITIAL", sky_map=NEAR, minutes=30)
    assert taken_in(tmp_path, first)[1].plan is PlanMode.AUTOMATIC
    planned(tmp_path, first)

    assert taken_in(tmp_path, second)[1].plan is PlanMode.KEEP
    with resources.registry(Home(root=tmp_path)) as book:
        known = book.history("S241102br")
        assert book.unanswered(before=now() + timedelta(hours=1)) == ()
    burst = best_position.burst([entry.alert for entry in known.notices])
    shown = event_announcements.top_message_facts(known, burst=burst, links={})
    assert [entry.telescopes for entry in shown.pending] == [("7DT",)], "the plan can still be cancelled"


def test_without_a_plan_that_stands_the_same_map_is_planned_again(tmp_path):
    first, second = alerts.gw(sky_map=NEAR), alerts.gw(alert_type="INITIAL", sky_map=NEAR, minutes=30)
    taken_in(tmp_path, first)
    assert taken_in(tmp_path, second)[1].plan is PlanMode.AUTOMATIC


def test_the_same_notice_a_month_later_is_decided_as_it_was(tmp_path):
    alert = alerts.gw(sky_map=NEAR)
    first = taken_in(tmp_path, alert)[1]
    assert taken_in(tmp_path, alert, alerts.CREATED + timedelta(days=30))[1] == first
