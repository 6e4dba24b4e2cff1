"""Solved lights of a simulated unit, without masters and astrometry: the input of photometry, and its truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from support import records
from tasks import naming
from tasks.io.fits import fits_images
from tasks.records import Frame, FrameType, Solved
from tasks.science.astrometry import wcs_checks
from tasks.science.simulation import bands, camera, plan, sky
from tasks.science.simulation import frames as simulated
from tasks.science.simulation.frames import Conditions, SimulatedField, SimulatedUnit
from tasks.science.simulation.plan import Request


@dataclass(frozen=True, kw_only=True)
class Night:
    """A simulation request with its field and first unit; its lights are written under ``root``."""

    request: Request
    field: SimulatedField
    unit: SimulatedUnit
    root: Path

    def light(self, filter_: str, number: int = 1) -> tuple[Solved, Conditions]:
        """Write one light of the unit with its true WCS; return it and the truth."""
        [shot] = [
            each
            for each in plan.shots(self.request, self.unit.name)
            if each.type is FrameType.LIGHT and each.filter == filter_ and each.number == number
        ]
        conditions = simulated.draw_conditions(self.request, self.unit, shot)
        mean_e = simulated.light_of(self.field, conditions, shot, self.request.size.shape, self.unit.response)
        rng = plan.stream(self.request.seed, "photons", shot.name)
        noisy = rng.poisson(mean_e) + rng.normal(0, camera.READ_NOISE_E, mean_e.shape)
        gain = camera.GAIN_E_PER_ADU
        image = np.minimum(noisy / gain, camera.SATURATION_ADU).astype(np.float32)
        mask = np.where(image >= camera.SATURATION_ADU, 2, 0).astype(np.uint8)
        header = {**_solution(conditions.wcs), "FILTER": filter_, "EGAIN": gain, "OBJECT": self.request.object}
        header |= {"SATURATE": camera.SATURATION_ADU, "QAFLAG": 0, "QATEXT": ""}
        path = self.root / "solved" / shot.name
        path.parent.mkdir(parents=True, exist_ok=True)
        fits_images.write_image(path, image, header)
        fits_images.write_image(naming.variance_of(path), ((mean_e / gain) / gain).astype(np.float32), {})
        fits_images.write_image(naming.mask_of(path), mask, {})
        frame = Frame(
            path=Path(shot.name),
            type=FrameType.LIGHT,
            unit=self.unit.name,
            date_obs=shot.start.astimezone(UTC),
            exposure_s=shot.exposure_s,
            filter=filter_,
            object=self.request.object,
            shape=self.request.size.shape,
            scale_arcsec=plan.SCALE_ARCSEC,
        )
        solved = Solved(
            frame=frame,
            image=path,
            variance=naming.variance_of(path),
            mask=naming.mask_of(path),
            astrometry=records.astrometry(),
        )
        return solved, conditions

    def catalogue(self) -> Path:
        """Write the photometric reference in the request's filters, once."""
        path = self.root / "photometric.fits"
        if path.exists():
            return path
        stars = self.field.stars
        known = stars.g_mag < sky.CATALOGUE_LIMIT_MAG
        columns = {
            "source_id": stars.source_id,
            "ra": stars.ra_deg,
            "dec": stars.dec_deg,
            "pmra": stars.pmra_mas,
            "pmdec": stars.pmdec_mas,
            "phot_g_mean_mag": stars.g_mag,
            "bp_rp": stars.bp_rp,
            **{f"mag_{name}": bands.star_mags(stars.g_mag, stars.bp_rp, name) for name in self.request.filters},
        }
        table = [
            fits.Column(name, "K" if column.dtype.kind == "i" else "D", array=column[known])
            for name, column in columns.items()
        ]
        fits.BinTableHDU.from_columns(table).writeto(path)
        return path


def _solution(wcs: WCS) -> dict:
    """Return the cards of a true WCS as SCAMP writes them: a CD matrix, not PC."""
    cards = wcs_checks.solution_cards(wcs.to_header())
    matrix = {f"CD{i}_{j}": float(wcs.wcs.cd[i - 1, j - 1]) for i in (1, 2) for j in (1, 2)}
    return {key: value for key, value in cards.items() if key[:2] != "PC" and key[:5] != "CDELT"} | matrix


def night(root: Path, **request) -> Night:
    """Simulate a night of one unit; arguments are those of ``plan.Request``."""
    wanted = plan.checked(Request(units=("7DT01",), **request))
    return Night(
        request=wanted, field=simulated.draw_field(wanted), unit=simulated.draw_unit(wanted, "7DT01"), root=root
    )
