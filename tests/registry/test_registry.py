"""What the registry promises, on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from support import alerts

from tasks import registry
from tasks.errors import Unavailable, UnusableData
from tasks.records.events import EventState, PlanState, Standing
from tasks.registry import events, models, notices, plans, schema

NOW = datetime(2026, 1, 15, 3, 0, tzinfo=UTC)


def rows(store: registry.Registry, model: type) -> int:
    with store.read() as session:
        return session.scalars(sa.select(sa.func.count()).select_from(model)).one()


def test_migrations_go_up_and_down_and_agree_with_the_models(store: registry.Registry) -> None:
    assert registry.current(store.engine) == "0005"
    assert registry.differences(store.engine) == []
    registry.downgrade(store.engine)
    assert sa.inspect(store.engine).get_table_names() in ([], ["alembic_version"])
    registry.upgrade(store.engine)
    assert registry.differences(store.engine) == []


def test_the_tables_of_nights_are_gone_and_come_back_with_the_revision_before(store: registry.Registry) -> None:
    nights = {"night", "frame"}
    assert not nights & set(sa.inspect(store.engine).get_table_names())
    schema.downgrade(store.engine, "0004")
    assert nights <= set(sa.inspect(store.engine).get_table_names())
    assert "dropped" not in {column["name"] for column in sa.inspect(store.engine).get_columns("message")}
    registry.upgrade(store.engine)
    assert not nights & set(sa.inspect(store.engine).get_table_names())


def test_many_processes_may_open_an_empty_registry_at_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: registry.open(url), range(4)))
    assert {registry.current(each.engine) for each in opened} == {"0005"}
    for each in opened:
        each.close()


def test_a_schema_that_was_taken_back_or_a_file_that_was_taken_away_is_brought_up_at_the_next_opening(url: str) -> None:
    with closing(registry.open(url)) as opened:
        registry.downgrade(opened.engine)
    with closing(registry.open(url)) as opened:
        assert registry.current(opened.engine) == "0005"
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).unlink()
        with closing(registry.open(url)) as opened:
            assert registry.current(opened.engine) == "0005"


@pytest.mark.parametrize("bad", ["mysql://host/x", "not a url", "sqlite://"])
def test_a_url_of_another_database_is_refused(bad: str) -> None:
    with pytest.raises(UnusableData, match="sqlite"):
        registry.open(bad)


def test_a_database_that_is_away_is_unavailable_and_its_password_stays_unsaid() -> None:
    with pytest.raises(Unavailable) as caught:
        registry.open("postgresql://siren:canary@127.0.0.1:1/registry")
    assert "canary" not in str(caught.value)


def test_times_come_back_in_utc_whatever_zone_they_were_given_in(store: registry.Registry) -> None:
    seoul = datetime(2026, 1, 15, 12, 0, tzinfo=timezone(timedelta(hours=9)))
    store.record_notice(sha256="a", path=Path("a"), received=seoul)
    (stored,) = store.undispatched()
    assert stored.received == NOW
    assert stored.received.tzinfo is UTC
    with pytest.raises(sa.exc.StatementError, match="naive"):
        store.record_notice(sha256="b", path=Path("b"), received=datetime(2026, 1, 15))  # noqa: DTZ001


def test_the_same_bytes_are_one_notice_however_often_they_come(store: registry.Registry) -> None:
    for topic in ("igwn.gwalert", "gcn.notices.igwn.gwalert"):
        for _ in range(3):
            store.record_notice(sha256="a", path=Path("a"), topic=topic, partition=0, offset=7_000_000_000)
    assert rows(store, models.Notice) == 1
    assert rows(store, models.Delivery) == 2
    assert [stored.offset for stored in store.undispatched()] == [7_000_000_000]


def test_a_notice_is_dispatched_until_it_is_understood_or_dead(store: registry.Registry) -> None:
    for name in ("a", "b"):
        store.record_notice(sha256=name, path=Path(name))
    assert store.mark_dispatched("a", run="run-1")
    assert [stored.sha256 for stored in store.undispatched()] == ["b"]
    assert [stored.sha256 for stored in store.unanswered(before=datetime.now(UTC) + timedelta(1))] == ["a"]
    assert store.record_dead("a", "not JSON")
    assert not store.record_dead("a", "not JSON")
    assert not store.mark_dispatched("a", run="run-2")
    assert store.unanswered(before=datetime.now(UTC) + timedelta(1)) == ()


def test_a_notice_is_unanswered_until_its_run_has_come_to_its_end(store: registry.Registry) -> None:
    alert = alerts.gw()
    soon = datetime.now(UTC) + timedelta(1)
    store.record_notice(sha256=alert.sha256, path=Path("a"))
    store.mark_dispatched(alert.sha256, run="run-1")
    store.record_alert(alert)
    assert [stored.sha256 for stored in store.unanswered(before=soon)] == [alert.sha256]
    with store.begin() as session:
        assert events.mark_announced(session, alert.sha256, now=NOW)
        assert not events.mark_announced(session, alert.sha256, now=NOW)
    assert [stored.sha256 for stored in store.unanswered(before=soon)] == [alert.sha256]
    with store.begin() as session:
        assert notices.mark_answered(session, alert.sha256, now=datetime.now(UTC))
        assert not notices.mark_answered(session, alert.sha256, now=NOW)
    assert store.unanswered(before=soon) == ()


def test_a_plan_that_was_wanted_and_never_taken_up_leaves_its_notice_unanswered(store: registry.Registry) -> None:
    first, second = alerts.gw(), alerts.gw(alert_type="UPDATE", minutes=9)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    for alert in (first, second):
        store.record_notice(sha256=alert.sha256, path=Path("a"))
        store.mark_dispatched(alert.sha256, run="run")
        store.record_alert(alert)
        store.record_decision(alert, alerts.decision())
        with store.begin() as session:
            notices.mark_answered(session, alert.sha256, now=datetime.now(UTC))
    assert [stored.sha256 for stored in store.unanswered(before=soon)] == [second.sha256]
    with store.begin() as session:
        assert plans.claim(session, alerts.request(second), now=datetime.now(UTC))
    assert store.unanswered(before=soon) == ()
    assert [stored.sha256 for stored in store.unanswered(before=soon + plans.LEASE)] == [second.sha256]
    store.record_alert(alerts.retraction())
    assert store.unanswered(before=soon + plans.LEASE) == ()


def test_the_notices_of_an_event_take_their_places_by_time_of_creation(store: registry.Registry) -> None:
    first = alerts.gw(minutes=5)
    update = alerts.gw(alert_type="UPDATE", minutes=30, sky_map=alerts.sky_map(area90_deg2=28.4))
    late = alerts.gw(alert_type="EARLYWARNING", minutes=-1)
    standings = [store.record_alert(alert).standing for alert in (first, update, late)]
    assert standings == [Standing.FIRST, Standing.UPDATE, Standing.LATE]
    history = store.history("S241102br")
    assert history.newest.alert == update
    assert [entry.alert for entry in history.notices] == [first, update, late]


def test_asking_again_gives_the_first_answer(store: registry.Registry) -> None:
    first, update = alerts.gw(), alerts.gw(alert_type="UPDATE", minutes=9)
    store.record_alert(first)
    store.record_decision(first, alerts.decision())
    before = store.record_alert(update)
    store.record_alert(alerts.retraction(minutes=20))
    assert store.record_alert(update) == before
    assert (before.number, before.previous, before.previous_decision) == (2, first, alerts.decision())
    assert before.state is EventState.OPEN


def test_the_same_content_in_other_bytes_is_a_duplicate(store: registry.Registry) -> None:
    first = alerts.gw()
    other = alerts.gw(topic="gcn.notices.igwn.gwalert")
    assert first.sha256 != other.sha256
    assert store.record_alert(first).standing is Standing.FIRST
    assert store.record_alert(other).standing is Standing.DUPLICATE
    assert store.record_alert(other).standing is Standing.DUPLICATE
    assert store.history("S241102br").newest.alert == first


def test_other_content_under_the_same_type_and_time_is_a_correction_that_counts(store: registry.Registry) -> None:
    first, corrected = alerts.gw(), alerts.gw(far_hz=1e-9)
    store.record_alert(first)
    assert store.record_alert(corrected).standing is Standing.CORRECTION
    assert store.history("S241102br").newest.alert == corrected


def test_an_event_can_be_promoted_retracted_and_reinstated(store: registry.Registry) -> None:
    quiet = alerts.gw(significant=False)
    loud = alerts.gw(minutes=1)
    withdrawn = alerts.retraction(minutes=60)
    again = alerts.gw(alert_type="UPDATE", minutes=90)
    answers = [store.record_alert(alert) for alert in (quiet, loud, withdrawn, again)]
    assert [answer.standing for answer in answers] == [
        Standing.FIRST,
        Standing.PROMOTED,
        Standing.RETRACTION,
        Standing.REINSTATED,
    ]
    assert [answer.state for answer in answers] == [
        EventState.OPEN,
        EventState.OPEN,
        EventState.RETRACTED,
        EventState.REINSTATED,
    ]


def test_a_notice_older_than_the_retraction_does_not_reinstate(store: registry.Registry) -> None:
    store.record_alert(alerts.retraction(minutes=60))
    answer = store.record_alert(alerts.gw(minutes=30))
    assert (answer.standing, answer.state) == (Standing.LATE, EventState.RETRACTED)


def test_hostile_ids_neither_break_the_database_nor_meet(store: registry.Registry) -> None:
    names = ["S1/../../etc", "S\x00", "S\ud800", "", "é" * 10_000, "x" * 10_000, "x" * 10_001, "';drop table event;--"]
    for name in names:
        store.record_alert(alerts.gw(name))
    assert rows(store, models.Event) == len(names)
    for slug in store.events():
        assert store.history(slug).notices[0].alert.notice.event_id in names


def test_a_map_without_distance_is_kept_with_its_infinities(store: registry.Registry) -> None:
    alert = alerts.gw(sky_map=alerts.sky_map(distance_mpc=None))
    store.record_alert(alert)
    assert store.history("S241102br").newest.alert == alert


def test_twenty_notices_at_once_leave_one_newest(store: registry.Registry) -> None:
    made = [alerts.gw(alert_type="UPDATE", minutes=k, far_hz=k + 1.0) for k in range(20)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(store.record_alert, [*made, *made]))
    assert store.history("S241102br").newest.alert == made[-1]
    assert rows(store, models.Notice) == 20
    assert answers[:20] == answers[20:]
    assert sorted(answer.number for answer in answers[:20]) == list(range(1, 21))


def test_a_cause_and_its_effects_are_written_together_or_not_at_all(store: registry.Registry) -> None:
    with pytest.raises(RuntimeError, match="pulled the plug"), store.begin() as session:
        events.record_alert(session, alerts.gw(), now=NOW)
        raise RuntimeError("pulled the plug")
    assert rows(store, models.Event) == rows(store, models.Notice) == 0


def test_of_two_clicks_one_makes_the_plan(store: registry.Registry) -> None:
    alert = alerts.gw()
    store.record_alert(alert)

    def click(_: int) -> bool:
        with store.begin() as session:
            return plans.claim(session, alerts.request(alert, "TCH", "7DT"), now=NOW)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(click, range(8))) == 1


def test_a_failed_plan_can_be_asked_for_again(store: registry.Registry) -> None:
    alert = alerts.gw()
    store.record_alert(alert)
    wanted = alerts.request(alert)
    with store.begin() as session:
        assert plans.claim(session, wanted, now=NOW)
        assert plans.fail(session, wanted, reason="no night", now=NOW)
        assert plans.claim(session, wanted, now=NOW)
        assert not plans.claim(session, wanted, now=NOW)


def test_a_new_plan_supersedes_the_old_and_withdraws_its_tiles(store: registry.Registry) -> None:
    first, update = alerts.gw(), alerts.gw(alert_type="UPDATE", minutes=9)
    for alert in (first, update):
        store.record_alert(alert)
        with store.begin() as session:
            assert plans.record(session, alerts.request(alert), [alerts.plan()], now=NOW)
            assert not plans.record(session, alerts.request(alert), [alerts.plan()], now=NOW)
    history = store.history("S241102br")
    assert [entry.state for entry in history.plans] == [PlanState.SUPERSEDED, PlanState.DONE]
    assert history.plans[1].plans == (alerts.plan(),)
    with store.read() as session:
        assert sorted(session.scalars(sa.select(models.Tile.state))) == ["planned"] * 3 + ["withdrawn"] * 3


def test_a_retraction_cancels_plans_and_a_run_that_ends_afterwards_changes_nothing(store: registry.Registry) -> None:
    alert = alerts.gw()
    store.record_alert(alert)
    with store.begin() as session:
        plans.record(session, alerts.request(alert, "TCH"), [alerts.plan("TCH")], now=NOW)
        plans.claim(session, alerts.request(alert), now=NOW)
    store.record_alert(alerts.retraction())
    with store.begin() as session:
        assert not plans.record(session, alerts.request(alert), [alerts.plan("7DT")], now=NOW)
    assert {entry.state for entry in store.history("S241102br").plans} == {PlanState.CANCELLED}
    with store.read() as session:
        assert set(session.scalars(sa.select(models.Tile.state))) == {"withdrawn"}


def test_a_plan_without_tiles_keeps_its_reason(store: registry.Registry) -> None:
    alert = alerts.gw()
    store.record_alert(alert)
    with store.begin() as session:
        empty = alerts.plan(tiles=0, reason="the Sun is up")
        plans.record(session, alerts.request(alert), [empty], now=NOW)
    (entry,) = store.history("S241102br").plans
    assert (entry.state, entry.reason) == (PlanState.EMPTY, "the Sun is up")


def test_two_events_are_linked_once_whichever_is_named_first(store: registry.Registry) -> None:
    store.record_alert(alerts.gw())
    store.record_alert(alerts.grb())
    with store.begin() as session:
        assert events.link(session, 1, 2, kind="coincidence", evidence="1.7 s", now=NOW)
        assert not events.link(session, 2, 1, kind="coincidence", evidence="1.7 s", now=NOW)
    assert store.history("S241102br").linked == ("Swift_1423875",)


def test_an_unknown_event_has_no_history(store: registry.Registry) -> None:
    with pytest.raises(UnusableData, match="S999"):
        store.history("S999")
