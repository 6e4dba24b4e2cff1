"""Bursts from their notices to their thread: any order, one event, one top message; links; retractions; tests."""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from slack_sdk import WebClient
from support import alerts
from support import slack as stand_in

from tasks import registry, resources
from tasks.alerts import registration
from tasks.io.messages import slack_sender
from tasks.io.notices import parsing
from tasks.messages import announcements, event_page
from tasks.records import Alert, Audience, Decision, Home, PlanMode
from tasks.records.events import Registered
from tasks.registry import delivery

CHANNELS = {Audience.GW: "C-GW", Audience.GRB: "C-GRB", Audience.TEST: "C-TEST", Audience.OPERATORS: "C-OPS"}
XRT = {"seconds": 80, "error_deg": 0.0014, "ra_deg": 330.21}
UVOT = {"seconds": 120, "error_deg": 0.0003, "ra_deg": 330.211, "magnitude": 17.31}


class House:
    """Responds to notices as the flow does, and reads what Slack shows."""

    def __init__(self, root: Path, store: registry.Registry, workspace: stand_in.Workspace) -> None:
        self.root, self.store, self.workspace = root, store, workspace
        client = WebClient(token=stand_in.TOKEN, base_url=workspace.url, timeout=5, retry_handlers=[])
        self.sender = slack_sender.SlackSender(client, CHANNELS)

    def hear(self, alert: Alert) -> Registered:
        registered = registration.register.fn(alert, home=Home(root=self.root))
        announcements.announce.fn(alert, verdict(), registered, home=Home(root=self.root))
        delivery.drain_messages(self.store, self.sender.send)
        return registered

    def hear_bytes(self, payload: bytes, topic: str | None = None) -> Registered:
        parsed = parsing.parse(payload, topic=topic)
        return self.hear(Alert(notice=parsed.notice, sha256=hashlib.sha256(payload).hexdigest()))

    @property
    def tops(self) -> list[dict]:
        return [message for message in self.workspace.messages if message["thread_ts"] is None]

    @property
    def top(self) -> str:
        [top] = self.tops
        return str(top["blocks"])

    @property
    def replies(self) -> list[str]:
        return [str(m["blocks"]) for m in self.workspace.messages if m["thread_ts"] is not None]


def verdict() -> Decision:
    return alerts.decision("NO", score=1, audience=Audience.GRB, plan=PlanMode.NO, reasons=())


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    with resources.registry(Home(root=folder)):
        return folder / "registry.sqlite"


@pytest.fixture
def house(tmp_path: Path, empty: Path) -> Iterator[House]:
    root = tmp_path / "alerts"
    root.mkdir()
    shutil.copyfile(empty, root / "registry.sqlite")
    with stand_in.workspace() as workspace, resources.registry(Home(root=root)) as store:
        yield House(root, store, workspace)


@pytest.mark.parametrize("order", list(itertools.permutations(("BAT", "XRT", "UVOT"))), ids="-".join)
def test_bat_xrt_and_uvot_make_one_thread_with_the_same_top_in_every_order(house, order) -> None:
    kinds = {
        "BAT": alerts.grb("BAT", flags=("Def_NOT_a_GRB",)),
        "XRT": alerts.grb("XRT", **XRT),
        "UVOT": alerts.grb("UVOT", **UVOT),
    }
    for name in order:
        house.hear(kinds[name])
        assert len(house.tops) == 1
    top = house.top
    for fact in ("22:00:50.64", "(UVOT)", "17.31", "22.0 \u03c3", "0.256 s", "Def_NOT_a_GRB", "3.6\u2033 from the XRT"):
        assert fact in top
    assert "check before pointing" not in top
    assert len(house.replies) == 2
    assert registration.load_event.fn("Swift_1423875", home=Home(root=house.root)).located == kinds["UVOT"]


def test_bat_alone_is_announced_and_xrt_completes_it(house) -> None:
    house.hear(alerts.grb("BAT"))
    assert "3.0\u2032 (BAT)" in house.top
    house.hear(alerts.grb("XRT", **XRT))
    assert "5.0\u2033 (XRT)" in house.top
    house.hear(alerts.grb("XRT", seconds=200, error_deg=0.0008, ra_deg=330.2112))
    assert "330.21120°" in house.top
    assert "22:00:50.69" in house.replies[-1]


def test_the_real_files_warn_of_an_xrt_position_outside_bats_error(house, shared_data) -> None:
    for name in ("swift_bat_type61.xml", "swift_xrt_type67.xml"):
        house.hear_bytes((shared_data / "notices" / name).read_bytes())
    assert "102.6° from the BAT position, outside its error: check before pointing" in house.top
    assert "102.6°" in house.replies[-1]


def test_four_gbm_files_are_one_event_whose_newest_position_wins(house, shared_data) -> None:
    folder = shared_data / "notices" / "gcn-schema"
    files = [folder / f"fermi-gbm-trigger.{name}.json" for name in ("alert", "flight1", "ground1", "final")]
    registered = [house.hear_bytes(path.read_bytes()) for path in files]
    assert len({each.slug for each in registered}) == 1
    final = parsing.parse(files[-1].read_bytes()).notice
    assert f"{final.ra_deg:.5f}°" in house.top
    assert len(house.tops) == 1


def test_svom_slews_and_mxt_before_the_trigger_find_their_place(house, shared_data) -> None:
    folder = shared_data / "notices" / "gcn-schema"
    slew, wakeup = (
        parsing.parse((folder / f"svom-eclairs-trigger.{name}.json").read_bytes()).notice
        for name in ("slewing", "wakeup")
    )
    wakeup_alert = Alert(notice=wakeup, sha256="w" * 64)
    created = (wakeup.time_created or wakeup.time).timestamp()
    mxt = alerts.grb("MXT", mission=wakeup.mission, event_id=wakeup.event_id, error_deg=0.02, ra_deg=12.0, dec_deg=3.0)
    mxt = Alert(notice=replaced(mxt, created + 180, wakeup.time), sha256="m" * 64)
    slewing = Alert(notice=replaced(Alert(notice=slew, sha256=""), created + 60, wakeup.time), sha256="s" * 64)
    for alert in (slewing, mxt, wakeup_alert):
        house.hear(alert)
    top = house.top
    assert "12.00000°" in top
    assert "(MXT)" in top
    assert re.search(r"Slew\*.{1,4}accepted", top)
    assert len(house.replies) == 2


def replaced(alert: Alert, created: float, time):
    from dataclasses import replace
    from datetime import UTC, datetime

    return replace(alert.notice, time_created=datetime.fromtimestamp(created, UTC), time=time)


def test_two_missions_and_a_merger_of_one_moment_are_linked_and_told_once(house) -> None:
    swift = alerts.grb("BAT")
    fermi = alerts.grb("GBM", seconds=9, mission="Fermi", event_id="787", error_deg=4.0, containment=0.68)
    merger = alerts.gw("S251214a", time=swift.notice.time, maps=False)
    for alert in (swift, fermi, merger, fermi, swift):
        house.hear(alert)
    tops = {message["text"].split(" ")[0]: str(message["blocks"]) for message in house.tops}
    assert "Possibly the same source as* Fermi 787, S251214a" in tops["Swift"]
    assert "Possibly the same source as* Swift 1423875, S251214a" in tops["Fermi"]
    assert "Possibly the same source as* Swift 1423875, Fermi 787" in tops["S251214a"]
    assert sum("may be the same" in reply for reply in house.replies) == 3
    assert (
        "Linked with Fermi_787" in event_page.publish_page.fn("Swift_1423875", home=Home(root=house.root)).read_text()
    )


@pytest.mark.parametrize("given", [2.0, -2.0, None], ids=str)
@pytest.mark.parametrize("late_s", [1.74, -1.74])
def test_a_coincidences_order_is_that_of_the_two_times_whatever_the_sign_given(house, given, late_s) -> None:
    burst = alerts.grb("GBM", mission="Fermi", event_id="787", error_deg=4.0)
    found = replace(alerts.coincidence(), time_difference_s=given)
    merger = alerts.gw("S251214a", time=burst.notice.time - timedelta(seconds=late_s), maps=False, coincidence=found)
    house.hear(merger)
    alone = "2.00 s apart as given" if given else "Coincidence with Fermi GRB*\\n"
    assert alone in house.top
    house.hear(burst)
    order = "after" if late_s > 0 else "before"
    [top] = [str(message["blocks"]) for message in house.tops if message["text"].startswith("S251214a")]
    assert f"1.74 s {order} the merger" in top
    assert (
        f"1.74 s {order} the merger" in event_page.publish_page.fn("S251214a", home=Home(root=house.root)).read_text()
    )


def test_an_unrelated_burst_is_not_linked(house) -> None:
    house.hear(alerts.grb("BAT"))
    house.hear(alerts.grb("GBM", mission="Fermi", event_id="787", error_deg=4.0, dec_deg=60.0))
    house.hear(alerts.grb("BAT", mission="Fermi", event_id="788", error_deg=4.0, test=True))
    assert "Perhaps" not in str(house.tops)


def test_a_follow_up_is_linked_with_the_event_it_follows(house) -> None:
    house.hear(alerts.gw())
    house.hear(alerts.grb("", mission="IceCube", event_id="1", follow_up_event="S241102br"))
    assert "follows S241102br" in str(house.replies)


def test_what_icecube_finds_on_an_event_stands_in_its_thread_and_on_its_page(house, shared_data) -> None:
    """Kind: what is found later about an event never reached its page."""
    home = Home(root=house.root)
    merger = alerts.gw("S260115cx")
    registered = house.hear(merger)
    event_page.publish_picture_and_page.fn(merger, None, registered, None, home)
    payload = (shared_data / "field" / "icecube_lvk_for_S260115cx.json").read_bytes()
    search = Alert(notice=parsing.parse(payload).notice, sha256=hashlib.sha256(payload).hexdigest())
    registered = house.hear(search)
    [page] = house.root.glob("events/S260115cx/index.html")
    assert "neutrinos" not in page.read_text(encoding="utf-8")
    event_page.publish_picture_and_page.fn(search, None, registered, None, home)

    words = "2 neutrinos, p = 0.0004 (generic), 0.0549 (Bayesian): +12.9 s at 17.48, +16.15 ± 0.5°"
    assert words in " ".join(house.replies)
    assert words in page.read_text(encoding="utf-8")


def test_a_burst_is_retracted_by_json_and_by_a_voevents_citation(house, shared_data) -> None:
    bat = (shared_data / "notices" / "swift_bat_type61.xml").read_bytes()
    house.hear_bytes(bat)
    cite = (
        b'<Citations><EventIVORN cite="retraction">ivo://nasa.gsfc.gcn/SWIFT#x</EventIVORN></Citations></voe:VOEvent>'
    )
    withdrawn = bat.replace(b"</voe:VOEvent>", cite).replace(b"<Date>2025-12-14T09:", b"<Date>2025-12-14T10:")
    registered = house.hear_bytes(withdrawn)
    assert registered.standing == "retraction"
    assert house.tops[0]["text"].startswith("RETRACTED")
    assert "actions" not in {block["type"] for block in house.tops[0]["blocks"]}
    assert house.workspace.messages[-1]["broadcast"]
    guano = (shared_data / "notices" / "gcn-schema" / "swift-bat-Guano.Retraction.json").read_bytes()
    assert house.hear_bytes(guano).standing == "retraction"
    assert house.tops[-1]["channel"] == "C-OPS"


@pytest.mark.parametrize("tense", [b'"test"', b'"injection"'])
def test_tests_reach_only_the_test_channel(house, shared_data, tense: bytes) -> None:
    bat = (shared_data / "notices" / "swift_bat_type61.xml").read_bytes()
    house.hear_bytes(re.sub(rb'role="[a-z]*"', b'role="test"', bat, count=1))
    gbm = (shared_data / "notices" / "gcn-schema" / "fermi-gbm-trigger.final.json").read_bytes()
    house.hear_bytes(re.sub(rb'("alert_tense": )"[a-z]*"', rb"\1" + tense, gbm))
    assert {message["channel"] for message in house.workspace.messages} == {"C-TEST"}
    assert all("TEST" in message["text"] for message in house.tops)
