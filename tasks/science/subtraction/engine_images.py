"""Input images for an external engine, and its output as a subtraction."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tasks.science import arrays
from tasks.science.arrays import Array
from tasks.science.subtraction import alard_lupton
from tasks.science.subtraction.alard_lupton import Subtraction
from tasks.science.subtraction.aligned_images import SubtractionImage
from tasks.science.subtraction.aligned_pair import Pair

SATURATED_PART = 0.95  # an engine uses stars up to this fraction of saturation
BAD_VARIANCE_ADU2 = 1e10  # large enough that a bad pixel has no weight


def lowest_adu(image: SubtractionImage) -> float:
    """Return the least good value of an image: its sky minus ten sigma."""
    xp = arrays.array_namespace(image.image)
    good = ~image.mask
    return float(xp.median(image.image[good]) - 10 * xp.sqrt(xp.median(image.variance[good])))


def highest_adu(image: SubtractionImage, saturation_adu: float) -> float:
    """Return the largest good value of an image, whose saturation is infinity if unknown."""
    if np.isfinite(saturation_adu):
        return SATURATED_PART * saturation_adu
    return float(image.image[~image.mask].max())


def planes(image: SubtractionImage) -> dict[str, np.ndarray[Any, Any]]:
    """Return ``image`` (ADU), ``noise`` (ADU) and ``mask`` (1 = bad) on the host, bad pixels without values."""
    bad = arrays.to_host(image.mask | image.saturated)
    return {
        "image": np.where(bad, 0, arrays.to_host(image.image)).astype(np.float32),
        "noise": np.sqrt(np.where(bad, BAD_VARIANCE_ADU2, arrays.to_host(image.variance))).astype(np.float32),
        "mask": bad.astype(np.uint8),
    }


def subtraction(
    pair: Pair,
    difference: Array,
    convolved: Array,
    noise: Array,
    mask: Array,
    *,
    fill: float,
    engine: str,
    direction: Literal["reference", "science"],
    kernel_sum: float | None,
    substamps: int,
) -> Subtraction:
    """Return an engine's result for a pair, on the pair's device.

    Parameters
    ----------
    pair
        The subtracted images.
    difference, convolved, noise, mask
        Output of the engine, on the host: ADU; mask not 0 where bad.
    fill
        Value, above 0, that the engine writes into pixels without data.
    engine, direction, kernel_sum, substamps
        As in ``Subtraction``; without a sum it is measured on stars.
    """
    xp = arrays.array_namespace(pair.science.image)
    bad = (mask != 0) | (np.abs(difference - fill) < fill) | ~np.isfinite(difference)
    return alard_lupton.from_engine(
        pair.science,
        pair.reference,
        difference=xp.asarray(np.where(bad, 0, difference).astype(np.float32)),
        convolved=xp.asarray(convolved.astype(np.float32)),
        variance=xp.asarray(np.square(noise, dtype=np.float32)),
        mask=xp.asarray(bad),
        direction=direction,
        engine=engine,
        kernel_sum=kernel_sum,
        substamps=substamps,
        found=pair.found,
        widths=pair.widths_px,
    )
