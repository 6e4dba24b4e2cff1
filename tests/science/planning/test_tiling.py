"""Grids and the tiles that meet a region."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from support import plans

from tasks import telescopes
from tasks.records import FieldOfView, Tiling
from tasks.science.astrometry import directions
from tasks.science.planning import tiling
from tasks.science.skymaps import footprints, regions


def test_the_generated_7dt_grid_is_the_one_in_use(shared_data) -> None:
    real = Table.read(shared_data / "sevendt" / "skygrid.fits")
    telescope = telescopes.load("7DT")
    grid = tiling.rings(telescope)
    np.testing.assert_allclose(grid.ra_deg, real["ra"], atol=1e-9)
    np.testing.assert_allclose(grid.dec_deg, real["dec"], atol=1e-9)
    assert [grid.name(row, telescope) for row in (0, 28519)] == ["T00000", "T28519"]


@pytest.mark.parametrize("side", [4.2, 1.0])
def test_a_generated_grid_leaves_no_gap(side: float, rng: np.random.Generator) -> None:
    view = FieldOfView(width_deg=side, height_deg=side)
    grid = tiling.rings(plans.telescope(field_of_view=view, tiling=Tiling(overlap=0.05)))
    points = rng.normal(size=(2000, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    hits = np.asarray(tiling.membership(grid, points, view).sum(axis=0)).ravel()
    assert hits.min() >= 1
    assert hits.mean() < 1.35


def test_the_region_is_the_smallest_set_of_pixels_with_its_probability(rng: np.random.Generator) -> None:
    density = rng.random(12 * 16**2) ** 4
    cells = regions.region(plans.flat(16, density), 0.9)
    falling = np.sort(density / density.sum())[::-1]
    assert len(cells.order) == np.searchsorted(np.cumsum(falling), 0.9) + 1
    assert cells.probability.sum() >= 0.9


def test_splitting_pixels_keeps_probability_and_place(rng: np.random.Generator) -> None:
    cells = regions.region(plans.flat(8, rng.random(12 * 8**2)), 0.5)
    where = rng.random(len(cells.order)) < 0.4
    finer = regions.refine(cells, 6, where)
    assert len(finer.order) == (~where).sum() + where.sum() * 4**3
    assert finer.probability.sum() == pytest.approx(cells.probability.sum())
    parents = finer.pixel >> (2 * (finer.order - 3))
    assert set(parents.tolist()) == set(cells.pixel.tolist())


def test_every_tile_that_meets_the_region_is_found() -> None:
    telescope = plans.telescope()
    cells = regions.region(plans.sky_map(), 0.99)
    grid = tiling.rings(telescope)
    kept = tiling.near(grid, cells, telescope.field_of_view)
    everywhere = tiling.membership(grid, cells.points(), telescope.field_of_view)
    needed = grid.number[np.asarray(everywhere.sum(axis=1)).ravel() > 0]
    assert set(needed.tolist()) <= set(kept.number.tolist())
    assert len(kept) < 3 * len(needed)


def test_membership_is_the_brute_force_test_of_every_pair(rng: np.random.Generator) -> None:
    view = FieldOfView(width_deg=3.0, height_deg=2.0)
    ra, dec = rng.uniform(0, 20, 30), rng.uniform(-80, -70, 30)
    tiles = tiling.Tiles(number=np.arange(30), ra_deg=ra, dec_deg=dec)
    points = directions.unit_vectors(rng.uniform(0, 20, 400), rng.uniform(-82, -68, 400))
    brute = np.array([footprints.inside(points, *centre, view) for centre in zip(ra, dec, strict=True)])
    np.testing.assert_array_equal(tiling.membership(tiles, points, view).toarray() > 0, brute)


def test_the_strongest_tiles_are_those_with_most_probability() -> None:
    telescope = plans.telescope()
    map_ = plans.sky_map()
    along = footprints.curve(map_)
    tiles = tiling.near(tiling.rings(telescope), regions.region(map_, 0.99), telescope.field_of_view)
    kept = tiling.strongest(tiles, along, telescope.field_of_view, 20)
    exact = tiling.probabilities(tiles, along, telescope.field_of_view)
    assert kept.sum() == 20
    assert set(np.argsort(-exact)[:10].tolist()) <= set(np.flatnonzero(kept).tolist())


def test_even_pixels_stay_within_their_number() -> None:
    nside = 4
    cells = regions.region(plans.flat(nside, np.ones(12 * nside**2)), 0.999)
    assert len(regions.evened(cells, 0.01, 5000).order) <= 5000
    assert len(regions.evened(cells, 8.0, 5000).order) == 4 * len(cells.order)


def test_a_tile_has_the_centre_that_the_real_grid_gives_it(shared_data) -> None:
    real = Table.read(shared_data / "sevendt" / "skygrid.fits")
    telescope = telescopes.load("7DT")
    for row in (0, 1, 8147, 25471, 28519):
        ra, dec = tiling.centre_of(f"T{row:05d}", telescope)
        assert (ra, dec) == pytest.approx((float(real["ra"][row]), float(real["dec"][row])), abs=2e-3)


@pytest.mark.parametrize("name", ["COSMOS", "T123", "T00001b", "T99999", "x", "T" + "9" * 30])
def test_what_is_no_tile_has_no_centre(name: str) -> None:
    assert tiling.centre_of(name, telescopes.load("7DT")) is None
