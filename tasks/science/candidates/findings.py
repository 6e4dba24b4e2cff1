"""Find candidates in a difference image, and make their table."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Column, MaskedColumn, Table
from astropy.wcs import WCS

from tasks import constants
from tasks.options import SearchOptions
from tasks.records import Stack
from tasks.science.candidates import detection, flags
from tasks.science.candidates.matched_filter import Planes
from tasks.science.candidates.measurement import Detections
from tasks.science.sources import stars

log = logging.getLogger(__name__)

REGION_ARCSEC = 2.5


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Detections on one difference with the flags checked (name -> booleans) and the planes they were found on."""

    found: Detections
    flags: dict[str, Any]
    planes: Planes
    wcs: WCS | None

    def reasons(self, index: int) -> tuple[str, ...]:
        """Return the flags of one detection."""
        return flags.names(self.flags, index)

    @property
    def not_checked(self) -> tuple[str, ...]:
        """Return the flags that could not be checked."""
        return flags.not_checked(self.flags)

    def sky(self) -> tuple[Any, Any]:
        """Return right ascensions and declinations in degrees, NaN without WCS."""
        if self.wcs is None or not len(self.found):
            empty = np.full(len(self.found), np.nan)
            return empty, empty
        ra, dec = self.wcs.all_pix2world(self.found.x, self.found.y, 0)
        return np.asarray(ra), np.asarray(dec)


def find(planes: Planes, wcs: WCS | None, options: SearchOptions) -> Findings:
    """Detect, measure and flag."""
    found, maps = detection.detect(planes, threshold=options.detect_sigma)
    log.debug("S/N of empty sky scatters by %.2f before calibration", maps.scatter)
    listed = stars.find(planes.science, planes.mask & ~planes.covered)
    return Findings(found=found, flags=flags.judge(found, planes, listed), planes=planes, wcs=wcs)


def survivors(findings: Findings) -> list[int]:
    """Return the detections that no flag speaks against."""
    return [index for index in range(len(findings.found)) if not findings.reasons(index)]


def table_of(findings: Findings, *, zero_point_mag: float | None = None) -> Table:
    """Return all detections as a table: measurements, ``flag_0`` .. ``flag_14``, their names, and ``why_not``.

    The column of a flag that was not checked is masked.
    """
    ra, dec = findings.sky()
    table = Table({"number": np.arange(1, len(findings.found) + 1), "ra_deg": ra, "dec_deg": dec})
    for name in Detections.__dataclass_fields__:
        table[name] = np.asarray(getattr(findings.found, name))
    table["mag"], table["mag_error"] = magnitudes(findings.found, zero_point_mag)
    for number, name in enumerate(flags.NAMES):
        table[f"flag_{number}"] = _flag_column(findings, name)
    table["flag"] = np.any([np.asarray(answers) for answers in findings.flags.values()], axis=0)
    table["why_not"] = [";".join(findings.reasons(index)) for index in range(len(table))] or np.zeros(0, dtype="U1")
    return table


def _flag_column(findings: Findings, name: str) -> Column:
    if name in findings.not_checked:
        nothing = np.zeros(len(findings.found), dtype=bool)
        return MaskedColumn(nothing, mask=~nothing, description=f"{name}: not checked")
    return Column(np.asarray(findings.flags[name], dtype=bool), description=name)


def flag_summary(findings: Findings) -> str:
    """Return, as CSV, how many detections each flag speaks against, and their ratio; or that it was not checked."""
    total = max(len(findings.found), 1)
    counts = {name: int(np.sum(answers)) for name, answers in findings.flags.items()}
    rows = [
        f"{name},not checked," if name in findings.not_checked else f"{name},{counts[name]},{counts[name] / total:.4f}"
        for name in flags.NAMES
    ]
    return "\n".join(["flag,n,ratio", *rows]) + "\n"


def total_zero_point(stack: Stack) -> float | None:
    """Return the zero point of a star's whole light, which PSF fluxes need; that of AUTO where it was not measured."""
    known = stack.photometry.zero_point_mag
    return known.get("TOT", known.get("AUTO"))


def magnitudes(found: Detections, zero_point_mag: float | None) -> tuple[Any, Any]:
    """Return magnitudes of |flux| and their errors; NaN without a zero point."""
    flux = np.abs(found.flux)
    error = constants.MAG_PER_RELATIVE_FLUX * found.flux_error / np.where(flux > 0, flux, np.inf)
    if zero_point_mag is None:
        return np.full(len(flux), np.nan), error
    return zero_point_mag - 2.5 * np.log10(np.where(flux > 0, flux, np.nan)), error


def region_text(findings: Findings) -> str:
    """Return DS9 regions of the survivors: circles on the sky, or on the image without WCS."""
    ra, dec = findings.sky()
    if findings.wcs is None:
        circles = [
            f"circle({findings.found.x[i] + 1:.2f},{findings.found.y[i] + 1:.2f},8)" for i in survivors(findings)
        ]
        return "\n".join(["image", *circles]) + "\n"
    circles = [f'circle({ra[i]:.6f},{dec[i]:.6f},{REGION_ARCSEC}")' for i in survivors(findings)]
    return "\n".join(["fk5", *circles]) + "\n"
