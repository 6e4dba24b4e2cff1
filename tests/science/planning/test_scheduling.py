"""The native engine: distinct tiles, no overlap in time, joint telescopes, reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from support import plans

from tasks.options import PlanOptions
from tasks.records import Exposure, FieldOfView, Limits, Mount, Plan, Site, SkyMap, Telescope
from tasks.science.astrometry import directions
from tasks.science.planning import observable_tiles, tile_scheduler, visibility
from tasks.science.skymaps import footprints, healpix


def made(
    telescopes: Sequence[Telescope], *, sky_map: SkyMap | None = None, hours: float = 24.0, tiles: int = 12, **more
) -> tuple[Plan, ...]:
    window = plans.window(hours, more.pop("start", plans.START))
    options = PlanOptions(tiles=tiles, engine="siren", **more)
    survey = observable_tiles.survey(sky_map or plans.sky_map(), telescopes, window, options)
    slots = tile_scheduler.schedule(survey.prospects, survey.targets, options)
    return tile_scheduler.plans(survey.prospects, slots, survey.along, window, event_id="S1", engine="siren")


def test_as_many_distinct_tiles_as_were_asked() -> None:
    (plan,) = made([plans.telescope()])
    assert len({tile.id for tile in plan.tiles}) == 12
    assert plan.reason == ""


def test_the_timeline_leaves_room_for_slew_readout_and_settling() -> None:
    telescope = plans.telescope(mount=Mount(slew_deg_per_s=0.05, settle_s=3.0))
    (plan,) = made([telescope])
    for before, after in zip(plan.tiles, plan.tiles[1:], strict=False):
        slew = SkyCoord(before.ra_deg * u.deg, before.dec_deg * u.deg).separation(
            SkyCoord(after.ra_deg * u.deg, after.dec_deg * u.deg)
        )
        pause = (after.start - before.start).total_seconds() - telescope.block_s
        assert pause >= max(slew.deg / 0.05, 8.0) + 3.0 - 2e-3


def test_every_tile_is_dark_high_and_clear_of_the_moon_from_beginning_to_end() -> None:
    telescope = plans.telescope()
    (plan,) = made([telescope], tiles=40)
    for tile in plan.tiles:
        for second in (0.0, telescope.block_s):
            sky = visibility.over(telescope.site, tile.start.timestamp() + second)
            point = directions.unit_vectors([tile.ra_deg], [tile.dec_deg])
            assert sky.sun_altitude_deg[0] < -11.99
            assert visibility.altitudes(sky, point)[0, 0] >= 29.99
            assert visibility.observable(sky, point, telescope.limits)[0, 0]


def test_the_strongest_tile_comes_first_where_all_can_be_seen() -> None:
    (plan,) = made([plans.telescope()], start=datetime(2026, 1, 16, 4, tzinfo=UTC))
    assert plan.tiles[0].probability == max(tile.probability for tile in plan.tiles)


def test_probability_and_area_are_those_of_the_union_not_of_the_sum() -> None:
    (plan,) = made([plans.telescope()], tiles=30)
    telescope = plans.telescope()
    points_inside = np.zeros(12 * 256**2, dtype=bool)
    pixels = np.arange(12 * 256**2)
    centres = directions.unit_vectors(*healpix.centre_of(pixels, 8))
    for tile in plan.tiles:
        points_inside |= footprints.inside(centres, tile.ra_deg, tile.dec_deg, telescope.field_of_view)
    assert plan.area_deg2 == pytest.approx(points_inside.mean() * footprints.SPHERE_DEG2, rel=0.03)
    assert plan.probability < sum(tile.probability for tile in plan.tiles)
    assert plan.probability <= 1


def test_equal_telescopes_share_the_tiles_instead_of_repeating_them() -> None:
    first, second = made([plans.telescope("A"), plans.telescope("B")], tiles=8, second_look=0.0)
    assert not {tile.id for tile in first.tiles} & {tile.id for tile in second.tiles}


def test_a_telescope_takes_a_second_look_when_nothing_new_is_left() -> None:
    wide = plans.telescope("Wide", field_of_view=FieldOfView(width_deg=12.0, height_deg=12.0))
    narrow = plans.telescope("Narrow")
    covering, looking = made([narrow, wide], sky_map=plans.sky_map(error_deg=1.5), tiles=4)[::-1]
    assert covering.probability > 0.98
    assert len(looking.tiles) == 4


def test_the_order_in_which_telescopes_are_named_does_not_matter() -> None:
    one, other = plans.telescope("A"), plans.telescope("B", field_of_view=FieldOfView(width_deg=2.0, height_deg=2.0))
    forward = made([one, other], tiles=6)
    backward = made([other, one], tiles=6)
    assert forward == backward[::-1]


@pytest.mark.parametrize(
    ("changes", "dec_deg", "hours", "word"),
    [
        ({}, 75.0, 24.0, "altitude"),
        ({"limits": Limits(declination_deg=(0.0, 90.0))}, -30.0, 24.0, "declination"),
        ({}, -30.0, 0.5, "Sun"),
        ({"limits": Limits(moon_distance_deg=180.0)}, -30.0, 24.0, "Moon"),
        ({"limits": Limits(minimum_observable_h=15.0)}, -30.0, 24.0, "window"),
        ({"exposure": Exposure(seconds=40_000.0, filter="r")}, -30.0, 24.0, "window"),
    ],
)
def test_nothing_observable_gives_a_reason(changes, dec_deg: float, hours: float, word: str) -> None:
    start = datetime(2026, 1, 15, 16, tzinfo=UTC) if word == "Sun" else plans.START
    if word == "Moon":
        start, hours = datetime(2026, 1, 31, 3, tzinfo=UTC), 3.0
    (plan,) = made([plans.telescope(**changes)], sky_map=plans.sky_map(dec_deg=dec_deg), hours=hours, start=start)
    assert plan.tiles == ()
    assert plan.reason.startswith(word)
    assert plan.probability == 0
    assert sum(plan.not_taken.values()) > 0


def test_a_grid_that_does_not_reach_the_region_says_so() -> None:
    telescope = plans.telescope()
    southern = replace(telescope, tiling=replace(telescope.tiling, count=50))
    (plan,) = made([southern])
    assert plan.reason.startswith("region")


def test_what_another_engine_chose_is_kept_and_the_rest_is_filled_up() -> None:
    telescope, options = plans.telescope(), PlanOptions(tiles=6)
    survey = observable_tiles.survey(plans.sky_map(), [telescope], plans.window(), options)
    (slots,) = tile_scheduler.schedule(survey.prospects, survey.targets, options, {telescope.name: (7, 3, 7)})
    assert [slot.row for slot in slots[:2]] == [7, 3]
    assert len({slot.row for slot in slots}) == 6


def test_a_site_without_night_in_the_window_is_told_apart() -> None:
    polar = plans.telescope(site=Site(latitude_deg=80.0, longitude_deg=0.0, elevation_m=0.0))
    (plan,) = made([polar], start=datetime(2026, 6, 20, tzinfo=UTC))
    assert plan.reason.startswith("Sun")
    assert plan.end - plan.start == timedelta(hours=24)
