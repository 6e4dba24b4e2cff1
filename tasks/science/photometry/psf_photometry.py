"""PSF photometry with the image's own PSF: for crowded stars, whose apertures include neighbours' light.

photutils fits the effective PSF of bright lone stars (Anderson and King 2000, PASP 112, 1360) simultaneously to
all sources of a group. One PSF serves the whole image: ``spatial_zero_point`` corrects flux lost where the optics are
worse. Errors assume independent pixels: on resampled stacks they are too small by a third.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sep
from astropy.nddata import NDData
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from tasks.science.astrometry.matching import Floats
from tasks.science.photometry.depths import Pixels

# samples of the PSF per pixel: with stars of 2 px or wider a finer grid has fluxes equal to 0.1 %
OVERSAMPLING = 2
# time against convergence; photutils' default is 10
ROUNDS = 5
# more take time; with fewer than ten the neighbours' light stays in the mean
MOST_STARS, FEWEST_STARS = 100, 10
# a star of the PSF has no neighbour this near, in FWHM; the PSF reaches half as far, where it has fallen to 1/200
ALONE_FWHM = 6.0
# the core measures the flux with least noise; the wings mostly measure neighbours
FIT_FWHM = 3.0
# sources nearer to each other than this share a fit; the limit shrinks in fields where more than 25 would, since the
# time grows with the cube of their number
GROUP_FWHM, LARGEST_GROUP = (3.0, 2.0, 1.5, 1.0), 25
# a fitted position stays this near to the detected one, in FWHM
FREE_FWHM = 0.5
# the mesh of the detections' background
MESH_PX, MESH_FILTER = 128, 3


def measure(
    pixels: Pixels, table: Table, stars: Table, *, seeing_px: float, sky_sigma_adu: float, egain: float
) -> tuple[Floats, Floats] | None:
    """Return flux and error of every detection by the PSF, NaN where no fit was possible; None with too few PSF stars.

    Parameters
    ----------
    pixels
        The image with its sky; bad pixels do not count. The noise is that of its variance, if it has one.
    table
        Detections with X_IMAGE, Y_IMAGE (1-based) and FLUX_AUTO.
    stars
        Those detections that are good stars, the brightest first: the lone ones make the PSF.
    seeing_px
        FWHM of stars.
    sky_sigma_adu, egain
        Noise of the sky in a pixel and e-/ADU, for an image without a variance.
    """
    image = np.ascontiguousarray(pixels.image, dtype=np.float32)
    mask = np.ascontiguousarray(pixels.bad, dtype=bool)
    sky = sep.Background(image, mask=mask, bw=MESH_PX, bh=MESH_PX, fw=MESH_FILTER, fh=MESH_FILTER)
    flat = (image - sky.back(dtype=np.float32)).astype(float)
    lone = _lone(stars, table, image.shape, ALONE_FWHM * seeing_px)
    if len(lone) < FEWEST_STARS:
        return None
    variance = pixels.variance
    noise2 = sky_sigma_adu**2 + np.maximum(flat, 0) / egain if variance is None else np.asarray(variance, dtype=float)
    with warnings.catch_warnings():
        # single fits that fail are NaN in the result
        warnings.simplefilter("ignore", AstropyUserWarning)
        model = _effective_psf(flat, mask, lone, size=_odd(ALONE_FWHM * seeing_px))
        return _fit(flat, mask, np.sqrt(noise2), table, model, seeing_px=seeing_px)


def _lone(stars: Table, table: Table, shape: tuple[int, ...], apart_px: float) -> Floats:
    """Return 0-based x, y (n, 2) of the first stars without a neighbour, far from the border."""
    place, everybody = _place(stars), _place(table)
    everybody = everybody[np.isfinite(everybody).all(axis=1)]
    within = (place > apart_px / 2 + 1) & (place < np.array(shape[::-1]) - apart_px / 2 - 2)
    place = place[within.all(axis=1)]
    if not len(place):
        return place
    around = cKDTree(everybody).query_ball_point(place, apart_px, return_length=True)
    return place[np.asarray(around) <= 1][:MOST_STARS]


def _place(table: Table) -> Floats:
    """Return 0-based x, y (n, 2) of barycentres: windowed centroids of a pair's stars are drawn to its middle."""
    return np.column_stack([np.asarray(table[name], dtype=float) - 1 for name in ("X_IMAGE", "Y_IMAGE")])


def _odd(size: float) -> int:
    return 2 * int(np.ceil(size / 2)) + 1


def _effective_psf(flat: Floats, mask: Floats, place: Floats, *, size: int) -> Any:
    from photutils import psf  # noqa: PLC0415 - slow start-up, and few images are measured by their PSF

    stars = psf.extract_stars(NDData(flat, mask=mask), Table(place, names=("x", "y")), size=size)
    return psf.EPSFBuilder(oversampling=OVERSAMPLING, maxiters=ROUNDS, progress_bar=False)(stars).epsf


def _fit(
    flat: Floats, mask: Floats, noise: Floats, table: Table, model: Any, *, seeing_px: float
) -> tuple[Floats, Floats]:
    from photutils import psf  # noqa: PLC0415 - slow start-up, as above

    place, first = _place(table), np.asarray(table["FLUX_AUTO"], dtype=float)
    ny, nx = flat.shape
    use = np.isfinite(first) & ((place >= 0) & (place <= (nx - 1, ny - 1))).all(axis=1)
    flux, error = (np.full(len(table), np.nan) for _ in range(2))
    if use.any():
        start = Table({"x": place[use, 0], "y": place[use, 1], "flux": np.maximum(first[use], 1.0)})
        start["group_id"] = _groups(place[use], seeing_px)
        fitter = psf.PSFPhotometry(
            model,
            _odd(FIT_FWHM * seeing_px),
            xy_bounds=FREE_FWHM * seeing_px,
        )
        fitted = fitter(flat, mask=mask, error=noise, init_params=start)
        flux[use], error[use] = (np.asarray(fitted[name], dtype=float) for name in ("flux_fit", "flux_err"))
    failed = ~(np.isfinite(flux) & (error > 0))
    flux[failed] = error[failed] = np.nan
    return flux, error


def _groups(place: Floats, seeing_px: float) -> Floats:
    """Return for each source the number, from 1, of the group that shares a fit with it."""
    for apart in GROUP_FWHM:
        links = cKDTree(place).query_pairs(apart * seeing_px, output_type="ndarray")
        matrix = coo_array((np.ones(len(links)), links.T), shape=(len(place), len(place)))
        _, label = connected_components(matrix, directed=False)
        if np.bincount(label).max() <= LARGEST_GROUP:
            break
    return np.asarray(label + 1)
