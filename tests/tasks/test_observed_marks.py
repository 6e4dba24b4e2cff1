"""Tiles are marked as observed by a night that observed them, and by people who say so."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from support import alerts

from deployments import cli
from tasks import naming, products, resources
from tasks.errors import UnusableData
from tasks.follow import observed_tiles
from tasks.io.nights import stage_results
from tasks.records import Calibrated, Frame, FrameType, Home, Places, Plan, Stage, StageResult, Tile
from tasks.registry import plans
from tasks.registry.store import now

NIGHT = date(2024, 11, 2)


@pytest.fixture
def root(tmp_path):
    alert = alerts.gw()
    tiles = tuple(
        Tile(id=name, ra_deg=number, dec_deg=-30.0) for number, name in enumerate(("T00007", "T00123", "T00200"))
    )
    plan = Plan(event_id="S241102br", telescope="7DT", engine="siren", tiles=tiles)
    with resources.registry(Home(root=tmp_path)) as book:
        book.record_alert(alert)
        with book.begin() as session:
            plans.record(session, alerts.request(alert), (plan,), now=now())
    return tmp_path


def light(name: str, hours: float) -> Calibrated:
    path = Path(f"{name}.fits")
    taken = alerts.T0 + timedelta(hours=hours)
    frame = Frame(path=path, type=FrameType.LIGHT, unit="7DT01", date_obs=taken, exposure_s=100.0, object=name)
    return Calibrated(frame=frame, image=path, variance=path, mask=path)


def states(root) -> dict[str, str]:
    with resources.registry(Home(root=root)) as book, book.read() as session:
        return plans.tiles_of(session, "S241102br", "7DT")


def test_a_night_marks_the_tiles_whose_lights_were_taken_after_the_event(root):
    lights = (light("T00123", 5), light("T00007", -5), light("200", 6), light("NGC253", 6))
    result = StageResult(stage=Stage.CALIBRATE, unit="7DT01", night=NIGHT, seconds=1.0, calibrated=lights)
    file = naming.NightTree(root=root).stage("7DT01", NIGHT, Stage.CALIBRATE)
    products.write_bytes(file, stage_results.stage_bytes(result))
    places = Places(**dict.fromkeys(
        ("raw_root", "product_root", "alert_root", "references", "astrometric_catalogue", "photometric_catalogue"), root
    ))  # fmt: skip

    assert set(observed_tiles.mark_night.fn("S241102br", NIGHT, places, home=Home(root=root))) == {"T00123", "T00200"}
    assert states(root) == {"T00007": "planned", "T00123": "observed", "T00200": "observed"}
    assert observed_tiles.mark_night.fn("S241102br", NIGHT, places, home=Home(root=root)) == ()


def test_the_verb_marks_what_a_telescope_reports(root, capsys):
    where = ["--telescope", "7DT", "--registry", f"sqlite:///{root / 'registry.sqlite'}", "--json"]
    assert cli.run(["observed", "S241102br", "T00123", "T00007", *where]) == 0
    assert json.loads(capsys.readouterr().out)["observed"] == ["T00123", "T00007"]
    assert states(root)["T00200"] == "planned"
    assert cli.run(["observed", "S241102br", "T9", *where]) == 2
    assert "there are T00007, T00123, T00200" in json.loads(capsys.readouterr().out)["rejected"]


def test_an_event_that_nobody_knows_is_refused(root):
    with resources.registry(Home(root=root)) as book, pytest.raises(UnusableData, match="no event 'S1'"):
        observed_tiles.mark(book, "S1", "7DT", ("T00123",))
