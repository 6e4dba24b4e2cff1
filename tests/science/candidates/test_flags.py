"""Each reason to doubt a detection: a synthetic case that has it, and its complement that has not."""

from __future__ import annotations

import numpy as np
import pytest
from support import pairs

from tasks.records import MaskBit
from tasks.science.candidates import candidate_table, detection, findings, flags, matched_filter
from tasks.science.sources import stars

SHAPE = (240, 260)
SIGMA = 1.8
FWHM = 2.3548 * SIGMA
SPOT = (130.3, 119.6)


def psf():
    stamp = pairs.draw((31, 31), [15.0], [15.0], [1.0], SIGMA)
    return stamp / stamp.sum()


def star(x=SPOT[0], y=SPOT[1], flux=4000.0, sigma=SIGMA):
    return pairs.draw(SHAPE, [x], [y], [flux], sigma)


def judged(difference, *, science=None, reference=None, bits=None, near=SPOT, minor_planet_arcsec=None, noise=3):
    """The flags of the detection nearest to a place on a difference with unit noise added."""
    rng = np.random.default_rng(5)
    field = pairs.draw(SHAPE, rng.uniform(20, 240, 40), rng.uniform(10, 40, 40), rng.uniform(4e3, 3e4, 40), SIGMA)
    planes = matched_filter.planes(
        (difference + rng.normal(0, noise, SHAPE)).astype(np.float32),
        (field + (0 if reference is None else reference)).astype(np.float32),
        np.full(SHAPE, 9, dtype=np.float32),
        np.zeros(SHAPE, dtype=np.uint8) if bits is None else bits,
        (field + rng.normal(0, 3, SHAPE) + (0 if science is None else science)).astype(np.float32),
        direction="reference",
        kernel_sum=1.0,
        psf=psf(),
        fwhm_px=FWHM,
    )
    found, _ = detection.detect(planes, threshold=3.5)
    listed = stars.find(planes.science, planes.mask & ~planes.covered)
    table = flags.judge(found, planes, listed, minor_planet_arcsec=minor_planet_arcsec)
    index = int(np.argmin(np.hypot(found.x - near[0], found.y - near[1])))
    assert np.hypot(found.x[index] - near[0], found.y[index] - near[1]) < 4
    return flags.names(table, index)


def bits_with(value, rows, columns):
    bits = np.zeros(SHAPE, dtype=np.uint8)
    bits[rows, columns] = value
    return bits


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clean_new_or_lost_star_survives(sign):
    assert judged(sign * star()) == ()


def test_a_faint_but_significant_star_survives():
    assert judged(star(flux=300.0)) == ()


def test_a_minor_planet_is_named():
    assert judged(star(), minor_planet_arcsec=4.0) == ("minor-planet",)
    assert judged(star(), minor_planet_arcsec=6.0) == ()


def findings_of(**separations):
    """What a search of two places returns; the numbers of all flags but the first are of no account."""
    planes = matched_filter.planes(
        star().astype(np.float32),
        *(np.zeros(SHAPE, dtype=np.float32), np.full(SHAPE, 9, dtype=np.float32), np.zeros(SHAPE, dtype=np.uint8)),
        star().astype(np.float32),
        direction="reference",
        kernel_sum=1.0,
        psf=psf(),
        fwhm_px=FWHM,
    )
    found, _ = detection.detect(planes, threshold=3.5)
    table = flags.table(found, SHAPE, stars_delta_mag=np.zeros(3), ellipticity=0.0, **separations)
    return findings.Findings(found=found, flags=table, planes=planes, wcs=None)


def test_a_flag_that_nobody_could_check_is_told_so_and_not_counted_as_absent():
    unchecked = findings_of()
    assert unchecked.not_checked == ("minor-planet",)
    assert candidate_table.flag_summary(unchecked).splitlines()[:2] == ["flag,n,ratio", "minor-planet,not checked,"]
    table = candidate_table.table_of(unchecked)
    assert table["flag_0"].mask.all()
    assert table["flag_0"].description == "minor-planet: not checked"
    assert [table[f"flag_{number}"].description for number in range(1, 15)] == list(flags.NAMES[1:])


def test_a_flag_that_was_checked_is_counted():
    checked = findings_of(minor_planet_arcsec=4.0)
    number = len(checked.found)
    assert checked.not_checked == ()
    assert candidate_table.flag_summary(checked).splitlines()[1] == f"minor-planet,{number},1.0000"
    assert candidate_table.table_of(checked)["flag_0"].tolist() == [True] * number


def test_a_star_that_moved_leaves_both_signs():
    moved = star() - star(x=SPOT[0] + 1.0)
    assert "opposite-sign" in judged(moved)
    assert "opposite-sign" not in judged(star() - star(x=SPOT[0] + 25))


def test_a_hole_in_the_reference_looks_like_a_new_source():
    assert "dark-reference" in judged(star(), reference=-star())
    assert "dark-reference" not in judged(star(), reference=star())


def test_the_border_is_named():
    assert "edge" in judged(star(x=0.6, y=100), near=(0.6, 100))
    assert "edge" not in judged(star(x=30, y=100), near=(30, 100))


def test_what_is_below_five_sigma_is_faint():
    assert "faint" in judged(star(flux=85.0), noise=0.5)
    assert "faint" not in judged(star(flux=300.0))


def test_a_streak_is_elongated():
    streak = sum(star(x=SPOT[0] + step, flux=600) for step in np.arange(-8, 9, 1.0))
    assert "elongated" in judged(streak)
    assert "elongated" not in judged(star())


def test_what_the_border_cuts_has_an_extraction_bit():
    assert "extraction" in judged(star(x=4, y=100), near=(4, 100))
    assert "extraction" not in judged(star(x=30, y=100), near=(30, 100))


@pytest.mark.parametrize("sigma", [0.45, 8.0])
def test_what_is_much_sharper_or_wider_than_the_seeing_is_named(sigma):
    assert {"width", "concentration"} & set(judged(star(sigma=sigma, flux=20000)))


def test_a_single_hot_pixel_is_too_narrow():
    hot = np.zeros(SHAPE)
    hot[120, 130] = 800
    assert "width" in judged(hot)


def test_a_background_off_zero_is_named():
    v, u = np.mgrid[: SHAPE[0], : SHAPE[1]]
    pedestal = 8.0 * (np.hypot(u - SPOT[0], v - SPOT[1]) < 25)
    assert "background" in judged(star() + pedestal)
    assert "background" not in judged(star())


def test_light_that_is_not_a_stars_is_named():
    assert "concentration" in judged(star(sigma=3.2, flux=20000))
    assert "concentration" not in judged(star(flux=20000))


def test_a_box_full_of_negative_pixels_is_a_dipole():
    ring = 3 * star(flux=3000, sigma=1.2) - star(flux=6000, sigma=2.5)
    assert "dipole" in judged(ring)
    assert "dipole" not in judged(star())


def test_the_engines_fill_is_named():
    assert "fill" in judged(star(), bits=bits_with(MaskBit.INTERPOLATED, 119, 133))
    assert "fill" not in judged(star(), bits=bits_with(MaskBit.INTERPOLATED, 119, 150))


def test_what_the_reference_does_not_cover_is_named():
    assert "outside-reference" in judged(star(), bits=bits_with(MaskBit.NO_DATA, slice(None), slice(131, 260)))
    assert "outside-reference" not in judged(star(), bits=bits_with(MaskBit.NO_DATA, slice(None), slice(150, 260)))


def test_a_bad_pixel_in_the_core_is_named():
    assert "masked" in judged(star(), bits=bits_with(MaskBit.BAD, 120, 130))
    assert "masked" not in judged(star(), bits=bits_with(MaskBit.BAD, 120, 150))


def test_a_per_cent_of_a_bright_star_is_a_residual():
    bright = star(flux=200000)
    assert "star-residual" in judged(star(flux=3000), science=bright, reference=bright)
    assert "star-residual" not in judged(star(flux=20000), science=bright, reference=bright)


def test_every_flag_has_a_name():
    assert len(flags.NAMES) == len(set(flags.NAMES)) == 15


@pytest.mark.parametrize(
    ("function", "bad", "good"),
    [
        (flags.minor_planet, 4.9, 5.1),
        (flags.minor_planet, 0.0, np.nan),
        (flags.dark_reference, 5.1, 4.9),
        (flags.faint, -4.9, -5.1),
        (flags.extraction, 8, 4),
        (flags.width, 3.1, 2.9),
        (flags.width, 0.49, 0.51),
        (flags.dipole, 0.31, 0.29),
        (flags.star_residual, 0.049, 0.051),
    ],
)
def test_a_threshold_lies_between(function, bad, good):
    assert function(bad)
    assert not function(good)


def test_thresholds_of_two_numbers():
    assert flags.opposite_sign(0.31, detected=True)
    assert not flags.opposite_sign(0.31, detected=False)
    assert flags.edge(1.0, 100.0, (400, 400))
    assert not flags.edge(3.0, 100.0, (400, 400))
    assert flags.background(5.1, 1.0)
    assert not flags.background(-4.9, 1.0)
    assert flags.elongated(0.6, 0.11)
    assert not flags.elongated(0.5, 0.11)
    assert flags.star_residual(0.06, 5.5)
    assert not flags.star_residual(0.06, 12.0)
    known = np.array([0.20, 0.25, 0.30])
    assert flags.concentration(0.9, 0.01, known, chi2=1.0)
    assert not flags.concentration(0.3, 0.01, known, chi2=1.0)
    assert flags.concentration(0.3, 0.01, known, chi2=9.0)
    assert flags.masked(core=False, weight=0.2)
    assert not flags.masked(core=False, weight=0.05)
