"""Magnitudes of other surveys in our filters, and which of Gaia's stars are good."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import ascii as text_tables
from astropy.table import Table

from tasks.errors import UnusableData
from tasks.science.photometry import reference_stars
from tasks.science.photometry.reference_stars import Templates
from tasks.science.simulation import bands


@pytest.fixture(scope="module")
def ps1(shared_data):
    return text_tables.read(shared_data / "sevendt" / "ps1-Tonry-NGC5350.cat", format="commented_header")


@pytest.fixture(scope="module")
def templates(shared_data):
    table = Table.read(shared_data / "sevendt" / "stellar_sed_template_phot4med.dat", format="ascii.tab")
    names = tuple(name for name in table.colnames if f"eff_wavelength_{name}" in table.colnames)
    return Templates(
        names=names,
        mags=np.stack([np.asarray(table[name]) for name in names], axis=1),
        wavelengths_nm=np.array([np.median(table[f"eff_wavelength_{name}"]) / 10 for name in names]),
    )


def test_johnson_magnitudes_are_those_of_the_published_file(ps1):
    found = reference_stars.from_ps1(ps1)

    assert len(ps1) == 488
    for band in "BVRI":
        assert found[f"mag_{band}"] == pytest.approx(np.asarray(ps1[band]), abs=2e-4)


def test_sdss_magnitudes_of_a_white_star_move_by_what_tonry_says():
    # g - r = 0: only the constants of table 6 are left
    table = Table({name: [15.0] for name in "griz"})
    found = {name: float(values[0]) for name, values in reference_stars.from_ps1(table).items()}

    assert [found[f"mag_{name}"] - 15 for name in "griz"] == pytest.approx([0.013, -0.001, -0.005, 0.013])
    red = Table({"g": [16.0], "r": [15.0], "i": [14.5], "z": [14.2]})
    assert reference_stars.from_ps1(red)["mag_g"][0] == pytest.approx(16 + 0.013 + 0.145 + 0.019)


def gaia(**changes):
    row = {
        "ruwe": 1.0, "phot_variable_flag": "NOT_AVAILABLE", "ipd_frac_multi_peak": 0, "ipd_frac_odd_win": 0,
        "phot_bp_rp_excess_factor": 1.162004 + 0.011464 + 0.049255 - 0.005879, "bp_rp": 1.0, "phot_g_mean_mag": 14.0,
    }  # fmt: skip
    return row | changes


@pytest.mark.parametrize(
    ("test", "change"),
    [
        ("ruwe", {"ruwe": 1.4}),
        ("variable", {"phot_variable_flag": "VARIABLE"}),
        ("several peaks", {"ipd_frac_multi_peak": 7}),
        ("odd windows", {"ipd_frac_odd_win": 7}),
        ("colour excess", {"phot_bp_rp_excess_factor": 1.25}),
        ("colour excess", {"bp_rp": np.nan}),
    ],
)
def test_each_test_of_quality_refuses_its_own(test, change):
    good, refused = reference_stars.good_gaia(Table([gaia(), gaia(**change)]))

    assert good.tolist() == [True, False]
    assert {name for name, number in refused.items() if number} == {test}


def test_the_colour_excess_has_the_published_scatter():
    # Riello et al. 2021, equation 18: 0.0061 at G = 14 is 0.0059898 + 8.817481e-12 x 14^7.618399
    sigma = 0.0059898 + 8.817481e-12 * 14**7.618399
    expected = 1.162004 + 0.011464 + 0.049255 - 0.005879
    found = reference_stars.excess_sigma(np.array([expected + 2 * sigma]), np.array([1.0]), np.array([14.0]))

    assert sigma == pytest.approx(0.0108, abs=1e-4)
    assert found == pytest.approx([2.0])


def test_a_table_without_quality_is_refused():
    with pytest.raises(UnusableData, match="ipd_frac_odd_win"):
        reference_stars.good_gaia(Table({"ruwe": [1.0]}))


def test_surveys_become_ab_and_missing_columns_are_named():
    table = Table({"J_M": [10.0], "H_M": [9.5], "K_M": [9.4]})
    assert reference_stars.from_survey(table, "2mass")["mag_J"][0] == pytest.approx(10.91)
    with pytest.raises(UnusableData, match="g_mag"):
        reference_stars.from_survey(table, "apass")


def test_templates_give_back_a_templates_own_medium_bands(templates, rng):
    chosen = rng.integers(0, len(templates.mags), 60)
    shift = rng.uniform(42, 46, 60)
    seen = {
        f"mag_{name}": templates.mags[chosen, templates.names.index(name)] + shift + rng.normal(0, 0.005, 60)
        for name in "gri"
    }
    wanted = {"m425": 425.0, "m575": 575.0, "m675": 675.0, "m825": 825.0}
    found = reference_stars.by_templates(seen, templates, wanted)

    for name in wanted:
        truth = templates.mags[chosen, templates.names.index(name)] + shift
        error = found[f"mag_{name}"] - truth
        # giants and dwarfs share g, r, i; m425 holds the features that tell them apart
        assert np.median(np.abs(error)) < (0.06 if name == "m425" else 0.02)


def test_a_band_between_two_of_the_templates_is_interpolated(templates):
    row = templates.mags[[90]]
    seen = {f"mag_{name}": row[:, templates.names.index(name)] + 44 for name in "gri"}
    one = Templates(names=templates.names, mags=row, wavelengths_nm=templates.wavelengths_nm)
    found = reference_stars.by_templates(seen, one, {"m650": 650.0})["mag_m650"] - 44
    low, high = (row[0, templates.names.index(name)] for name in ("m625", "m675"))

    assert min(low, high) < found[0] < max(low, high)


def test_colours_of_no_star_and_bands_outside_are_left_out(templates):
    odd = {"mag_g": np.array([15.0]), "mag_r": np.array([18.0]), "mag_i": np.array([13.0])}
    found = reference_stars.by_templates(odd, templates, {"m650": 650.0, "m375w": 375.0})

    assert list(found) == ["mag_m650"]
    assert np.isnan(found["mag_m650"][0])


def test_the_simulators_stars_lie_on_the_templates_locus(templates):
    """BP - RP and g, r, i of a simulated star belong together: some template has these colours."""
    colour = np.linspace(0.5, 1.8, 40)
    seen = {f"mag_{name}": bands.star_mags(np.full(40, 15.0), colour, name) for name in "gri"}
    found = reference_stars.by_templates(seen, templates, {"m625": 625.0})["mag_m625"]

    assert np.isfinite(found).mean() > 0.8
    # m625 lies within r
    assert np.nanmax(np.abs(found - seen["mag_r"])) < 0.06
