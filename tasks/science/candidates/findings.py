"""Search of a difference image for candidates: detect, measure, flag."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS

from tasks.options import SearchOptions
from tasks.science.candidates import detection, flags
from tasks.science.candidates.matched_filter import SearchPlanes
from tasks.science.candidates.measurement import Detections
from tasks.science.sources import stars

log = logging.getLogger(__name__)

# radius of the circles of the first pipeline of these cameras
REGION_ARCSEC = 2.5


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Detections on one difference, their flags (name -> booleans), and the planes searched."""

    found: Detections
    flags: dict[str, Any]
    planes: SearchPlanes
    wcs: WCS | None

    def reasons(self, index: int) -> tuple[str, ...]:
        """Return the flags of one detection."""
        return flags.names(self.flags, index)

    @property
    def not_checked(self) -> tuple[str, ...]:
        """Return the flags that could not be checked."""
        return flags.not_checked(self.flags)

    def sky(self) -> tuple[Any, Any]:
        """Return right ascensions and declinations in degrees, NaN without a WCS."""
        if self.wcs is None or not len(self.found):
            empty = np.full(len(self.found), np.nan)
            return empty, empty
        ra, dec = self.wcs.all_pix2world(self.found.x, self.found.y, 0)
        return np.asarray(ra), np.asarray(dec)


def find(planes: SearchPlanes, wcs: WCS | None, options: SearchOptions) -> Findings:
    """Detect, measure and flag."""
    found, maps = detection.detect(planes, threshold=options.detect_sigma)
    log.debug("S/N of empty sky scatters by %.2f before calibration", maps.scatter)
    listed = stars.find(planes.science, planes.mask & ~planes.covered)
    return Findings(found=found, flags=flags.judge(found, planes, listed), planes=planes, wcs=wcs)


def survivors(findings: Findings) -> list[int]:
    """Return the indices of detections without flags."""
    return [index for index in range(len(findings.found)) if not findings.reasons(index)]


def region_text(findings: Findings) -> str:
    """Return DS9 regions of unflagged detections: circles on the sky, or on the image without a WCS."""
    ra, dec = findings.sky()
    if findings.wcs is None:
        circles = [
            f"circle({findings.found.x[i] + 1:.2f},{findings.found.y[i] + 1:.2f},8)" for i in survivors(findings)
        ]
        return "\n".join(["image", *circles]) + "\n"
    circles = [f'circle({ra[i]:.6f},{dec[i]:.6f},{REGION_ARCSEC}")' for i in survivors(findings)]
    return "\n".join(["fk5", *circles]) + "\n"
