"""Registration of one image to another: by their WCS, or without WCS by matching their stars.

A ``PixelMap`` gives, for a position on the science image, the position of the same sky on the reference: the
direction needed to resample the reference.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from astropy.wcs import WCS
from scipy import spatial

from tasks.errors import UnusableData
from tasks.science import arrays
from tasks.science.arrays import Array
from tasks.science.astrometry import offset_votes
from tasks.science.images import resampling
from tasks.science.sources.stars import Floats, Stars

VOTERS = 120  # brightest stars of each image that vote for the shift
# about a FWHM: distortion and steps of the angle lose votes of smaller bins, chance fills larger ones
VOTE_BIN_PX = 3.0
TURNS_DEG = (0.0, 180.0)  # a German mount turns the field by half a turn
# tried only if no shift stands out without a turn
LARGEST_TURN_DEG = 3.0
# tried with each turn, as two scales may differ
SCALES = (0.99, 1.0, 1.01)
# pairs beyond are wrong ones
CLIP_SIGMA = 3.0
# three stars define an affine map, as many again confirm it
MINIMUM_MATCHES = 6
# half a bin of the vote
FINAL_TOLERANCE_PX = 1.5
# a WCS is accepted if bright stars agree with it this well
# pairs by chance have a scatter of 2.1 px within the tolerance; faint stars of small images one of 0.45 px
WIDEST_RMS_PX = 0.75
CHECK_STARS, LARGEST_RMS_PX, LARGEST_OFFSET_PX, CHECK_TOLERANCE_PX = 500, 0.3, 0.1, 3.0
# rows at once: bounds the memory of positions in double precision
BAND_ROWS = 128


@dataclass(frozen=True, kw_only=True)
class PixelMap:
    """A polynomial from science pixels to reference pixels, and the stars' residuals (px; 0 matched: not fitted)."""

    degree: int
    centre: tuple[float, float]
    scale: float
    x: Floats
    y: Floats
    matched: int = 0
    rms_px: float = 0.0
    offset_px: float = 0.0

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return the reference position of science position ``x, y`` (0-based, px)."""
        xp = arrays.array_namespace(x)
        u, v = (x - self.centre[0]) / self.scale, (y - self.centre[1]) / self.scale
        terms = [u**i * v**j for i, j in exponents(self.degree)]
        return (
            sum((float(c) * t for c, t in zip(self.x, terms, strict=True)), xp.zeros_like(u)),
            sum((float(c) * t for c, t in zip(self.y, terms, strict=True)), xp.zeros_like(u)),
        )

    @property
    def shift_px(self) -> tuple[float, float]:
        """Position of the science image's centre on the reference minus that on the science image."""
        return float(self.x[0]) - self.centre[0], float(self.y[0]) - self.centre[1]

    def is_identity(self, shape: tuple[int, int], *, within_px: float = 1e-3) -> bool:
        """Return whether no position of an image of ``shape`` moves by more than ``within_px``."""
        ny, nx = shape
        x, y = np.meshgrid(np.linspace(0, nx - 1, 5), np.linspace(0, ny - 1, 5))
        there_x, there_y = self(x, y)
        return bool(np.hypot(there_x - x, there_y - y).max() <= within_px)


def exponents(degree: int) -> list[tuple[int, int]]:
    """Return the powers (of x, of y) of a polynomial of total ``degree``, the constant first."""
    return [(n - j, j) for n in range(degree + 1) for j in range(n + 1)]


def identity(shape: tuple[int, int]) -> PixelMap:
    """Return the map of an image that already lies on the science pixels."""
    return _linear(shape, np.eye(2), np.zeros(2))


def choose(
    mode: Literal["auto", "wcs", "stars", "none"],
    *,
    wcs: tuple[WCS | None, WCS | None],
    found: tuple[Stars, Stars],
    shapes: tuple[tuple[int, int], tuple[int, int]],
) -> PixelMap:
    """Return the map from science image to reference, by the method ``mode``.

    ``auto`` takes the WCS of both, checks it with stars and refits it if they disagree; without WCS it matches stars.
    Pairs are (science, reference); shapes (ny, nx).

    Raises
    ------
    UnusableData
        If the images cannot be aligned in that way.
    """
    if mode == "none":
        if shapes[0] != shapes[1]:
            raise UnusableData(f"images of {shapes[0]} and {shapes[1]} pixels (ny, nx) cannot be subtracted unaligned")
        return _confirmed(identity(shapes[0]), found, shapes[0], "as they are")
    if mode == "stars" or (mode == "auto" and None in wcs):
        return by_stars(*found, shapes[0])
    if wcs[0] is None or wcs[1] is None:
        raise UnusableData("alignment by WCS needs a celestial WCS in both headers; use auto or stars")
    mapping = by_wcs(wcs[0], wcs[1], shapes[0])
    return (
        _confirmed(mapping, found, shapes[0], "by their WCS") if mode == "wcs" else _mended(mapping, found, shapes[0])
    )


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well a map brings the bright stars of two images together.

    ``stars`` are those of the image with fewer in the common part, ``matched`` those with a partner, ``chance`` as many as
    randomly placed stars would have; ``scatter_px`` and ``offset_px`` are rms and length of the median of the offsets.
    """

    stars: int
    matched: int
    chance: float
    scatter_px: float
    offset_px: float

    @property
    def known(self) -> bool:
        """Whether there are stars enough to judge the map."""
        return self.stars >= MINIMUM_MATCHES

    @property
    def good(self) -> bool:
        """Whether the stars agree with the map as well as bright ones can."""
        return self.within(LARGEST_RMS_PX)

    def within(self, rms_px: float) -> bool:
        """Return whether more stars than by chance have partners, with a scatter of ``rms_px`` at most and no offset."""
        if self.matched < max(MINIMUM_MATCHES, self.chance + 5 * np.sqrt(self.chance)):
            return False
        # the median of few stars is not known better
        offset_px = LARGEST_OFFSET_PX + 2 * self.scatter_px / np.sqrt(self.matched)
        return bool(self.scatter_px <= rms_px and self.offset_px <= offset_px)

    def __str__(self) -> str:
        return (
            f"{self.matched} of {self.stars} bright stars have a partner within {CHECK_TOLERANCE_PX:g} px "
            f"(chance: {self.chance:.0f}), {self.offset_px:.2f} px off with a scatter of {self.scatter_px:.2f} px "
            f"(allowed: {LARGEST_OFFSET_PX:g} and {WIDEST_RMS_PX:g} px)"
        )


def agreement(mapping: PixelMap, found: tuple[Stars, Stars], shape: tuple[int, int]) -> Agreement:
    """Compare a map with the bright clean stars of science image and reference; ``shape`` is the science image's."""
    science, reference = _bright(found)
    matched, scatter, offset = check(mapping, science, reference, tolerance_px=CHECK_TOLERANCE_PX)
    x, y = mapping(science.x, science.y)
    ny, nx = shape
    inside = int(((x >= 0) & (x < nx) & (y >= 0) & (y < ny)).sum())
    chance = inside * len(reference) * np.pi * CHECK_TOLERANCE_PX**2 / (nx * ny)
    return Agreement(
        stars=min(inside, len(reference)), matched=matched, chance=chance, scatter_px=scatter, offset_px=offset
    )


def _bright(found: tuple[Stars, Stars]) -> tuple[Stars, Stars]:
    science, reference = (stars.where(stars.clean) for stars in found)
    first, second = (stars.where(np.arange(len(stars)) < CHECK_STARS) for stars in (science, reference))
    return first, second


def _confirmed(mapping: PixelMap, found: tuple[Stars, Stars], shape: tuple[int, int], how: str) -> PixelMap:
    """Return a map that the stars agree with, or that there are too few of them to judge."""
    seen = agreement(mapping, found, shape)
    if seen.known and not seen.within(WIDEST_RMS_PX):
        raise UnusableData(f"the stars of the two images disagree {how}: {seen}; use --align auto or stars")
    return mapping


def _mended(mapping: PixelMap, found: tuple[Stars, Stars], shape: tuple[int, int]) -> PixelMap:
    """Refit a map to bright stars if they disagree with it, else find it from the stars alone.

    Raises
    ------
    UnusableData
        If no map agrees with the stars: the images show different fields, or a WCS is far off.
    """
    seen = agreement(mapping, found, shape)
    if seen.good or not seen.known:
        return mapping
    tried = [_refitted, lambda *_: by_stars(*found, shape)]
    for attempt in tried:
        try:
            fitted = attempt(mapping, found, shape)
        except UnusableData:
            continue
        if agreement(fitted, found, shape).within(WIDEST_RMS_PX):
            return fitted
    raise UnusableData(f"the images cannot be aligned, by their WCS nor by their stars: {seen}")


def _refitted(mapping: PixelMap, found: tuple[Stars, Stars], shape: tuple[int, int]) -> PixelMap:
    science, reference = _bright(found)
    matched, _, _ = check(mapping, science, reference, tolerance_px=CHECK_TOLERANCE_PX)
    degree = 2 if matched >= 100 else 1
    return refine(mapping, science, reference, shape, degree=degree, tolerance_px=CHECK_TOLERANCE_PX)


def by_wcs(science: WCS, reference: WCS, shape: tuple[int, int]) -> PixelMap:
    """Return the map that two celestial WCS imply, to better than 0.01 px.

    Raises
    ------
    UnusableData
        If the reference's WCS does not reach the science image.
    """
    ny, nx = shape
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, nx - 1, 25), np.linspace(0, ny - 1, 25)))
    there = np.array(reference.all_world2pix(*science.all_pix2world(x, y, 0), 0, quiet=True))
    if not np.isfinite(there).all():
        raise UnusableData("the reference's WCS does not reach the science image: is it another field?")
    for degree in (1, 3, 5):
        mapping = _fit(x, y, there[0], there[1], shape=shape, degree=degree)
        if max(mapping.rms_px, mapping.offset_px) < 0.002:
            break
    return mapping


def by_stars(science: Stars, reference: Stars, shape: tuple[int, int]) -> PixelMap:
    """Find the map from the two lists of stars alone (brightest first).

    Stars vote for the shift between the images; the winner is refined to an affine map, and to a quadratic one if
    many stars agree.

    Raises
    ------
    UnusableData
        If fewer than six stars agree, or no shift stands out.
    """
    guess, votes = _vote(science, reference, shape)
    if votes < MINIMUM_MATCHES:
        raise UnusableData(f"the images cannot be aligned: at best {votes} stars agree, {MINIMUM_MATCHES} are needed")
    mapping = guess
    for tolerance in (2 * VOTE_BIN_PX, VOTE_BIN_PX, FINAL_TOLERANCE_PX, FINAL_TOLERANCE_PX):
        mapping = refine(mapping, science, reference, shape, degree=1, tolerance_px=tolerance)
    if mapping.matched >= 100:
        mapping = refine(mapping, science, reference, shape, degree=2, tolerance_px=FINAL_TOLERANCE_PX)
    _check_chance(mapping, science, reference, shape)
    return mapping


def refine(
    mapping: PixelMap, science: Stars, reference: Stars, shape: tuple[int, int], *, degree: int, tolerance_px: float
) -> PixelMap:
    """Fit a map of ``degree`` to the stars that ``mapping`` brings within ``tolerance_px`` of each other."""
    index, there = _pairs(mapping, science, reference, tolerance_px)
    if len(index) < max(MINIMUM_MATCHES, len(exponents(degree)) + 1):
        raise UnusableData(f"{len(index)} stars in common, at least {MINIMUM_MATCHES} are needed to align the images")
    x, y, u, v = science.x[index], science.y[index], reference.x[there], reference.y[there]
    keep = np.ones(len(x), dtype=bool)
    for _ in range(5):
        fitted = _fit(x[keep], y[keep], u[keep], v[keep], shape=shape, degree=degree)
        fit_x, fit_y = fitted(x, y)
        distance = np.hypot(fit_x - u, fit_y - v)
        agreed = distance <= max(CLIP_SIGMA * fitted.rms_px, 0.05)
        if agreed.sum() < max(MINIMUM_MATCHES, len(exponents(degree)) + 1) or (agreed == keep).all():
            break
        keep = agreed
    return fitted


def check(
    mapping: PixelMap, science: Stars, reference: Stars, *, tolerance_px: float = 3.0
) -> tuple[int, float, float]:
    """Return how many stars a map matches, and the rms and the length of the median of their offsets, in px."""
    index, there = _pairs(mapping, science, reference, tolerance_px)
    if len(index) == 0:
        return 0, float("inf"), float("inf")
    x, y = mapping(science.x[index], science.y[index])
    dx, dy = x - reference.x[there], y - reference.y[there]
    scatter = np.hypot(arrays.nmad(dx), arrays.nmad(dy))
    return len(index), float(scatter), float(np.hypot(np.median(dx), np.median(dy)))


def _linear(shape: tuple[int, int], matrix: Floats, shift: Floats) -> PixelMap:
    """Return the map ``matrix @ (p - centre) + centre + shift``."""
    ny, nx = shape
    centre, scale = ((nx - 1) / 2, (ny - 1) / 2), max(nx, ny) / 2
    return PixelMap(
        degree=1,
        centre=centre,
        scale=scale,
        x=np.array([centre[0] + shift[0], matrix[0, 0] * scale, matrix[0, 1] * scale]),
        y=np.array([centre[1] + shift[1], matrix[1, 0] * scale, matrix[1, 1] * scale]),
    )


def _fit(x: Floats, y: Floats, u: Floats, v: Floats, *, shape: tuple[int, int], degree: int) -> PixelMap:
    """Fit the polynomial map (x, y) -> (u, v) by least squares."""
    start = _linear(shape, np.eye(2), np.zeros(2))
    p, q = (x - start.centre[0]) / start.scale, (y - start.centre[1]) / start.scale
    design = np.stack([p**i * q**j for i, j in exponents(degree)], axis=1)
    (fit_u, fit_v) = (np.linalg.lstsq(design, target, rcond=None)[0] for target in (u, v))
    du, dv = u - design @ fit_u, v - design @ fit_v
    return PixelMap(
        degree=degree,
        centre=start.centre,
        scale=start.scale,
        x=fit_u,
        y=fit_v,
        matched=len(x),
        rms_px=float(np.sqrt(np.mean(du**2 + dv**2))),
        offset_px=float(np.hypot(np.median(du), np.median(dv))),
    )


def _pairs(mapping: PixelMap, science: Stars, reference: Stars, tolerance_px: float) -> tuple[Any, Any]:
    """Pair stars that are each other's nearest within the tolerance."""
    moved = np.stack(mapping(science.x, science.y), axis=1)
    fixed = np.stack([reference.x, reference.y], axis=1)
    distance, there = spatial.cKDTree(fixed).query(moved, distance_upper_bound=tolerance_px)
    _, back = spatial.cKDTree(moved).query(fixed, distance_upper_bound=tolerance_px)
    index = np.flatnonzero(np.isfinite(distance))
    index = index[back[there[index]] == index]
    return index, there[index]


def _vote(science: Stars, reference: Stars, shape: tuple[int, int]) -> tuple[PixelMap, int]:
    """Return the best of a few turns and scales, and its votes; upright at true scale is tried first."""
    best, votes = _vote_shift(science, reference, shape, np.eye(2))
    if votes >= 0.3 * min(len(science), len(reference), VOTERS):
        return best, votes
    step = np.degrees(2 * VOTE_BIN_PX / max(shape))
    turns = np.arange(-LARGEST_TURN_DEG, LARGEST_TURN_DEG + step, step)
    for half_turn, turn, scale in product(TURNS_DEG, turns, SCALES):
        angle = np.radians(half_turn + turn)
        matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        candidate, count = _vote_shift(science, reference, shape, matrix)
        if count > votes:
            best, votes = candidate, count
    return best, votes


def _vote_shift(science: Stars, reference: Stars, shape: tuple[int, int], matrix: Floats) -> tuple[PixelMap, int]:
    """Return the map with turn ``matrix`` and the shift of most pairs of bright stars, and their number."""
    upright = _linear(shape, matrix, np.zeros(2))
    x, y = upright(science.x[:VOTERS], science.y[:VOTERS])
    start, goal = np.stack([x, y], axis=1), np.stack([reference.x[:VOTERS], reference.y[:VOTERS]], axis=1)
    votes, shift = offset_votes.winner(start, goal, reach=1.5 * max(shape), cell=VOTE_BIN_PX)
    return _linear(shape, matrix, shift), votes


def _check_chance(mapping: PixelMap, science: Stars, reference: Stars, shape: tuple[int, int]) -> None:
    """Refuse a match no better than one of randomly placed stars."""
    x, y = mapping(science.x, science.y)
    ny, nx = shape
    inside = ((x >= 0) & (x < nx) & (y >= 0) & (y < ny)).sum()
    chance = inside * len(reference) * np.pi * FINAL_TOLERANCE_PX**2 / (nx * ny)
    needed = max(MINIMUM_MATCHES, chance + 5 * np.sqrt(chance))
    if mapping.matched < needed:
        raise UnusableData(
            f"the images cannot be aligned: {mapping.matched} stars agree, but chance alone would give {chance:.0f}"
        )


def resample(image: Array, mapping: PixelMap, shape: tuple[int, int]) -> Array:
    """Return ``image`` on the science pixels by the Lanczos-3 kernel of ``resampling``; beyond its border it is NaN."""
    return _in_bands(image, mapping, shape, _lanczos)


def resample_smooth(image: Array, mapping: PixelMap, shape: tuple[int, int]) -> Array:
    """Return ``image`` on the science pixels by bilinear interpolation: for variances, which must stay positive.

    The variance of a resampled pixel alone would be smaller; but resampled neighbours are correlated, and what
    counts is the noise over a PSF, which interpolation leaves as it was.
    """
    return _in_bands(image, mapping, shape, _bilinear)


def resample_mask(mask: Array, mapping: PixelMap, shape: tuple[int, int]) -> Array:
    """Return ``mask`` on the science pixels: True where a bad pixel touches, or beyond the border."""
    xp = arrays.array_namespace(mask)
    there = _in_bands(mask.astype(xp.float32), mapping, shape, _bilinear)
    return ~(there < 0.05)  # NaN beyond the border is bad too


def _in_bands(image: Array, mapping: PixelMap, shape: tuple[int, int], method: Any) -> Array:
    """Resample band by band, in threads on the CPU: memory stays bounded and both cores work."""
    xp = arrays.array_namespace(image)
    out = xp.empty(shape, dtype=xp.float32)

    def band(start: int) -> None:
        stop = min(start + BAND_ROWS, shape[0])
        y, x = xp.mgrid[start:stop, 0 : shape[1]].astype(xp.float64)
        out[start:stop] = method(image, *mapping(x, y))

    arrays_of_rows = range(0, shape[0], BAND_ROWS)
    with ThreadPoolExecutor(max_workers=2 if xp is np else 1) as pool:
        list(pool.map(band, arrays_of_rows))
    return out


def _gather(image: Array, x: Array, y: Array, weights: tuple[Array, Array], first: int) -> Array:
    """Sum the neighbours of floor(x), floor(y) with separable weights; NaN beyond the border."""
    xp = arrays.array_namespace(image)
    ny, nx = image.shape
    column, row = xp.floor(x).astype(xp.int64), xp.floor(y).astype(xp.int64)
    total = xp.zeros(x.shape, dtype=xp.float32)
    for j, weight_y in enumerate(weights[1]):
        line = xp.zeros(x.shape, dtype=xp.float32)
        base = xp.clip(row + first + j, 0, ny - 1) * nx
        for i, weight_x in enumerate(weights[0]):
            line += weight_x * image.ravel()[base + xp.clip(column + first + i, 0, nx - 1)]
        total += weight_y * line
    inside = (x >= -0.5) & (x <= nx - 0.5) & (y >= -0.5) & (y <= ny - 0.5)
    return xp.where(inside, total, xp.float32("nan"))


def _lanczos(image: Array, x: Array, y: Array) -> Array:
    xp = arrays.array_namespace(image)
    weights = resampling.kernel_weights(x - xp.floor(x)), resampling.kernel_weights(y - xp.floor(y))
    return _gather(image, x, y, weights, 1 - resampling.LANCZOS)


def _bilinear(image: Array, x: Array, y: Array) -> Array:
    xp = arrays.array_namespace(image)
    fx, fy = x - xp.floor(x), y - xp.floor(y)
    return _gather(image, x, y, (xp.stack([1 - fx, fx]), xp.stack([1 - fy, fy])), 0)
