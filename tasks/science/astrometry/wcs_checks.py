"""Checks of a WCS: residuals against the reference, faults, and the header cards of a solution."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from astropy.coordinates import angular_separation
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from tasks.errors import AlgorithmError
from tasks.records import Astrometry
from tasks.records.nights import SPOILS
from tasks.science.arrays import MAD_TO_SIGMA
from tasks.science.astrometry import matching
from tasks.science.astrometry.matching import Floats
from tasks.science.headers.card_values import Header

SOLUTION_CARD = re.compile(
    r"NAXIS[12]|(CTYPE|CRVAL|CRPIX|CUNIT)[12]|CD[12]_[12]|PV[12]_\d{1,2}|LONPOLE|LATPOLE|RADESYS|EQUINOX"
)
# default of SCAMP's CROSSID_RADIUS; of coarse pixels a position is worse than that
MATCH_ARCSEC, MATCH_PX = 2.0, 1.5
# of normal residuals one in 16,000 lies beyond: the rms loses wrong pairs only
CLIP_SIGMA = 4.0
# enough matches for any frame; fewer are enough if this fraction of the possible ones is reached
ENOUGH_MATCHES, MATCHED_PART = 100, 0.3
# production frames of 7DT differ by up to 1.1 % from their median scale
SCALE_TOLERANCE = 0.015
# the search for a pointing is tested up to such errors
LARGEST_POINTING_DEG = 1.0
# the lower one of SCAMP's SN_THRESHOLDS
SNR_OF_A_MATCH = 10.0
# flags of Source Extractor that still allow an exact position: crowded, blended
USABLE_FLAGS = 3
# default of SCAMP's ELLIPTICITY_MAX
LARGEST_ELLIPTICITY = 0.5
# parts of the frame on each side: a distortion that fails in one corner is invisible in the rms of all
CELLS = 4
# with fewer stars one wrong pair moves the median
CELL_STARS = 5


@dataclass(frozen=True, kw_only=True)
class WcsLimits:
    """Limits of a solution: rms per axis, median offset of the frame and of its parts, fewest matches.

    ``scale_arcsec`` is the camera's, ``centre`` the header's pointing.
    """

    rms_px: float
    offset_px: float
    part_px: float
    matches: int
    scale_arcsec: float
    centre: tuple[float, float]
    pointing_deg: float = LARGEST_POINTING_DEG


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """Detection minus reference, in arcsec (RA times cos Dec), at pixels ``x``, ``y``; ``expected`` may match."""

    ra_arcsec: Floats
    dec_arcsec: Floats
    x: Floats
    y: Floats
    expected: int


def exact_positions(table: Table) -> Floats:
    """Return 0-based x, y of Source Extractor detections with exact positions, brightest first, (n, 2)."""
    exact = (np.asarray(table["FLAGS"]) <= USABLE_FLAGS) & ((np.asarray(table["IMAFLAGS_ISO"]) & SPOILS) == 0)
    return _positions(table[exact & _starlike(table)])


def guide_positions(table: Table) -> Floats:
    """Return 0-based x, y of all starlike detections, brightest first, (n, 2), saturated and masked ones too.

    If many stars are saturated, a list of the brightest without them has hardly a star in common with the brightest
    of the reference.
    """
    return _positions(table[_starlike(table)])


def _starlike(table: Table) -> NDArray[np.bool_]:
    round_ = np.asarray(table["ELLIPTICITY"]) < LARGEST_ELLIPTICITY
    return round_ & (np.asarray(table["SNR_WIN"]) > SNR_OF_A_MATCH)


def _positions(table: Table) -> Floats:
    order = np.argsort(-np.asarray(table["FLUX_AUTO"]), kind="stable")
    positions: Floats = np.column_stack([np.asarray(table[name])[order] - 1 for name in ("XWIN_IMAGE", "YWIN_IMAGE")])
    return positions


def placed(table: Table, wcs: WCS) -> Table:
    """Add the sky positions and widths that Source Extractor computes from a WCS to a table of detections.

    ``ALPHA_J2000``, ``DELTA_J2000`` and ``FWHM_WORLD`` are in degrees; widths scale with the root of the pixel's area.
    """
    result = table.copy()
    x, y = (np.asarray(table[name], dtype=float) for name in ("X_IMAGE", "Y_IMAGE"))
    ra, dec = (np.asarray(values) for values in wcs.all_pix2world(x, y, 1))
    steps = [wcs.all_pix2world(x + dx, y + dy, 1) for dx, dy in ((1.0, 0.0), (0.0, 1.0))]
    (east_x, north_x), (east_y, north_y) = (((to_ra - ra + 180) % 360 - 180, to_dec - dec) for to_ra, to_dec in steps)
    area = np.abs(east_x * north_y - east_y * north_x) * np.cos(np.radians(dec))
    result["ALPHA_J2000"], result["DELTA_J2000"] = ra, dec
    result["FWHM_WORLD"] = np.asarray(table["FWHM_IMAGE"]) * np.sqrt(area)
    return result


def around(table: Table, places: Mapping[tuple[float, float], float], *, moment: datetime) -> Table:
    """Return reference stars, brightest first, at their positions of ``moment`` by proper motion.

    ``places`` are positions (RA, Dec), each with the radius within which stars are taken, all in degrees.
    """
    position = (np.asarray(table["X_WORLD"]), np.asarray(table["Y_WORLD"]))
    near = np.zeros(len(table), dtype=bool)
    for centre, radius_deg in places.items():
        near |= matching.within(*position, centre=centre, radius_deg=radius_deg)
    stars = table[near]
    if not len(stars):
        return stars
    stars.sort("MAG")
    epoch, now = float(np.median(stars["OBSDATE"])), matching.julian_year(moment)
    columns = (np.asarray(stars[name]) for name in ("X_WORLD", "Y_WORLD", "pmRA", "pmDE"))
    stars["X_WORLD"], stars["Y_WORLD"] = matching.moved(*columns, epoch=epoch, to=now)
    stars["OBSDATE"] = now
    return stars


def residuals(
    wcs: WCS,
    pixels: Floats,
    sky: tuple[Floats, Floats],
    *,
    shape: tuple[int, int],
    radius_arcsec: float = MATCH_ARCSEC,
) -> Residuals:
    """Match detections with the reference through a WCS.

    Parameters
    ----------
    wcs
        Solution under test.
    pixels
        0-based x, y of the detections, shape (n, 2).
    sky
        RA and Dec in degrees of the reference stars at the time of the frame.
    shape
        Of the frame, (ny, nx).
    """
    ra, dec = wcs.all_pix2world(pixels[:, 0], pixels[:, 1], 0) if len(pixels) else (np.zeros(0), np.zeros(0))
    usable = np.isfinite(ra) & np.isfinite(dec)
    inside = in_footprint(wcs, sky, shape=shape)
    near = (sky[0][inside], sky[1][inside])
    pairs = matching.nearest((ra[usable], dec[usable]), near, radius_arcsec=radius_arcsec)
    x, y = pixels[usable][pairs.first].T
    d_ra = (ra[usable][pairs.first] - near[0][pairs.second] + 180) % 360 - 180
    d_dec = dec[usable][pairs.first] - near[1][pairs.second]
    cosine = np.cos(np.radians(near[1][pairs.second]))
    return Residuals(
        ra_arcsec=3600 * d_ra * cosine,
        dec_arcsec=3600 * d_dec,
        x=x,
        y=y,
        expected=int(min(usable.sum(), inside.sum())),
    )


def in_footprint(wcs: WCS, sky: tuple[Floats, Floats], *, shape: tuple[int, int]) -> Floats:
    """Return which positions lie on the frame; distant ones are not projected."""
    centre = frame_centre(wcs, shape)
    radius = float(np.hypot(*shape)) / 2 * scale_arcsec(wcs) / 3600 * 1.1
    near = matching.within(*sky, centre=centre, radius_deg=radius)
    inside = np.zeros(len(near), dtype=bool)
    x, y = linear(wcs).wcs_world2pix(sky[0][near], sky[1][near], 0)
    inside[near] = (x > -0.5) & (x < shape[1] - 0.5) & (y > -0.5) & (y < shape[0] - 0.5)
    return inside


def linear(wcs: WCS) -> WCS:
    """Return the WCS without its distortion: fast in both directions, accurate to the few arcsec of the distortion."""
    plain = WCS(naxis=2)
    plain.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    plain.wcs.crval, plain.wcs.crpix = wcs.wcs.crval, wcs.wcs.crpix
    plain.wcs.cd = wcs.pixel_scale_matrix
    return plain


def measure(found: Residuals, wcs: WCS, shape: tuple[int, int]) -> Astrometry:
    """Summarise residuals; outliers beyond 4 sigma (from the MAD) do not count."""
    ra, dec = found.ra_arcsec, found.dec_arcsec
    keep = _close(ra) & _close(dec)
    centre = frame_centre(wcs, shape)
    enough = bool(keep.any())
    return Astrometry(
        matched=int(keep.sum()),
        rms_ra_arcsec=float(np.sqrt(np.mean(ra[keep] ** 2))) if enough else float("inf"),
        rms_dec_arcsec=float(np.sqrt(np.mean(dec[keep] ** 2))) if enough else float("inf"),
        offset_arcsec=float(np.hypot(np.median(ra[keep]), np.median(dec[keep]))) if enough else float("inf"),
        scale_arcsec=scale_arcsec(wcs),
        ra_deg=centre[0],
        dec_deg=centre[1],
    )


def judge(
    cards: Header, pixels: Floats, sky: tuple[Floats, Floats], limits: WcsLimits, *, shape: tuple[int, int]
) -> tuple[Astrometry, Header]:
    """Return how good a solution is, as a record and as header cards.

    Raises
    ------
    AlgorithmError
        If the solution has faults; the text lists all of them.
    """
    wcs = wcs_of(cards)
    radius = max(MATCH_ARCSEC, MATCH_PX * limits.scale_arcsec)
    matched = residuals(wcs, pixels, sky, shape=shape, radius_arcsec=radius)
    fit = measure(matched, wcs, shape)
    if wrong := faults(fit, matched, limits, shape=shape):
        raise AlgorithmError(f"the solution is wrong: {'; '.join(wrong)}")
    return fit, quality_cards(fit, wcs, shape)


def faults(result: Astrometry, found: Residuals, limits: WcsLimits, *, shape: tuple[int, int]) -> tuple[str, ...]:
    """Return the faults of a solution in words, empty if it may be used."""
    needed = max(limits.matches, min(ENOUGH_MATCHES, round(MATCHED_PART * found.expected)))
    pointing = np.degrees(angular_separation(*np.radians([result.ra_deg, result.dec_deg, *limits.centre])))
    scale_error = abs(result.scale_arcsec / limits.scale_arcsec - 1)
    worst = worst_cell(found, shape)
    rms, offset, part = (limits.scale_arcsec * px for px in (limits.rms_px, limits.offset_px, limits.part_px))
    tests = (
        (result.matched < needed, f"{result.matched} of {found.expected} stars matched (needed: {needed})"),
        (result.rms_ra_arcsec > rms, f'rms in RA {result.rms_ra_arcsec:.3f}" (allowed: {rms:.3f}")'),
        (result.rms_dec_arcsec > rms, f'rms in Dec {result.rms_dec_arcsec:.3f}" (allowed: {rms:.3f}")'),
        (result.offset_arcsec > offset, f'median offset {result.offset_arcsec:.3f}"'),
        (scale_error > SCALE_TOLERANCE, f'scale {result.scale_arcsec:.4f}"/px, not {limits.scale_arcsec:.4f}'),
        (round(pointing, 2) > limits.pointing_deg, f"{pointing:.2f} deg from where the header points"),
        (worst > part, f'a part of the frame is off by {worst:.2f}"'),
    )
    return tuple(words for failed, words in tests if failed)


def worst_cell(found: Residuals, shape: tuple[int, int]) -> float:
    """Return the largest median residual among the 4 x 4 parts of a frame with five stars or more, in arcsec."""
    column = np.clip((found.x * CELLS / shape[1]).astype(int), 0, CELLS - 1)
    row = np.clip((found.y * CELLS / shape[0]).astype(int), 0, CELLS - 1)
    worst = 0.0
    for cell in range(CELLS * CELLS):
        here = row * CELLS + column == cell
        if here.sum() >= CELL_STARS:
            size = float(np.hypot(np.median(found.ra_arcsec[here]), np.median(found.dec_arcsec[here])))
            worst = max(worst, size)
    return worst


def frame_centre(wcs: WCS, shape: tuple[int, int]) -> tuple[float, float]:
    """Return RA and Dec of a frame's centre in degrees."""
    ra, dec = wcs.all_pix2world((shape[1] - 1) / 2, (shape[0] - 1) / 2, 0)
    return float(ra) % 360, float(dec)


def footprint(wcs: WCS, shape: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    """Return RA and Dec of the four corner pixels in ring order, so that the polygon does not cross itself."""
    ny, nx = shape
    corners = np.array([(0, 0), (nx - 1, 0), (nx - 1, ny - 1), (0, ny - 1)], dtype=float)
    ra, dec = wcs.all_pix2world(corners[:, 0], corners[:, 1], 0)
    return tuple((float(a) % 360, float(d)) for a, d in zip(ra, dec, strict=True))


def scale_arcsec(wcs: WCS) -> float:
    """Return the pixel scale: the square root of the pixel's area, in arcsec."""
    return float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix)))) * 3600


def solution_cards(solution: fits.Header) -> Header:
    """Return a SCAMP header as cards, its projection TPV and its frame ICRS."""
    cards: Header = {key: value for key, value in solution.items() if key not in {"HISTORY", "COMMENT", ""}}
    return {**cards, "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "RADESYS": "ICRS"}


def wcs_of(cards: Mapping[str, Any]) -> WCS:
    """Return the WCS of cards; only cards of our own solutions are passed to the library."""
    header = fits.Header()
    for key, value in cards.items():
        if SOLUTION_CARD.fullmatch(key):
            header[key] = value
    return WCS(header, naxis=2)


def cards_of(wcs: WCS) -> Header:
    """Return an undistorted WCS as the cards of an a-priori header."""
    (cd11, cd12), (cd21, cd22) = wcs.pixel_scale_matrix.tolist()
    cards: Header = {"EQUINOX": 2000.0, "RADESYS": "ICRS", "CUNIT1": "deg", "CUNIT2": "deg"}
    for axis in (0, 1):
        cards |= {
            f"CTYPE{axis + 1}": wcs.wcs.ctype[axis],
            f"CRVAL{axis + 1}": float(wcs.wcs.crval[axis]),
            f"CRPIX{axis + 1}": float(wcs.wcs.crpix[axis]),
        }
    return {**cards, "CD1_1": cd11, "CD1_2": cd12, "CD2_1": cd21, "CD2_2": cd22}


def quality_cards(result: Astrometry, wcs: WCS, shape: tuple[int, int]) -> Header:
    """Return centre, footprint, rotation and quality of a solution as header cards (degrees, arcsec)."""
    cards: Header = {"RACENT": result.ra_deg, "DECCENT": result.dec_deg}
    for index, (ra, dec) in enumerate(footprint(wcs, shape)):
        cards |= {f"RAPOLY{index}": ra, f"DEPOLY{index}": dec}
    (cd11, cd12), (cd21, cd22) = wcs.pixel_scale_matrix
    # arctan2 with both signs: defined for every orientation, arctan of the ratio for an upright camera
    cards |= {
        "ROTANG1": float(np.degrees(np.arctan2(cd12 * np.sign(cd11), abs(cd11)))),
        "ROTANG2": float(np.degrees(np.arctan2(cd21 * np.sign(cd22), abs(cd22)))),
        "ASTNMAT": result.matched,
        "ASTRMSX": result.rms_ra_arcsec,
        "ASTRMSY": result.rms_dec_arcsec,
        "ASTOFF": result.offset_arcsec,
        "PIXSCALE": result.scale_arcsec,
    }
    return cards


def head_text(cards: Header) -> str:
    """Write cards as an external header: one card of 80 ASCII characters per line, END last."""
    header = fits.Header()
    for key, value in cards.items():
        header[key] = value
    return "\n".join([*(card.image for card in header.cards), "END".ljust(80), ""])


def _close(values: Floats) -> Floats:
    if not len(values):
        return np.zeros(0, dtype=bool)
    centre = np.median(values)
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(values - centre)))
    close: Floats = np.abs(values - centre) <= CLIP_SIGMA * max(sigma, 1e-3)
    return close
