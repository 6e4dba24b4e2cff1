"""Exposures without pixels: catalogues as Source Extractor writes them for full simulated frames, and the true WCS."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table, vstack
from astropy.wcs import WCS

from tasks.errors import SirenError
from tasks.io.catalogues import ldac
from tasks.options import ReduceOptions
from tasks.records import Calibrated, Frame, FrameType, MaskBit
from tasks.reduction.engines import solving
from tasks.science.astrometry import wcs_checks as science

SHAPE = (6388, 9576)
SCALE_ARCSEC = 0.505
# the frame's area, and the largest distance of reference stars from its centre
AREA_DEG2 = SHAPE[0] * SHAPE[1] * (SCALE_ARCSEC / 3600) ** 2
REACH_DEG = 3.4
NOISE_PX = 0.1
FAINTEST_MAG = 18.0
# counts of stars grow by this power of ten per magnitude
SLOPE = 0.3
# of Source Extractor
SATURATED_FLAG = 4
# scatter by colours: detector and reference order the stars differently by magnitude
COLOUR_MAG = 0.3
NARROW_COLOUR_MAG = 0.8
# cubic distortion of the camera in deg per deg³, and its centre in deg: up to 8 arcsec in the corners
RADIAL = -4.3e-3
SHIFT_DEG = (0.08, -0.05)


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """A frame's catalogue as Source Extractor writes it, with the true WCS."""

    kind: str
    job: solving.SolvingJob
    wcs: WCS


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Properties of an exposure: pointing error in degrees, fraction of detected stars, false detections.

    The ``saturated`` part of its stars is too bright to be measured; ``colour_mag`` is the scatter of its magnitudes
    about the reference's.
    """

    kind: str = "ordinary"
    error_deg: float = 0.0
    brightest: int | None = None
    half: bool = False
    false: float = 0.1
    saturated: float = 0.03
    colour_mag: float = COLOUR_MAG
    header: str = "near"
    """``near`` the truth by the pointing error, ``far`` from it, or ``none``."""


SOLUBLE = (
    Wanted(kind="few stars", brightest=60),
    Wanted(kind="half under clouds", half=True),
    Wanted(kind="many saturated", saturated=0.2),
    Wanted(kind="narrow band", colour_mag=NARROW_COLOUR_MAG),
    Wanted(kind="no position", header="none"),
    Wanted(kind="wrong position", header="far"),
)
HOPELESS = (
    Wanted(kind="no stars", brightest=8),
    Wanted(kind="another field"),
    Wanted(kind="clouds", brightest=15, false=1.0),
)


def batch(
    wanted: Sequence[Wanted], folder: Path, rng: np.random.Generator, *, per_frame: int | None = None
) -> tuple[list[Exposure], Table]:
    """Take exposures of one field, each pointing 0.4 to 1 degree off; the camera is turned as it likes, once for all.

    ``per_frame`` stars of the reference fall on a frame: random from 200 to 5000 if it is None.
    """
    centre = float(rng.uniform(0, 360)), float(rng.uniform(-85, 70))
    stars, others = sky(centre, per_frame or int(10 ** rng.uniform(2.3, 3.7)), rng), sky(centre, 300, rng)
    angle, mirrored = rng.uniform(0, 360), bool(rng.integers(2))
    made = []
    for number, each in enumerate(wanted):
        place = centre[0] + rng.uniform(-0.02, 0.02), centre[1] + rng.uniform(-0.02, 0.02)
        wcs = distorted(place, angle_deg=angle + rng.normal(0, 0.02), mirrored=mirrored)
        there = others if each.kind == "another field" else stars
        made.append(expose(number, wcs, there, folder, rng, replace(each, error_deg=rng.uniform(0.4, 1.0))))
    return made, stars


def solve(
    made: Sequence[Exposure], stars: Table | Path, folder: Path, options: ReduceOptions
) -> tuple[dict[int, WCS], dict[int, SirenError]]:
    """Return the solutions and the reasons of a batch by the number of the exposure; ``stars`` may be a catalogue."""
    errors: dict[Path, SirenError] = {}
    catalogue = stars if isinstance(stars, Path) else folder / "stars.fits"
    if not isinstance(stars, Path):
        ldac.write_reference(catalogue, stars)
    found = solving.solutions([each.job for each in made], catalogue, folder, options, errors)
    solved = {int(each.job.light.image.stem): science.wcs_of(each.cards) for each in found}
    return solved, {int(image.stem): error for image, error in errors.items()}


def sky(centre: tuple[float, float], per_frame: int, rng: np.random.Generator) -> Table:
    """Return reference stars around a position, brightest first; ``per_frame`` of them fall on a frame."""
    number = int(per_frame * np.pi * REACH_DEG**2 / AREA_DEG2)
    distance = REACH_DEG * np.sqrt(rng.random(number))
    there = SkyCoord(*centre, unit="deg").directional_offset_by(rng.uniform(0, 360, number) * u.deg, distance * u.deg)
    small = np.full(number, 1e-6)
    return Table(
        {
            "X_WORLD": there.ra.deg,
            "Y_WORLD": there.dec.deg,
            "MAG": np.sort(FAINTEST_MAG + np.log10(rng.random(number)) / SLOPE),
            "OBSDATE": np.full(number, 2026.0),
            "ERRA_WORLD": small,
            "ERRB_WORLD": small,
            "MAGERR": np.full(number, 0.01),
        }
    )


def tycho(centre: tuple[float, float], index: Path, folder: Path) -> Table:
    """Return the Tycho-2 stars around a position from an index file of Astrometry.net, read by its own tool."""
    words = ["query-starkd", "-r", str(centre[0]), "-d", str(centre[1]), "-R", str(REACH_DEG), "-t", "MAG_VT"]
    subprocess.run([*words, "-o", str(folder / "tycho.fits"), str(index)], check=True, capture_output=True)
    found = Table.read(folder / "tycho.fits")
    found.rename_columns(["RA", "DEC", "MAG_VT"], ["X_WORLD", "Y_WORLD", "MAG"])
    return found


def with_real_stars(stars: Table, real: Table) -> Table:
    """Return a sky with real bright stars, brightest first."""
    faint = stars[stars["MAG"] > np.max(real["MAG"])]
    filled = Table({name: np.resize(stars[name], len(real)) for name in stars.colnames})
    for name in ("X_WORLD", "Y_WORLD", "MAG"):
        filled[name] = np.asarray(real[name], dtype=float)
    both = vstack([filled, faint])
    both.sort("MAG")
    return both


def distorted(centre: tuple[float, float], *, angle_deg: float, mirrored: bool) -> WCS:
    """Return the WCS of a camera with the distortion of a fast telescope."""
    angle, side = np.radians(angle_deg), 1.0 if mirrored else -1.0
    scale = SCALE_ARCSEC / 3600
    cards = {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "CUNIT1": "deg", "CUNIT2": "deg"}
    cards |= {"CRVAL1": centre[0], "CRVAL2": centre[1], "RADESYS": "ICRS", "EQUINOX": 2000.0}
    cards |= {"CRPIX1": (SHAPE[1] + 1) / 2, "CRPIX2": (SHAPE[0] + 1) / 2}
    cards |= {"CD1_1": side * scale * np.cos(angle), "CD1_2": -scale * np.sin(angle)}
    cards |= {"CD2_1": side * scale * np.sin(angle), "CD2_2": scale * np.cos(angle)}
    for axis, (own, other) in enumerate((SHIFT_DEG, SHIFT_DEG[::-1]), start=1):
        # (own + x) (r² about the shifted centre), without the terms that scale and rotate
        cards |= {f"PV{axis}_1": 1.0, f"PV{axis}_7": RADIAL, f"PV{axis}_9": RADIAL}
        cards |= {f"PV{axis}_4": 3 * own * RADIAL, f"PV{axis}_5": 2 * other * RADIAL, f"PV{axis}_6": own * RADIAL}
    return WCS(fits.Header(cards))


def expose(number: int, wcs: WCS, stars: Table, folder: Path, rng: np.random.Generator, wanted: Wanted) -> Exposure:
    """Write the catalogue of a frame into ``folder``; ``stars`` are the true ones."""
    x, y = wcs.all_world2pix(stars["X_WORLD"], stars["Y_WORLD"], 0, quiet=True)
    seen = (x > 5) & (x < SHAPE[1] - 5) & (y > 5) & (y < SHAPE[0] - 5) & (rng.random(len(x)) > 0.15)
    if wanted.half:
        seen &= x < SHAPE[1] / 2
    pixels = np.column_stack([x, y])[seen][: wanted.brightest]
    mag = np.asarray(stars["MAG"])[seen][: wanted.brightest]
    false = rng.uniform((0, 0), (SHAPE[1], SHAPE[0]), (int(wanted.false * max(len(pixels), 40)), 2))
    pixels = np.concatenate([pixels + rng.normal(0, NOISE_PX, pixels.shape), false])
    mag = np.concatenate([mag + rng.normal(0, wanted.colour_mag, len(mag)), rng.uniform(13, FAINTEST_MAG, len(false))])
    order = np.argsort(mag, kind="stable")
    return _exposure(number, wcs, pixels[order], mag[order], folder, rng, wanted)


def _exposure(
    number: int,
    wcs: WCS,
    pixels: np.ndarray,
    mag: np.ndarray,
    folder: Path,
    rng: np.random.Generator,
    wanted: Wanted,
) -> Exposure:
    home = folder / f"frame-{number}"
    home.mkdir()
    write_catalogue(home / "extract.cat", pixels, mag, saturated=wanted.saturated)
    believed = _believed(wcs, rng, wanted)
    frame = Frame(
        path=Path(f"{number}.fits"), type=FrameType.LIGHT, unit="7DT01", date_obs=datetime(2026, 1, 1, tzinfo=UTC),
        exposure_s=100.0, filter="r", object="T00001", shape=SHAPE, scale_arcsec=SCALE_ARCSEC,
        **({} if believed is None else {"ra_deg": believed[0], "dec_deg": believed[1]}),
    )  # fmt: skip
    path = Path(f"{number}.fits")
    light = Calibrated(frame=frame, image=path, variance=path, mask=path)
    table = ldac.read(home / "extract.cat")
    job = solving.SolvingJob(
        light=light,
        folder=home,
        shape=SHAPE,
        catalogue=home / "extract.cat",
        centre=believed,
        pixels=science.exact_positions(table),
        guides=science.guide_positions(table),
    )
    return Exposure(kind=wanted.kind, job=job, wcs=wcs)


def _believed(wcs: WCS, rng: np.random.Generator, wanted: Wanted) -> tuple[float, float] | None:
    """Return the position in the header."""
    if wanted.header == "none":
        return None
    true = SkyCoord(*wcs.wcs.crval, unit="deg")
    distance = rng.uniform(5, 60) if wanted.header == "far" else wanted.error_deg
    there = true.directional_offset_by(rng.uniform(0, 360) * u.deg, distance * u.deg)
    return float(there.ra.deg), float(there.dec.deg)


def write_catalogue(path: Path, pixels: np.ndarray, mag: np.ndarray, *, saturated: float) -> None:
    """Write positions (0-based), brightest first, as Source Extractor would, that part of them flagged as saturated."""
    header = fits.Header({"NAXIS": 2, "NAXIS1": SHAPE[1], "NAXIS2": SHAPE[0], "EXPTIME": 100.0, "FILTER": "r"})
    n, flux = len(pixels), 10 ** (-0.4 * (mag - 28))
    columns = {
        "XWIN_IMAGE": pixels[:, 0] + 1, "YWIN_IMAGE": pixels[:, 1] + 1, "ERRAWIN_IMAGE": np.full(n, NOISE_PX),
        "ERRBWIN_IMAGE": np.full(n, NOISE_PX), "ERRTHETAWIN_IMAGE": np.zeros(n), "FLUX_AUTO": flux,
        "FLUXERR_AUTO": flux / 200, "MAG_AUTO": mag - 28, "FLUX_RADIUS": np.full(n, 2.5),
        "FWHM_IMAGE": np.full(n, 5.0), "ELLIPTICITY": np.full(n, 0.05), "ELONGATION": np.full(n, 1.05),
        "SNR_WIN": np.full(n, 200.0),
    }  # fmt: skip
    # SCAMP trusts the types of Source Extractor and crashes on others
    table = [
        fits.Column(name, "1D" if name[1:] == "WIN_IMAGE" else "1E", array=values) for name, values in columns.items()
    ]
    full = np.arange(n) < saturated * n
    table.append(fits.Column("FLAGS", "1I", array=np.where(full, SATURATED_FLAG, 0).astype(np.int16)))
    table.append(fits.Column("IMAFLAGS_ISO", "1J", array=np.where(full, MaskBit.SATURATED.value, 0).astype(np.int32)))
    ldac.write(path, header, fits.BinTableHDU.from_columns(table, name=ldac.TABLE))


def errors_arcsec(found: WCS, true: WCS) -> np.ndarray:
    """Return the error of a solution on a grid over the frame, shape (14, 20)."""
    x, y = np.meshgrid(np.linspace(0, SHAPE[1] - 1, 20), np.linspace(0, SHAPE[0] - 1, 14))
    ours, theirs = (SkyCoord(*each.all_pix2world(x, y, 0), unit="deg") for each in (found, true))
    return np.asarray(ours.separation(theirs).arcsec)
