"""What is written of a difference's findings: regions as others read them, magnitudes as they are defined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from regions import Regions
from support import records as make

from tasks.science.astrometry.field_grids import field_wcs
from tasks.science.candidates import candidate_table, findings
from tasks.science.candidates.measurement import Detections

X, Y = np.array([10.25, 200.5, 99.0]), np.array([0.0, 150.75, 320.0])
FLUX = np.array([1000.0, -250.0, 40.0])


def found(wcs=None) -> findings.Findings:
    """Three detections at 0-based pixels, of which a flag speaks against the last."""
    values = dict.fromkeys(Detections.__dataclass_fields__, np.ones(3))
    values |= {"x": X, "y": Y, "flux": FLUX, "flux_error": np.full(3, 10.0), "sign": np.sign(FLUX)}
    flags = {"dipole": np.array([False, False, True]), "edge": np.zeros(3, dtype=bool)}
    return findings.Findings(found=Detections(**values), flags=flags, planes=None, wcs=wcs)


def test_circles_on_the_image_are_read_back_at_their_pixels():
    """DS9 calls the first pixel's centre 1, 1; astropy's parser calls it 0, 0, as we do."""
    text = findings.region_text(found())
    circles = Regions.parse(text, format="ds9")

    assert [circle.center.x for circle in circles] == pytest.approx(X[:2], abs=0.006)
    assert [circle.center.y for circle in circles] == pytest.approx(Y[:2], abs=0.006)
    assert {circle.radius for circle in circles} == {8.0}


def test_circles_on_the_sky_are_read_back_where_the_detections_are():
    wcs = field_wcs(110.0, -30.0, shape=(400, 500), scale_arcsec=0.505)
    circles = Regions.parse(findings.region_text(found(wcs)), format="ds9")
    x, y = np.transpose([wcs.world_to_pixel(circle.center.icrs) for circle in circles])

    # the file says fk5, of which the ICRS is off by 0.02"
    assert x == pytest.approx(X[:2], abs=0.05)
    assert y == pytest.approx(Y[:2], abs=0.05)
    assert [circle.radius.to_value(u.arcsec) for circle in circles] == pytest.approx([2.5, 2.5])


def test_without_detections_the_regions_are_empty():
    nothing = replace(found(), flags={"edge": np.ones(3, dtype=bool)})

    assert findings.region_text(nothing) == "image\n\n" or not Regions.parse(
        findings.region_text(nothing), format="ds9"
    )


def test_magnitudes_are_those_of_astropy():
    """Those of the flux's size, for a star that has faded, too."""
    mag, error = candidate_table.magnitudes(found().found, 27.5)

    assert mag == pytest.approx(27.5 + (np.abs(FLUX) * u.ct).to(u.mag(u.ct)).value)
    wanted = (np.array([0.01, 0.04, 0.25]) * 2.5 / np.log(10)).tolist()
    assert error == pytest.approx(wanted, rel=1e-4)


def test_the_zero_point_is_that_of_a_stars_whole_light_where_it_is_known():
    photometry = make.photometry()
    own = replace(photometry, zero_point_mag={"AUTO": 28.0, "1": 27.8, "TOT": 28.05})
    blind = replace(photometry, zero_point_mag={"AUTO": 28.0, "1": 27.8})

    assert candidate_table.total_zero_point(make.stack(photometry=own)) == 28.05
    assert candidate_table.total_zero_point(make.stack(photometry=blind)) == 28.0


def test_the_table_has_a_row_for_each_detection_and_says_why_it_is_none():
    table = candidate_table.table_of(found(), zero_point_mag=27.5)

    assert list(table["number"]) == [1, 2, 3]
    assert list(table["flag"]) == [False, False, True]
    assert list(table["why_not"]) == ["", "", "dipole"]
    assert list(table["flag_10"]) == [False, False, True]
    assert table["flag_3"].description == "edge"
    assert np.isnan(table["ra_deg"]).all()
