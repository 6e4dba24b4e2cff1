"""SCAMP: the astrometric solution of frames against a reference catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import AlgorithmError, ProgramError, UnusableData
from tasks.programs import outputs
from tasks.programs.run import find, run

NAMES = ("scamp",)
# SCAMP writes headers of kilobytes; an empty or truncated one has no END
SMALLEST_HEADER = 500
KNOWN = {
    r"Not enough matched detections": (AlgorithmError, "too few detections match the reference"),
    r"No source found in reference|no (?:astrometric )?reference|No reference source": (
        UnusableData,
        "the reference catalogue has no star in the field",
    ),
    r"not found or corrupted|not a valid (?:FITS-)?LDAC|Cannot open": (UnusableData, "a catalogue is not readable"),
    r"Insufficient number|insufficient|too few": (AlgorithmError, "too few sources for a solution"),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of SCAMP's search and fit. The largest errors are those of the a-priori headers."""

    position_error_arcmin: float = 2.0
    angle_error_deg: float = 2.0
    scale_error: float = 1.03
    """Factor, above 1."""
    match: bool = True
    """Match star patterns; without it the a-priori header must be accurate to the matching radius."""
    match_radius_arcsec: float = 3.0
    distortion_degree: int = 3
    share_distortion: bool = True
    """One distortion for all frames of the run, else one for each."""
    threads: int = 1
    """With several threads the order of sums, and thus the last digits, vary from run to run."""
    timeout_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """The solutions, in the order of the catalogues: header text files, None for a catalogue without solution."""

    headers: tuple[Path | None, ...]
    seconds: float


FIXED: Mapping[str, object] = {
    "ASTREF_CATALOG": "FILE",
    "ASTREFCENT_KEYS": "X_WORLD,Y_WORLD",
    "ASTREFERR_KEYS": "ERRA_WORLD,ERRB_WORLD,ERRTHETA_WORLD",
    "ASTREFMAG_KEY": "MAG",
    "ASTREFMAGERR_KEY": "MAGERR",
    "ASTREFOBSDATE_KEY": "OBSDATE",
    "ASTREFMAG_LIMITS": "-99,99",
    "ASTREF_WEIGHT": 1.0,
    "MATCH_FLIPPED": False,
    "PROJECTION_TYPE": "TPV",
    "MOSAIC_TYPE": "UNCHANGED",
    "ASTRINSTRU_KEY": "FILTER",
    "CENTROID_KEYS": "XWIN_IMAGE,YWIN_IMAGE",
    "CENTROIDERR_KEYS": "ERRAWIN_IMAGE,ERRBWIN_IMAGE,ERRTHETAWIN_IMAGE",
    "DISTORT_KEYS": "XWIN_IMAGE,YWIN_IMAGE",
    "DISTORT_GROUPS": "1,1",
    "FOCDISTORT_DEGREE": 1,
    "ASTR_ACCURACY": 0.01,
    "ASTRACCURACY_TYPE": "SIGMA-PIXEL",
    "ASTRCLIP_NSIGMA": 3.0,
    "COMPUTE_PARALLAXES": False,
    "COMPUTE_PROPERMOTIONS": False,
    "CORRECT_COLOURSHIFTS": False,
    "INCLUDE_ASTREFCATALOG": True,
    "SAVE_REFCATALOG": False,
    "SOLVE_PHOTOM": True,
    "PHOTINSTRU_KEY": "FILTER",
    "MAGZERO_OUT": 0.0,
    "SN_THRESHOLDS": "10,100",
    "FWHM_THRESHOLDS": "0,100",
    "ELLIPTICITY_MAX": 0.5,
    "FLAGS_MASK": "0x00f0",
    "CHECKPLOT_TYPE": "NONE",
    "CHECKPLOT_DEV": "NULL",
    "WRITE_XML": False,
    "VERBOSE_TYPE": "NORMAL",
    "AHEADER_SUFFIX": ".ahead",
    "HEADER_SUFFIX": ".head",
    "HEADER_TYPE": "NORMAL",
}
"""Fixed settings: a local reference catalogue, no network, no plots, no XML."""


def configuration(reference: Path, options: Options) -> str:
    """Return the configuration file."""
    return outputs.settings(
        {
            **FIXED,
            "ASTREFCAT_NAME": reference,
            "MATCH": options.match,
            "PIXSCALE_MAXERR": options.scale_error,
            "POSANGLE_MAXERR": options.angle_error_deg,
            "POSITION_MAXERR": options.position_error_arcmin,
            "CROSSID_RADIUS": options.match_radius_arcsec,
            "STABILITY_TYPE": "INSTRUMENT" if options.share_distortion else "EXPOSURE",
            "DISTORT_DEGREES": options.distortion_degree,
            "NTHREADS": options.threads,
        }
    )


def command(catalogues: Sequence[Path], folder: Path) -> list[str]:
    """Return the command line for LDAC catalogues; ``<name>.ahead`` beside each is its a-priori header."""
    return [str(find(NAMES)), *map(str, catalogues), "-c", str(folder / "scamp.conf")]


def solve(catalogues: Sequence[Path], reference: Path, folder: Path, options: Options) -> Result:
    """Solve ``catalogues`` together against the LDAC catalogue ``reference``.

    Raises
    ------
    UnusableData, AlgorithmError
        For known lines in SCAMP's log (see ``KNOWN``).
    ProgramError
        If it crashes, hangs, or writes no header.
    """
    (folder / "scamp.conf").write_text(configuration(reference, options), encoding="utf-8")
    for catalogue in catalogues:
        catalogue.with_suffix(".head").unlink(missing_ok=True)
    try:
        finished = run(command(catalogues, folder), folder=folder, timeout_s=options.timeout_s)
    except ProgramError as error:
        raise_known(error.log_tail, error)
        raise
    headers = tuple(_header(catalogue.with_suffix(".head")) for catalogue in catalogues)
    if not any(headers):
        log_tail = finished.log_text()[-4000:]
        raise_known(log_tail, None)
        raise ProgramError("scamp ended without writing a header", log_tail=log_tail)
    return Result(headers=headers, seconds=finished.seconds)


def raise_known(log_tail: str, cause: Exception | None) -> None:
    """Raise the error for a known line in the log."""
    for pattern, (kind, words) in KNOWN.items():
        if re.search(pattern, log_tail):
            raise kind(f"scamp: {words}") from cause


def _header(path: Path) -> Path | None:
    """Return ``path`` if it holds a complete header, else None."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    whole = len(content) >= SMALLEST_HEADER and content.rstrip().endswith(b"END") and b"CRVAL1" in content
    return path if whole else None
