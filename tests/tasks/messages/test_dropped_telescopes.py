"""A newer decision leaves out a telescope: its queued tiles are withdrawn and the channel is told, the others' stand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import alerts

from tasks import resources
from tasks.alerts import registration
from tasks.messages import announcements
from tasks.records import Audience, Home, Plan, PlanMode, PlanRequest, Tile
from tasks.records.events import PlanState
from tasks.registry import models, plans
from tasks.registry.store import now

EVENT = "S241102br"


def plan(telescope: str, *tiles: str) -> Plan:
    found = tuple(Tile(id=name, ra_deg=1, dec_deg=2) for name in tiles)
    return Plan(event_id=EVENT, telescope=telescope, engine="siren", tiles=found)


def request(alert, *telescopes: str) -> PlanRequest:
    return replace(alerts.request(alert), telescopes=telescopes)


def hear(home: Home, alert, *telescopes: str, wished: PlanMode = PlanMode.AUTOMATIC):
    registered = registration.register.fn(alert, home=home)
    decision = alerts.decision("GO", plan=wished, telescopes=telescopes, audience=Audience.GW, reasons=())
    announcements.announce.fn(alert, decision, registered, home=home)
    return registered


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(root=tmp_path)


def states(home: Home) -> dict[tuple[str, str], set[str]]:
    with resources.registry(home) as book, book.read() as session:
        found: dict[tuple[str, str], set[str]] = {}
        for tile in session.query(models.Tile):
            found.setdefault((tile.telescope, tile.name), set()).add(tile.state)
        return found


def test_the_tiles_of_a_dropped_telescope_are_withdrawn_at_once(home) -> None:
    """Kind: a plan outlives a part of its decision."""
    first, second = alerts.gw(), alerts.gw(alert_type="INITIAL", minutes=30)
    hear(home, first, "7DT", "TRE")
    with resources.registry(home) as book, book.begin() as session:
        assert plans.record(session, request(first, "7DT", "TRE"), (plan("7DT", "A"), plan("TRE", "B")), now=now())

    hear(home, second, "7DT")
    assert states(home) == {("7DT", "A"): {"planned"}, ("TRE", "B"): {"withdrawn"}}
    with resources.registry(home) as book:
        known = book.history(EVENT)
    [told] = [message for message in known.messages if message.kind == "plan-cancelled" and "TRE" in message.text]
    assert "for TRE are cancelled" in told.text
    assert [entry.state for entry in known.plans] == [PlanState.DONE]

    # the plan of the newer notice takes the rest over
    with resources.registry(home) as book, book.begin() as session:
        assert plans.record(session, request(second, "7DT"), (plan("7DT", "A", "C"),), now=now())
    with resources.registry(home) as book:
        assert [entry.state for entry in book.history(EVENT).plans] == [PlanState.SUPERSEDED, PlanState.DONE]
    assert states(home)["TRE", "B"] == {"withdrawn"}


def test_a_plan_of_a_dropped_telescope_alone_is_cancelled(home) -> None:
    first, second = alerts.gw(), alerts.gw(alert_type="INITIAL", minutes=30)
    hear(home, first, "7DT", "TRE")
    for telescope, tile in (("7DT", "A"), ("TRE", "B")):
        with resources.registry(home) as book, book.begin() as session:
            assert plans.record(session, request(first, telescope), (plan(telescope, tile),), now=now())
    hear(home, second, "7DT")
    with resources.registry(home) as book:
        assert {entry.telescopes: entry.state for entry in book.history(EVENT).plans} == {
            ("7DT",): PlanState.DONE,
            ("TRE",): PlanState.CANCELLED,
        }


def test_a_person_s_plan_for_another_telescope_stands(home) -> None:
    """The decision never asked for it, so it cannot drop it."""
    first, second = alerts.gw(), alerts.gw(alert_type="INITIAL", minutes=30)
    hear(home, first, "7DT", "TRE")
    with resources.registry(home) as book, book.begin() as session:
        plans.record(session, request(first, "TCH"), (plan("TCH", "X"),), now=now())
        plans.record(session, request(first, "7DT", "TRE"), (plan("7DT", "A"), plan("TRE", "B")), now=now())
    hear(home, second, "7DT")
    with resources.registry(home) as book, book.begin() as session:
        plans.record(session, request(second, "7DT"), (plan("7DT", "A"),), now=now())
    assert states(home)["TCH", "X"] == {"planned"}
    assert states(home)["7DT", "A"] == {"withdrawn", "planned"}


def test_an_observed_tile_of_a_dropped_telescope_stays_observed(home) -> None:
    first, second = alerts.gw(), alerts.gw(alert_type="INITIAL", minutes=30)
    hear(home, first, "7DT", "TRE")
    with resources.registry(home) as book, book.begin() as session:
        plans.record(session, request(first, "7DT", "TRE"), (plan("7DT", "A"), plan("TRE", "B")), now=now())
        plans.mark_observed_of(session, EVENT, telescope="TRE", tiles=("B",))
    hear(home, second, "7DT")
    assert states(home) == {("7DT", "A"): {"planned"}, ("TRE", "B"): {"observed"}}
