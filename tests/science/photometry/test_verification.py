"""A frame whose header lies about its filter is told from those whose header does not."""

from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest

from tasks.science.photometry import filter_check
from tasks.science.simulation import bands

BANDS = ("u", "g", "r", "i", "z", *(f"m{number}" for number in range(400, 900, 25)))


@pytest.fixture(scope="module")
def templates(shared_data):
    """AB magnitudes of 175 stellar templates (Pickles' library) in medium and broad bands."""
    with (shared_data / "sevendt" / "stellar_sed_template_phot4med.dat").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = [name for name in rows[0] if name[0] in "mgri" and name != "mktype" and not name.startswith("eff")]
    return {name: np.array([float(row[name]) for row in rows]) for name in names if name != "number"}


def frame(rng, magnitudes, true, *, stars=300, noise=0.02):
    """Stars seen through a filter, a tenth of them blended or variable; and their magnitudes in every filter."""
    error = noise * rng.uniform(0.3, 2, stars)
    inst = magnitudes[true] - 28.3 + rng.normal(0, error)
    strange = rng.random(stars) < 0.1
    inst[strange] += rng.uniform(-0.6, 0.3, strange.sum())
    return inst, {name: column + rng.normal(0, 0.01, stars) for name, column in magnitudes.items()}


def locus(rng, stars=300):
    g_mag, colour = rng.uniform(12, 17, stars), np.clip(rng.normal(1.1, 0.4, stars), 0.3, 2.6)
    return {name: bands.star_mags(g_mag, colour, name) for name in BANDS}


def judged(sample, header):
    return filter_check.seen_filter(*sample, header=header, margin_mag=0.02)


def test_no_right_filter_of_a_hundred_frames_is_doubted(rng):
    for number in range(100):
        true = BANDS[number % len(BANDS)]
        found = judged(frame(rng, locus(rng), true, noise=rng.choice([0.01, 0.03, 0.08])), true)
        assert found.filter == true
        assert filter_check.words(found, true) == ""


@pytest.mark.parametrize(("true", "header"), [("i", "r"), ("g", "r"), ("z", "i"), ("m400", "m450"), ("m700", "m650")])
def test_a_wrong_filter_is_named(rng, true, header):
    for _ in range(10):
        found = judged(frame(rng, locus(rng), true), header)
        assert found.filter != header
        assert found.scatter_mag[true] < found.scatter_mag[header]
    assert f"filter {header} looks like" in filter_check.words(found, header)


def test_real_stars_tell_neighbouring_medium_bands_apart(rng, templates):
    wrong = 0
    names = [name for name in templates if name.startswith("m") and int(name[1:]) <= 875]
    for true, header in itertools.pairwise(names):
        chosen = rng.integers(0, 175, 400)
        seen = {name: column[chosen] - templates["r"][chosen] for name, column in templates.items()}
        assert judged(frame(rng, seen, true, stars=400), true).filter == true
        wrong += judged(frame(rng, seen, true, stars=400), header).filter == true
    assert wrong == len(names) - 1


def test_a_colour_term_of_an_imperfect_passband_is_no_wrong_filter(rng):
    g_mag, colour = rng.uniform(12, 17, 500), np.clip(rng.normal(1.1, 0.4, 500), 0.3, 2.6)
    known = {name: bands.star_mags(g_mag, colour, name) for name in BANDS}
    inst = known["r"] - 28.3 - 0.02 * (colour - 1) + rng.normal(0, 0.01, 500)

    assert judged((inst, known), "r").filter == "r"


def test_few_stars_tell_nothing(rng):
    found = judged(frame(rng, locus(rng, 15), "i", stars=15), "r")

    assert found.filter == ""
    assert filter_check.words(found, "r") == ""


def test_a_reference_of_one_filter_has_nothing_to_compare(rng):
    found = judged(frame(rng, {"r": locus(rng)["r"]}, "r"), "r")

    assert found.filter == "r"
