"""A notice's way out of the house: registered, announced once, delivered once, whatever fails in between."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect import flow
from prefect.logging import disable_run_logger
from pydantic import SecretStr
from slack_sdk import WebClient
from support import alerts, webdav
from support import slack as stand_in

from blocks import ProductStore
from tasks import registry, resources
from tasks.alerts import registration
from tasks.errors import MissingPart, Refused, Unavailable
from tasks.io.messages import slack_sender
from tasks.io.services import product_stores
from tasks.messages import announcements, event_page, plan_announcements
from tasks.messages import delivery as message_delivery
from tasks.planning import claims
from tasks.records import Alert, Audience, Decision, Home, PlanMode
from tasks.records.events import PlanState, Registered
from tasks.records.outbox import ClaimedUpload
from tasks.registry import delivery, outbox, plans, unsent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "alerts"


@pytest.fixture
def store(root: Path) -> Iterator[registry.Registry]:
    with resources.registry(Home(root=root)) as opened:
        yield opened


@pytest.fixture
def workspace() -> Iterator[stand_in.Workspace]:
    with stand_in.workspace() as state:
        yield state


@pytest.fixture
def send(workspace: stand_in.Workspace) -> Callable:
    client = WebClient(token=stand_in.TOKEN, base_url=workspace.url, timeout=5, retry_handlers=[])
    channels = {
        Audience.GW: "C-GW",
        Audience.GRB: "C-GRB",
        Audience.TEST: "C-TEST",
        Audience.OPERATORS: "C-OPS",
        Audience.LOW_SIGNIFICANCE: "C-LOW",
    }
    return slack_sender.SlackSender(client, channels).send


def respond(root: Path, alert: Alert, decision: Decision | None = None) -> Registered:
    registered = registration.register.fn(alert, home=Home(root=root))
    announcements.announce.fn(alert, decision or alerts.decision(), registered, home=Home(root=root))
    return registered


def test_the_notices_of_an_event_make_one_thread_whose_top_is_kept_up_to_date(root, store, send, workspace) -> None:
    update = alerts.gw(alert_type="UPDATE", minutes=30, sky_map=alerts.sky_map(area90_deg2=28.4))
    late = alerts.gw(alert_type="EARLYWARNING", minutes=-1)
    for alert in (alerts.gw(), update, late):
        respond(root, alert)
        delivery.drain_messages(store, send)
    top, *replies = workspace.messages
    assert {reply["thread_ts"] for reply in replies} == {top["ts"]}
    assert [reply["text"].split(":")[0] for reply in replies] == [
        "Why GO",
        "S241102br UPDATE",
        "A late EARLYWARNING, created 2024-11-02 12",
    ]
    assert (top["edits"], "UPDATE" in top["text"], "28.4 deg²" in top["text"]) == (1, True, True)


def test_everything_done_twice_is_done_once(root, store, send, workspace) -> None:
    thread = [alerts.gw(), alerts.gw(alert_type="UPDATE", minutes=30, far_hz=1e-9), alerts.retraction()]
    for alert in (*thread, *thread, *thread):
        respond(root, alert)
        delivery.drain_messages(store, send)
    assert len(workspace.messages) == 4
    assert workspace.messages[0]["edits"] == 2


def test_a_retraction_is_broadcast_and_marks_the_top_message(root, store, send, workspace) -> None:
    respond(root, alerts.gw())
    respond(root, alerts.retraction(), alerts.decision("NO", score=0))
    delivery.drain_messages(store, send)
    assert [(m["text"], m["broadcast"]) for m in workspace.messages if m["broadcast"]] == [
        ("S241102br was retracted. Running plans are cancelled and queued tiles withdrawn.", True)
    ]
    assert "RETRACTED" in workspace.messages[0]["text"]
    assert "465" in workspace.messages[0]["text"]


def test_a_retraction_of_an_unknown_event_goes_to_the_operators(root, store, send, workspace) -> None:
    respond(root, alerts.retraction("S241126dm"))
    delivery.drain_messages(store, send)
    assert [m["channel"] for m in workspace.messages] == ["C-OPS"]


def test_a_test_reaches_only_the_test_channel_whatever_the_policy_says(root, store, send, workspace) -> None:
    mock = {"name": "MS241102a", "test": True}
    for alert in (alerts.gw(**mock), alerts.gw(**mock, alert_type="UPDATE", minutes=9)):
        respond(root, alert, alerts.decision(mention=True))
    delivery.drain_messages(store, send)
    assert {m["channel"] for m in workspace.messages} == {"C-TEST"}
    assert "<!channel>" not in str(workspace.messages)


def test_an_event_that_becomes_significant_is_announced_as_new(root, store, send, workspace) -> None:
    respond(root, alerts.gw(significant=False), alerts.decision("NO", score=0, audience=Audience.LOW_SIGNIFICANCE))
    respond(root, alerts.gw(minutes=3))
    delivery.drain_messages(store, send)
    tops = [(m["channel"], m["thread_ts"]) for m in workspace.messages if m["thread_ts"] is None]
    assert tops == [("C-LOW", None), ("C-GW", None)]


@pytest.mark.parametrize("order", [("BAT", "XRT", "UVOT"), ("UVOT", "XRT", "BAT"), ("XRT", "BAT", "UVOT")])
def test_a_burst_shows_its_best_position_in_whatever_order_its_notices_come(
    root, store, send, workspace, order: tuple[str, ...]
) -> None:
    kinds = {
        "BAT": alerts.grb("BAT"),
        "XRT": alerts.grb("XRT", seconds=80, error_deg=0.0014, ra_deg=330.21),
        "UVOT": alerts.grb("UVOT", seconds=120, error_deg=0.0003, ra_deg=330.212, magnitude=17.31),
    }
    for name in order:
        respond(root, kinds[name], alerts.decision("NO", audience=Audience.GRB))
    delivery.drain_messages(store, send)
    top = str(workspace.messages[0]["blocks"])
    assert "22:00:50.88" in top
    assert "(UVOT)" in top
    assert "17.31" in top
    assert len(workspace.messages) == 4


def test_a_plan_is_told_once_and_stands_in_the_top_message(root, store, send, workspace) -> None:
    alert = alerts.gw()
    event, wanted, home = alerts.in_hand(alert, respond(root, alert)), alerts.request(alert), Home(root=root)
    assert claims.claim_plan.fn(alert, wanted, home)
    assert not claims.claim_plan.fn(alert, wanted, home)
    assert plan_announcements.announce_plans.fn(event, wanted, (alerts.plan(),), home)
    assert not plan_announcements.announce_plans.fn(event, wanted, (alerts.plan(),), home)
    delivery.drain_messages(store, send)
    assert sum("3 tiles planned" in m["text"] for m in workspace.messages) == 1
    assert "7DT 3 tiles" in str(workspace.messages[0]["blocks"])


NO = {"score": 0, "plan": PlanMode.BUTTON}


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({"classification": {"Terrestrial": 0.97, "BNS": 0.03}}, alerts.decision("NO", **NO, rule="terrestrial")),
        ({"significant": False}, alerts.decision("NO", **NO, audience=Audience.LOW_SIGNIFICANCE)),
        ({"sky_map": alerts.sky_map(area90_deg2=9000)}, alerts.decision("WAIT", score=2, plan=PlanMode.BUTTON)),
    ],
)
def test_a_plan_ends_with_the_decision_that_asked_for_it(root, store, send, workspace, changes, decision) -> None:
    """Kind: every change of a decision, by class, significance, distance, area or position."""
    alert = alerts.gw()
    event = alerts.in_hand(alert, respond(root, alert, alerts.decision(plan=PlanMode.AUTOMATIC)))
    wanted, home = alerts.request(alert), Home(root=root)
    claims.claim_plan.fn(alert, wanted, home)
    plan_announcements.announce_plans.fn(event, wanted, (alerts.plan(),), home)
    delivery.drain_messages(store, send)

    respond(root, alerts.gw(alert_type="UPDATE", minutes=9, **changes), decision)
    delivery.drain_messages(store, send)

    history = store.history("S241102br")
    assert [entry.state for entry in history.plans] == [PlanState.CANCELLED]
    with store.read() as session:
        assert set(plans.tiles_of(session, "S241102br", "7DT").values()) == {"withdrawn"}
    told = [m for m in workspace.messages if "are cancelled" in m["text"]]
    assert [(m["channel"], m["broadcast"], m["thread_ts"] is None) for m in told] == [("C-GW", True, False)]


def test_a_decision_that_only_repeats_or_asks_for_a_plan_keeps_the_plan(root, store) -> None:
    alert, go = alerts.gw(), alerts.decision(plan=PlanMode.AUTOMATIC)
    event = alerts.in_hand(alert, respond(root, alert, go))
    wanted, home = alerts.request(alert), Home(root=root)
    claims.claim_plan.fn(alert, wanted, home)
    plan_announcements.announce_plans.fn(event, wanted, (alerts.plan(),), home)
    for minutes, decision in (
        (9, go),
        (18, alerts.decision(plan=PlanMode.KEEP)),
        (27, alerts.decision(plan=PlanMode.BUTTON)),
    ):
        respond(root, alerts.gw(alert_type="UPDATE", minutes=minutes, far_hz=1e-9 * minutes), decision)
    late = alerts.gw(alert_type="UPDATE", minutes=-5)
    respond(root, late, alerts.decision("NO", score=0))
    assert [entry.state for entry in store.history("S241102br").plans] == [PlanState.DONE]


def test_a_plan_that_a_newer_notice_no_longer_asks_for_is_not_begun(root, store) -> None:
    alert, home = alerts.gw(), Home(root=root)
    respond(root, alert, alerts.decision(plan=PlanMode.AUTOMATIC))
    later = alerts.gw(alert_type="UPDATE", minutes=9, classification={"Terrestrial": 0.97})
    respond(root, later, alerts.decision("NO", **NO))
    newest = registration.load_event.fn("S241102br", home=home)
    wanted = alerts.request(newest.alert)
    assert not claims.claim_plan.fn(newest.alert, wanted, home, decision=newest.decision)
    # a person may ask for it all the same
    assert claims.claim_plan.fn(newest.alert, wanted, home, asked_by="U1")


@pytest.mark.parametrize(("verdict", "state"), [(True, PlanState.CANCELLED), (False, PlanState.DONE)])
def test_a_burst_that_is_none_loses_its_plan_and_one_without_position_keeps_it(root, store, verdict, state) -> None:
    alert = alerts.grb("XRT", error_deg=0.001)
    event = alerts.in_hand(alert, respond(root, alert, alerts.decision(plan=PlanMode.AUTOMATIC, audience=Audience.GRB)))
    wanted, home = alerts.request(alert), Home(root=root)
    claims.claim_plan.fn(alert, wanted, home)
    plan_announcements.announce_plans.fn(event, wanted, (alerts.plan(),), home)
    if verdict:
        later = alerts.grb("BAT", seconds=300, flags=("Def_NOT_a_GRB",))
        no = alerts.decision("NO", score=0, audience=Audience.LOW_SIGNIFICANCE)
    else:
        later = alerts.grb("BAT", seconds=300, ra_deg=None, dec_deg=None, error_deg=None)
        no = alerts.decision("NO", score=0, audience=Audience.GRB)
    respond(root, later, no)
    assert [entry.state for entry in store.history(event.registered.slug).plans] == [state]


def test_nothing_is_planned_nor_said_to_fail_for_a_retraction(root, store, send, workspace) -> None:
    respond(root, alerts.gw())
    respond(root, alerts.retraction(), alerts.decision("NO", score=0))
    delivery.drain_messages(store, send)
    said = len(workspace.messages)
    newest = registration.load_event.fn("S241102br", home=Home(root=root))
    assert newest.alert.notice.retraction
    assert not claims.claim_plan.fn(newest.alert, alerts.request(newest.alert), Home(root=root))
    delivery.drain_messages(store, send)
    assert len(workspace.messages) == said


def test_a_failed_plan_says_why_and_can_be_claimed_again(root, store, send, workspace) -> None:
    alert = alerts.gw()
    event, wanted, home = alerts.in_hand(alert, respond(root, alert)), alerts.request(alert), Home(root=root)
    claims.claim_plan.fn(alert, wanted, home)
    plan_announcements.announce_failed_plan.fn(event, wanted, "the planner died", home)
    delivery.drain_messages(store, send)
    assert "the planner died" in workspace.messages[-1]["text"]
    assert claims.claim_plan.fn(alert, wanted, home)


def test_slack_in_trouble_delays_and_never_loses_or_doubles(root, store, send, workspace, monkeypatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY", outbox.FIRST_DELAY / 40)
    workspace.faults = ["500", "lost", "429:0.3", "drop", "lost"]
    respond(root, alerts.gw())
    respond(root, alerts.gw(alert_type="UPDATE", minutes=9, far_hz=1e-9))
    drained = delivery.drain_messages(store, send, patience_s=20)
    assert (drained.waiting, drained.failed) == (0, 0)
    assert len(workspace.messages) == len({str(m["metadata"]) for m in workspace.messages}) == 3
    assert workspace.disobeyed == 0


def test_a_sender_killed_between_slacks_answer_and_our_record_sends_nothing_twice(
    root, store, send, workspace, monkeypatch
) -> None:
    respond(root, alerts.gw())

    def killed(claimed):
        send(claimed)
        raise SystemExit

    for _ in range(2):
        with pytest.raises(SystemExit):
            delivery.drain_messages(store, killed)
        monkeypatch.setattr(delivery, "now", lambda: datetime.now(UTC) + 2 * outbox.LEASE)
    monkeypatch.setattr(delivery, "now", lambda: datetime.now(UTC) + 8 * outbox.LEASE)
    delivery.drain_messages(store, send)
    assert [m["thread_ts"] is None for m in workspace.messages] == [True, False]


def test_a_message_that_slack_refuses_is_given_up_loudly_and_blocks_nothing(root, store, send, workspace) -> None:
    workspace.faults = ["error:invalid_blocks"]
    respond(root, alerts.gw())
    drained = delivery.drain_messages(store, send)
    assert (drained.failed, drained.waiting) == (1, 0)
    assert [m["channel"] for m in workspace.messages if "given up" in m["text"]] == ["C-OPS"]


def test_files_reach_the_store_under_the_events_folder(root, store, tmp_path: Path) -> None:
    (notice := tmp_path / "notice").write_bytes(b'{"superevent_id": "S241102br"}')
    (chart := tmp_path / "skymap-gw.fits").write_bytes(b"SIMPLE")
    alert = alerts.gw(sky_map=alerts.sky_map(path=chart))
    registered = registration.register.fn(alert, home=Home(root=root))
    announcements.announce.fn(alert, alerts.decision(), registered, home=Home(root=root), source=notice)
    event = alerts.in_hand(alert, registered)
    plan_announcements.announce_plans.fn(
        event, alerts.request(alert), (alerts.plan(),), Home(root=root), files=(chart,)
    )
    page = event_page.publish_page.fn("S241102br", home=Home(root=root))
    drained = message_delivery.upload.fn(home=Home(root=root))
    assert (drained.waiting, drained.failed) == (0, 0)
    base = root / "store" / "Candidates" / "GW" / "S241102br"
    names = sorted(path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file())
    assert names == [
        "GWEMOPT/20241102T124127_PRELIMINARY/skymap-gw.fits",
        "IMAGES/README.txt",
        "KNC_IMAGES/README.txt",
        "LOGBOOK/README.txt",
        f"VOEVENTS/20241102T124127_PRELIMINARY_{alert.sha256[:8]}.json",
        "index.html",
    ]
    assert (base / "index.html").read_bytes() == page.read_bytes()
    assert message_delivery.upload.fn(home=Home(root=root)).sent == 0


def test_a_store_that_is_away_keeps_files_waiting_and_messages_going(root, store, send, workspace, tmp_path) -> None:
    (notice := tmp_path / "notice").write_bytes(b"{}")
    alert = alerts.gw()
    registered = registration.register.fn(alert, home=Home(root=root))
    announcements.announce.fn(alert, alerts.decision(), registered, home=Home(root=root), source=notice)

    def away(_: object) -> None:
        raise Unavailable("the store does not answer")

    assert delivery.drain_uploads(store, away).waiting == 4
    assert delivery.drain_messages(store, send).waiting == 0
    place = product_stores.FolderStore(tmp_path / "store")
    drained = delivery.drain_uploads(store, lambda each: place.put(each.source, each.remote) and None, patience_s=5)
    assert (drained.sent, drained.waiting) == (4, 0)


def test_an_expired_password_is_told_once_and_everything_goes_out_once_it_is_right(
    root, store, send, workspace, tmp_path, monkeypatch
) -> None:
    """Kind: an effect that is refused once was lost for ever, and nobody was told."""
    (notice := tmp_path / "notice").write_bytes(b"{}")
    alert = alerts.gw()
    registered = registration.register.fn(alert, home=Home(root=root))
    announcements.announce.fn(alert, alerts.decision(), registered, home=Home(root=root), source=notice)
    with webdav.server(tmp_path / "cloud") as cloud:
        block = ProductStore(url=cloud.url, user=webdav.USER, password=SecretStr(webdav.PASSWORD))
        cloud.users[webdav.USER]["password"] = "another"
        with closing(resources.store_of(block)) as place, pytest.raises(Refused, match="user or password"):
            place.check()
        for hours in range(2):
            monkeypatch.setattr(delivery, "now", lambda hours=hours: datetime.now(UTC) + timedelta(hours=hours))
            drained = delivery.drain_uploads(store, put_into(block))
            assert (drained.sent, drained.waiting, drained.failed) == (0, 4, 0)
        delivery.drain_messages(store, send)
        assert [text.split(".")[0] for text in workspace.texts("C-OPS")] == [
            "The store refuses the user or password (download, status 401)"
        ]
        cloud.users[webdav.USER]["password"] = webdav.PASSWORD
        monkeypatch.setattr(delivery, "now", lambda: datetime.now(UTC) + timedelta(hours=3))
        assert delivery.drain_uploads(store, put_into(block)).sent == len(cloud.files()) == 4


def test_files_that_the_store_refuses_are_told_in_one_message_and_go_out_after_a_retry(
    root, store, send, workspace, tmp_path
) -> None:
    (notice := tmp_path / "notice").write_bytes(b"{}")
    alert = alerts.gw()
    registered = registration.register.fn(alert, home=Home(root=root))
    announcements.announce.fn(alert, alerts.decision(), registered, home=Home(root=root), source=notice)
    with webdav.server(tmp_path / "cloud") as cloud:
        block = ProductStore(url=cloud.url, user=webdav.USER, password=SecretStr(webdav.PASSWORD))
        cloud.largest = 1
        lost = delivery.drain_uploads(store, put_into(block)).failed
        delivery.drain_messages(store, send)
        [told] = workspace.texts("C-OPS")
        assert lost > 0
        assert told.startswith("Files were given up")
        assert told.count("larger limit of uploads") == lost
        cloud.largest = webdav.LARGEST
        with store.begin() as session:
            assert unsent.retry(session, now=datetime.now(UTC)) == lost
        assert delivery.drain_uploads(store, put_into(block)).failed == 0
        assert len(cloud.files()) == 4


def test_what_was_given_up_stands_on_the_event_s_page_until_it_has_gone(root, store, send, workspace, tmp_path) -> None:
    """Kind: an effect that ends in failure is seen by nobody who looks at the event."""
    (notice := tmp_path / "notice").write_bytes(b"{}")
    alert, home = alerts.gw(), Home(root=root)
    registered = registration.register.fn(alert, home=home)
    announcements.announce.fn(alert, alerts.decision(), registered, home=home, source=notice)
    page = event_page.publish_page.fn(registered.slug, home)
    queued = page.read_text(encoding="utf-8")
    workspace.faults = ["error:channel_not_found"]
    event_page.show_losses.fn((delivery.drain_messages(store, send),), home)
    with webdav.server(tmp_path / "cloud") as cloud:
        block = ProductStore(url=cloud.url, user=webdav.USER, password=SecretStr(webdav.PASSWORD))
        cloud.largest = 1
        event_page.show_losses.fn((delivery.drain_uploads(store, put_into(block)),), home)
        shown = page.read_text(encoding="utf-8")
        assert "Not sent" not in queued
        assert "Not sent" in shown
        assert "larger limit of uploads" in shown
        assert "channel_not_found" in shown

        cloud.largest = webdav.LARGEST
        with store.begin() as session:
            assert unsent.retry(session, now=datetime.now(UTC)) > 1
        event_page.show_losses.fn((delivery.drain_messages(store, send),), home)
        event_page.show_losses.fn((delivery.drain_uploads(store, put_into(block)),), home)
    assert "Not sent" not in page.read_text(encoding="utf-8")


def test_a_token_that_slack_refuses_keeps_messages_waiting(root, store, send, workspace, monkeypatch) -> None:
    workspace.faults = ["error:token_revoked"]
    respond(root, alerts.gw())
    assert delivery.drain_messages(store, send).failed == 0
    monkeypatch.setattr(delivery, "now", lambda: datetime.now(UTC) + timedelta(hours=1))
    drained = delivery.drain_messages(store, send)
    assert (drained.waiting, drained.failed) == (0, 0)
    assert [text.split(".")[0] for text in workspace.texts("C-OPS")] == ["Slack refuses the token: token_revoked"]
    assert len(workspace.texts("C-GW")) > 0


def put_into(block: ProductStore) -> Callable:
    def put(claimed: ClaimedUpload) -> None:
        with closing(resources.store_of(block)) as place:
            place.put(claimed.source, claimed.remote, attempt=claimed.attempt)

    return put


def test_a_notice_that_cannot_be_understood_is_told_once_and_kept(root, store, send, workspace, tmp_path) -> None:
    (notice := tmp_path / "notice").write_bytes(b"\x00 not a notice")
    store.record_notice(sha256="a" * 64, path=notice)
    for _ in range(2):
        letter = registration.record_dead_letter.fn(
            notice, "a" * 64, "it is not JSON", topic="igwn.gwalert", home=Home(root=root)
        )
    delivery.drain_messages(store, send)
    assert letter.read_bytes() == notice.read_bytes()
    assert [m["channel"] for m in workspace.messages] == ["C-OPS"]
    assert store.undispatched() == ()


@pytest.mark.server
def test_places_are_blocks_that_are_loaded_in_the_task(prefect_api, root, workspace, tmp_path: Path, caplog) -> None:
    from blocks import ProductStore, RegistryDatabase, SlackWorkspace

    caplog.set_level(logging.DEBUG)
    url = f"sqlite:///{tmp_path}/elsewhere.sqlite"
    RegistryDatabase(url=url).save("here", overwrite=True)
    SlackWorkspace(token=stand_in.TOKEN, channel_gw="C-GW", url=workspace.url).save("here", overwrite=True)
    ProductStore(root=str(tmp_path / "cloud"), public_url="https://cloud.example/").save("here", overwrite=True)
    alert = alerts.gw()

    @flow
    def everything() -> None:
        registered = registration.register(alert, home=Home(root=root, registry="here"))
        announcements.announce(
            alert, alerts.decision(), registered, home=Home(root=root, registry="here", store="here")
        )
        message_delivery.deliver(home=Home(root=root, registry="here", slack="here"), patience_s=3.0)
        message_delivery.upload(home=Home(root=root, registry="here", store="here"))

    everything()
    assert len(workspace.messages) == 2
    assert "https://cloud.example/Candidates/GW/S241102br" in str(workspace.messages[0]["blocks"])
    assert (tmp_path / "cloud" / "Candidates" / "GW" / "S241102br" / "LOGBOOK" / "README.txt").is_file()
    assert stand_in.TOKEN not in caplog.text
    with pytest.raises(MissingPart, match="siren bootstrap"), disable_run_logger():
        registration.register.fn(alert, home=Home(root=root, registry="nowhere"))


def test_a_new_plan_after_a_new_map_tells_what_it_changes(root, store, send, workspace) -> None:
    update = alerts.gw(alert_type="UPDATE", minutes=30, sky_map=alerts.sky_map(area90_deg2=28.4))
    first, home = alerts.gw(), Home(root=root)
    plan_announcements.announce_plans.fn(
        alerts.in_hand(first, respond(root, first)), alerts.request(first), (alerts.plan(tiles=3),), home
    )
    with store.begin() as session:
        plans.mark_observed(session, 1, telescope="7DT", tiles=["T01000"])
    plan_announcements.announce_plans.fn(
        alerts.in_hand(update, respond(root, update)), alerts.request(update), (alerts.plan(tiles=5),), home
    )
    delivery.drain_messages(store, send)
    told = [message["text"] for message in workspace.messages if "stay" in message["text"]]
    assert told == ["S241102br: 7DT 2 stay, 2 new, 0 dropped, 1 already observed."]
    assert "Changes of the newest plan" in event_page.publish_page.fn("S241102br", home=Home(root=root)).read_text()
    [written] = root.rglob("changes.json")
    assert '"drop": []' in written.read_text()
