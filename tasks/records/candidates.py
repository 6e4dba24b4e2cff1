"""Candidates, and the one list of their columns: names, units and meanings of what is told of each.

The list feeds the catalogue (ECSV), the record ``Candidate`` and the rows of the night's page. To add a column, add a
line: its name is that of a measured quantity (``Detections``) or of one that ``candidate_table`` derives; with
``digits`` it is shown on the night's page too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class CandidateColumn:
    """One column: ``unit`` as astropy writes it, empty for numbers without one.

    ``attribute`` is the field of ``Candidate`` that holds it; a column without one that is shown lies in ``measures``.
    ``digits`` are the decimals that the night's page shows; None: it is not shown.
    """

    name: str
    description: str
    unit: str = ""
    attribute: str = ""
    digits: int | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One detection on a difference image. ``flags`` names each test that speaks against it; none means it survives.

    ``not_checked`` names the tests that were not made.
    """

    id: str
    object: str
    unit: str
    filter: str
    date_obs: datetime
    x_px: float
    y_px: float
    ra_deg: float
    dec_deg: float
    snr: float
    flux_adu: float
    mag: float | None
    mag_error: float | None
    sign: int
    flags: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    stamp: Path | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    """Columns that the night's page shows beside those with a field of their own."""

    def shown(self) -> dict[str, float | None]:
        """Return the columns that the night's page shows, rounded."""
        return {column.name: self._rounded(column) for column in CANDIDATE_COLUMNS if column.digits is not None}

    def _rounded(self, column: CandidateColumn) -> float | None:
        value = getattr(self, column.attribute) if column.attribute else self.measures.get(column.name)
        return None if value is None else round(value, column.digits or None)


CANDIDATE_COLUMNS: tuple[CandidateColumn, ...] = (
    CandidateColumn(name="number", description="running number, the most significant detection first"),
    CandidateColumn(
        name="ra_deg", unit="deg", attribute="ra_deg", digits=6, description="right ascension, ICRS; NaN without WCS"
    ),
    CandidateColumn(
        name="dec_deg", unit="deg", attribute="dec_deg", digits=6, description="declination, ICRS; NaN without WCS"
    ),
    CandidateColumn(name="x", unit="pix", attribute="x_px", description="column on the difference, counted from 0"),
    CandidateColumn(name="y", unit="pix", attribute="y_px", description="row on the difference, counted from 0"),
    CandidateColumn(
        name="sign", attribute="sign", digits=0, description="1: light that is new; -1: light that is gone"
    ),
    CandidateColumn(
        name="snr",
        attribute="snr",
        digits=1,
        description="signal to noise of the matched filter, with the sign of the flux",
    ),
    CandidateColumn(name="flux", unit="adu", attribute="flux_adu", description="flux of a point source, signed"),
    CandidateColumn(name="flux_error", unit="adu", description="error of flux"),
    CandidateColumn(name="aperture_flux", unit="adu", description="sum within a radius of 1.5 FWHM, signed"),
    CandidateColumn(name="aperture_error", unit="adu", description="error of aperture_flux"),
    CandidateColumn(name="width", description="width from windowed second moments over that of the difference's PSF"),
    CandidateColumn(name="ellipticity", description="1 minus the ratio of the axes, from windowed second moments"),
    CandidateColumn(name="chi2", description="reduced chi squared of the PSF within 1.5 FWHM"),
    CandidateColumn(name="delta_mag", unit="mag", description="magnitude within 0.75 FWHM minus that within 1.5 FWHM"),
    CandidateColumn(name="background", unit="adu", description="median of the ring from 2.5 to 4 FWHM, signed"),
    CandidateColumn(name="background_error", unit="adu", description="error of background"),
    CandidateColumn(
        name="opposite_ratio", description="strongest flux of the opposite sign within 1.5 FWHM over the detection's"
    ),
    CandidateColumn(name="opposite", description="whether that flux of the opposite sign is detected"),
    CandidateColumn(
        name="dark", description="depth of a hole in the image that was there before, in sigma of a point source"
    ),
    CandidateColumn(name="below", description="part of the box of one FWHM that is below background minus sky sigma"),
    CandidateColumn(name="masked_core", description="whether a bad pixel lies within 0.5 FWHM"),
    CandidateColumn(name="masked_weight", description="part of the PSF's weight on bad pixels"),
    CandidateColumn(name="filled", description="whether a pixel within 1 FWHM holds a fill value"),
    CandidateColumn(name="uncovered", description="whether the reference has no data within 0.5 FWHM"),
    CandidateColumn(
        name="extraction", description="bits: 4 saturated, 8 cut by the border, 16 a tenth of the aperture is bad"
    ),
    CandidateColumn(
        name="star_ratio", description="absolute flux over that of the point source which both images show there"
    ),
    CandidateColumn(
        name="mag",
        unit="mag",
        attribute="mag",
        digits=3,
        description="AB magnitude of the flux; NaN without a zero point",
    ),
    CandidateColumn(name="mag_error", unit="mag", attribute="mag_error", description="error of mag, of the flux alone"),
)
"""All columns of a candidate that are measured or derived, in the order of the catalogue."""
