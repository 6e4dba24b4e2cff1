"""GaiaXPy on spectra of black bodies with known magnitudes; refused input."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from support import xp

from tasks.errors import MissingPart, ProgramError, UnusableData
from tasks.programs import gaiaxpy

needs_gaiaxpy = pytest.mark.skipif(
    util.find_spec("gaiaxpy") is None, reason="GaiaXPy is not installed: pip install 'brightsiren[gaiaxp]'"
)


@pytest.fixture(scope="module")
def spectra(tmp_path_factory):
    return xp.write(tmp_path_factory.mktemp("spectra") / "XP_CONTINUOUS.csv", xp.TEMPERATURES_K)


@pytest.fixture(scope="module")
def jpas(spectra, tmp_path_factory):
    options = gaiaxpy.Options(systems=("JPAS", "SDSS"))
    return gaiaxpy.magnitudes([spectra], tmp_path_factory.mktemp("jpas"), options)


@needs_gaiaxpy
def test_narrow_bands_have_the_black_bodys_magnitude_at_their_wavelength(jpas):
    bands = [name for name in jpas.colnames if name.startswith("mag_J") and 390 <= xp.wavelength_nm(name) <= 950]
    waves = np.array([xp.wavelength_nm(name) for name in bands])

    assert len(bands) > 50
    for row, temperature in zip(jpas, xp.TEMPERATURES_K, strict=True):
        found = np.array([row[name] for name in bands])
        # bands are 14.5 nm wide; the coefficients were fitted to 1 %
        assert np.abs(found - xp.black_body_mag(temperature, waves)).max() < 0.025


@needs_gaiaxpy
def test_broad_bands_lie_near_those_at_their_middle_and_noise_is_told(jpas):
    for row, temperature in zip(jpas, xp.TEMPERATURES_K, strict=True):
        for band, wave in (("r", 620.0), ("i", 755.0)):
            assert row[f"mag_{band}"] == pytest.approx(xp.black_body_mag(temperature, wave), abs=0.05)
            assert row[f"snr_{band}"] > 100


@needs_gaiaxpy
def test_a_system_of_a_users_own_and_its_names(spectra, tmp_path):
    filters = xp.own_system(tmp_path / "filters", "SevenDT")
    options = gaiaxpy.Options(systems=("SevenDT",), filters=filters, names={"J0400": "m400", "J0650": "m650"})
    table = gaiaxpy.magnitudes([spectra], tmp_path / "run", options)

    assert {"source_id", "mag_m400", "snr_m400", "mag_m650"} <= set(table.colnames)
    assert table["mag_m650"][1] == pytest.approx(xp.black_body_mag(6000.0, 650.0), abs=0.025)


@needs_gaiaxpy
def test_an_unknown_system_is_named(spectra, tmp_path):
    with pytest.raises(ProgramError) as refused:
        gaiaxpy.magnitudes([spectra], tmp_path, gaiaxpy.Options(systems=("NoSuch",)))
    assert "no photometric system NoSuch" in refused.value.log_tail


@needs_gaiaxpy
def test_a_file_of_something_else_fails_and_leaves_its_log(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ProgramError):
        gaiaxpy.magnitudes([tmp_path / "x.csv"], tmp_path / "run", gaiaxpy.Options(systems=("SDSS",)))


@needs_gaiaxpy
def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(UnusableData, match=r"gone\.csv"):
        gaiaxpy.magnitudes([tmp_path / "gone.csv"], tmp_path / "run", gaiaxpy.Options(systems=("SDSS",)))


def test_without_gaiaxpy_it_is_said_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(gaiaxpy, "installed", lambda: False)
    with pytest.raises(MissingPart, match=r"brightsiren\[gaiaxp\]"):
        gaiaxpy.magnitudes([Path("x.csv")], tmp_path, gaiaxpy.Options(systems=("SDSS",)))


def test_what_the_process_writes_is_read_and_the_first_system_wins(tmp_path):
    (tmp_path / "bands.json").write_text(json.dumps({"A": ["r"], "B": ["r", "J0400"]}))
    (tmp_path / "photometry.csv").write_text(
        "source_id,A_mag_r,A_flux_r,A_flux_error_r,B_mag_r,B_flux_r,B_flux_error_r,"
        "B_mag_J0400,B_flux_J0400,B_flux_error_J0400\n"
        "4611686018427387905,15.1,100,2,16,1,1,,-3,1\n"
    )
    table = gaiaxpy.parse(tmp_path, {"J0400": "m400"})

    assert table["source_id"][0] == 4611686018427387905
    assert (table["mag_r"][0], table["snr_r"][0]) == (15.1, 50.0)
    assert np.isnan(table["mag_m400"][0])
    with pytest.raises(ProgramError, match="no readable photometry"):
        gaiaxpy.parse(tmp_path / "nowhere", {})
