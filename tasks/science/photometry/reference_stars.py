"""Stars for zero points from catalogues: selection of good Gaia stars, and surveys' magnitudes in our filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from tasks.errors import UnusableData
from tasks.science.astrometry.matching import Floats

# well fitted by a single star: Lindegren 2018, GAIA-C3-TN-LU-LL-124
LARGEST_RUWE = 1.4
# in per cent of the transits; limits of the first pipeline's selection
LARGEST_MULTI_PEAK, LARGEST_ODD_WINDOW = 7.0, 7.0
# limit of the first pipeline's selection
LARGEST_EXCESS_SIGMA = 2.0
# C* of Gaia EDR3's BP/RP flux excess: Riello et al. 2021, A&A 649, A3, table 2 and equation 18
EXCESS = (
    (-np.inf, 0.5, (1.154360, 0.033772, 0.032277)),
    (0.5, 4.0, (1.162004, 0.011464, 0.049255, -0.005879)),
    (4.0, np.inf, (1.057572, 0.140537)),
)
# scatter of C* as a function of G: equation 18 there
EXCESS_SIGMA = (0.0059898, 8.817481e-12, 7.618399)

# Pan-STARRS1 to SDSS (AB) as polynomials of g - r, constant first: Tonry et al. 2012, ApJ 750, 99, table 6, quadratic;
# u has none there
TONRY_SDSS = {
    "g": ("g", (0.013, 0.145, 0.019)),
    "r": ("r", (-0.001, 0.004, 0.007)),
    "i": ("i", (-0.005, 0.011, 0.010)),
    "z": ("z", (0.013, -0.039, -0.012)),
}
# to Johnson and Cousins (same table, linear), brought from Vega to AB by Blanton & Roweis 2007, AJ 133, 734, table 1
TONRY_JOHNSON = {
    "B": ("g", (0.213, 0.587), -0.09),
    "V": ("r", (0.006, 0.474), 0.02),
    "R": ("r", (-0.138, -0.131), 0.21),
    "I": ("i", (-0.367, -0.149), 0.45),
}
# name in the survey's table, name of ours, what makes it an AB magnitude
SURVEYS: Mapping[str, tuple[tuple[str, str, float], ...]] = {
    # u and z of SDSS are off AB: sdss.org/dr16/algorithms/fluxcal
    "sdss": (("u", "u", -0.04), ("g", "g", 0.0), ("r", "r", 0.0), ("i", "i", 0.0), ("z", "z", 0.02)),
    "apass": (("g_mag", "g", 0.0), ("r_mag", "r", 0.0), ("i_mag", "i", 0.0)),
    # Vega to AB by Blanton & Roweis 2007
    "2mass": (("j_m", "J", 0.91), ("h_m", "H", 1.39), ("k_m", "Ks", 1.85)),
}
TEMPLATE_BANDS = ("g", "r", "i")
# assumed error of a magnitude against its template: a star differs from its type
TEMPLATE_FLOOR_MAG = 0.02
# above this no template fits the star: a quasar, a blend, a bad magnitude
LARGEST_TEMPLATE_CHI2 = 9.0
# definition of the Angstrom
ANGSTROM_PER_NM = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Templates:
    """Magnitudes ``(templates, bands)`` of stars of one brightness, and each band's wavelength in nm."""

    names: tuple[str, ...]
    mags: Floats
    wavelengths_nm: Floats


def excess_sigma(excess: Floats, bp_rp: Floats, g_mag: Floats) -> Floats:
    """Return |C*| / sigma: the excess of a source's BP and RP flux over a single star's."""
    expected = np.full(len(bp_rp), np.nan)
    for low, high, terms in EXCESS:
        part = (bp_rp >= low) & (bp_rp < high)
        expected[part] = np.polynomial.polynomial.polyval(bp_rp[part], terms)
    floor, slope, power = EXCESS_SIGMA
    result: Floats = np.abs(excess - expected) / (floor + slope * g_mag**power)
    return result


def good_gaia(sources: Table) -> tuple[Floats, dict[str, int]]:
    """Return which sources of Gaia DR3's ``gaia_source`` are single, constant stars, and how many each test rejects.

    Raises
    ------
    UnusableData
        If the table lacks a column that a test needs.
    """
    needed = (
        "ruwe", "phot_variable_flag", "ipd_frac_multi_peak", "ipd_frac_odd_win", "phot_bp_rp_excess_factor", "bp_rp",
        "phot_g_mean_mag",
    )  # fmt: skip
    if missing := [name for name in needed if name not in sources.colnames]:
        raise UnusableData(f"the table of Gaia sources lacks the columns {', '.join(missing)}")
    number = {
        name: np.ma.filled(np.ma.asarray(sources[name], dtype=float), np.nan)
        for name in needed
        if name != "phot_variable_flag"
    }
    variable = np.char.upper(np.char.strip(np.ma.filled(np.ma.asarray(sources["phot_variable_flag"]), "").astype(str)))
    excess = excess_sigma(number["phot_bp_rp_excess_factor"], number["bp_rp"], number["phot_g_mean_mag"])
    tests = {
        "ruwe": number["ruwe"] < LARGEST_RUWE,
        "variable": variable != "VARIABLE",
        "several peaks": number["ipd_frac_multi_peak"] < LARGEST_MULTI_PEAK,
        "odd windows": number["ipd_frac_odd_win"] < LARGEST_ODD_WINDOW,
        "colour excess": excess < LARGEST_EXCESS_SIGMA,
    }
    good = np.logical_and.reduce(list(tests.values()))
    return good, {name: int((~passed).sum()) for name, passed in tests.items()}


def from_ps1(table: Table) -> dict[str, Floats]:
    """Return mag_<filter> [AB] of SDSS g, r, i, z and of B, V, R, I from Pan-STARRS1 g, r, i, z."""
    mags = {name: np.asarray(table[name], dtype=float) for name in "griz"}
    colour = mags["g"] - mags["r"]
    result = {
        f"mag_{name}": mags[base] + np.polynomial.polynomial.polyval(colour, terms)
        for name, (base, terms) in TONRY_SDSS.items()
    }
    for name, (base, terms, to_ab) in TONRY_JOHNSON.items():
        result[f"mag_{name}"] = mags[base] + np.polynomial.polynomial.polyval(colour, terms) + to_ab
    return result


def from_survey(table: Table, survey: str) -> dict[str, Floats]:
    """Return mag_<filter> [AB] of a survey's table: ``sdss``, ``apass`` or ``2mass``."""
    known = {column.lower(): column for column in table.colnames}
    missing = [name for name, _, _ in SURVEYS[survey] if name not in known]
    if missing:
        raise UnusableData(f"the {survey} table lacks the columns {', '.join(missing)}")
    return {
        f"mag_{ours}": np.ma.filled(np.ma.asarray(table[known[name]], dtype=float), np.nan) + to_ab
        for name, ours, to_ab in SURVEYS[survey]
    }


def by_templates(
    mags: Mapping[str, Floats], templates: Templates, wavelengths_nm: Mapping[str, float]
) -> dict[str, Floats]:
    """Return mag_<filter> of medium bands from g, r, i by the stellar templates that have these colours.

    Of each star's templates the mean weighted by exp(-chi2 / 2) is taken, with an error of 20 mmag in each band; NaN where
    chi2 of the best exceeds 9. A band between two of the templates' is interpolated in wavelength;
    one beyond them is left out.

    Parameters
    ----------
    mags
        mag_g, mag_r, mag_i.
    wavelengths_nm
        Wavelengths of the wanted bands, by filter.
    """
    column = [templates.names.index(name) for name in TEMPLATE_BANDS]
    seen = np.stack([mags[f"mag_{name}"] for name in TEMPLATE_BANDS], axis=1)
    offset = (seen[:, None, :] - templates.mags[None, :, column]).mean(axis=2)
    residual = seen[:, None, :] - templates.mags[None, :, column] - offset[:, :, None]
    chi2 = ((residual / TEMPLATE_FLOOR_MAG) ** 2).sum(axis=2)
    best = chi2.min(axis=1, keepdims=True)
    weight = np.exp(-(chi2 - best) / 2)
    weight = np.where(best <= LARGEST_TEMPLATE_CHI2, weight, np.nan) / weight.sum(axis=1, keepdims=True)
    order = [k for k in np.argsort(templates.wavelengths_nm) if templates.names[k].startswith("m")]
    at = templates.wavelengths_nm[order]
    result = {}
    for name, wanted in wavelengths_nm.items():
        if name in templates.names:
            band = templates.mags[:, templates.names.index(name)]
        elif at[0] <= wanted <= at[-1]:
            band = np.array([np.interp(wanted, at, row[order]) for row in templates.mags])
        else:
            continue
        result[f"mag_{name}"] = (weight * (band[None, :] + offset)).sum(axis=1)
    return result
