"""Images with variance and mask for a subtraction, and their resampling onto another image's pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tasks.errors import UnusableData
from tasks.records import MaskBit
from tasks.science import arrays
from tasks.science.arrays import Array
from tasks.science.subtraction import registration
from tasks.science.subtraction.registration import PixelMap

# less contains no stars for a kernel
SMALLEST_OVERLAP = 0.02


@dataclass(frozen=True, kw_only=True)
class SubtractionImage:
    """One image with its variance (same unit squared) and mask (True = bad), all (ny, nx), and its saturated pixels.

    ``outside`` is True where a resampled image does not reach; None: nowhere.
    """

    image: Array
    variance: Array
    mask: Array
    saturated: Array
    outside: Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return tuple(self.image.shape)


def noise_variance(image: Array, mask: Array, *, gain: float, sky_sigma: float | None = None) -> Array:
    """Return a variance plane in ADU² from the sky's scatter and the photons above it.

    Parameters
    ----------
    gain
        In e-/ADU; infinity leaves the photons out.
    sky_sigma
        In ADU; if None, measured on the fainter half of the pixels.
    """
    xp = arrays.array_namespace(image)
    good = ~mask & xp.isfinite(image)
    sky = float(xp.median(image[good]))
    sigma = _pixel_noise(xp.where(good, image, xp.nan)) if sky_sigma is None else sky_sigma
    return (sigma**2 + xp.clip(image - sky, 0, None) / gain).astype(xp.float32)


def _pixel_noise(image: Array) -> float:
    """Return the noise of the pixels that are not NaN.

    Third differences along the rows contain the noise of pixels but not smooth stars and clouds; independent noise is
    sqrt(1 + 9 + 9 + 1) times larger in them. Only those are used whose four pixels have a mean below the median, of
    which such a difference is independent.
    """
    xp = arrays.array_namespace(image)
    parts = image[:, 3:], image[:, 2:-1], image[:, 1:-2], image[:, :-3]
    mean = sum(parts) / 4
    steps = parts[0] - 3 * parts[1] + 3 * parts[2] - parts[3]
    return float(arrays.nmad(steps[mean <= xp.nanmedian(mean)])) / math.sqrt(20)


def aligned(exposure: SubtractionImage, mapping: PixelMap, shape: tuple[int, int]) -> SubtractionImage:
    """Return an exposure on the pixels of an image of ``shape`` (ny, nx); pixels outside it are masked.

    Raises
    ------
    UnusableData
        If the two share hardly a pixel.
    """
    if exposure.shape == shape and mapping.is_identity(shape):
        return exposure
    xp = arrays.array_namespace(exposure.image)
    bad = exposure.mask | ~xp.isfinite(exposure.image)
    # saturated pixels keep their height: the interpolation must not ring around a hole
    level = xp.median(exposure.image[~bad]) if bool((~bad).any()) else 0.0
    image = registration.resample(xp.where(bad, level, exposure.image), mapping, shape)
    variance = registration.resample_smooth(exposure.variance, mapping, shape)
    outside = ~xp.isfinite(image)
    if float(outside.mean()) > 1 - SMALLEST_OVERLAP:
        raise UnusableData(
            f"science image and reference overlap by {100 * float((~outside).mean()):.1f} %: other fields"
        )
    return SubtractionImage(
        image=xp.where(outside, level, image),
        variance=xp.where(xp.isfinite(variance), variance, xp.median(exposure.variance)),
        mask=registration.resample_mask(bad, mapping, shape),
        saturated=registration.resample_mask(exposure.saturated, mapping, shape) & ~outside,
        outside=outside,
    )


def from_planes(
    image: Array, bits: Array, variance: Array | None, *, gain: float, saturation: float
) -> SubtractionImage:
    """Return an exposure from an image, its mask bits and, if known, its variance.

    Parameters
    ----------
    gain
        In e-/ADU, for the variance if there is none.
    saturation
        Pixels at and above this value are saturated, in the image's unit.
    """
    xp = arrays.array_namespace(image)
    mask = ((bits & ~np.uint8(MaskBit.SATURATED)) != 0) | ~xp.isfinite(image)
    if bool(mask.all()):
        raise UnusableData("the image has no good pixel")
    if variance is None:
        variance = noise_variance(image, mask, gain=gain)
    else:
        mask = mask | ~(variance > 0) | ~xp.isfinite(variance)
    saturated = ((bits & MaskBit.SATURATED) != 0) | (image >= saturation)
    known, certain = xp.isfinite(image), xp.isfinite(variance) & (variance > 0)
    if not bool(certain.any()):
        raise UnusableData("the image has no pixel with noise: is it the same everywhere?")
    # masked pixels enter sums with weight 0, which a NaN or an infinity would spoil all the same
    return SubtractionImage(
        image=image if bool(known.all()) else xp.where(known, image, xp.median(image[known])),
        variance=variance if bool(certain.all()) else xp.where(certain, variance, xp.median(variance[certain])),
        mask=mask | ~certain,
        saturated=saturated & known,
    )
