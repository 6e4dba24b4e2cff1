"""Measured lights against the colour terms, uneven response, filters and noise that the simulator put into them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from support import exposures

from tasks import naming
from tasks.io.catalogues import photometric_catalogues, photometric_cells
from tasks.io.fits import fits_images
from tasks.options import ReduceOptions
from tasks.records import QaBit
from tasks.reduction import photometry
from tasks.science.astrometry import matching

pytestmark = pytest.mark.binaries

OWN = ("15arcsec", "12px")


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return exposures.night(
        tmp_path_factory.mktemp("uneven"),
        scale="small",
        filters=("r", "i"),
        lights=2,
        mislabelled=1,
        colour_term_mag=0.06,
        spatial_mag=0.04,
        seed=3,
    )


@pytest.fixture(scope="module")
def honest(night):
    return night.light("r", 1)


@pytest.fixture(scope="module")
def lying(night):
    return night.light("r", 2)


def measured(night, light, name, **options):
    options = {"program_timeout_s": 300, **options}
    batch = photometry.measure.fn((light,), night.catalogue(), night.root / name, ReduceOptions(**options))
    assert not batch.rejected
    return batch.reduced[0]


@pytest.fixture(scope="module")
def plain(night, honest):
    """Source Extractor; nothing corrected, everything reported."""
    return measured(night, honest[0], "plain")


@pytest.fixture(scope="module")
def own(night, honest):
    """The same in this process."""
    return measured(night, honest[0], "own", photometry_engine="sep")


@pytest.fixture(scope="module")
def corrected(night, honest):
    """In this process; colour and place corrected, apertures of our own, the best one from growth curves; the PSF."""
    return measured(
        night,
        honest[0],
        "corrected",
        photometry_engine="sep",
        colour_term=True,
        spatial_zero_point="cubic",
        best_aperture="growth",
        extra_apertures=OWN,
        psf_photometry=True,
        zero_point_plots="all",
    )


def test_the_colour_term_is_the_units_within_its_error(night, plain, corrected):
    truth = night.unit.response.colour_mag["r"]
    for item in (plain, corrected):
        terms, header = item.photometry.terms, fits_images.read_header(item.image)
        assert terms.colour_mag == pytest.approx(truth, abs=3 * terms.colour_error_mag)
        assert terms.colour_error_mag < 0.004
        told = (terms.colour_mag, terms.colour_error_mag)
        assert (header["ZPCOLOR"], header["ZPCOLERR"]) == pytest.approx(told, rel=1e-9)


def test_the_scatter_falls_to_that_of_photons_where_terms_are_applied(plain, corrected):
    before, after = (fits_images.read_header(item.image) for item in (plain, corrected))

    assert before["ZPRMS0"] > 0.035
    assert before["ZPRMS1"] < 0.016
    assert before["ZPSPAT"] == pytest.approx(0.03, abs=0.01)
    assert (before["ZPCOLAPP"], before["ZPSPAAPP"]) == (False, "none")
    assert (after["ZPCOLAPP"], after["ZPSPAAPP"]) == (True, "cubic")
    assert after["EZP_1"] < 0.4 * before["EZP_1"]
    # production frames in r have 0.012
    assert after["EZP_1"] < 0.012


def test_magnitudes_of_stars_are_even_over_the_frame_where_the_place_is_corrected(night, plain, corrected):
    spread = {}
    for name, item in (("plain", plain), ("corrected", corrected)):
        table = photometric_catalogues.read(item.photometry.catalogue)
        use = np.isfinite(table["mag_r"]) & (table["mag_r"] < 16) & (table["FLAGS"] == 0)
        offset = (table["MAG_APER_5_r"] - table["mag_r"])[use]
        offset = offset + night.unit.response.of_colour(np.asarray(table["bp_rp"][use]), "r")
        column = np.digitize(table["X_IMAGE"][use], np.linspace(0, 2394, 5)[1:-1])
        row = np.digitize(table["Y_IMAGE"][use], np.linspace(0, 1597, 4)[1:-1])
        cells = [offset[(column == i) & (row == j)] for i in range(4) for j in range(3)]
        spread[name] = np.std([np.median(cell) for cell in cells if len(cell) >= 5])

    assert spread["plain"] > 0.02
    assert spread["corrected"] < 0.3 * spread["plain"]


def test_the_right_filter_is_seen_and_a_lie_is_flagged(night, plain, lying):
    header = fits_images.read_header(plain.image)
    assert (header["FILTVER"], header["QAFLAG"], header["QATEXT"]) == ("r", 0, "")
    false = measured(night, lying[0], "lying", photometry_engine="sep")
    header = fits_images.read_header(false.image)
    assert header["FILTER"] == "r"
    assert header["FILTVER"] == false.photometry.seen_filter == "i"
    assert header["QAFLAG"] & QaBit.FILTER_DOUBTFUL
    assert header["QATEXT"].startswith("filter r looks like i")


def test_the_header_tells_the_time_that_the_magnitudes_are_of(honest, plain):
    frame = honest[0].frame
    middle = frame.date_obs.replace(tzinfo=None) + timedelta(seconds=frame.exposure_s / 2)
    assert fits_images.read_header(plain.image)["PHOTIME"] == middle.isoformat(timespec="milliseconds")


def test_the_zero_point_of_the_whole_light_is_the_truth_for_a_white_star(honest, corrected):
    # the surface is 0 in its median over the stars, not in its mean over the frame
    assert corrected.photometry.zero_point_mag["TOT"] == pytest.approx(honest[1].zero_point_mag, abs=0.02)


def test_every_aperture_has_zero_points_and_depths_also_a_users_own(plain, corrected):
    header = fits_images.read_header(corrected.image)
    for key in ("0", "1", "2", "3", "4", "5", "U1", "U2"):
        names = [f"{word}_{key}" for word in ("ZP", "EZP", "ZPSC", "ZPER", "UL3", "UL5", "EUL3", "EUL5")]
        assert all(np.isfinite(header[name]) for name in names), key
        assert header[f"UL3_{key}"] - header[f"UL5_{key}"] == pytest.approx(2.5 * np.log10(5 / 3), abs=1e-6)
        assert header[f"EUL5_{key}"] < header[f"UL5_{key}"] + 0.12
    assert (header["APER_U1"], header["APER_U2"]) == (pytest.approx(15 / 0.505), 12.0)
    assert "MAG_APER_U1_r" in photometric_catalogues.read(corrected.photometry.catalogue).colnames
    assert not any(key.endswith("_U1") for key in fits_images.read_header(plain.image))


def test_the_psf_has_a_zero_point_and_columns_but_no_depth(honest, plain, corrected):
    """Over the small frame the PSF grows by 15 %, which one PSF does not follow: the surface of the zero point does."""
    header, table = (
        fits_images.read_header(corrected.image),
        photometric_catalogues.read(corrected.photometry.catalogue),
    )
    stars = (table["source_id"] >= 0) & (table["FLAGS"] == 0) & (table["mag_r"] < 16) & (table["mag_r"] > 12)

    assert header["ZP_PSF"] == pytest.approx(honest[1].zero_point_mag, abs=0.02)
    assert header["EZP_PSF"] < 0.01
    assert {"ZPSC_PSF", "ZPER_PSF"} <= set(header)
    assert "UL5_PSF" not in header
    assert {"MAG_PSF", "MAGERR_PSF", "FLUX_PSF", "FLUXERR_PSF", "SNR_PSF_r"} <= set(table.colnames)
    assert np.nanmedian((table["MAG_PSF_r"] - table["mag_r"])[stars]) == pytest.approx(0, abs=0.02)
    assert "ZP_PSF" not in fits_images.read_header(plain.image)
    assert "MAG_PSF" not in photometric_catalogues.read(plain.photometry.catalogue).colnames


def test_pictures_of_zero_points_are_drawn_of_single_frames_where_that_is_wanted(plain, corrected):
    names = ("AUTO", "APER", *(f"APER_{key}" for key in (1, 2, 3, 4, 5, "U1", "U2")), "PSF")
    assert set(corrected.photometry.plots) == {naming.zero_point_plot(corrected.image, name) for name in names}
    assert all(path.exists() for path in corrected.photometry.plots)
    assert plain.photometry.plots == ()


def test_the_growth_curves_find_an_aperture_near_the_best_for_a_gaussian(plain, corrected):
    """Bright stars gain from wider apertures than 1.35 FWHM, faint ones do not."""
    header, seeing = fits_images.read_header(corrected.image), corrected.photometry.seeing_arcsec
    assert 1.1 * seeing < header["APER"] * 0.505 < 3 * seeing
    assert fits_images.read_header(plain.image)["APER"] == pytest.approx(
        2 * 0.6731 * plain.photometry.seeing_arcsec / 0.505
    )


def test_both_engines_agree_on_seeing_sky_and_zero_points(own, plain):
    own, theirs = own.photometry, plain.photometry

    assert own.seeing_arcsec == pytest.approx(theirs.seeing_arcsec, rel=0.03)
    assert own.ellipticity == pytest.approx(theirs.ellipticity, abs=0.01)
    assert own.sky_adu == pytest.approx(theirs.sky_adu, rel=0.002)
    assert own.sky_sigma_adu == pytest.approx(theirs.sky_sigma_adu, rel=0.01)
    for key in ("1", "2", "4"):
        assert own.zero_point_mag[key] == pytest.approx(theirs.zero_point_mag[key], abs=0.015)


def test_magnitudes_of_both_engines_are_the_same(own, plain):
    """The rings of Source Extractor's local background move magnitudes by a few mmag: medians agree within one."""
    own, theirs = (photometric_catalogues.read(item.photometry.catalogue) for item in (own, plain))
    first, second = ((np.asarray(t["ALPHA_J2000"]), np.asarray(t["DELTA_J2000"])) for t in (own, theirs))
    pairs = matching.nearest(first, second, radius_arcsec=0.3)
    a, b = own[pairs.first], theirs[pairs.second]
    # 3 arcsec: the aperture that does not follow the seeing, and sees the least of the background
    use = (a["FLAGS"] == 0) & (b["FLAGS"] == 0) & (b["FLUX_APER_3"] > 20 * b["FLUXERR_APER_3"])
    difference = (a["MAG_APER_3"] - b["MAG_APER_3"])[use]

    assert use.sum() > 200
    assert abs(np.median(difference)) < 1e-3


def test_stars_have_the_class_of_stars_where_source_extractor_measures(own, plain):
    table = photometric_catalogues.read(plain.photometry.catalogue)
    stars = (table["source_id"] >= 0) & (table["FLAGS"] == 0) & (table["FLUX_AUTO"] > 50 * table["FLUXERR_AUTO"])

    assert np.median(table["CLASS_STAR"][stars]) > 0.9
    assert "CLASS_STAR" not in photometric_catalogues.read(own.photometry.catalogue).colnames


def test_a_reference_in_cells_gives_the_same_and_an_empty_sky_a_reason(night, honest, own, tmp_path):
    cells = tmp_path / "cells"
    cells.mkdir()
    whole = photometric_catalogues.read_reference(night.catalogue())
    for cell, rows in photometric_cells.missing(cells, whole["ra"], whole["dec"]).items():
        columns = {name: np.asarray(whole[name][rows]) for name in whole.colnames}
        photometric_cells.write(cells / photometric_cells.name_of(cell), columns, survey="Test")
    how = ReduceOptions(photometry_engine="sep")
    [found] = photometry.measure.fn((honest[0],), cells, tmp_path / "products", how).reduced

    assert found.photometry.zero_point_mag == own.photometry.zero_point_mag
    assert fits_images.read_header(found.image)["REFCAT"] == "Test"
    for path in cells.glob("*.fits"):
        path.unlink()
    lost = photometry.measure.fn((honest[0],), cells, tmp_path / "others", how)
    assert "no cell around" in lost.rejected[0].reason


def test_a_light_is_measured_once(night, honest, plain):
    again = measured(night, honest[0], "plain")
    assert replace(again, seconds=0) == replace(plain, seconds=0)
