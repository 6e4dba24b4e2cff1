"""Compare a night's report with the simulator's truth."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from tasks.records import Candidate, NightReport, Reduced, Stack

MATCH_ARCSEC = 1.5


@dataclass(frozen=True, kw_only=True)
class Score:
    """Comparison of one stack's candidates with the truth."""

    stack: str
    found: tuple[str, ...]
    missed: tuple[str, ...]
    false: int


@dataclass(frozen=True)
class NightTruth:
    """The truth of a simulated night."""

    folder: Path

    @property
    def facts(self) -> dict:
        return json.loads((self.folder / "truth.json").read_text(encoding="utf-8"))

    def light(self, frame_name: str) -> dict:
        return next(row for row in self.facts["lights"] if Path(row["file"]).name == frame_name)

    def zero_point_error_mag(self, reduced: Reduced, flat: Path) -> float:
        """Zero point of a star's whole light, less the truth for the scale that the master flat gives all fluxes.

        The truth holds for a flat of median 1; ours is 1 in the centre of the field.
        """
        truth = self.light(reduced.frame.path.name)["zero_point_mag"]
        unit = reduced.frame.unit
        good = fits.getdata(self.folder / self.facts["bad_pixels"][unit]) == 0
        seen = fits.getdata(self.folder / self.facts["transmission"][unit])[good]
        scale = np.median(seen / fits.getdata(flat)[good])
        return reduced.photometry.zero_point_mag["TOT"] - truth - 2.5 * np.log10(scale)

    def astrometric_errors_arcsec(self, reduced: Reduced) -> np.ndarray:
        """Return the separations of the check points between the product's WCS and the truth."""
        x, y, true_ra, true_dec = np.transpose(self.light(reduced.frame.path.name)["check_points"])
        with fits.open(reduced.image) as hdus, warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)  # it adds MJD-OBS from DATE-OBS
            wcs = WCS(hdus[0].header)
        ra, dec = wcs.all_pix2world(x, y, 0)
        ours = SkyCoord(ra, dec, unit="deg")
        true = SkyCoord(true_ra, true_dec, unit="deg")
        return ours.separation(true).to_value(u.arcsec)

    def score(self, stack: Stack, candidates: tuple[Candidate, ...]) -> Score:
        """Match the unflagged candidates of a stack with the injected transients."""
        own = [c for c in candidates if (c.unit, c.filter) == (stack.unit, stack.filter) and not c.flags]
        transients = [row for row in self.facts["transients"] if row["snr_stack"] > 10]
        sky = SkyCoord([c.ra_deg for c in own] or [0.0], [c.dec_deg for c in own] or [-90.0], unit="deg")
        hits = Counter()
        used = set()
        for row in transients:
            there = SkyCoord(row["ra_deg"], row["dec_deg"], unit="deg")
            near = np.flatnonzero(sky.separation(there).to_value(u.arcsec) < MATCH_ARCSEC)
            if len(near) and own:
                hits[row["id"]] += 1
                used.update(near.tolist())
        return Score(
            stack=stack.image.name,
            found=tuple(sorted(hits)),
            missed=tuple(row["id"] for row in transients if row["id"] not in hits),
            false=len(own) - len(used),
        )

    def scores(self, report: NightReport) -> list[Score]:
        return [self.score(stack, report.candidates) for stack in report.stacks]

    def magnitude_errors(self, report: NightReport) -> list[tuple[float, float]]:
        """Return magnitude less truth, and the error that it has, of each unflagged candidate at a transient."""
        rows = self.facts["transients"]
        sky = SkyCoord([row["ra_deg"] for row in rows], [row["dec_deg"] for row in rows], unit="deg")
        pairs = []
        for each in report.candidates:
            apart = SkyCoord(each.ra_deg, each.dec_deg, unit="deg").separation(sky).to_value(u.arcsec)
            if not each.flags and each.mag is not None and apart.min() < MATCH_ARCSEC:
                pairs.append((each.mag - rows[int(apart.argmin())]["mag"][each.filter], each.mag_error))
        return pairs
