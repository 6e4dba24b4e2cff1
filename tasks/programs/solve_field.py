"""solve-field of Astrometry.net: a blind solution, the last attempt if it and its index files are installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.errors import AlgorithmError
from tasks.programs import outputs
from tasks.programs.run import find, run, tail

NAMES = ("solve-field",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Search range: within ``radius_deg`` of a known position, at a scale with the relative error ``scale_error``."""

    index_folder: Path
    scale_arcsec: float
    scale_error: float = 0.05
    radius_deg: float = 3.0
    brightest: int = 100
    """Number of brightest positions used."""
    cpu_limit_s: float = 30.0
    timeout_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """A FITS header with the solution."""

    wcs: Path
    seconds: float


def installed(index_folder: Path) -> bool:
    """Return whether there are index files."""
    return any(index_folder.glob("index-*.fits"))


def command(
    positions: Path, folder: Path, *, shape: tuple[int, int], centre: tuple[float, float] | None, options: Options
) -> list[str]:
    """Return the command line for a FITS table of X, Y (1-based, brightest first) of an image of ``shape`` (ny, nx).

    ``centre`` is its position, RA and Dec in degrees; if it is None, the whole sky is searched.
    """
    low, high = (options.scale_arcsec * factor for factor in (1 - options.scale_error, 1 + options.scale_error))
    words = [str(find(NAMES)), str(positions), "--config", str(folder / "solve.conf"), "--dir", str(folder)]
    words += ["--width", str(shape[1]), "--height", str(shape[0]), "--x-column", "X", "--y-column", "Y"]
    words += ["--scale-units", "arcsecperpix", "--scale-low", f"{low:.5f}", "--scale-high", f"{high:.5f}"]
    if centre is not None:
        words += ["--ra", f"{centre[0]:.6f}", "--dec", f"{centre[1]:.6f}", "--radius", f"{options.radius_deg:g}"]
    words += ["--cpulimit", f"{options.cpu_limit_s:g}", "--no-plots", "--overwrite", "--crpix-center"]
    words += ["--objs", str(options.brightest)]
    return [*words, "--tweak-order", "0", "--wcs", str(folder / "solved.wcs")]


def solve(
    positions: Path, folder: Path, *, shape: tuple[int, int], centre: tuple[float, float] | None, options: Options
) -> Result:
    """Solve a list of positions.

    Raises
    ------
    AlgorithmError
        If no solution is found.
    ProgramError
        If it crashes or hangs, or its solution is incomplete.
    """
    (folder / "solve.conf").write_text(
        f"cpulimit {options.cpu_limit_s:g}\nadd_path {options.index_folder}\nautoindex\n", encoding="utf-8"
    )
    words = command(positions, folder, shape=shape, centre=centre, options=options)
    finished = run(words, folder=folder, timeout_s=options.timeout_s)
    if not (folder / "solved.wcs").exists():
        where = "on the whole sky" if centre is None else f"within {options.radius_deg:g} deg of the header's position"
        raise AlgorithmError(f"solve-field found no solution {where}")
    outputs.require_cards(
        folder / "solved.wcs", ("CRVAL1", "CD1_1"), program="solve-field", log_tail=tail(finished.log_file)
    )
    return Result(wcs=folder / "solved.wcs", seconds=finished.seconds)
