"""Sources and their fluxes in apertures, measured in this process as Source Extractor measures them.

The detection and the sums are those of SEP, Source Extractor's own algorithms as a library (Barbary 2016, JOSS 1, 58);
here they use the variance and the mask of the frames. Subtracted is the mesh's background, not a local one in a ring
around each source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sep

from tasks import constants
from tasks.errors import AlgorithmError
from tasks.science.sources import deblending, windowed_shapes

Floats = np.ndarray[Any, Any]

# 3 x 3 pyramid: the detection filter of the production catalogues
PYRAMID = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32)
# Source Extractor's PHOT_AUTOPARAMS of the production catalogues
KRON_FACTOR, LEAST_RADIUS_PX = 2.5, 3.5
# Source Extractor's KRON_NSIG
KRON_REACH = 6.0
# sep's list of pixels above threshold; when it overflows, detection fails
PIXEL_STACK = 1_000_000
# half side of the stamp, level relative to the peak, and fewest pixels of the core: fewer have no width
CORE_HALF_PX, CORE_LEVEL, CORE_PIXELS = 10, 0.5, 4
SEEN_TRUNCATED = int(sep.APER_TRUNC)


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Detection settings; the defaults are those of the production catalogues."""

    threshold_sigma: float = 3.0
    minimum_area_px: int = 5
    deblend_levels: int = 64
    deblend_contrast: float = 1e-4
    mesh_px: int = 128
    mesh_filter: int = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Sources:
    """Sources, each array with one entry per source.

    ``x, y`` are barycentres and ``x_win, y_win`` windowed centroids, 0-based px; ``flux`` and ``error`` are per aperture
    ``(n, apertures)``, ``flux_auto`` in the Kron ellipse; ``a, b, theta`` the shape in px and rad, ``fwhm_px`` that of a
    Gaussian through the core, ``area_px`` the pixels above the threshold; ``flags`` those of SEP. ``sky`` and
    ``sky_sigma`` describe the image.
    """

    x: Floats
    y: Floats
    x_win: Floats
    y_win: Floats
    a: Floats
    b: Floats
    theta: Floats
    peak: Floats
    flux: Floats
    error: Floats
    flux_auto: Floats
    error_auto: Floats
    half_light_px: Floats
    fwhm_px: Floats
    area_px: Floats
    flags: Floats
    sky: float
    sky_sigma: float

    def __len__(self) -> int:
        return len(self.x)


def extract(
    image: Floats,
    *,
    diameters_px: Sequence[float],
    variance: Floats | None = None,
    mask: Floats | None = None,
    gain: float | None = None,
    how: Extraction = Extraction(),
) -> Sources:
    """Find sources and measure them.

    Parameters
    ----------
    image
        Image ``(ny, nx)`` with its sky, on the host.
    diameters_px
        Diameters of the apertures.
    variance
        Variance of the sky, without the sources' photons, for a threshold that follows it; else the mesh's own noise.
    mask
        True where a pixel has no value: it is neither searched nor summed.
    gain
        Effective gain in e-/ADU, for the photon noise of the sources; None leaves it out.
    how
        Detection settings.

    Raises
    ------
    AlgorithmError
        If more pixels are above the threshold than sources can have: the image is a nebula or a bad frame.
    """
    return detect(image, variance=variance, mask=mask, gain=gain, how=how).measured(diameters_px)


def detect(
    image: Floats,
    *,
    variance: Floats | None = None,
    mask: Floats | None = None,
    gain: float | None = None,
    how: Extraction = Extraction(),
) -> ApertureDetections:
    """Find sources, which can then be measured in apertures more than once; see ``extract``."""
    native = np.ascontiguousarray(image, np.float32)
    sky = sep.Background(native, mask=mask, bw=how.mesh_px, bh=how.mesh_px, fw=how.mesh_filter, fh=how.mesh_filter)
    flat = native - sky.back(dtype=np.float32)
    # one number for the noise, as Source Extractor uses without a weight map
    noise: Any = sky.globalrms if variance is None else np.sqrt(variance).astype(np.float32)
    rows = _detect(flat, noise, mask, how)
    return ApertureDetections(
        rows=rows,
        flat=flat,
        noise=noise,
        mask=mask,
        gain=gain,
        sky=float(sky.globalback),
        sky_sigma=float(sky.globalrms),
    )


def _detect(flat: Floats, noise: Any, mask: Floats | None, how: Extraction) -> Floats:
    settings = {
        "minarea": how.minimum_area_px,
        "filter_kernel": PYRAMID,
        "filter_type": "conv",
        "deblend_cont": how.deblend_contrast,
    }
    scene = deblending.Scene(flat=flat, noise=noise, mask=mask)
    try:
        rows = deblending.detect(scene, how.threshold_sigma, settings, levels=how.deblend_levels, stack=PIXEL_STACK)
    except Exception as error:  # SEP raises bare Exception, with the reason in its message
        raise AlgorithmError(f"the sources cannot be separated: {error}") from error
    return rows


@dataclass(frozen=True, kw_only=True, eq=False)
class ApertureDetections:
    """Sources detected in an image, with the inputs of measuring: the image without its sky, noise and mask."""

    rows: Floats
    flat: Floats
    noise: Any
    mask: Floats | None
    gain: float | None
    sky: float
    sky_sigma: float

    def measured(self, diameters_px: Sequence[float] = ()) -> Sources:
        """Return fluxes, centroids, shapes and flags."""
        rows = self.rows
        sums = [self._circle(rows, diameter / 2) for diameter in diameters_px]
        auto, error_auto, kron_flags = self._kron(rows)
        bare = self.flat if self.mask is None else np.where(self.mask, np.float32(0), self.flat)
        x, y, reach = (np.asarray(values, float) for values in (rows["x"], rows["y"], KRON_REACH * rows["a"]))
        half_light = windowed_shapes.half_light_px(bare, x, y, reach, np.asarray(auto, float))
        x_win, y_win = windowed_shapes.centroids(
            bare, x, y, np.clip(half_light, 1.0, 10.0) * constants.HALF_LIGHT_TO_SIGMA
        )
        return Sources(
            **{name: rows[name] for name in ("x", "y", "a", "b", "theta", "peak")},
            x_win=x_win,
            y_win=y_win,
            flux=np.stack([aperture[0] for aperture in sums], axis=1) if sums else np.zeros((len(rows), 0)),
            error=np.stack([aperture[1] for aperture in sums], axis=1) if sums else np.zeros((len(rows), 0)),
            flux_auto=auto,
            error_auto=error_auto,
            half_light_px=half_light,
            fwhm_px=_core_fwhm_px(self.flat, rows),
            area_px=rows["npix"].astype(float),
            flags=rows["flag"] | kron_flags,
            sky=self.sky,
            sky_sigma=self.sky_sigma,
        )

    def _circle(self, rows: Floats, radius_px: float) -> tuple[Floats, Floats, Floats]:
        result: tuple[Floats, Floats, Floats] = sep.sum_circle(
            self.flat,
            rows["x"],
            rows["y"],
            radius_px,
            err=self.noise,
            mask=self.mask,
            gain=self.gain,
            subpix=windowed_shapes.SUBPIXELS,
        )
        return result

    def _kron(self, rows: Floats) -> tuple[Floats, Floats, Floats]:
        """Return flux, error and flags in the Kron ellipse, in a circle of 3.5 px if that is larger."""
        shape = rows["a"], rows["b"], rows["theta"]
        radius, flags = sep.kron_radius(self.flat, rows["x"], rows["y"], *shape, KRON_REACH, mask=self.mask)
        usable = np.isfinite(radius) & (radius > 0)
        reach = np.where(usable, KRON_FACTOR * radius, 1.0)
        flux, error, more = sep.sum_ellipse(
            self.flat,
            rows["x"],
            rows["y"],
            *shape,
            reach,
            err=self.noise,
            mask=self.mask,
            gain=self.gain,
            subpix=windowed_shapes.SUBPIXELS,
        )
        small = ~usable | (reach * np.sqrt(rows["a"] * rows["b"]) < LEAST_RADIUS_PX)
        circle = self._circle(rows[small], LEAST_RADIUS_PX)
        flux[small], error[small] = circle[0], circle[1]
        return flux, error, (flags | more) & SEEN_TRUNCATED


def _core_fwhm_px(flat: Floats, rows: Floats) -> Floats:
    """Return the FWHM of a Gaussian through each core: ln I against r squared, within the half-maximum isophote.

    NaN with fewer than four such pixels: a hot pixel, or a core beyond the stamp.
    """
    steps = np.arange(-CORE_HALF_PX, CORE_HALF_PX + 1)
    ny, nx = flat.shape
    column, row = np.round(rows["x"]).astype(int), np.round(rows["y"]).astype(int)
    at_y, at_x = row[:, None] + steps, column[:, None] + steps
    stamps = flat[np.clip(at_y, 0, ny - 1)[:, :, None], np.clip(at_x, 0, nx - 1)[:, None, :]]
    r2 = (at_x - rows["x"][:, None])[:, None, :] ** 2 + (at_y - rows["y"][:, None])[:, :, None] ** 2
    # peaks of the noise beyond the source's own isophote are no part of its core
    core = (stamps > CORE_LEVEL * rows["peak"][:, None, None]) & (r2 <= rows["npix"][:, None, None] / np.pi)
    weight = np.where(core, np.maximum(stamps, 0) ** 2, 0.0)
    enough = (weight > 0).sum(axis=(1, 2)) >= CORE_PIXELS
    total = np.where(enough, weight.sum(axis=(1, 2)), 1.0)
    log = np.log(np.where(weight > 0, stamps, 1.0))
    mean_r2, mean_log = ((weight * values).sum(axis=(1, 2)) / total for values in (r2, log))
    apart = r2 - mean_r2[:, None, None]
    spread = (weight * apart**2).sum(axis=(1, 2))
    slope = -(weight * apart * (log - mean_log[:, None, None])).sum(axis=(1, 2)) / np.where(spread > 0, spread, np.inf)
    falling = enough & (slope > 0)
    return np.where(falling, 2 * np.sqrt(np.log(2) / np.where(falling, slope, 1.0)), np.nan)
