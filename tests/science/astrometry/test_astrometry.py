"""Pointings found by the vote of the stars, and the verdict on a WCS: right ones pass, wrong ones never."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from tasks.errors import AlgorithmError
from tasks.io.catalogues import ldac
from tasks.programs import scamp
from tasks.records import MaskBit
from tasks.science.astrometry import pointing_search, wcs_checks

SHAPE = (1597, 2394)
FULL = (6388, 9576)
CENTRE = (110.0, -30.0)
SCALE = 0.505
LIMITS = wcs_checks.WcsLimits(rms_px=0.6, offset_px=0.2, part_px=1.0, matches=30, scale_arcsec=SCALE, centre=CENTRE)


def sky(rng, *, number=4000, size_deg=1.6, centre=CENTRE):
    """Reference stars around a centre, brightest first."""
    dec = centre[1] + rng.uniform(-size_deg, size_deg, number)
    ra = centre[0] + rng.uniform(-size_deg, size_deg, number) / np.cos(np.radians(dec))
    return ra % 360, dec


def view(wcs, stars, shape, rng, *, noise_px=0.1, lost=0.2, false=0.2):
    """Detections of a frame: most stars with noise, in order, and others that are none."""
    x, y = wcs.all_world2pix(*stars, 0)
    inside = (x > 0) & (x < shape[1] - 1) & (y > 0) & (y < shape[0] - 1) & (rng.random(len(x)) > lost)
    seen = np.column_stack([x, y])[inside] + rng.normal(0, noise_px, (inside.sum(), 2))
    noise = rng.uniform((0, 0), (shape[1], shape[0]), (int(false * len(seen)), 2))
    everything = np.concatenate([seen, noise])
    order = np.argsort(np.concatenate([np.arange(len(seen)), rng.uniform(0, len(seen), len(noise))]))
    return everything[order]


def frame(*, angle=1.3, mirrored=True, centre=CENTRE, scale=SCALE, shape=SHAPE):
    matrix = pointing_search.rows(pointing_search.matrix(scale, angle_deg=angle, mirrored=mirrored))
    return pointing_search.Pointing(ra_deg=centre[0], dec_deg=centre[1], matrix=matrix).wcs(shape)


def vote(pixels, stars, *, believed=CENTRE, radius=30.0, shape=SHAPE):
    return pointing_search.find(
        pixels,
        stars,
        shape=shape,
        centre=believed,
        radius_arcmin=radius,
        candidates=pointing_search.orientations(SCALE),
    )


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("angle", [-4.2, 0.0, 3.1, 178.5])
@pytest.mark.parametrize("error_arcmin", [(0.5, 0.2), (-24.0, 15.0)])
def test_the_vote_finds_the_pointing_of_every_orientation(rng, mirrored, angle, error_arcmin):
    stars = sky(rng)
    wcs = frame(angle=angle, mirrored=mirrored)
    believed = (CENTRE[0] + error_arcmin[0] / 60 / np.cos(np.radians(30)), CENTRE[1] + error_arcmin[1] / 60)
    found = vote(view(wcs, stars, SHAPE, rng), stars, believed=believed)
    corners = np.array([(0, 0), (SHAPE[1] - 1, SHAPE[0] - 1)], dtype=float)
    ours, true = (SkyCoord(*each.all_pix2world(corners, 0).T, unit="deg") for each in (found.wcs(SHAPE), wcs))

    assert ours.separation(true).arcsec.max() < 0.5


def test_the_vote_works_across_ra_zero_and_near_the_pole(rng):
    for centre in ((0.05, 10.0), (200.0, -88.5)):
        size = 1.6
        dec = centre[1] + rng.uniform(-size, min(size, 89.9 - abs(centre[1])), 4000)
        ra = centre[0] + rng.uniform(-size, size, 4000) / np.cos(np.radians(dec))
        stars = (ra % 360, dec)
        wcs = frame(centre=centre)
        found = vote(view(wcs, stars, SHAPE, rng), stars, believed=(centre[0] + 0.1, centre[1] + 0.1))

        there = SkyCoord(found.ra_deg, found.dec_deg, unit="deg")
        assert there.separation(SkyCoord(*centre, unit="deg")).arcsec < 1


def test_full_frames_off_by_up_to_a_degree_are_found(shared_data, rng):
    header = ldac.read_header(shared_data / "sevendt" / "7dt01.ahead")
    wcs = WCS(header)
    true = wcs_checks.frame_centre(wcs, FULL)
    stars = sky(rng, number=12000, size_deg=2.2, centre=true)
    pixels = view(wcs, stars, FULL, rng)
    for direction, distance in zip(rng.uniform(0, 2 * np.pi, 12), rng.uniform(0.4, 1.0, 12), strict=True):
        believed = (
            true[0] + distance * np.cos(direction) / np.cos(np.radians(true[1])),
            true[1] + distance * np.sin(direction),
        )
        found = vote(pixels, stars, believed=believed, radius=60.0, shape=FULL)
        off = SkyCoord(found.ra_deg, found.dec_deg, unit="deg").separation(SkyCoord(*true, unit="deg")).arcsec
        assert off < 5


def test_a_known_orientation_is_only_a_hint(rng):
    stars = sky(rng)
    known = pointing_search.matrix(SCALE, angle_deg=180.0, mirrored=False)
    believed = (CENTRE[0], CENTRE[1] + 0.6)
    found = pointing_search.search(
        view(frame(), stars, SHAPE, rng), stars, shape=SHAPE, centre=believed, radii_arcmin=(20.0, 60.0),
        scale_arcsec=SCALE, known=known,
    )  # fmt: skip

    assert (found.ra_deg, found.dec_deg) == pytest.approx(CENTRE, abs=1e-4)


def test_stars_of_another_field_find_no_pointing(rng):
    pixels = view(frame(), sky(rng), SHAPE, rng)
    with pytest.raises(AlgorithmError, match="best pointing matches"):
        vote(pixels, sky(rng))


def test_too_few_stars_find_no_pointing(rng):
    with pytest.raises(AlgorithmError, match="too few"):
        vote(np.zeros((5, 2)), sky(rng))


def test_the_projection_is_astropys(rng):
    stars = sky(rng, number=200, size_deg=0.5)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.cdelt = CENTRE, [1 / 3600, 1 / 3600]
    expected = wcs.wcs_world2pix(np.column_stack(stars), 0) + 1
    found = pointing_search.project(*stars, centre=CENTRE)

    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert pointing_search.deproject(*map(float, found[0]), centre=CENTRE) == pytest.approx(
        (stars[0][0], stars[1][0]), abs=1e-10
    )


def judge(wcs, pixels, stars, limits=LIMITS, shape=SHAPE):
    residuals = wcs_checks.residuals(wcs, pixels, stars, shape=shape)
    found = wcs_checks.measure(residuals, wcs, shape)
    return found, wcs_checks.faults(found, residuals, limits, shape=shape)


def test_a_right_solution_passes_and_its_rms_is_the_noise(rng):
    stars, wcs = sky(rng, number=80000), frame()
    found, wrong = judge(wcs, view(wcs, stars, SHAPE, rng, noise_px=0.2), stars)

    assert wrong == ()
    assert found.matched > 100
    assert (found.rms_ra_arcsec, found.rms_dec_arcsec) == pytest.approx((0.101, 0.101), rel=0.1)
    assert found.scale_arcsec == pytest.approx(SCALE, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"centre": (110.0, -30.0 + 30 / 3600)}, "stars matched"),
        ({"centre": (110.0, -30.0 + 0.2 / 3600)}, "median offset"),
        ({"angle": 1.3 + 0.06}, "a part of the frame is off"),
        ({"angle": 181.3}, "stars matched"),
        ({"mirrored": False}, "stars matched"),
        ({"scale": SCALE * 1.02}, "scale"),
        ({"centre": (112.0, -30.0)}, "deg from where the header points"),
    ],
)
def test_a_wrong_solution_never_passes(rng, change, words):
    stars = sky(rng, number=40000)
    pixels = view(frame(), stars, SHAPE, rng)
    _, wrong = judge(frame(**change), pixels, stars)

    assert any(words in each for each in wrong), wrong


def test_a_crowded_field_does_not_pass_by_chance(rng):
    stars = sky(rng, number=200000)
    pixels = view(frame(), stars, SHAPE, rng)
    found, wrong = judge(frame(centre=(110.0, -29.99)), pixels, stars)

    assert found.matched > 20
    assert any("rms" in each for each in wrong)


def test_no_detection_is_a_verdict_and_no_crash(rng):
    found, wrong = judge(frame(), np.zeros((0, 2)), sky(rng))

    assert found.matched == 0
    assert any("0 of 0 stars matched" in each for each in wrong)


def test_residuals_in_ra_carry_the_cosine_of_dec(rng):
    centre = (110.0, -60.0)
    stars = sky(rng, number=20000, centre=centre)
    wcs = frame(centre=centre)
    pixels = view(wcs, stars, SHAPE, rng, noise_px=0.0, false=0.0)
    moved = (stars[0] + 0.5 / 3600 / np.cos(np.radians(stars[1])), stars[1])
    residuals = wcs_checks.residuals(wcs, pixels, moved, shape=SHAPE)

    assert np.median(residuals.ra_arcsec) == pytest.approx(-0.5, abs=1e-3)


def test_the_footprint_runs_around_the_frame():
    corners = np.array(wcs_checks.footprint(frame(angle=0.0), SHAPE))
    steps = np.diff([*corners, corners[0]], axis=0)

    # around, not across: each side moves in one coordinate only
    assert np.abs(steps[[0, 2], 1]).max() < 0.005
    assert np.abs(steps[[1, 3], 0]).max() < 0.005


@pytest.mark.parametrize("angle", [0.0, 1.3, 90.0, 180.0])
def test_quality_cards_are_finite_at_every_angle(angle):
    wcs = frame(angle=angle)
    found, _ = judge(wcs, np.zeros((0, 2)), (np.zeros(0), np.zeros(0)))
    cards = wcs_checks.quality_cards(found, wcs, SHAPE)

    assert {"RACENT", "DECCENT", "RAPOLY3", "DEPOLY0", "ROTANG1", "ROTANG2", "ASTNMAT", "ASTRMSX"} <= set(cards)
    assert np.isfinite([cards["ROTANG1"], cards["ROTANG2"]]).all()
    assert all(len(key) <= 8 for key in cards)


def test_the_rotation_is_that_of_the_production(shared_data):
    header = ldac.read_header(shared_data / "sevendt" / "7dt01.ahead")
    wcs = WCS(header)
    found, _ = judge(wcs, np.zeros((0, 2)), (np.zeros(0), np.zeros(0)), shape=FULL)
    cards = wcs_checks.quality_cards(found, wcs, FULL)

    assert cards["ROTANG1"] == pytest.approx(np.degrees(np.arctan(header["CD1_2"] / header["CD1_1"])))
    assert cards["ROTANG2"] == pytest.approx(np.degrees(np.arctan(header["CD2_1"] / header["CD2_2"])))


def test_a_head_is_ascii_cards_of_eighty_characters_that_read_back(shared_data, tmp_path):
    cards = wcs_checks.solution_cards(ldac.read_header(shared_data / "sevendt" / "7dt01.ahead"))
    text = wcs_checks.head_text(cards)
    (tmp_path / "x.head").write_text(text, encoding="ascii")
    back = ldac.read_header(tmp_path / "x.head")

    assert {len(line) for line in text.splitlines()} == {80}
    assert dict(back) == dict(cards)


def test_the_production_solution_survives_the_round_trip(shared_data):
    wcs = wcs_checks.wcs_of(wcs_checks.solution_cards(ldac.read_header(shared_data / "sevendt" / "7dt01.ahead")))
    x, y = np.meshgrid(np.linspace(0, 9575, 12), np.linspace(0, 6387, 9))
    ra, dec = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    there = wcs.all_world2pix(ra, dec, 0)

    np.testing.assert_allclose(there, [x.ravel(), y.ravel()], atol=1e-3)


def test_a_header_without_rotation_is_an_a_priori_header():
    cards = wcs_checks.cards_of(frame(angle=0.7))
    header = fits.Header()
    header.update(cards)

    np.testing.assert_allclose(WCS(header).all_pix2world(100, 200, 0), frame(angle=0.7).all_pix2world(100, 200, 0))


def detections(**columns):
    """A table of six stars, brightest last, as Source Extractor makes it."""
    n = 6
    plain = {
        "XWIN_IMAGE": 100.0 + np.arange(n), "YWIN_IMAGE": 200.0 + np.arange(n), "FLUX_AUTO": 1.0 + np.arange(n),
        "ELLIPTICITY": np.full(n, 0.1), "SNR_WIN": np.full(n, 50.0), "FLAGS": np.zeros(n, np.int16),
        "IMAFLAGS_ISO": np.zeros(n, np.int32),
    }  # fmt: skip
    return Table({**plain, **columns})


def test_long_and_faint_detections_are_no_stars_to_match():
    """SCAMP's own limits: ELLIPTICITY_MAX 0.5 and an S/N above 10 (its manual, and its configuration here)."""
    table = detections(
        ELLIPTICITY=np.array([0.0, 0.45, 0.55, 0.9, 0.1, 0.1]), SNR_WIN=np.array([50, 50, 50, 50, 9.5, 10.5])
    )
    kept = np.array([5, 1, 0])
    assert scamp.FIXED["ELLIPTICITY_MAX"] == 0.5
    for chosen in (wcs_checks.exact_positions(table), wcs_checks.guide_positions(table)):
        assert chosen == pytest.approx(np.column_stack([99.0 + kept, 199.0 + kept])), "0-based, the brightest first"


def test_blended_stars_have_exact_positions_and_saturated_or_spoilt_ones_guide():
    """Flags of Source Extractor: 1 crowded, 2 blended, 4 saturated."""
    table = detections(
        FLAGS=np.array([0, 1, 2, 3, 4, 0], np.int16),
        IMAFLAGS_ISO=np.array([0, 0, 0, 0, 0, MaskBit.SATURATED.value], np.int32),
    )

    assert (wcs_checks.exact_positions(table)[:, 0] - 99).tolist() == [3, 2, 1, 0]
    assert (wcs_checks.guide_positions(table)[:, 0] - 99).tolist() == [5, 4, 3, 2, 1, 0]


def test_the_pointing_of_a_solution_is_the_middle_of_its_frame():
    """As astropy's own interface puts it, wherever the solution's reference pixel is."""
    wcs = frame(angle=20.0)
    header = wcs.to_header()
    header["CRPIX1"], header["CRPIX2"] = 300.0, 1200.0
    moved = WCS(header)
    middle = moved.pixel_to_world((SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2)
    pointing = pointing_search.of_wcs(moved, SHAPE)

    assert SkyCoord(pointing.ra_deg, pointing.dec_deg, unit="deg").separation(middle).arcsec < 1e-3
    assert np.array(pointing.matrix) == pytest.approx(3600 * wcs.pixel_scale_matrix)
