"""Files of Gaia's continuous spectra (XP_CONTINUOUS) of black bodies, in the archive's form; and their magnitudes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import util
from pathlib import Path

import numpy as np

COEFFICIENTS = Path(__file__).resolve().parents[1] / "programs" / "xp" / "black_bodies.json"
TEMPERATURES_K = (4500.0, 6000.0, 9000.0)
BASES = 55
# relative error of each coefficient, of the largest one
ERROR = 1e-4
MAG_AT_620_NM = 14.0


def write(path: Path, temperatures_k: Sequence[float], *, mags: Sequence[float] | None = None) -> Path:
    """Write one spectrum per temperature (one of ``TEMPERATURES_K``); source_id counts from 1.

    ``mags`` are AB at 620 nm; 14 by default.
    """
    known = {each["temperature_k"]: each for each in json.loads(COEFFICIENTS.read_bytes())["spectra"]}
    names = ["source_id"]
    for band in ("bp", "rp"):
        names += [
            f"{band}_n_parameters",
            f"{band}_standard_deviation",
            f"{band}_n_relevant_bases",
            f"{band}_coefficients",
        ]
        names += [f"{band}_coefficient_errors", f"{band}_coefficient_correlations"]
    lines = [",".join(names)]
    for number, temperature in enumerate(temperatures_k, start=1):
        factor = 10 ** (-0.4 * ((mags[number - 1] if mags else MAG_AT_620_NM) - MAG_AT_620_NM))
        cells = [str(number)]
        for band in ("bp", "rp"):
            values = factor * np.array(known[temperature][band])
            errors = np.full(BASES, ERROR * np.abs(values).max())
            arrays = (values, errors, np.zeros(BASES * (BASES - 1) // 2))
            cells += [str(BASES), "1.0", str(BASES), *(f'"({",".join(f"{v:.9g}" for v in each)})"' for each in arrays)]
        lines.append(",".join(cells))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def black_body_mag(temperature_k: float, wavelength_nm):
    """AB magnitude of a black body of 14 mag at 620 nm: B_nu is nu^3 / (exp(h nu / k T) - 1)."""

    def flux(wave):
        return wave**-3.0 / np.expm1(1.4387769e7 / (wave * temperature_k))

    return MAG_AT_620_NM - 2.5 * np.log10(flux(np.asarray(wavelength_nm, dtype=float)) / flux(620.0))


def wavelength_nm(name: str) -> float:
    """Return the wavelength in the name of a J-PAS band, such as J0400 or J1007."""
    return float(name[-4:])


def own_system(folder: Path, name: str) -> Path:
    """Write a user-defined system: J-PAS's filters under another name, in the format of GaiaXPy's tool."""
    folder.mkdir(parents=True)
    [place] = util.find_spec("gaiaxpy").submodule_search_locations
    source = Path(place) / "config" / "filters" / "XpFilter_Jpas_v375wiv142r.xml"
    (folder / f"{name}.gaiaXPy_dr3_v1.xml").write_bytes(source.read_bytes())
    return folder
