"""Stars of one image: positions, widths and common PSF."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import sep
from scipy import ndimage

from tasks import constants
from tasks.errors import UnusableData
from tasks.science import arrays
from tasks.science.arrays import Array
from tasks.science.sources import deblending

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

# noise reaches it in one pixel of 3.5 million
DETECT_SIGMA = 5.0
# DETECT_MINAREA of the first pipeline of these cameras
MINIMUM_AREA_PX = 5
# default of Source Extractor's BACK_SIZE
BACKGROUND_MESH_PX = 64
# sep's list of pixels above threshold; its default of 300 000 overflows in the bulge
PIXEL_STACK = 5_000_000
# of a Gaussian: half its light lies within half its FWHM
HALF_LIGHT_PER_FWHM = 0.5
# a centroid that moves further has gone to a neighbour
LARGEST_MOVE_PX = 3.0
# bits of sep and Source Extractor: truncated by the border, incomplete or bad pixels
TRUNCATED = 8 | 16 | 32 | 64
# brightest ones: more add noise and time
PSF_STARS = 60
# a median of fewer rejects nothing
MINIMUM_PSF_STARS = 3


@dataclass(frozen=True, kw_only=True)
class Stars:
    """Sources of one image, brightest first; positions 0-based in px, ``fwhm`` in px, fluxes in ADU."""

    x: Floats
    y: Floats
    flux: Floats
    peak: Floats
    fwhm: Floats
    ellipticity: Floats
    clean: np.ndarray[Any, np.dtype[np.bool_]]
    """Neither blended nor cut by the border or a masked pixel."""

    def __len__(self) -> int:
        """Return the number of sources."""
        return len(self.x)

    def where(self, keep: Array) -> Stars:
        """Return the sources that ``keep`` (booleans or indices) selects."""
        return Stars(**{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})

    @property
    def typical_fwhm(self) -> float:
        """The median FWHM of the clean, bright half, in px."""
        good = self.fwhm[self.clean & (self.fwhm > 1)]
        return float(np.median(good[: max(len(good) // 2, 5)])) if len(good) else float("nan")


def find(image: Array, mask: Array, *, sigma: float = DETECT_SIGMA) -> Stars:
    """Find sources above the local background.

    Parameters
    ----------
    image, mask
        ADU and True = bad, both (ny, nx); masked and non-finite pixels are ignored.
    sigma
        Threshold in units of the local noise.

    Raises
    ------
    UnusableData
        If the image is too small, empty or holds no source.
    """
    data = np.ascontiguousarray(arrays.to_host(image), dtype=np.float32)
    bad = arrays.to_host(mask) | ~np.isfinite(data)
    if min(data.shape) < 2 * MINIMUM_AREA_PX or bad.all():
        raise UnusableData(f"an image of {data.shape[1]} x {data.shape[0]} px with {(~bad).sum()} good pixels is empty")
    data = np.where(bad, np.float32(np.median(data[~bad])), data)
    mesh = min(BACKGROUND_MESH_PX, *data.shape)
    background = sep.Background(data, mask=bad, bw=mesh, bh=mesh)
    flat = data - background.back()
    if background.globalrms <= 0:
        raise UnusableData("the image has no noise: all its good pixels are equal")
    with deblending.pixel_stack(PIXEL_STACK):
        rows = sep.extract(flat, sigma, err=background.rms(), mask=bad, minarea=MINIMUM_AREA_PX)
    if not len(rows):
        raise UnusableData(f"no source above {sigma:g} sigma in the image")
    radius, _ = sep.flux_radius(flat, rows["x"], rows["y"], 6 * rows["a"], 0.5, normflux=rows["flux"], mask=bad)
    # a window as wide as the star keeps neighbours from shifting the position
    x, y, lost = sep.winpos(
        flat, rows["x"], rows["y"], np.clip(radius, 1, 10) * constants.HALF_LIGHT_TO_SIGMA, mask=bad
    )
    moved = np.hypot(x - rows["x"], y - rows["y"]) > LARGEST_MOVE_PX
    x, y = (np.where((lost != 0) | moved, rows[axis], new) for axis, new in (("x", x), ("y", y)))
    return _catalogue(rows, radius, x, y).where(np.argsort(rows["flux"])[::-1])


def _catalogue(rows: Any, half_light_px: Floats, x: Floats, y: Floats) -> Stars:
    return Stars(
        x=x,
        y=y,
        flux=rows["flux"],
        peak=rows["peak"],
        fwhm=half_light_px / HALF_LIGHT_PER_FWHM,
        ellipticity=1 - rows["b"] / rows["a"],
        clean=(rows["flag"] & TRUNCATED) == 0,
    )


def psf(image: Array, mask: Array, stars: Stars, *, half_width_px: int) -> Floats:
    """Return the PSF as an image of unit sum: the median of bright, centred stars.

    Parameters
    ----------
    half_width_px
        The result is (2 half_width_px + 1) square, the star in its centre.

    Raises
    ------
    UnusableData
        If fewer than three stars can be used.
    """
    data, bad = arrays.to_host(image), arrays.to_host(mask)
    chosen = _psf_stars(stars)
    tried = (_normalised(data, bad, x, y, half_width_px) for x, y in zip(chosen.x, chosen.y, strict=True))
    stamps = list(islice((stamp for stamp in tried if stamp is not None), PSF_STARS))
    if len(stamps) < MINIMUM_PSF_STARS:
        raise UnusableData(f"{len(stamps)} stars for a PSF, at least {MINIMUM_PSF_STARS} are needed")
    combined = _combined(np.array(stamps), core=_disc(half_width_px, stars.typical_fwhm))
    combined = np.clip(combined - np.median(_ring(combined)), 0, None) * _taper(half_width_px)
    return np.asarray(combined / combined.sum())


def _combined(stamps: Floats, *, core: Any) -> Floats:
    """Return the median star; each is scaled to the others by its core, and neighbours' light is left out."""
    combined = np.median(stamps, axis=0)
    for _ in range(3):
        design = np.stack([combined[core], np.ones(int(core.sum()))], axis=1)
        (height, level), *_ = np.linalg.lstsq(design, stamps[:, core].T, rcond=None)
        even = (stamps - level[:, None, None]) / np.clip(height, 0.1, None)[:, None, None]
        centre = np.median(even, axis=0)
        limit = centre + 2 * np.maximum(arrays.nmad(even, axis=0), 1e-6)
        combined = np.asarray(np.nanmedian(np.where(even > limit, np.nan, even), axis=0))
    return combined


def _psf_stars(stars: Stars) -> Stars:
    """Keep round, clean sources of typical width."""
    width = stars.typical_fwhm
    return stars.where(stars.clean & (np.abs(stars.fwhm - width) < 0.2 * width) & (stars.ellipticity < 0.4))


def _normalised(data: Floats, bad: Array, x: float, y: float, half: int) -> Floats | None:
    """Cut a star out, centre it, subtract its ring's level and scale its flux to one; None near edges and bad pixels."""
    column, row = round(float(x)), round(float(y))
    margin = half + 2
    if not (margin <= column < data.shape[1] - margin and margin <= row < data.shape[0] - margin):
        return None
    cut = np.s_[row - margin : row + margin + 1, column - margin : column + margin + 1]
    if bad[cut].mean() > 0.02 or bad[cut][margin - 2 : margin + 3, margin - 2 : margin + 3].any():
        return None
    stamp = np.where(bad[cut], np.median(data[cut]), data[cut]).astype(float)
    shifted = ndimage.shift(stamp, (row - y, column - x), order=3, mode="nearest")[2:-2, 2:-2]
    shifted = shifted - np.median(_ring(shifted))
    total = shifted[_disc(half, half / 2)].sum()
    return shifted / total if total > 0 else None


def _disc(half: int, radius: float) -> Array:
    v, u = np.mgrid[-half : half + 1, -half : half + 1]
    return np.hypot(u, v) <= radius


def _ring(stamp: Floats) -> Floats:
    half = stamp.shape[0] // 2
    return np.asarray(stamp[_disc(half, half) & ~_disc(half, 0.8 * half)])


def _taper(half: int) -> Floats:
    """Fall from one to zero over the outer fifth, so that the stamp's square border leaves no trace."""
    v, u = np.mgrid[-half : half + 1, -half : half + 1]
    outside = np.clip((np.hypot(u, v) - 0.8 * half) / (0.2 * half), 0, 1)
    return np.asarray(0.5 * (1 + np.cos(np.pi * outside)))
