"""Effects of presses of Slack's buttons."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from support import alerts, clicks
from support.slack_buttons import buttons, direct, outcomes, pressed, settled, tell

from deployments.slack import actions, payloads
from tasks.alerts import registration
from tasks.messages import event_page, plan_announcements
from tasks.planning import claims
from tasks.records import Home
from tasks.records.buttons import Button
from tasks.records.events import PlanState
from tasks.registry import delivery, plans
from tasks.registry.store import now


def test_a_press_starts_one_plan_and_says_who_asked(handler, store, planner, workspace, top) -> None:
    assert buttons(top) == ["run-plan", "choose-telescopes", "under-review", "mute"]
    assert pressed(handler, "run-plan", top)
    assert list(planner.runs.values()) == [("S241102br", ("7DT", "TCH"), "name-of-U1")]
    assert "Planning S241102br for 7DT, TCH, requested by name-of-U1" in workspace.messages[-1]["text"]
    assert "requested by <@U1>" in str(top["blocks"])
    assert buttons(top) == ["cancel-plan", "under-review", "mute"]
    [entry] = store.history("S241102br").actions
    assert (entry.user, entry.user_name, entry.button, entry.waits_for) == (
        "U1", "name-of-U1", Button.RUN, ("7DT", "TCH"),
    )  # fmt: skip


def test_of_many_presses_at_once_one_makes_a_plan_and_the_others_are_told(handler, planner, workspace, top) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: handler.take(clicks.press("run-plan", top, user=f"U{1 + k % 2}")), range(16)))
    settled(handler)
    assert len(planner.runs) == 1
    told = direct(workspace, "U1") + direct(workspace, "U2")
    assert len(told) == 15
    assert all("is being planned already" in words and "https://slack.com/archives/C-GW/p17" in words for words in told)


def test_the_same_press_by_two_ways_is_one(handler, planner, store, workspace, top) -> None:
    payload = clicks.press("run-plan", top)
    for _ in range(3):
        handler.take(payload)
        settled(handler)
    assert len(planner.runs) == len(outcomes(store)) == 1
    assert direct(workspace, "U1") == []


def test_a_planned_event_is_not_planned_again_until_it_was_cancelled(
    handler, root, store, planner, workspace, top
) -> None:
    alert = alerts.gw()
    with store.begin() as session:
        plans.record(session, alerts.request(alert, "7DT", "TCH"), [alerts.plan(), alerts.plan("TCH")], now=now())
    pressed(handler, "run-plan", top)
    assert "is planned already" in direct(workspace, "U1")[0]
    pressed(handler, "cancel-plan", top, user="U2")
    assert planner.stopped == ["S241102br"]
    assert [entry.state for entry in store.history("S241102br").plans] == [PlanState.CANCELLED]
    assert "cancelled" in str(top["blocks"])
    pressed(handler, "cancel-plan", top)
    assert "has no plan to cancel" in direct(workspace, "U1")[-1]
    pressed(handler, "run-plan", top)
    assert len(planner.runs) == 1


def test_a_failed_plan_can_be_run_again(handler, root, store, planner, workspace, top) -> None:
    alert = alerts.gw()
    home, wanted = Home(root=root), alerts.request(alert, "7DT", "TCH")
    event = alerts.in_hand(alert, registration.register.fn(alert, home))
    for attempt in (1, 2, 3):
        pressed(handler, "run-plan", top)
        assert len(planner.runs) == attempt
        assert claims.claim_plan.fn(alert, wanted, home, asked_by="name-of-U1")
        pressed(handler, "run-plan", top)
        assert len(planner.runs) == attempt
        plan_announcements.announce_failed_plan.fn(event, wanted, "the planner died", home)
        delivery.drain_messages(store, handler.send)
        assert "the planner died" in workspace.messages[-1]["text"]
        assert buttons(top)[0] == "run-plan"


def test_a_server_that_is_away_is_said_and_the_button_works_later(handler, store, planner, workspace, top) -> None:
    planner.trouble = "the Prefect server does not answer"
    pressed(handler, "run-plan", top)
    assert "does not answer" in direct(workspace, "U1")[0]
    assert "It can be run again" in workspace.thread(top["ts"])[-1]["text"]
    assert buttons(top)[0] == "run-plan"
    planner.trouble = ""
    pressed(handler, "run-plan", top)
    assert len(planner.runs) == 1
    assert [words.split(":")[0].split(" ")[0] for words in outcomes(store)] == ["failed", "asked"]


def test_telescopes_are_chosen_in_a_window(handler, planner, workspace, top) -> None:
    pressed(handler, "choose-telescopes", top)
    [view] = workspace.views
    [question] = view["blocks"]
    assert [each["value"] for each in question["element"]["initial_options"]] == ["7DT", "TCH"]
    assert planner.runs == {}
    assert handler.take(clicks.answer(view, ("TRE", "no-such-telescope", "KAO")))
    settled(handler)
    assert [telescopes for _, telescopes, _ in planner.runs.values()] == [("TRE", "KAO")]
    handler.take(clicks.answer(view, ("no-such-telescope",)))
    settled(handler)
    assert "No telescopes are chosen" in direct(workspace, "U1")[-1]


def test_an_event_is_marked_as_under_review_once_by_each(handler, root, store, top) -> None:
    for user in ("U3", "U3", "U1"):
        assert pressed(handler, "under-review", top, user=user)
    text = str(top["blocks"])
    assert text.count("under review by <@U3>") == text.count("under review by <@U1>") == 1
    assert "under-review" not in buttons(top)
    page = event_page.publish_page.fn("S241102br", home=Home(root=root)).read_text()
    assert "Under review by name-of-U3, name-of-U1" in page


def test_a_muted_event_is_kept_up_to_date_in_silence_until_it_is_retracted(handler, root, workspace, top) -> None:
    pressed(handler, "mute", top, user="U3")
    said = len(workspace.messages)
    tell(root, handler, alerts.gw(alert_type="UPDATE", minutes=9, far_hz=1e-9), alerts.decision())
    tell(root, handler, alerts.gw(alert_type="EARLYWARNING", minutes=-1))
    assert len(workspace.messages) == said
    assert "UPDATE" in top["text"]
    assert "Muted" in event_page.publish_page.fn("S241102br", home=Home(root=root)).read_text()
    assert "unmute" in buttons(top)
    pressed(handler, "unmute", top)
    tell(root, handler, alerts.gw(alert_type="UPDATE", minutes=19, far_hz=1e-7))
    assert len(workspace.messages) == said + 2
    pressed(handler, "mute", top)
    tell(root, handler, alerts.retraction())
    assert workspace.messages[-1]["broadcast"]


def test_a_retraction_takes_the_buttons_away_and_an_old_one_does_nothing(
    handler, root, planner, workspace, top
) -> None:
    tell(root, handler, alerts.retraction())
    assert buttons(top) == []
    for button in Button:
        pressed(handler, button.value, top)
    assert planner.runs == {}
    assert planner.stopped == []
    assert workspace.views == []
    assert all("was retracted" in words for words in direct(workspace, "U1"))
    assert len(direct(workspace, "U1")) == len(Button)


def test_a_reviewer_may_not_plan_and_a_stranger_nothing(handler, store, planner, workspace, top) -> None:
    assert not pressed(handler, "run-plan", top, user="U3")
    for button in Button:
        assert not pressed(handler, button.value, top, user="U7")
    assert planner.runs == {}
    assert outcomes(store) == []
    assert len(direct(workspace, "U7")) == 1


def test_a_press_under_an_unknown_message_does_nothing_and_says_so(handler, store, planner, workspace, top) -> None:
    pressed(handler, "run-plan", {"ts": "1600000000.000001", "channel": "C-GW", "text": ""})
    assert planner.runs == {}
    assert "not on record" in direct(workspace, "U1")[0]
    assert outcomes(store) == ["refused: unknown message"]


def test_a_press_of_a_link_is_not_ours(handler, store, top) -> None:
    assert not pressed(handler, "link_to_gracedb", top)
    assert outcomes(store) == []


def test_a_new_notice_may_be_planned_while_the_old_one_is(handler, root, planner, top) -> None:
    pressed(handler, "run-plan", top)
    tell(root, handler, alerts.gw(alert_type="UPDATE", minutes=9, far_hz=1e-9))
    assert buttons(top)[0] == "run-plan"
    pressed(handler, "run-plan", top)
    assert len(planner.runs) == 2


def test_slack_that_is_away_stops_nothing(handler, planner, workspace, top, caplog) -> None:
    workspace.faults = ["500", "drop", "500", "drop"]
    pressed(handler, "run-plan", top)
    pressed(handler, "run-plan", top)
    assert len(planner.runs) == 1


def test_links_of_an_action_are_the_ones_of_its_message() -> None:
    press = payloads.read(clicks.press("mute", {"ts": "1700000000.000001", "channel": "C-GW", "text": ""}))
    assert press is not None
    assert actions.permalink(press) == "https://slack.com/archives/C-GW/p1700000000000001"
