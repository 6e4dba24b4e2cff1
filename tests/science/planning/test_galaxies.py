"""Galaxies as targets."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from support import plans

from tasks.errors import UnusableData
from tasks.io.catalogues import galaxy_tables
from tasks.io.skymaps import sky_map_files
from tasks.records import Galaxies, SkyMap
from tasks.science.planning import galaxy_targets


def catalogue(**changes) -> Galaxies:
    made = {
        "name": np.array(["near", "bright", "far", "elsewhere"]),
        "ra_deg": np.array([105.0, 105.2, 105.0, 285.0]),
        "dec_deg": np.array([-30.0, -30.0, -30.1, 30.0]),
        "distance_mpc": np.array([100.0, 100.0, 900.0, 100.0]),
        "magnitude": np.array([16.0, 14.0, 14.0, 14.0]),
    }
    return Galaxies(**{**made, **changes})


def with_distance() -> SkyMap:
    flat = plans.sky_map()
    ones = np.ones(len(flat.uniq))
    return replace(flat, distmu=100 * ones, distsigma=20 * ones, distnorm=1e-4 * ones)


def test_only_galaxies_in_the_region_and_at_its_distance_are_hosts() -> None:
    weight = galaxy_targets.weights(catalogue(), with_distance())
    assert weight.sum() == pytest.approx(1)
    assert weight[2] == weight[3] == 0
    assert weight[0] > 0


def test_weight_goes_with_luminosity() -> None:
    same_place = catalogue(ra_deg=np.full(4, 105.0), dec_deg=np.full(4, -30.0))
    weight = galaxy_targets.weights(same_place, with_distance())
    assert weight[1] / weight[0] == pytest.approx(10 ** (0.4 * 2))


def test_a_galaxy_without_magnitude_counts_as_the_median_one() -> None:
    unknown = catalogue(magnitude=np.array([np.nan, 14.0, np.nan, np.nan]))
    weight = galaxy_targets.weights(unknown, with_distance())
    assert 0 < weight[0] < 1


def test_a_map_without_distances_says_why_galaxies_cannot_be_weighted() -> None:
    with pytest.raises(UnusableData, match="no distances"):
        galaxy_targets.weights(catalogue(), plans.sky_map())


def test_fields_are_centred_on_the_likely_hosts_strongest_first() -> None:
    weight = galaxy_targets.weights(catalogue(), with_distance())
    fields, targets = galaxy_targets.fields(catalogue(), weight)
    assert [str(name) for name in fields.id] == ["bright", "near"]
    assert targets.weight.tolist() == sorted(weight[:2].tolist(), reverse=True)


def test_weights_of_a_real_catalogue_follow_the_published_ones(shared_data) -> None:
    """The catalogue carries another tool's localisation weight, computed on the same map."""
    path = shared_data / "planning" / "catalog_glade_S190814bv.csv"
    map_ = sky_map_files.read(shared_data / "skymaps" / "S190814bv_5_LALInference.v1.fits.gz")
    read = galaxy_tables.read(path)
    flat = replace(read, magnitude=5 * np.log10(read.distance_mpc))
    ours = galaxy_targets.weights(flat, map_)
    with path.open(newline="") as file:
        theirs = np.array([float(row["Sloc"]) for row in csv.DictReader(file)])
    both = (ours > 0) & (theirs > 0)
    assert len(read.name) == 2000
    assert both.sum() > 300
    logs = np.log(ours[both]), np.log(theirs[both])
    assert np.corrcoef(*logs)[0, 1] > 0.99
