"""Filters: wavelength, sky brightness, zero point, and colours of stars."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.errors import UnusableData

Floats = NDArray[np.float64]

# of the production frames whose medians are below
PRODUCTION_EXPOSURE_S = 120.0
# width of the medium bands of 7DT
MEDIUM_WIDTH_NM = 25.0
MEDIUM_BAND = re.compile(r"m(\d{3})w?")
# the medium bands of 7DT are m375w to m887
MEDIUM_RANGE_NM = (375, 900)
# name → wavelength nm, width nm, zero point mag, sky ADU of a 120 s frame in dark time; r, i and u are the medians of
# 500 production frames (i and u from SKYSIG), g and z are set between and beyond them by the sensor's response
BROAD_BANDS = {
    "u": (355.0, 60.0, 25.30, 4.0),
    "g": (481.0, 140.0, 28.20, 300.0),
    "r": (617.0, 135.0, 28.29, 436.0),
    "i": (752.0, 130.0, 27.00, 180.0),
    "z": (866.0, 100.0, 25.90, 110.0),
}
# between these, medium bands are interpolated
WAVELENGTHS_NM = np.array([band[0] for band in BROAD_BANDS.values()])
# G - g, G - r, G - i as polynomials of BP - RP, constant first: Gaia EDR3 documentation, table 5.7
GAIA_MINUS_SDSS = {
    "g": (0.2199, -0.6365, -0.1548, 0.0064),
    "r": (-0.09837, 0.08592, 0.1907, -0.1701, 0.02263),
    "i": (-0.293, 0.6404, -0.09609, -0.002104),
}


@dataclass(frozen=True, kw_only=True)
class Band:
    """A filter: zero point (mag) and dark sky (ADU) are those of a 120 s frame at the zenith."""

    name: str
    wavelength_nm: float
    zero_point_mag: float
    sky_adu: float

    @property
    def extinction_mag(self) -> float:
        """Extinction per airmass: 0.09 mag in r, rising to the blue as Rayleigh scattering and aerosols do."""
        return float(0.09 * (617.0 / self.wavelength_nm) ** 3)

    def zero_point(self, exposure_s: float) -> float:
        """Return the zero point of a whole exposure, for total flux in ADU."""
        return self.zero_point_mag + 2.5 * float(np.log10(exposure_s / PRODUCTION_EXPOSURE_S))

    def sky(self, exposure_s: float) -> float:
        """Return the dark sky's level in a whole exposure, in ADU."""
        return self.sky_adu * exposure_s / PRODUCTION_EXPOSURE_S


def band(name: str) -> Band:
    """Return a filter by name: u, g, r, i, z or a medium band m375 to m900; else raise ``UnusableData``."""
    if name in BROAD_BANDS:
        wavelength, _, zero_point, sky = BROAD_BANDS[name]
        return Band(name=name, wavelength_nm=wavelength, zero_point_mag=zero_point, sky_adu=sky)
    match = MEDIUM_BAND.fullmatch(name)
    if match is None or not MEDIUM_RANGE_NM[0] <= int(match[1]) <= MEDIUM_RANGE_NM[1]:
        raise UnusableData(f"filter {name!r} cannot be simulated: allowed are u, g, r, i, z and m375 to m900")
    return _medium_band(name, float(match[1]))


def star_mags(g_mag: Floats, bp_rp: Floats, name: str) -> Floats:
    """Return AB magnitudes in a filter from Gaia's G and BP - RP, along the stellar locus.

    Between the broad bands magnitudes are interpolated linearly in wavelength; u and z continue the locus with
    u - g = 0.9 + 1.1 (g - r) and i - z = 0.55 (r - i).
    """
    mags = {key: g_mag - np.polynomial.polynomial.polyval(bp_rp, GAIA_MINUS_SDSS[key]) for key in GAIA_MINUS_SDSS}
    mags["u"] = mags["g"] + 0.9 + 1.1 * (mags["g"] - mags["r"])
    mags["z"] = mags["i"] - 0.55 * (mags["r"] - mags["i"])
    knots = np.stack([mags[key] for key in BROAD_BANDS])
    return _interpolate(knots, band(name).wavelength_nm)


def _interpolate(knots: Floats, wavelength_nm: float) -> Floats:
    """Interpolate magnitudes (bands, n) at one wavelength; beyond the outermost bands they stay constant."""
    wavelength_nm = float(np.clip(wavelength_nm, WAVELENGTHS_NM[0], WAVELENGTHS_NM[-1]))
    upper = int(np.clip(np.searchsorted(WAVELENGTHS_NM, wavelength_nm), 1, len(WAVELENGTHS_NM) - 1))
    low, high = WAVELENGTHS_NM[upper - 1], WAVELENGTHS_NM[upper]
    weight = (wavelength_nm - low) / (high - low)
    result: Floats = (1 - weight) * knots[upper - 1] + weight * knots[upper]
    return result


def _medium_band(name: str, wavelength_nm: float) -> Band:
    """Scale the broad bands' response and sky per nm to 25 nm."""
    widths = np.array([values[1] for values in BROAD_BANDS.values()])
    flux_per_nm = 10 ** (0.4 * np.array([values[2] for values in BROAD_BANDS.values()])) / widths
    sky_per_nm = np.array([values[3] for values in BROAD_BANDS.values()]) / widths
    flux = np.exp(np.interp(wavelength_nm, WAVELENGTHS_NM, np.log(flux_per_nm))) * MEDIUM_WIDTH_NM
    sky = np.exp(np.interp(wavelength_nm, WAVELENGTHS_NM, np.log(sky_per_nm))) * MEDIUM_WIDTH_NM
    return Band(name=name, wavelength_nm=wavelength_nm, zero_point_mag=float(2.5 * np.log10(flux)), sky_adu=float(sky))
