"""Zero points from stars of known magnitude: their median, and their dependence on colour and position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy import ndimage

from tasks.errors import AlgorithmError
from tasks.records import ZeroPointTerms
from tasks.science.arrays import MAD_TO_SIGMA, nmad
from tasks.science.astrometry.matching import Floats

# clipping of the first pipeline of these cameras
CLIP_SIGMA = 2.0
# too few stars give a median that one wrong pair moves
FEWEST_STARS = 5
# the reference magnitudes of a field share an error that no number of stars averages out
CALIBRATION_FLOOR_MAG = 0.005
# a colour term needs colours that spread, a surface of third degree stars everywhere
FEWEST_FOR_COLOUR, FEWEST_FOR_SURFACE = 50, 200
# of the surface: a higher one swings in corners without stars
DEGREE = 3
# the rounds end earlier when no star changes
FIT_CLIP_SIGMA, MOST_ROUNDS = 3.0, 10
# on each side: 200 stars put three in each cell
CELLS = 8
# fewer give a mean and no error of it
FEWEST_IN_CELL = 3

Spatial: TypeAlias = Literal["none", "cubic", "grid"]


@dataclass(frozen=True, kw_only=True)
class ZeroPoint:
    """A zero point in mag: median and unscaled MAD of the ``stars`` that pass the clipping."""

    value_mag: float
    mad_mag: float
    stars: int

    @property
    def scatter_mag(self) -> float:
        """Standard deviation of a normal distribution with this MAD."""
        return MAD_TO_SIGMA * self.mad_mag

    @property
    def error_mag(self) -> float:
        """Combined error of the median and the reference."""
        return float(np.hypot(self.scatter_mag / np.sqrt(max(1, self.stars)), CALIBRATION_FLOOR_MAG))


@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """A fitted colour term and surface; ``surface`` holds Legendre coefficients, ``grid`` (8, 8) mag on top of them."""

    summary: ZeroPointTerms
    shape: tuple[int, int]
    surface: Floats | None = None
    level_mag: float = 0.0
    grid: Floats | None = None

    def of_colour(self, colour_mag: Floats) -> Floats:
        """Return the zero point of stars of some BP - RP less that at the pivot; 0 where the colour is unknown."""
        term, pivot = self.summary.colour_mag, self.summary.pivot_mag
        if term is None or pivot is None:
            return np.zeros(len(colour_mag))
        return np.nan_to_num(term * (np.asarray(colour_mag, dtype=float) - pivot))

    def of_place(self, x: Floats, y: Floats) -> Floats:
        """Return the zero point at 1-based pixels less the frame's."""
        if self.surface is None:
            return np.zeros(len(x))
        value: Floats = _legendre(x, y, self.shape) @ self.surface - self.level_mag
        return value if self.grid is None else value + _between_cells(self.grid, x, y, self.shape)


def kept(difference_mag: Floats) -> Floats:
    """Return which values remain after repeated clipping at 2 sigma from the median; NaN never remains."""
    result = np.isfinite(difference_mag)
    while result.any():
        values = difference_mag[result]
        close = np.abs(values - np.median(values)) <= CLIP_SIGMA * np.std(values)
        if close.all():
            break
        result[result] = close
    return result


def zero_point(difference_mag: Floats) -> ZeroPoint:
    """Return the median of reference minus instrumental magnitudes, clipped at 2 sigma.

    Raises
    ------
    AlgorithmError
        With fewer than five stars.
    """
    if (number := int(np.isfinite(difference_mag).sum())) < FEWEST_STARS:
        raise AlgorithmError(f"{number} stars for the zero point (needed: {FEWEST_STARS})")
    values = difference_mag[kept(difference_mag)]
    median = np.median(values)
    mad = float(np.median(np.abs(values - median)))
    return ZeroPoint(value_mag=float(median), mad_mag=mad, stars=len(values))


def fit_terms(
    difference_mag: Floats,
    error_mag: Floats,
    colour_mag: Floats,
    place: tuple[Floats, Floats],
    *,
    shape: tuple[int, int],
    pivot_mag: float,
    cells: bool = False,
) -> Terms | None:
    """Fit the colour and position dependence of reference minus instrumental magnitudes.

    ``zp = ZP + c (BP - RP - pivot) + S(x, y)``, with S a surface of third degree, weighted by the stars' errors and
    clipped at 3 sigma. The colour term needs 50 stars of known colour, the surface 200; None with too few for either.

    Parameters
    ----------
    difference_mag, error_mag, colour_mag
        One value per star; NaN where it has none.
    place
        1-based x and y.
    shape
        (ny, nx) of the image.
    pivot_mag
        BP - RP of the star to which the zero point applies.
    cells
        Add the residuals' means in 8 x 8 cells, each shrunk to zero according to its error.
    """
    use = np.isfinite(difference_mag) & np.isfinite(error_mag)
    known = use & np.isfinite(colour_mag)
    coloured = bool(known.sum() >= FEWEST_FOR_COLOUR)
    use = known if coloured else use
    surfaced = bool(use.sum() >= FEWEST_FOR_SURFACE)
    if not coloured and not surfaced:
        return None
    x, y = (np.asarray(axis, dtype=float)[use] for axis in place)
    columns = [np.ones((use.sum(), 1))]
    columns += [(np.asarray(colour_mag, dtype=float)[use] - pivot_mag)[:, None]] if coloured else []
    columns += [_legendre(x, y, shape)] if surfaced else []
    zp, design = np.asarray(difference_mag, dtype=float)[use], np.hstack(columns)
    fit = _solve(design, zp, np.hypot(np.asarray(error_mag, dtype=float)[use], CALIBRATION_FLOOR_MAG))
    grid = _cells(fit, x, y, shape) if cells and surfaced else None
    return _terms(fit, zp, (x, y), shape, coloured=coloured, surfaced=surfaced, pivot_mag=pivot_mag, grid=grid)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fit:
    """Coefficients, their covariance, residuals of all stars, and which stars were kept."""

    values: Floats
    covariance: Floats
    residual: Floats
    weight: Floats
    """Of the stars that were kept; 0 for the others. Their sum is 1."""

    @property
    def kept(self) -> Floats:
        return self.weight > 0

    def rms(self, values: Floats, parameters: int) -> float:
        """Return the weighted rms of values of which some parameters were fitted."""
        number = int(self.kept.sum())
        return float(np.sqrt((self.weight * values**2).sum() * number / max(1, number - parameters)))


def _solve(design: Floats, values: Floats, error: Floats) -> _Fit:
    """Return the clipped, weighted least squares; the covariance is scaled to the actual scatter."""
    kept = np.abs(values - np.median(values)) <= 2 * FIT_CLIP_SIGMA * max(float(nmad(values)), CALIBRATION_FLOOR_MAG)
    for _ in range(MOST_ROUNDS):
        weighted = design[kept] / error[kept, None]
        solution, *_ = np.linalg.lstsq(weighted, values[kept] / error[kept], rcond=None)
        residual = values - design @ solution
        pull = residual / error
        close = np.abs(pull) <= FIT_CLIP_SIGMA * max(float(nmad(pull[kept])), 1e-9)
        if (close == kept).all():
            break
        kept = close
    freedom = max(1, int(kept.sum()) - design.shape[1])
    chi2 = float((pull[kept] ** 2).sum()) / freedom
    covariance = chi2 * np.linalg.pinv(weighted.T @ weighted)
    weight = np.where(kept, error**-2.0, 0.0)
    return _Fit(values=solution, covariance=covariance, residual=residual, weight=weight / weight.sum())


def _terms(
    fit: _Fit,
    zp: Floats,
    place: tuple[Floats, Floats],
    shape: tuple[int, int],
    *,
    coloured: bool,
    surfaced: bool,
    pivot_mag: float,
    grid: Floats | None,
) -> Terms:
    x, y = place
    surface = fit.values[1 + coloured :] if surfaced else None
    kept, after = fit.kept, fit.residual
    spatial = _legendre(x, y, shape) @ surface if surface is not None else np.zeros(len(x))
    if grid is not None:
        cells = _between_cells(grid, x, y, shape)
        spatial, after = spatial + cells, after - cells
    summary = ZeroPointTerms(
        stars=int(kept.sum()),
        before_mag=fit.rms(zp - (fit.weight * zp).sum(), 1),
        after_mag=fit.rms(after, len(fit.values)),
        spatial_rms_mag=float(np.std(spatial[kept])) if surfaced else None,
        colour_mag=float(fit.values[1]) if coloured else None,
        colour_error_mag=float(np.sqrt(fit.covariance[1, 1])) if coloured else None,
        pivot_mag=pivot_mag if coloured else None,
    )
    return Terms(summary=summary, shape=shape, surface=surface, level_mag=float(np.median(spatial[kept])), grid=grid)


def _legendre(x: Floats, y: Floats, shape: tuple[int, int]) -> Floats:
    """Return the Legendre products of total degree 1 to 3 at 1-based pixels, (n, 9)."""
    ny, nx = shape
    u, v = 2 * (np.asarray(x, dtype=float) - 0.5) / nx - 1, 2 * (np.asarray(y, dtype=float) - 0.5) / ny - 1
    in_x, in_y = (np.polynomial.legendre.legvander(axis, DEGREE) for axis in (u, v))
    powers = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i) if i + j]
    return np.stack([in_x[:, i] * in_y[:, j] for i, j in powers], axis=1)


def _cells(fit: _Fit, x: Floats, y: Floats, shape: tuple[int, int]) -> Floats:
    """Return the mean residual of each cell, shrunk to zero by the ratio of its error to the scatter among cells."""
    ny, nx = shape
    column, row = (
        np.clip((CELLS * (axis - 0.5) / size).astype(int), 0, CELLS - 1) for axis, size in ((x, nx), (y, ny))
    )
    index = (row * CELLS + column)[fit.kept]
    residual = fit.residual[fit.kept]
    number = np.bincount(index, minlength=CELLS**2)
    mean = np.bincount(index, weights=residual, minlength=CELLS**2) / np.maximum(number, 1)
    enough = number >= FEWEST_IN_CELL
    error2 = np.var(residual) / np.maximum(number, 1)
    among = max(0.0, float(np.mean(mean[enough] ** 2 - error2[enough]))) if enough.any() else 0.0
    return np.where(enough, mean * among / (among + error2 + 1e-12), 0.0).reshape(CELLS, CELLS)


def _between_cells(grid: Floats, x: Floats, y: Floats, shape: tuple[int, int]) -> Floats:
    """Interpolate a grid linearly between the centres of its cells."""
    ny, nx = shape
    places = [CELLS * (np.asarray(axis, dtype=float) - 0.5) / size - 0.5 for axis, size in ((y, ny), (x, nx))]
    result: Floats = ndimage.map_coordinates(grid, places, order=1, mode="nearest")
    return result
