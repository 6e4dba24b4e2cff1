"""Reading sky maps: the same numbers as other readers, and limits on malicious files."""

from __future__ import annotations

import gzip
import io
import json
import time
import zlib

import healpy
import numpy as np
import pytest
from astropy.table import Table
from support import hostile, memory, skymap_files

from tasks.errors import UnusableData
from tasks.io.notices import parsing
from tasks.io.skymaps import binary_tables, sky_map_files
from tasks.records import MapRole
from tasks.science.skymaps import credible_regions

GW = [
    "S241102br-preliminary",
    "S241102br-initial",
    "S241102br-update",
    "S250910b-earlywarning",
    "S241004ap-preliminary",
]


@pytest.fixture(scope="module")
def expected(shared_data):
    return json.loads((shared_data / "expected_notices.json").read_text())["gw"]


def embedded(shared_data, name):
    return parsing.parse((shared_data / f"notices/{name}.json").read_bytes()).maps[MapRole.GW]


@pytest.mark.parametrize("name", GW)
def test_a_real_multi_order_map_reads_as_astropy_reads_it(shared_data, expected, name):
    content = embedded(shared_data, name)
    skymap = sky_map_files.read(content)
    table = Table.read(io.BytesIO(content), format="fits", hdu=1)
    np.testing.assert_array_equal(skymap.uniq, table["UNIQ"])
    np.testing.assert_array_equal(skymap.density, table["PROBDENSITY"])
    wanted = expected[f"{name}.json"]["ours"]["sky_map"]
    assert (len(skymap.uniq), skymap.order.min(), skymap.order.max()) == (
        wanted["rows"], wanted["order_min"], wanted["order_max"],
    )  # fmt: skip
    assert (skymap.creator, skymap.date) == (wanted["creator"], wanted["date"])
    assert (skymap.density * sky_map_files.PIXEL_SR[skymap.order]).sum() == pytest.approx(wanted["probability_sum"])
    assert (skymap.distmu is not None) == wanted["has_distance"] == ("DISTMU" in wanted["columns"])
    if wanted["has_distance"]:
        for column, values in zip(
            ("DISTMU", "DISTSIGMA", "DISTNORM"), (skymap.distmu, skymap.distsigma, skymap.distnorm), strict=True
        ):
            np.testing.assert_array_equal(values, table[column])
        assert np.isinf(skymap.distmu).sum() == wanted["rows_without_distance"]
        assert skymap.distance_mpc == table.meta["DISTMEAN"] == expected[f"{name}.json"]["ours"]["distance_mpc"]
        assert skymap.distance_std_mpc == table.meta["DISTSTD"]


def expand(skymap, order):
    """Lay a multi-order map out on one order again: NESTED density."""
    pixel = skymap.uniq - 4 * 4**skymap.order
    out = np.full(12 * 4**order, np.nan)
    for one, density, at in zip(pixel, skymap.density, skymap.order, strict=True):
        out[one << 2 * (order - at) : (one + 1) << 2 * (order - at)] = density
    return out


@pytest.fixture(params=["NESTED", "RING"])
def flat_map(request, rng):
    """A map of nside 16 with a patch of equal pixels, in either ordering, and its NESTED probability."""
    nested = rng.uniform(0.5, 1.5, 12 * 16**2)
    nested[: 16**2] = 1.0
    nested[16**2 : 16**2 + 64] = 0.3
    nested /= nested.sum()
    ordered = nested if request.param == "NESTED" else nested[healpy.ring2nest(16, np.arange(nested.size))]
    return request.param, ordered, nested


@pytest.mark.parametrize("per_row", [1, 16, 1024])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_flat_map_loses_nothing_by_merging(flat_map, per_row, compressed):
    ordering, probability, nested = flat_map
    skymap = sky_map_files.read(
        skymap_files.flat(probability, ordering=ordering, per_row=per_row, compressed=compressed)
    )
    np.testing.assert_allclose(expand(skymap, 4), nested / skymap_files.PIXEL_SR[4], rtol=1e-12)
    assert skymap.flat_nside == 16
    # the patch of a whole base pixel became one row, that of 64 pixels became one more
    assert len(skymap.uniq) == 12 * 256 - 255 - 63
    assert skymap.order.min() == 0


def test_pixels_merge_only_where_the_distance_agrees_too(rng):
    probability = np.full(12 * 16, 1 / 192)
    mu = np.full(192, 100.0)
    mu[5] = 120.0
    skymap = sky_map_files.read(skymap_files.flat(probability, distance=(mu, np.full(192, 10.0), np.full(192, 1e-4))))
    assert sorted(np.unique(skymap.order, return_counts=True)[1].tolist()) == [3, 4, 11]
    assert (skymap.distmu == 120).sum() == 1


def test_a_real_flat_map_of_12_million_pixels_reads_fast_and_small(shared_data):
    start = time.thread_time()
    with memory.grown() as growth:
        skymap = sky_map_files.read(shared_data / "skymaps/GW170817.fits.gz")
    assert time.thread_time() - start < 5
    assert skymap.flat_nside == 1024
    assert len(skymap.uniq) < 20_000
    assert (skymap.density * sky_map_files.PIXEL_SR[skymap.order]).sum() == pytest.approx(1, abs=1e-6)
    assert growth.kib < 512 * 1024


def test_a_real_map_of_the_interplanetary_network_reads_fast_and_small(shared_data):
    """Kind: flat maps finer than nside 1024, in RING; the oracle is the 90 % area that healpy counts, 0.0877 deg2."""
    start = time.thread_time()
    with memory.grown() as growth:
        skymap = sky_map_files.read(shared_data / "field/ipn_grb220617a_nside2048_ring.fits.gz")
    assert time.thread_time() - start < 5
    assert growth.kib < 512 * 1024
    assert skymap.flat_nside == 2048
    pixel_deg2 = healpy.nside2pixarea(2048, degrees=True)
    area_deg2 = credible_regions.area_deg2(credible_regions.rank(skymap), 0.9)
    assert 0 <= area_deg2 - round(0.0877 / pixel_deg2) * pixel_deg2 < pixel_deg2


def test_a_multi_order_map_of_probabilities_is_that_of_its_densities():
    density = np.arange(1.0, 13.0) / np.sum(np.arange(1.0, 13.0)) * 3 / np.pi
    columns = {"UNIQ": np.arange(4, 16), "PROB": density * np.pi / 3}
    found = sky_map_files.read(skymap_files.table(columns, {"ORDERING": "NUNIQ", "COORDSYS": "C"}))
    np.testing.assert_allclose(found.density, density)


def test_a_partial_map_is_refused_by_its_name():
    columns = {"PIXEL": np.arange(3), "PROB": np.full(3, 1 / 3)}
    cards = {"ORDERING": "NESTED", "NSIDE": 16, "INDXSCHM": "EXPLICIT", "COORDSYS": "C"}
    with pytest.raises(UnusableData, match="partial sky map"):
        sky_map_files.read(skymap_files.table(columns, cards))


def test_gzip_and_plain_bytes_and_file_give_the_same(tmp_path):
    plain = skymap_files.blob(distance_mpc=100)
    path = tmp_path / "map.fits.gz"
    path.write_bytes(gzip.compress(plain))
    maps = [sky_map_files.read(plain), sky_map_files.read(gzip.compress(plain)), sky_map_files.read(path)]
    for other in maps[1:]:
        np.testing.assert_array_equal(other.density, maps[0].density)
        np.testing.assert_array_equal(other.distmu, maps[0].distmu)


def test_a_map_of_one_pixel_a_map_of_order_29_and_unsigned_uniq_are_read():
    whole = sky_map_files.read(skymap_files.multiorder(np.arange(4, 16), np.full(12, 1 / (4 * np.pi))))
    assert whole.order.tolist() == [0] * 12
    fine = np.concatenate([np.arange(5, 16), [4 * 4**29]])
    density = np.concatenate([np.full(11, 3 / (11 * np.pi)), [0.0]])
    assert sky_map_files.read(skymap_files.multiorder(fine, density)).order.max() == 29
    one = sky_map_files.read(skymap_files.multiorder([4], [3 / np.pi]))
    assert one.density.tolist() == pytest.approx([3 / np.pi])


def test_a_row_whose_distance_makes_no_sense_has_none():
    uniq, density = np.arange(4, 16), np.full(12, 1 / (4 * np.pi))
    mu, sigma, norm = np.full(12, 100.0), np.full(12, 10.0), np.full(12, 1e-4)
    mu[0], sigma[1], norm[2], mu[3] = np.nan, -1, -1, np.inf
    skymap = sky_map_files.read(skymap_files.multiorder(uniq, density, distance=(mu, sigma, norm)))
    assert np.isinf(skymap.distmu).tolist() == [True] * 4 + [False] * 8


# --------------------------------------------------------------------------------------------------------- hostile


HOSTILE = hostile.sky_maps()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_map_is_refused_in_no_time_and_little_memory(name):
    start = time.thread_time()
    with memory.grown() as growth, pytest.raises(UnusableData, match=r"\w+"):
        sky_map_files.read(HOSTILE[name])
    assert time.thread_time() - start < 2
    assert growth.kib < 300 * 1024


def test_a_bomb_of_400_megabytes_stays_small():
    """A flat map of nside 1024, all zeros, as gzip makes it: 1000:1."""
    head = HOSTILE["flat announced large"][:5760]
    packer = zlib.compressobj(1, wbits=31)
    zeros = bytes(2**24)
    bomb = b"".join([packer.compress(head), *(packer.compress(zeros) for _ in range(24)), packer.flush()])
    with memory.grown() as growth, pytest.raises(UnusableData):
        sky_map_files.read(bomb)
    assert growth.kib < 200 * 1024


@pytest.mark.parametrize("name", ["missing.fits", "."])
def test_what_cannot_be_opened_is_unusable(tmp_path, name):
    with pytest.raises(UnusableData, match="cannot be read"):
        sky_map_files.read(tmp_path / name)


def test_mutated_maps_raise_nothing_else(rng):
    read = 0
    for content in hostile.mutated_maps(600, rng):
        try:
            sky_map_files.read(content)
            read += 1
        except UnusableData:
            pass
    assert read > 100


def test_header_values_are_read_as_the_standard_says():
    texts = {
        "'NESTED  '           / ordering": "NESTED",
        "'it''s'": "it's",
        "                   T / yes": True,
        "                  -7": -7,
        "               1.5D2": 150.0,
        "what": "what",
        "'unclosed": "unclosed",
    }
    assert {text: binary_tables._value(text) for text in texts} == texts
