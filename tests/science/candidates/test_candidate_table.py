"""The table of candidates: one list of columns feeds catalogue, record and page."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from support import pairs
from support import records as made

from tasks.records import CANDIDATE_COLUMNS, Candidate, CandidateColumn, Difference, Stack
from tasks.records import candidates as candidate_records
from tasks.science.candidates import candidate_table, detection, findings, flags, matched_filter
from tasks.science.candidates.measurement import Detections

SHAPE = (240, 260)
FWHM = 4.0
SIGMA = FWHM / 2.3548
ZERO_POINT = 27.0
FLUXES = (9000.0, 4000.0)


@pytest.fixture(scope="module")
def judged():
    sky = np.zeros(SHAPE, dtype=np.float32)
    image = pairs.draw(SHAPE, [130.0, 60.0], [140.0, 90.0], FLUXES, SIGMA).astype(np.float32)
    y, x = np.mgrid[-15:16, -15:16]
    psf = np.exp(-(x**2 + y**2) / (2 * SIGMA**2))
    planes = matched_filter.planes(
        image,
        sky,
        np.full(SHAPE, 9, dtype=np.float32),
        np.zeros(SHAPE, dtype=np.uint8),
        image,
        direction="reference",
        kernel_sum=1.0,
        psf=psf / psf.sum(),
        fwhm_px=FWHM,
    )
    found, _ = detection.detect(planes, threshold=8)
    answers = flags.table(found, SHAPE, stars_delta_mag=np.zeros(3), ellipticity=0.0)
    return findings.Findings(found=found, flags=answers, planes=planes, wcs=None)


@pytest.fixture
def difference():
    place = Path("/p/calib_7DT01_x.com.subt.fits")
    stack = Stack(
        object="T1", unit="7DT01", filter="r", date_obs=datetime(2026, 1, 16, tzinfo=UTC), exposure_s=300.0,
        image=place, variance=place, mask=place, inputs=(), photometry=made.photometry(),
    )  # fmt: skip
    return Difference(
        stack=dataclasses.replace(
            stack, photometry=dataclasses.replace(stack.photometry, zero_point_mag={"AUTO": ZERO_POINT})
        ),
        reference=place, image=place, convolved=place, variance=place, mask=place,
        direction="reference", engine="siren", kernel_sum=1.0, chi2=1.0, substamps=9,
    )  # fmt: skip


def test_everything_that_is_measured_is_a_column_with_a_meaning_and_a_unit_that_exists():
    names = [column.name for column in CANDIDATE_COLUMNS]
    assert len(set(names)) == len(names)
    assert {field.name for field in dataclasses.fields(Detections)} < set(names)
    assert all(column.description for column in CANDIDATE_COLUMNS)
    for column in CANDIDATE_COLUMNS:
        units.Unit(column.unit)


def test_every_attribute_named_is_one_of_the_record():
    fields = {field.name for field in dataclasses.fields(Candidate)}
    assert {column.attribute for column in CANDIDATE_COLUMNS} - {""} <= fields


def test_the_table_has_the_magnitude_of_the_flux_that_was_drawn(judged):
    table = candidate_table.table_of(judged, zero_point_mag=ZERO_POINT)
    assert table["mag"].unit == units.mag
    assert table["x"].description == "column on the difference, counted from 0"
    truth = ZERO_POINT - 2.5 * np.log10(FLUXES)
    np.testing.assert_allclose(table["mag"], truth, atol=0.02)
    np.testing.assert_allclose(table["x"], [130.0, 60.0], atol=0.05)


def test_records_hold_what_the_table_holds(judged, difference):
    table = candidate_table.table_of(judged, zero_point_mag=ZERO_POINT)
    candidates = candidate_table.candidates_of(judged, difference, {1: Path("/p/2.png")})
    for row, candidate in zip(table, candidates, strict=True):
        for column in CANDIDATE_COLUMNS:
            if column.attribute:
                np.testing.assert_equal(getattr(candidate, column.attribute), row[column.name].item())
    assert [candidate.stamp for candidate in candidates] == [None, Path("/p/2.png")]


def test_without_a_zero_point_there_is_neither_magnitude_nor_error(judged, difference):
    photometry = dataclasses.replace(difference.stack.photometry, zero_point_mag={})
    dark = dataclasses.replace(difference, stack=dataclasses.replace(difference.stack, photometry=photometry))
    [first, _] = candidate_table.candidates_of(judged, dark, {})
    assert (first.mag, first.mag_error) == (None, None)


def test_one_line_adds_a_column_to_catalogue_record_and_page(judged, difference, monkeypatch):
    line = CandidateColumn(name="chi2", description="fit of the PSF", digits=2)
    columns = (*(column for column in CANDIDATE_COLUMNS if column.name != "chi2"), line)
    for module in (candidate_records, candidate_table):
        monkeypatch.setattr(module, "CANDIDATE_COLUMNS", columns)
    [first, _] = candidate_table.candidates_of(judged, difference, {})
    assert first.shown()["chi2"] == round(float(judged.found.chi2[0]), 2)
    assert candidate_table.table_of(judged)["chi2"].description == "fit of the PSF"
