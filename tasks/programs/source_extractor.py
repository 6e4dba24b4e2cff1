"""Source Extractor: detection and photometry of one image."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.errors import AlgorithmError, ProgramError, UnusableData
from tasks.programs import outputs
from tasks.programs.run import find, run

NAMES = ("source-extractor", "sex")
TABLE = "LDAC_OBJECTS"
# paths of the star classifier's weights below the program's installation prefix, in the usual packages
CLASSIFIERS = ("share/source-extractor/default.nnw", "share/sextractor/default.nnw")
# 3 x 3 pyramid: the seed's detection filter
PYRAMID = "CONV NORM\n1 2 1\n2 4 2\n1 2 1\n"
BACKGROUND = re.compile(r"Background:\s*(\S+)\s+RMS:\s*(\S+)")
# known lines of Source Extractor's log, and the error for each
KNOWN = {
    r"cannot open|[Nn]ot a FITS|[Uu]nknown FITS": (UnusableData, "the image is not FITS"),
    r"pixel stack overflow": (
        AlgorithmError,
        "too many pixels above the threshold: the image is a nebula or a bad frame",
    ),
    r"different sizes|have not the same size|must have the same size": (UnusableData, "image and map differ in size"),
}

ASTROMETRY_COLUMNS = (
    "NUMBER", "X_IMAGE", "Y_IMAGE", "XWIN_IMAGE", "YWIN_IMAGE", "ERRAWIN_IMAGE", "ERRBWIN_IMAGE", "ERRTHETAWIN_IMAGE",
    "FLUX_AUTO", "FLUXERR_AUTO", "MAG_AUTO", "FLUX_MAX", "FLUX_RADIUS", "FWHM_IMAGE", "ELLIPTICITY", "ELONGATION",
    "SNR_WIN", "FLAGS",
)  # fmt: skip
# without windowed positions and apertures, which take half of the time and which the seeing does not need
SEEING_COLUMNS = (
    "NUMBER", "ALPHA_J2000", "DELTA_J2000", "X_IMAGE", "Y_IMAGE", "FWHM_IMAGE", "FWHM_WORLD",
    "ELLIPTICITY", "ELONGATION", "FLUX_AUTO", "FLUXERR_AUTO", "FLAGS",
)  # fmt: skip
PHOTOMETRY_COLUMNS = (
    *SEEING_COLUMNS,
    "XWIN_IMAGE", "YWIN_IMAGE", "MAG_AUTO", "MAGERR_AUTO", "MAG_APER", "MAGERR_APER", "FLUX_APER", "FLUXERR_APER",
    "BACKGROUND", "THRESHOLD", "FLUX_MAX", "THETA_IMAGE", "FLUX_RADIUS", "ISOAREA_IMAGE",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of one measurement. ``diameters_px`` are the apertures' diameters; maps have the image's pixels."""

    scale_arcsec: float
    columns: tuple[str, ...] = PHOTOMETRY_COLUMNS
    detect_threshold: float = 3.0
    analysis_threshold: float = 1.5
    minimum_area_px: int = 5
    deblend_levels: int = 64
    deblend_contrast: float = 1e-4
    background_px: int = 128
    diameters_px: tuple[float, ...] = (3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0)
    seeing_arcsec: float = 2.0
    saturation_adu: float = 50000.0
    """Saturation level if the header has no SATURATE, in ADU."""
    weight: Path | None = None
    """Weight map, 0 for pixels without data."""
    flags: Path | None = None
    """Mask plane, whose bits become IMAFLAGS_ISO."""
    classifier: Path | None = None
    """Weights of the star classifier, which gives CLASS_STAR: 1 for a star of this seeing, 0 for anything wider."""
    timeout_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """The catalogue (FITS_LDAC), its number of rows, and sky and sky noise in the image's unit."""

    catalogue: Path
    rows: int
    sky_adu: float
    sky_sigma_adu: float
    seconds: float


def of_pass(options: Options, *, seeing_arcsec: float, diameters_px: tuple[float, ...]) -> Options:
    """Return the options of one pass over an image: all columns if apertures are given, else shapes only."""
    if not diameters_px:
        return replace(options, columns=SEEING_COLUMNS, seeing_arcsec=seeing_arcsec, diameters_px=())
    return replace(options, seeing_arcsec=seeing_arcsec, diameters_px=diameters_px, classifier=classifier())


def classifier() -> Path | None:
    """Return the star classifier's weights installed with the program, None if its package has none."""
    prefix = find(NAMES).resolve().parents[1]
    return next((path for name in CLASSIFIERS if (path := prefix / name).is_file()), None)


def command(image: Path, folder: Path, options: Options) -> list[str]:
    """Return the command line; all settings are in the files that ``configure`` writes into ``folder``."""
    del options
    return [str(find(NAMES)), str(image), "-c", str(folder / "extract.conf")]


def configuration(folder: Path, options: Options) -> str:
    """Return the configuration file. The gain is EGAIN, since the header's GAIN is a camera setting."""
    values: dict[str, object] = {
        "CATALOG_NAME": folder / "extract.cat",
        "CATALOG_TYPE": "FITS_LDAC",
        "PARAMETERS_NAME": folder / "extract.param",
        "FILTER": True,
        "FILTER_NAME": folder / "extract.conv",
        "DETECT_MINAREA": options.minimum_area_px,
        "DETECT_THRESH": options.detect_threshold,
        "ANALYSIS_THRESH": options.analysis_threshold,
        "DEBLEND_NTHRESH": options.deblend_levels,
        "DEBLEND_MINCONT": options.deblend_contrast,
        "CLEAN": True,
        "CLEAN_PARAM": 1.0,
        "MASK_TYPE": "CORRECT",
        **({"PHOT_APERTURES": options.diameters_px} if options.diameters_px else {}),
        "PHOT_AUTOPARAMS": (2.5, 3.5),
        "SATUR_LEVEL": options.saturation_adu,
        "SATUR_KEY": "SATURATE",
        "MAG_ZEROPOINT": 0.0,
        "GAIN": 1.0,
        "GAIN_KEY": "EGAIN",
        "PIXEL_SCALE": options.scale_arcsec,
        "SEEING_FWHM": options.seeing_arcsec,
        "BACK_SIZE": options.background_px,
        "BACK_FILTERSIZE": 3,
        "BACKPHOTO_TYPE": "LOCAL",
        "MEMORY_PIXSTACK": 1000000,
        "VERBOSE_TYPE": "NORMAL",
        "WRITE_XML": False,
    }
    return outputs.settings({**values, **_companions(folder, options)})


def _companions(folder: Path, options: Options) -> dict[str, object]:
    """Return the settings of the weight and flag maps and of the classifier."""
    values: dict[str, object] = {}
    if options.weight is not None:
        values |= {
            "WEIGHT_TYPE": "MAP_WEIGHT",
            "WEIGHT_IMAGE": options.weight,
            "WEIGHT_GAIN": False,
            "INTERP_TYPE": "NONE",
        }
    if options.flags is not None:
        values |= {"FLAG_IMAGE": options.flags, "FLAG_TYPE": "OR"}
    if options.classifier is not None:
        values |= {"STARNNW_NAME": folder / "extract.nnw"}
    return values


def columns(options: Options) -> tuple[str, ...]:
    """Return the catalogue's columns: the requested ones, and those of mask and classifier if these are given."""
    number = len(options.diameters_px)
    asked = (f"{name}({number})" if name.endswith("_APER") else name for name in options.columns)
    given = {"IMAFLAGS_ISO": options.flags, "CLASS_STAR": options.classifier}
    return (*asked, *(name for name, path in given.items() if path is not None))


def configure(folder: Path, options: Options) -> None:
    """Write all configuration files into ``folder``."""
    (folder / "extract.param").write_text("\n".join(columns(options)) + "\n", encoding="ascii")
    (folder / "extract.conv").write_text(PYRAMID, encoding="ascii")
    if options.classifier is not None:
        shutil.copyfile(options.classifier, folder / "extract.nnw")
    (folder / "extract.conf").write_text(configuration(folder, options), encoding="utf-8")


def extract(image: Path, folder: Path, options: Options) -> Result:
    """Measure ``image`` in ``folder``.

    Raises
    ------
    UnusableData, AlgorithmError
        For known lines in Source Extractor's log (see ``KNOWN``).
    ProgramError
        If it fails otherwise, hangs, or its catalogue is missing or incomplete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configure(folder, options)
    try:
        finished = run(command(image, folder, options), folder=folder, timeout_s=options.timeout_s)
    except ProgramError as error:
        raise_known(error)
        raise
    log_text = finished.log_text()
    rows = outputs.require_table(folder / "extract.cat", TABLE, program="source-extractor", log_tail=log_text[-2000:])
    sky, sigma = read_background(log_text)
    return Result(
        catalogue=folder / "extract.cat", rows=rows, sky_adu=sky, sky_sigma_adu=sigma, seconds=finished.seconds
    )


def raise_known(error: ProgramError) -> None:
    """Raise the error for a known line in the log."""
    for pattern, (kind, words) in KNOWN.items():
        if re.search(pattern, error.log_tail):
            raise kind(f"source-extractor: {words}") from error


def read_background(log_text: str) -> tuple[float, float]:
    """Read sky and sky noise from the line ``Background: 252.1 RMS: 43.3 / Threshold: ...``."""
    match = BACKGROUND.search(log_text)
    if match is None:
        raise ProgramError("source-extractor did not report background and RMS", log_tail=log_text[-2000:])
    return float(match[1]), float(match[2])
