"""A burst some time later, against a server of pages that is away, empty, early, complete, changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from slack_sdk import WebClient
from support import alerts, bat_site
from support import slack as stand_in
from support.bat_site import COMPLETE, EARLY

from tasks import registry, resources
from tasks.alerts import registration, revisits
from tasks.io.messages import slack_sender
from tasks.messages import announcements
from tasks.options import RevisitOptions
from tasks.records import Audience, Home
from tasks.registry import delivery

STRANGE = b"<html><p>All new!</p></html>"
CHANNELS = {Audience.GRB: "C-GRB", Audience.OPERATORS: "C-OPS"}


@pytest.fixture
def site() -> Iterator[tuple[type[bat_site.Pages], RevisitOptions]]:
    with bat_site.site() as (handler, url):
        yield handler, RevisitOptions(bat_page=True, bat_url=url)


@pytest.fixture
def workspace() -> Iterator[stand_in.Workspace]:
    with stand_in.workspace() as state:
        yield state


@pytest.fixture
def store(tmp_path: Path) -> Iterator[registry.Registry]:
    with resources.registry(Home(root=tmp_path)) as opened:
        yield opened


@pytest.fixture
def house(tmp_path, store, workspace, monkeypatch):
    """Announce a burst; return what looks at it some minutes after its trigger."""
    client = WebClient(token=stand_in.TOKEN, base_url=workspace.url, timeout=5, retry_handlers=[])
    sender = slack_sender.SlackSender(client, CHANNELS)
    first = alerts.grb("BAT")

    def hear(alert) -> None:
        verdict = alerts.decision("NO", audience=Audience.GRB, reasons=())
        announcements.announce.fn(
            alert, verdict, registration.register.fn(alert, home=Home(root=tmp_path)), home=Home(root=tmp_path)
        )

    def look(minutes: float, options: RevisitOptions) -> float | None:
        monkeypatch.setattr(revisits, "now", lambda: first.notice.time + timedelta(minutes=minutes))
        moment: datetime | None = revisits.look.fn("Swift_1423875", options, home=Home(root=tmp_path))
        monkeypatch.undo()
        delivery.drain_messages(store, sender.send)
        return moment and round((moment - first.notice.time) / timedelta(minutes=1), 3)

    hear(first)
    look.hear = hear
    return look


def test_the_page_is_told_once_and_its_message_completed(house, site, workspace) -> None:
    pages, options = site
    pages.answers += [404, 503, EARLY, EARLY, COMPLETE]
    assert [house(minutes, options) for minutes in (0.5, 3, 6, 10, 20)] == [3, 6, 10, 20, None]
    assert pages.asked == ["/BATbursts/1423875/bascript/top.html"] * 5
    [told] = [m for m in workspace.messages if "BAT analysis" in m["text"]]
    assert told["edits"] == 1
    assert told["thread_ts"] == workspace.messages[0]["ts"]
    assert "1.220e-07" in str(told["blocks"])


def test_a_page_of_another_form_is_reported_to_the_operators_once(house, site, workspace) -> None:
    pages, options = site
    pages.answers += [STRANGE, STRANGE, EARLY]
    for minutes in (3, 6, 10):
        house(minutes, options)
    assert [m["channel"] for m in workspace.messages if "its format may have changed" in m["text"]] == ["C-OPS"]
    assert any("BAT analysis" in m["text"] for m in workspace.messages)


def test_a_server_that_is_away_costs_a_look_and_nothing_else(house, workspace) -> None:
    options = RevisitOptions(bat_page=True, bat_url="http://127.0.0.1:1/{id}")
    assert house(359, options) == 360
    assert house(360, options) is None
    assert not any("BAT analysis" in m["text"] for m in workspace.messages)


def test_by_default_no_page_is_read_and_a_missing_xrt_is_said_once(house, site, workspace) -> None:
    pages, on = site
    options = RevisitOptions(bat_url=on.bat_url)
    assert [house(minutes, options) for minutes in (1, 10, 11)] == [10, None, None]
    assert pages.asked == []
    [said] = [m["text"] for m in workspace.messages if "no XRT position" in m["text"]]
    assert said.startswith("Swift 1423875: no XRT position 10 min 0 s after the trigger")


def test_an_xrt_that_came_is_not_missed(house, workspace) -> None:
    house.hear(alerts.grb("XRT", seconds=80, error_deg=0.0014))
    assert house(10, RevisitOptions()) is None
    assert not any("no XRT" in m["text"] for m in workspace.messages)


def test_a_retracted_burst_is_left_alone(house, site) -> None:
    from dataclasses import replace

    pages, options = site
    withdrawn = alerts.grb("BAT", seconds=300, retraction=True, alert_type="RETRACTION")
    house.hear(replace(withdrawn, sha256="r" * 64))
    assert house(3, options) is None
    assert pages.asked == []


def test_only_a_new_burst_of_swift_is_looked_at_again(tmp_path, store, monkeypatch) -> None:
    sent = []
    monkeypatch.setattr(revisits, "emit_event", lambda **event: sent.append(event["payload"]))
    for alert in (alerts.grb("BAT"), alerts.grb("XRT", seconds=90), alerts.grb("GBM", mission="Fermi"), alerts.gw()):
        revisits.schedule_first_look.fn(alert, registration.register.fn(alert, home=Home(root=tmp_path)))
    assert sent == [{"event_id": "Swift_1423875"}]
