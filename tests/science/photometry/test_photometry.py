"""Zero points, apertures and depth against 500 production headers, published numbers and simulated stars."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.stats import sigma_clip
from astropy.table import Table
from astropy.time import Time

from tasks.errors import AlgorithmError
from tasks.options import ReduceOptions
from tasks.science.astrometry import matching
from tasks.science.photometry import depths, growth_curves, image_photometry, photometric_calibration, zeropoints

FIELD = photometric_calibration.PhotometricField(scale_arcsec=0.505, filter="r", shape=(1000, 1500), epoch=2026.04)


@pytest.fixture(scope="module")
def production(shared_data):
    with (shared_data / "sevendt" / "production_headers_500.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["zp_auto"]]


def test_the_depth_formula_reproduces_every_production_header(production):
    errors = [
        depths.depth_mag(
            float(row[f"zp_{key}"]),
            sky_sigma_adu=float(row["skysig"]),
            diameter_px=float(row["aper" if key == 0 else f"aper_{key}"]),
            sigma=sigma,
        )
        - float(row[f"ul{sigma}_{key}"])
        for row in production
        for key in range(6)
        for sigma in (3, 5)
    ]

    assert len(errors) == 5760
    assert np.abs(errors).max() <= 0.0011
    assert np.abs(errors).mean() < 0.0004


def test_the_apertures_of_every_production_header_follow_its_seeing(production):
    for row in production:
        # SEEING is rounded to 0.01", PEEING to 0.001 px: the larger aperture is three of the latter
        expected = [float(row[key]) for key in ("aper", "aper_1", "aper_2", "aper_3", "aper_4", "aper_5")]
        found = growth_curves.apertures(float(row["peeing"]) * 0.505, 0.505).in_order[:6]
        assert found == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize(
    ("zero_point", "sky_sigma", "diameter", "three", "five"),
    [
        (28.147, 43.302, 9.469, 20.553, 19.998),
        (26.936, 31.53, 13.799, 19.278, 18.724),
        (25.311, 6.147, 24.99, 18.783, 18.228),
    ],
)
def test_published_depths(zero_point, sky_sigma, diameter, three, five):
    for sigma, expected in ((3, three), (5, five)):
        found = depths.depth_mag(zero_point, sky_sigma_adu=sky_sigma, diameter_px=diameter, sigma=sigma)
        assert found == pytest.approx(expected, abs=0.0011)


def test_the_zero_point_is_the_median_clipped_as_astropy_clips(rng):
    instrumental = rng.uniform(-14, -8, 300)
    reference = instrumental + 28.1 + rng.normal(0, 0.02, 300)
    reference[:30] += rng.uniform(0.3, 2, 30)
    found = zeropoints.zero_point(reference - instrumental)
    kept = sigma_clip(reference - instrumental, sigma=2, maxiters=None, cenfunc="median", stdfunc="std").compressed()

    assert found.stars == len(kept)
    assert found.value_mag == pytest.approx(np.median(kept), abs=1e-12)
    assert found.mad_mag == pytest.approx(np.median(np.abs(kept - np.median(kept))), abs=1e-12)
    assert found.value_mag == pytest.approx(28.1, abs=4 * found.error_mag)


def test_four_stars_are_too_few_for_a_zero_point():
    with pytest.raises(AlgorithmError, match="4 stars"):
        zeropoints.zero_point(np.full(4, 28.0))


def test_stars_without_a_flux_do_not_count():
    found = zeropoints.zero_point(np.array([28.0] * 5 + [np.nan]))

    assert (found.value_mag, found.stars) == (28.0, 5)


def test_proper_motion_is_that_of_astropy(rng):
    ra, dec = rng.uniform(0, 360, 40), rng.uniform(-80, 80, 40)
    pm_ra, pm_dec = rng.normal(0, 500, (2, 40))
    found = matching.moved(ra, dec, pm_ra, pm_dec, epoch=2016.0, to=2026.04)
    there = SkyCoord(
        ra * u.deg,
        dec * u.deg,
        distance=np.full(40, 50.0) * u.pc,
        pm_ra_cosdec=pm_ra * u.mas / u.yr,
        pm_dec=pm_dec * u.mas / u.yr,
        obstime=Time(2016.0, format="jyear", scale="tcb"),
    ).apply_space_motion(Time(2026.04, format="jyear", scale="tcb"))

    assert SkyCoord(*found, unit="deg").separation(there).to_value(u.arcsec).max() < 1e-3


def test_a_star_without_proper_motion_stays():
    ra, dec = matching.moved(
        np.array([10.0]), np.array([20.0]), np.array([np.nan]), np.array([np.nan]), epoch=2016, to=2026
    )

    assert (ra[0], dec[0]) == (10.0, 20.0)


def test_the_julian_year_is_astropys():
    moment = datetime(2026, 1, 16, 4, 34, tzinfo=UTC)

    assert matching.julian_year(moment) == pytest.approx(Time("2026-01-16T04:34:00").jyear, abs=1e-5)


def test_matching_is_mutual_and_crosses_ra_zero():
    first = (np.array([359.9999, 10.0, 10.0002]), np.array([0.0, 5.0, 5.0]))
    second = (np.array([0.0001, 10.0001]), np.array([0.0, 5.0]))
    pairs = matching.nearest(first, second, radius_arcsec=1.0)

    assert len(pairs) == 2
    assert pairs.second.tolist() == [0, 1]
    assert pairs.distance_arcsec[0] == pytest.approx(0.72, abs=1e-6)


def test_the_ellipse_touches_the_sides_and_leaves_out_the_corners():
    x, y = np.array([750.0, 10.0, 5.0]), np.array([500.0, 500.0, 5.0])

    assert photometric_calibration.in_ellipse(x, y, (1000, 1500), 0.99).tolist() == [True, True, False]


def detections(reference, *, zero_point=28.0, seeing=2.5, rng):
    """What Source Extractor would say of the reference stars: exact but for noise that grows with magnitude."""
    n = len(reference)
    magnitude = reference["mag_r"] - zero_point + rng.normal(0, 0.01, n)
    flux = 10 ** (-0.4 * magnitude)
    columns = {
        "ALPHA_J2000": reference["ra"] + reference["pmra"] / 3.6e6 * 10.04 / np.cos(np.radians(reference["dec"])),
        "DELTA_J2000": reference["dec"] + reference["pmdec"] / 3.6e6 * 10.04,
        "X_IMAGE": rng.uniform(300, 1200, n),
        "Y_IMAGE": rng.uniform(300, 700, n),
        "FWHM_WORLD": np.full(n, seeing / 3600),
        "ELLIPTICITY": np.full(n, 0.08),
        "ELONGATION": np.full(n, 1.087),
        "FLAGS": np.zeros(n, int),
        "IMAFLAGS_ISO": np.zeros(n, int),
        "ISOAREA_IMAGE": np.full(n, 30),
        "MAG_AUTO": magnitude,
        "MAGERR_AUTO": np.full(n, 0.01),
        "FLUX_AUTO": flux,
        "FLUXERR_AUTO": flux / 200,
    }
    for name in ("MAG", "MAGERR", "FLUX", "FLUXERR"):
        columns[f"{name}_APER"] = np.repeat(np.asarray(columns[f"{name}_AUTO"])[:, None], 7, axis=1)
    return Table(columns)


@pytest.fixture
def reference(rng):
    n = 200
    return Table(
        {
            "source_id": np.arange(n),
            "ra": rng.uniform(100, 100.2, n),
            "dec": rng.uniform(-30.2, -30, n),
            "pmra": rng.normal(0, 200, n),
            "pmdec": rng.normal(0, 200, n),
            "mag_r": rng.uniform(12.5, 17.5, n),
        }
    )


def measure(reference, table, options=None, field=FIELD):
    def extract(*, seeing_arcsec, diameters_px=()):
        seen.append((seeing_arcsec, diameters_px))
        return image_photometry.Extracted(table=table, sky_adu=300.0, sky_sigma_adu=40.0)

    seen = []
    image = np.random.default_rng(5).normal(300, 40, field.shape).astype(np.float32)
    pixels = depths.Pixels(image=image, bad=np.zeros(field.shape, bool))
    how = options or ReduceOptions()
    found = image_photometry.measure(extract, reference, field, catalogue=Path("x.cat"), options=how, pixels=pixels)
    return found, seen


def test_two_passes_of_which_the_second_follows_the_seeing(reference, rng):
    found, seen = measure(reference, detections(reference, rng=rng))

    assert [round(seeing, 6) for seeing, _ in seen] == [2.0, 2.5]
    assert seen[0][1] == ()
    assert seen[1][1] == growth_curves.apertures(seen[1][0], 0.505).in_order
    assert found.photometry.seeing_arcsec == pytest.approx(2.5)
    assert found.photometry.zero_point_mag["AUTO"] == pytest.approx(28.0, abs=0.003)
    assert set(found.photometry.zero_point_mag) == {"AUTO", *growth_curves.STANDARD, "TOT"}
    assert found.photometry.depth5_mag["AUTO"] == 0.0


def test_flagged_masked_and_saturated_stars_leave_the_zero_point_alone(reference, rng):
    table = detections(reference, rng=rng)
    table["MAG_AUTO"][:60] += 1.0
    table["FLAGS"][:30] = 4
    table["IMAFLAGS_ISO"][30:60] = 2
    found, _ = measure(reference, table)

    assert found.photometry.zero_point_mag["AUTO"] == pytest.approx(28.0, abs=0.003)
    assert found.photometry.stars <= 140


def test_the_catalogue_has_calibrated_columns_and_the_reference(reference, rng):
    table = detections(reference, rng=rng)
    table["MAG_AUTO"][0] = 99.0
    found, _ = measure(reference, table)

    assert {"MAG_AUTO_r", "SNR_APER_5_r", "FLUX_APER_r", "source_id", "mag_r"} <= set(found.table.colnames)
    assert np.isnan(found.table["MAG_AUTO_r"][0])
    np.testing.assert_array_equal(found.table["source_id"], reference["source_id"])
    np.testing.assert_allclose(found.table["SNR_AUTO_r"], 200, rtol=1e-9)


def test_calibrated_fluxes_and_errors_are_those_of_astropys_ab_magnitudes(reference, rng):
    """As faint as half an ADU; the first star is off the others, the second has no flux."""
    table = detections(reference, rng=rng)
    faint, none = 0, 1
    table["FLUX_AUTO"][faint], table["FLUXERR_AUTO"][faint], table["MAG_AUTO"][faint] = 0.5, 0.1, -2.5 * np.log10(0.5)
    table["FLUX_AUTO"][none] = -3.0
    found, _ = measure(reference, table)
    made = {name: np.asarray(found.table[f"{name}_AUTO_r"]) for name in ("MAG", "MAGERR", "FLUX", "FLUXERR", "SNR")}
    zero = found.photometry.zero_point_mag["AUTO"]
    good = np.arange(len(table)) != none

    assert made["MAG"][good] == pytest.approx(zero + np.asarray(table["MAG_AUTO"])[good])
    assert made["FLUX"][good] == pytest.approx((made["MAG"][good] * u.ABmag).to_value(u.uJy), rel=1e-4)
    snr = np.asarray(table["FLUX_AUTO"] / table["FLUXERR_AUTO"])
    assert made["SNR"] == pytest.approx(snr)
    assert made["MAGERR"][good] == pytest.approx(2.5 / np.log(10) / snr[good], rel=1e-4)
    assert made["FLUXERR"][good] == pytest.approx(made["FLUX"][good] / snr[good])
    assert np.isnan([made["MAGERR"][none], made["FLUXERR"][none]]).all()
    assert found.table["SYSERR_AUTO_r"] == pytest.approx(found.photometry.error_mag["AUTO"])


def test_every_key_of_the_header_is_a_fits_keyword_with_a_finite_value(reference, rng):
    found, _ = measure(reference, detections(reference, rng=rng))

    assert all(len(key) <= 8 for key in found.cards)
    assert all(np.isfinite(value) for value in found.cards.values() if isinstance(value, float))
    assert {"ZP_AUTO", "EZP_5", "UL5_1", "APER", "APER_5", "SEEING", "PEEING", "STDNUMB"} <= set(found.cards)


def test_a_field_of_galaxies_tells_no_seeing(reference, rng):
    table = detections(reference, rng=rng)
    table["DELTA_J2000"] += 1.0
    with pytest.raises(AlgorithmError, match="0 of 0 matched stars give the seeing"):
        measure(reference, table)


def test_stars_of_a_cluster_in_the_centre_are_left_out(reference, rng):
    table = detections(reference, rng=rng)
    near = np.hypot(table["X_IMAGE"] - 750, table["Y_IMAGE"] - 500) < 300
    table["MAG_AUTO"][near] += 0.5
    found, _ = measure(reference, table, ReduceOptions(cluster_radius_px=300.0))

    assert found.photometry.zero_point_mag["AUTO"] == pytest.approx(28.0, abs=0.004)
    assert found.photometry.stars <= (~near).sum()


def test_reference_stars_of_poor_spectra_are_left_out(reference, rng):
    table = detections(reference, rng=rng)
    table["MAG_AUTO"][:100] += 0.5
    reference["snr_r"] = np.where(np.arange(200) < 100, 5.0, 90.0)
    found, _ = measure(reference, table)

    assert found.photometry.zero_point_mag["AUTO"] == pytest.approx(28.0, abs=0.004)


@pytest.mark.parametrize("text", ["10", "10 arcsec", "-3px", "px", "10mm", "5;rm"])
def test_an_aperture_without_a_unit_is_refused(text):
    with pytest.raises(ValueError, match="extra_apertures"):
        ReduceOptions(extra_apertures=(text,))
