"""GaiaXPy: synthetic magnitudes from Gaia's BP and RP spectra, in a separate process.

GaiaXPy is optional (``pip install 'brightsiren[gaiaxp]'``): it is needed to make reference tables, not for a night.
Reference: Gaia Collaboration, Montegriffo et al. 2023, A&A 674, A33.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import numpy as np
from astropy.table import Table

from tasks.errors import MissingPart, ProgramError, UnusableData
from tasks.programs import run

log = logging.getLogger(__name__)

SUFFIXES = (".csv", ".ecsv", ".fits", ".xml", ".avro")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the synthetic magnitudes.

    ``systems`` are GaiaXPy's names of photometric systems; filter files of a user's own systems
    (``NAME.gaiaXPy_dr3_VERSION.xml``) are in ``filters``. ``names`` maps a system's name of a band to ours if they differ.
    """

    systems: tuple[str, ...]
    filters: Path | None = None
    names: Mapping[str, str] | None = None
    timeout_s: float = 3600.0


def installed() -> bool:
    """Return whether GaiaXPy is installed."""
    return util.find_spec("gaiaxpy") is not None


def command(request_file: Path) -> list[str]:
    """Return the command line for a request."""
    return [sys.executable, "-m", "tasks.programs.gaiaxpy_worker", str(request_file)]


def magnitudes(spectra: Sequence[Path], folder: Path, options: Options) -> Table:
    """Return source_id, and mag_<filter> [AB mag] and snr_<filter> of each band, for all spectra of some files.

    Parameters
    ----------
    spectra
        Files of continuous mean spectra (XP_CONTINUOUS) from the Gaia archive.
    folder
        Scratch folder, which is also the process's home.

    Raises
    ------
    MissingPart
        If GaiaXPy is not installed.
    UnusableData
        If a file has no such spectra, or a source is in two files.
    ProgramError
        If GaiaXPy fails, or does not know a system.
    """
    if not installed():
        raise MissingPart("GaiaXPy is not installed: pip install 'brightsiren[gaiaxp]'")
    strange = [path.name for path in spectra if path.suffix.lower() not in SUFFIXES or not path.is_file()]
    if strange or not spectra:
        raise UnusableData(f"no files of spectra ({', '.join(SUFFIXES)}): {', '.join(strange) or 'none was named'}")
    folder.mkdir(parents=True, exist_ok=True)
    home = folder.resolve()
    request = {
        "spectra": [str(path.resolve()) for path in spectra],
        "systems": list(options.systems),
        "filters": str(options.filters.resolve()) if options.filters else "",
    }
    (home / "request.json").write_text(json.dumps(request), encoding="utf-8")
    environment = {"HOME": str(home), "TMPDIR": str(home), "PYTHONWARNINGS": "ignore", "MPLCONFIGDIR": str(home)}
    done = run.run(command(home / "request.json"), folder=home, timeout_s=options.timeout_s, environment=environment)
    table = parse(home, options.names or {})
    log.info("GaiaXPy: %d sources in %d bands, %.1f s", len(table), (len(table.colnames) - 1) // 2, done.seconds)
    return table


def parse(folder: Path, names: Mapping[str, str]) -> Table:
    """Read the process's output; a band of two systems is taken from the first."""
    try:
        bands = json.loads((folder / "bands.json").read_bytes())
        photometry = Table.read(folder / "photometry.csv", format="ascii.csv")
    except (OSError, ValueError) as fault:
        raise ProgramError(f"GaiaXPy left no readable photometry: {fault}") from fault
    result = Table({"source_id": np.asarray(photometry["source_id"], dtype=np.int64)})
    if len(np.unique(result["source_id"])) < len(result):
        raise UnusableData("a source has more than one spectrum in these files")
    for label, own in bands.items():
        for band in own:
            name = names.get(band, band)
            if f"mag_{name}" in result.colnames:
                continue
            flux, error = (_numbers(photometry[f"{label}_{word}_{band}"]) for word in ("flux", "flux_error"))
            result[f"mag_{name}"] = _numbers(photometry[f"{label}_mag_{band}"])
            result[f"snr_{name}"] = np.divide(flux, error, out=np.full(len(flux), np.nan), where=error > 0)
    return result


def _numbers(column: Table.Column) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(column, dtype=float), np.nan)
