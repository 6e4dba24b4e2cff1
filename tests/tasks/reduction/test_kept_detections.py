"""What astrometry found of a light is what photometry would find again: Source Extractor's own pass is the oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table
from astropy.wcs import WCS
from support import exposures

from tasks.errors import UnusableData
from tasks.io.catalogues import detection_tables, ldac
from tasks.io.fits import fits_images
from tasks.options import ReduceOptions
from tasks.programs import source_extractor
from tasks.reduction import photometry
from tasks.science.astrometry import wcs_checks

pytestmark = pytest.mark.binaries
# flag of Source Extractor: the data of an aperture are incomplete
INCOMPLETE = 16
OPTIONS = ReduceOptions(program_timeout_s=300)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return exposures.night(tmp_path_factory.mktemp("kept"), scale="small", filters=("r",), lights=1, seed=4)


@pytest.fixture(scope="module")
def light(night):
    return night.light("r", 1)[0]


def extract(light, folder, columns):
    wanted = source_extractor.Options(scale_arcsec=0.505, columns=columns, flags=light.mask, timeout_s=300)
    return source_extractor.extract(light.image, folder, wanted)


@pytest.fixture(scope="module")
def kept(light, tmp_path_factory):
    """The light with the table that astrometry leaves."""
    folder = tmp_path_factory.mktemp("astrometry")
    found = extract(light, folder, source_extractor.ASTROMETRY_COLUMNS)
    wcs = wcs_checks.wcs_of(fits_images.read_header(light.image))
    path = folder / "x.detections.fits"
    placed = wcs_checks.placed(ldac.read(found.catalogue), wcs)
    detection_tables.write(path, placed, found.sky_adu, found.sky_sigma_adu)
    return replace(light, detections=path)


def test_places_and_shapes_are_those_of_a_pass_of_its_own(light, kept, tmp_path):
    table, sky, sigma = detection_tables.read(kept.detections)
    theirs = extract(light, tmp_path, source_extractor.SEEING_COLUMNS)
    own = ldac.read(theirs.catalogue)

    assert len(table) == len(own) > 500
    assert (sky, sigma) == pytest.approx((theirs.sky_adu, theirs.sky_sigma_adu))
    for name in ("X_IMAGE", "Y_IMAGE", "FWHM_IMAGE", "ELLIPTICITY", "FLUX_AUTO", "IMAFLAGS_ISO"):
        np.testing.assert_array_equal(table[name], own[name])
    # a windowed position at the edge tells of one thing more
    np.testing.assert_array_equal(table["FLAGS"] & ~INCOMPLETE, own["FLAGS"] & ~INCOMPLETE)
    east = (table["ALPHA_J2000"] - own["ALPHA_J2000"]) * np.cos(np.radians(own["DELTA_J2000"])) * 3600
    # pixel positions have six digits: 0.001 px of 2400
    assert np.abs([east, (table["DELTA_J2000"] - own["DELTA_J2000"]) * 3600]).max() < 0.001
    np.testing.assert_allclose(table["FWHM_WORLD"], own["FWHM_WORLD"], rtol=0.001)


def test_photometry_takes_them_and_comes_to_the_same(night, light, kept, tmp_path):
    results = [
        photometry.measure.fn((each,), night.catalogue(), tmp_path / name, OPTIONS).reduced[0].photometry
        for name, each in (("kept", kept), ("anew", light))
    ]
    ours, anew = results

    assert ours.seeing_arcsec == pytest.approx(anew.seeing_arcsec, rel=0.0005)
    assert ours.zero_point_mag == pytest.approx(anew.zero_point_mag, abs=0.0005)


def test_a_light_whose_detections_cannot_be_read_is_rejected_with_the_reason(night, light, tmp_path):
    spoilt = tmp_path / "x.detections.fits"
    spoilt.write_bytes(b"SIMPLE  =")
    batch = photometry.measure.fn((replace(light, detections=spoilt),), night.catalogue(), tmp_path / "out", OPTIONS)

    assert "cannot be read as a table of detections" in batch.rejected[0].reason
    with pytest.raises(UnusableData, match="table of detections"):
        detection_tables.read(tmp_path / "missing.fits")


def test_places_across_the_meridian_and_near_the_pole_are_whole():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [0.0, -85.0], [50.0, 50.0]
    wcs.wcs.cd = np.diag([0.505, 0.505]) / 3600
    at = np.array([1.0, 50.0, 99.0])
    table = wcs_checks.placed(Table({"X_IMAGE": at, "Y_IMAGE": at, "FWHM_IMAGE": np.full(3, 4.0)}), wcs)

    np.testing.assert_allclose(table["FWHM_WORLD"] * 3600, 4 * 0.505, rtol=1e-4)
    assert table["ALPHA_J2000"][0] > 359 or table["ALPHA_J2000"][2] > 359
