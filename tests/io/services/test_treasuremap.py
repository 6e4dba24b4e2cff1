"""The Treasure Map, against a test server that follows its documentation."""

from __future__ import annotations

import math

import pytest
from pydantic import SecretStr
from support import treasuremap as stand_in

from blocks import TreasureMap
from tasks.errors import Unavailable, UnusableData
from tasks.io.services import treasuremap


@pytest.fixture
def site():
    with stand_in.server() as held:
        yield held


def ask(site, token=stand_in.TOKEN):
    block = TreasureMap(token=SecretStr(token), url=site.url)
    return treasuremap.completed(block.client(), block.url, "S240422ed")


def test_completed_pointings_come_with_name_and_footprint(site):
    site.point(10.5, -20.25)
    site.point(350.0, 5.0)
    site.point(11.0, -21.0, status="planned")
    [one] = ask(site)
    assert one.by == "CAM (Treasure Map)"
    assert one.centres_deg == ((10.5, -20.25), (350.0, 5.0))
    assert one.footprint == (((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)),)
    assert "graceid=S240422ed" in site.asked[0]


def test_a_turned_camera_has_a_turned_footprint(site):
    site.footprints["10"] = "POLYGON ((0 0, 1 0, 1 2, 0 0))"
    site.point(10.0, 0.0, pos_angle=90.0)
    [one] = ask(site)
    # north goes to east, east to south
    expected = [(0, 0), (0, -1), (2, -1)]
    assert all(math.dist(*pair) < 1e-12 for pair in zip(one.footprint[0], expected, strict=True))


def test_an_instrument_without_footprint_and_a_place_that_is_none_are_left_out(site):
    site.footprints.clear()
    site.point(10.0, 0.0)
    site.point(10.0, 0.0, position="somewhere")
    assert ask(site) == ()


def test_trouble_is_said_without_the_token(site):
    site.status = 503
    with pytest.raises(Unavailable, match="answers 503"):
        ask(site)
    with pytest.raises(UnusableData, match="refuses: 401"):
        ask(site, token="another")
    away = TreasureMap(token=SecretStr(stand_in.TOKEN), url="http://127.0.0.1:9/api")
    with pytest.raises(Unavailable) as told:
        treasuremap.completed(away.client(), away.url, "S1")
    assert stand_in.TOKEN not in str(told.value)
