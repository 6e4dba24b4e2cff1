"""A second plan leaves out observed tiles, with both engines, and fields that others observed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from support import alerts
from support import treasuremap as stand_in

from blocks import TreasureMap
from tasks import telescopes
from tasks.follow import observed_tiles
from tasks.options import PlanOptions
from tasks.planning import aims, tile_plans
from tasks.records import EventInHand, MapRole
from tasks.records.events import EventState, Registered, Standing
from tasks.records.plans import NONE_OBSERVED, Already, Observed
from tasks.science.planning import plan_diff
from tasks.science.skymaps import credible_regions as maps
from tasks.science.skymaps import footprints

EVENING = datetime(2024, 11, 2, 17, tzinfo=UTC)


@pytest.fixture
def update(shared_data):
    return shared_data / "notices" / "S241102br-update.json"


def plan(source, engine, done=NONE_OBSERVED, names=("TCA",)):
    options = PlanOptions(engine=engine, tiles=8)
    return tile_plans.make_plans.fn(source, names, options, "S241102br", EVENING, done=done, priority=90)


def seen(made, count):
    tiles = made.tiles[:count]
    return Observed(
        by=made.telescope,
        telescope=made.telescope,
        tiles=tuple(tile.id for tile in tiles),
        centres_deg=tuple((tile.ra_deg, tile.dec_deg) for tile in tiles),
    )


@pytest.mark.parametrize("engine", ["siren", "gwemopt"])
def test_observed_tiles_are_neither_planned_again_nor_counted(update, engine):
    [first] = plan(update, engine)
    done = Already(observed=(seen(first, 4),))
    [second] = plan(update, engine, done)

    before = {tile.id for tile in first.tiles[:4]}
    assert not before & {tile.id for tile in second.tiles}
    assert second.not_taken["already observed by this telescope"] == 4
    assert second.remarks[0].startswith("already observed: fields of TCA 4;")
    assert second.priority == 90
    # what both hold together is no more than the map has
    aim = aims.read_aim(update)
    view = telescopes.load("TCA").field_of_view
    spent = sum(
        footprints.probability(footprints.field_ranges(*centre, view), footprints.curve(aim.sky_map))
        for centre in done.observed[0].centres_deg
    )
    assert 0 < second.probability <= 1 - spent + 0.05
    [change] = plan_diff.between([first], [second], observed={"TCA": frozenset(before)})
    assert {tile.id for tile in change.observed} == before
    assert not before & {tile.id for kind in (change.keep, change.add, change.drop) for tile in kind}


def test_what_another_telescope_covered_is_worth_nothing_any_more(update):
    wide = Observed(by="CAM (Treasure Map)", centres_deg=peak(update), footprint=(square(60),))
    [empty] = plan(update, "siren", Already(observed=(wide,)))
    assert empty.tiles == ()
    assert "outside what is observed already" in empty.reason


def test_the_fingerprint_changes_with_what_is_observed(update):
    [made] = plan(update, "siren")
    options = PlanOptions()
    plain = tile_plans.fingerprint(("TCA",), options)
    assert tile_plans.fingerprint(("TCA",), options, Already()) == plain
    assert tile_plans.fingerprint(("TCA",), options, Already(observed=(seen(made, 1),))) != plain


def test_the_joint_numbers_of_the_files_leave_out_what_was_observed(update, tmp_path):
    [first] = plan(update, "siren")
    tile_plans.write_plans.fn((first,), update, tmp_path / "a")
    tile_plans.write_plans.fn((first,), update, tmp_path / "b", Already(observed=(seen(first, 8),)))
    assert '"probability": 0.0,' in (tmp_path / "b" / "plan.json").read_text()
    assert '"probability": 0.0,' not in (tmp_path / "a" / "plan.json").read_text()[:200]


@pytest.mark.usefixtures("prefect_api")
def test_others_are_asked_only_where_that_is_wanted_and_never_waited_for():
    alert = alerts.gw()
    registered = Registered(slug="S241102br", standing=Standing.FIRST, state=EventState.OPEN, number=1)
    own = (Observed(by="7DT", telescope="7DT", tiles=("T1",), centres_deg=((1.0, 2.0),)),)
    event = EventInHand(alert=alert, registered=registered, located=alert, observed=own)
    wish = PlanOptions(treasure_map=True)
    with stand_in.server() as site:
        site.point(123.0, -30.0)
        TreasureMap(token=SecretStr(stand_in.TOKEN), url=site.url).save("treasures-here", overwrite=True)
        assert observed_tiles.already.fn(event, PlanOptions(), "treasures-here") == Already(observed=own)
        assert site.asked == []
        both = observed_tiles.already.fn(event, wish, "treasures-here")
        assert [each.by for each in both.observed] == ["7DT", "CAM (Treasure Map)"]
        site.status = 503
        away = observed_tiles.already.fn(event, wish, "treasures-here")
    assert away.observed == own
    assert away.remarks == ("the Treasure Map was not asked: the Treasure Map answers 503",)
    nothing = observed_tiles.already.fn(event, PlanOptions(subtract_observed=False), "treasures-here")
    assert nothing == Already()


def square(half_deg):
    return ((-half_deg, -half_deg), (half_deg, -half_deg), (half_deg, half_deg), (-half_deg, half_deg))


def peak(source):
    summary = maps.summary(aims.read_aim(source).sky_map, MapRole.GW)
    return ((summary.peak_ra_deg, summary.peak_dec_deg),)
