"""Texts of messages, and their validity for Slack."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import alerts
from support.slack import block_trouble

from tasks.io.messages import event_text, notice_changes
from tasks.io.messages.blockkit import Rendered
from tasks.records import MapRole, Reason
from tasks.records.events import EventState, PlanEntry, PlanState, Registered, Standing
from tasks.science.alerts import best_position


def words(message: Rendered) -> str:
    return json.dumps(json.loads(message.blocks), ensure_ascii=False)


def registered(standing: Standing = Standing.UPDATE, previous=None) -> Registered:
    return Registered(slug="S241102br", standing=standing, state=EventState.OPEN, number=2, previous=previous)


def test_the_top_message_holds_the_facts_of_a_merger() -> None:
    message = event_text.top(event_text.TopMessageFacts(alert=alerts.gw(), decision=alerts.decision()))
    text = words(message)
    for fact in (
        "S241102br",
        "2024-11-02 12:40:58.799 UTC",
        "28 s after T0",
        "BNS 62 %",
        "HasRemnant 81 %",
        "H1 Hanford",
        "one per 1767 years",
        "165 deg² / 31.8 deg²",
        "465 ± 93 Mpc",
        "GO",
        "near-and-well-localised",
        "gracedb.ligo.org",
    ):
        assert fact in text
    assert message.text.startswith("S241102br PRELIMINARY: BNS 62 %, 165 deg²")


def test_a_coincidence_shows_both_maps_and_both_rates() -> None:
    combined = alerts.sky_map(MapRole.COMBINED, area90_deg2=12.3, distance_mpc=41.0)
    text = words(
        event_text.top(event_text.TopMessageFacts(alert=alerts.gw(coincidence=alerts.coincidence(), combined=combined)))
    )
    for fact in (
        "Fermi GRB",
        "1.74 s apart as given",
        "alone: 165 deg²",
        "combined: 12.3 deg²",
        "time and place one per 77",
    ):
        assert fact in text


def test_what_is_missing_is_said_to_be_missing() -> None:
    bare = alerts.gw(
        maps=False, classification=None, properties=None, instruments=None, far_hz=None, time=None, urls={}
    )
    text = words(event_text.top(event_text.TopMessageFacts(alert=bare)))
    assert "no map yet" in text
    assert "None" not in text
    assert "nan" not in text


def test_a_burst_shows_its_best_position_and_who_has_reported() -> None:
    xrt = alerts.grb("XRT", seconds=80, error_deg=0.0014)
    known = event_text.TopMessageFacts(
        alert=xrt, burst=best_position.burst([alerts.grb(), xrt]), instruments=("BAT", "XRT"), notices=2
    )
    text = words(event_text.top(known))
    for fact in (
        "22:00:52.06 \u221209:10:01.2",
        "330.21690°",
        "5.0\u2033 (XRT)",
        "\u221246.0°",
        "22.0 \u03c3",
        "BAT, XRT",
    ):
        assert fact in text


def test_a_burst_without_position_says_so() -> None:
    gbm = alerts.grb("GBM", ra_deg=None, dec_deg=None, error_deg=None)
    text = words(event_text.top(event_text.TopMessageFacts(alert=gbm)))
    assert "none yet" in text
    assert "00:00:00" not in text


def test_tests_and_retractions_are_marked_in_the_headline() -> None:
    known = event_text.TopMessageFacts(alert=alerts.gw("MS241102a", test=True), state=EventState.RETRACTED)
    assert "🧪 TEST" in event_text.headline(known)
    assert "❌ RETRACTED" in event_text.headline(known)
    assert event_text.top(known).text.startswith("RETRACTED: TEST")


def test_an_update_says_what_changed_and_only_that() -> None:
    before = alerts.gw()
    after = alerts.gw(alert_type="UPDATE", minutes=30, sky_map=alerts.sky_map(area90_deg2=28.37, distance_mpc=364.0))
    lines = notice_changes.between(before, after, alerts.decision("NO", score=1), alerts.decision())
    assert lines == [
        "90 % area 165 deg² → 28.4 deg²",
        "50 % area 31.8 deg² → 5.5 deg²",
        "distance 465 ± 93 Mpc → 364 ± 73 Mpc",
        "decision NO (1) → GO (3)",
    ]
    assert "28.4 deg²" in words(event_text.update(after, registered(previous=before), alerts.decision()))


def test_a_notice_that_changes_nothing_is_one_line() -> None:
    before, after = alerts.gw(), alerts.gw(alert_type="INITIAL", minutes=30)
    message = event_text.update(after, registered(previous=before), alerts.decision())
    assert len(json.loads(message.blocks)) == 1
    assert "no notable change" in words(message)


def test_a_position_outside_the_previous_error_is_warned_of() -> None:
    xrt = alerts.grb("XRT", seconds=80, error_deg=0.0014, ra_deg=74.7510, dec_deg=-9.3095)
    text = " ".join(notice_changes.between(alerts.grb(), xrt))
    assert "102.6°" in text
    assert "outside its error" in text
    near = alerts.grb("XRT", seconds=80, error_deg=0.0014, ra_deg=330.2269)
    assert "outside" not in " ".join(notice_changes.between(alerts.grb(), near))


def test_a_plan_is_a_table_and_an_empty_one_a_reason() -> None:
    message = event_text.plan_finished(
        "S241102br", [alerts.plan(tiles=20), alerts.plan("TCH", tiles=0, reason="Sun up")]
    )
    text = words(message)
    assert "T01000" in text
    assert "and 8 more" in text
    assert "no tiles: Sun up" in text
    assert message.text.startswith("S241102br: 20 tiles planned. 7DT 20 tiles")
    assert "nothing observable" in event_text.plan_finished("S1", [alerts.plan(tiles=0)]).text


def test_every_condition_that_was_tried_is_shown() -> None:
    text = words(event_text.why(alerts.decision()))
    assert "✗ terrestrial: P(Terrestrial) &gt; 0.5 · got 0.06" in text
    assert "✓ near-and-well-localised" in text


def test_nothing_from_outside_becomes_a_mention_or_a_link() -> None:
    evil = "<!channel> <https://evil.example|click>"
    alert = alerts.gw(
        evil,
        pipeline=evil,
        instruments=(evil,),
        classification={evil: 1.0},
        remarks=(evil,),
        urls={evil: "javascript:alert(1)", "gracedb": "https://x|y> <!here>"},
    )
    known = event_text.TopMessageFacts(alert=alert, decision=alerts.decision(summary=evil))
    for message in (event_text.top(known), event_text.retraction(alert, announced=False), event_text.late(alert)):
        sections = [block for block in json.loads(message.blocks) if block["type"] != "header"]
        assert "<!" not in json.dumps(sections)
        assert "<https://evil" not in json.dumps(sections)
        assert "<!" not in message.text


def everything(alert, decision, plans) -> list[Rendered]:
    entry = PlanEntry(
        notice_sha256="0", telescopes=("7DT",), state=PlanState.DONE, created=alerts.CREATED, plans=tuple(plans)
    )
    known = event_text.TopMessageFacts(
        alert=alert, decision=decision, plans=(entry,) * 30, burst=best_position.burst([alert]), mention=True
    )
    return [
        event_text.top(known),
        event_text.update(alert, registered(Standing.CORRECTION, previous=alerts.gw()), decision),
        event_text.late(alert),
        event_text.retraction(alert, announced=True),
        event_text.why(decision),
        event_text.plan_started(alert.notice.event_id, ("7DT",) * 400, engine="siren", asked_by="x" * 4000),
        event_text.plan_finished(alert.notice.event_id, plans),
        event_text.plan_failed(alert.notice.event_id, ("7DT",), reason="x" * 5000),
        event_text.unreadable("0" * 64, topic=None, reason="x" * 5000),
    ]


def test_slacks_limits_hold_for_endless_input() -> None:
    long = "<&>" * 2000
    alert = alerts.gw(
        long,
        long,
        instruments=(long,) * 20,
        classification={f"{long}{k}": 1 / 40 for k in range(40)},
        properties={f"{long}{k}": 0.5 for k in range(40)},
        urls={long: f"https://x/{long}"},
        remarks=(long,) * 20,
        flags=(long,) * 20,
    )
    reasons = tuple(Reason(rule=long, condition=long, value=long, passed=True) for _ in range(60))
    decision = alerts.decision(reasons=reasons, summary=long, rule=long)
    plans = [dataclasses.replace(alerts.plan(f"{long}{k}", tiles=90), reason=long) for k in range(60)]
    for message in everything(alert, decision, plans):
        assert block_trouble(message.blocks) == ""
        assert len(message.text) <= 4000


texts = st.text(max_size=40)


@settings(max_examples=60, deadline=None)
@given(name=texts, kind=texts, label=texts, number=st.floats(), when=st.none() | st.datetimes())
def test_slacks_limits_hold_for_any_input(name: str, kind: str, label: str, number: float, when) -> None:
    alert = alerts.gw(
        name, kind, classification={label: number}, properties={label: number}, far_hz=number, duration_s=number,
        time=when.replace(tzinfo=alerts.T0.tzinfo) if when else None, urls={label: name},
        sky_map=alerts.sky_map(area90_deg2=number, distance_mpc=number),
    )  # fmt: skip
    for message in everything(alert, alerts.decision(), [alerts.plan(name)]):
        assert block_trouble(message.blocks) == ""
        message.text.encode()


@pytest.mark.parametrize("state", list(PlanState))
def test_every_state_of_a_plan_has_words(state: PlanState) -> None:
    assert state in event_text.PLAN_WORDS
