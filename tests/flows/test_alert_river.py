"""Notices through the flow ``respond``: real ones, a simulated one with gwemopt, a real WebDAV server, Slack's stand-in."""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from support import simulated, webdav
from support import slack as stand_in

from blocks import Observatory, ProductStore, SlackWorkspace
from flows.alerts.plan import plan
from flows.alerts.respond import respond
from tasks import resources
from tasks.options import PlanOptions
from tasks.records import LOCAL, Blocks, Home
from tasks.records.events import Standing

NATIVE = PlanOptions(engine="siren", tiles=5, hours=12.0)
TELESCOPES = ("7DT", "TCH", "TRE")


@pytest.fixture(scope="module")
def root(prefect_api, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("river") / "alerts"
    Observatory(alert_root=str(folder)).save("observatory", overwrite=True)
    logging.getLogger("prefect").setLevel(logging.WARNING)
    return folder


def stored(root: Path, payload: bytes) -> tuple[Path, str]:
    sha256 = hashlib.sha256(payload).hexdigest()
    path = root / "notices" / "2026-01-15" / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)
    return path, sha256


def answer(root: Path, payload: bytes, *, options: PlanOptions | None = NATIVE, blocks: Blocks = LOCAL, **choices):
    """Respond to a notice, and plan what its decision asks for; no ``options``: plan nothing. Return the response."""
    path, sha256 = stored(root, payload)
    response = respond(path, sha256, blocks=blocks, **choices)
    if response.to_plan and options:
        plan(response.event_id, response.to_plan, options=options, clock=choices.get("clock"), blocks=blocks)
    return response


def test_every_real_notice_is_answered_and_none_stops_the_next(root, shared_data):
    files = sorted((shared_data / "notices").rglob("*.json")) + sorted((shared_data / "notices").rglob("*.xml"))
    answers = {path.name: answer(root, path.read_bytes(), options=None) for path in files}

    assert len(answers) == 23
    assert {name for name, each in answers.items() if each.rejected} == set()
    assert all(each.page.is_file() for each in answers.values())
    assert answers["S241126dm-retraction.json"].registered.standing is Standing.RETRACTION
    events = {each.event_id for each in answers.values()}
    assert {"S241102br", "S250910b", "S241004ap", "S241126dm", "Swift_1423875", "SVOM_sb25120806"} <= events


def test_the_same_notice_again_changes_nothing_that_is_right(root, shared_data):
    payload = (shared_data / "notices" / "S250910b-earlywarning.json").read_bytes()
    answer(root, payload)
    with resources.registry(Home(root=root)) as registry:
        before = registry.history("S250910b")

    answer(root, payload)

    with resources.registry(Home(root=root)) as registry:
        after = registry.history("S250910b")
    assert after.messages == before.messages
    assert after.plans == before.plans
    assert len(after.notices) == len(before.notices)


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff\xfe", b"[]", b"<a/>", b"{" * 1000])
def test_what_is_no_notice_becomes_a_dead_letter_with_its_reason(root, payload):
    made = answer(root, payload)

    assert made.rejected
    assert made.dead_letter.read_bytes() == payload
    assert json.loads(Path(f"{made.dead_letter}.json").read_bytes())["reason"] == made.rejected


@pytest.fixture(scope="module")
def outside(root, tmp_path_factory):
    """A real WebDAV server and Slack's stand-in, named by blocks."""
    with webdav.server(tmp_path_factory.mktemp("cloud")) as cloud, stand_in.workspace() as workspace:
        SlackWorkspace(
            token=SecretStr(stand_in.TOKEN), url=workspace.url, channel_gw="C-GW", channel_operators="C-OPS"
        ).save("slack-here", overwrite=True)
        ProductStore(url=cloud.url, user=webdav.USER, password=SecretStr(webdav.PASSWORD), root="Team").save(
            "store-here", overwrite=True
        )
        yield cloud, workspace


def test_a_simulated_alert_is_planned_with_gwemopt_announced_and_uploaded(root, outside, tmp_path):
    cloud, workspace = outside
    truth = simulated.make_alert(tmp_path / "alert", ra_deg=110.0, dec_deg=-30.0, seed=3)
    payload = (tmp_path / "alert" / "notice.json").read_bytes()
    blocks = Blocks(registry="", slack="slack-here", store="store-here")
    when = datetime(2026, 1, 15, 23, 0, tzinfo=UTC)

    wanted = PlanOptions(tiles=10, hours=12.0)
    made = answer(root, payload, telescopes=TELESCOPES, options=wanted, clock=when, blocks=blocks)

    assert made.decision.action == "GO"
    assert made.to_plan == TELESCOPES
    with resources.registry(Home(root=root)) as registry:
        [entry] = registry.history(made.event_id).plans
    assert [each.telescope for each in entry.plans] == list(TELESCOPES)
    for each in entry.plans:
        assert each.engine == "gwemopt"
        assert 0 < len({tile.id for tile in each.tiles}) == len(each.tiles) <= 10
        assert 0 < each.probability <= 1
    [top] = [each for each in workspace.messages if not each.get("thread_ts") and made.event_id in each["text"]]
    assert made.event_id in top["text"]
    assert top["edits"] >= 1, "the top message tells of the plans once they are there"
    assert len(workspace.thread(top["ts"])) >= 3, "why, and the plans, are told in the thread"
    [shown] = [each for each in workspace.thread(top["ts"]) if "Sky map" in each["text"]]
    assert workspace.messages.index(shown) > workspace.messages.index(top) + 1, "words do not wait for the picture"
    [small] = [block["accessory"]["slack_file"]["id"] for block in top["blocks"] if "accessory" in block]
    assert small == shown["files"][0]["id"], "the top message shows the map, small"
    names = {Path(name).name for name in cloud.files()}
    assert {"plan.json", "ALL.txt", "coverage.png", "tiles_7DT.txt", "index.html", "skymap-gw.fits"} <= names
    assert (root / "events" / made.event_id / "index.html").is_file()
    assert truth


def test_a_second_answer_posts_and_uploads_nothing_new(root, outside, tmp_path):
    cloud, workspace = outside
    simulated.make_alert(tmp_path / "alert", ra_deg=110.0, dec_deg=-30.0, seed=4)
    payload = (tmp_path / "alert" / "notice.json").read_bytes()
    where = {"blocks": Blocks(registry="", slack="slack-here", store="store-here"), "telescopes": ("TCH",)}
    answer(root, payload, **where)
    messages = len(workspace.messages)
    files = set(cloud.files())

    answer(root, payload, **where)

    assert len(workspace.messages) == messages
    assert set(cloud.files()) == files
