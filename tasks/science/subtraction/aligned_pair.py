"""A science image and its reference on the same pixels, with the stars of both."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from astropy.wcs import WCS

from tasks.science.sources import stars
from tasks.science.sources.stars import Stars
from tasks.science.subtraction import aligned_images, registration
from tasks.science.subtraction.aligned_images import SubtractionImage

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Science image and reference on the same pixels, with the stars of both (on those pixels)."""

    science: SubtractionImage
    reference: SubtractionImage
    found: tuple[Stars, Stars]

    @property
    def widths_px(self) -> tuple[float, float]:
        """Typical FWHM of the stars of the science image and of the reference, in px."""
        return self.found[0].typical_fwhm, self.found[1].typical_fwhm


def align(
    science: SubtractionImage,
    reference: SubtractionImage,
    *,
    how: Literal["auto", "wcs", "stars", "none"],
    wcs: tuple[WCS | None, WCS | None],
    name: str,
) -> Pair:
    """Bring the reference onto the science image's pixels.

    Parameters
    ----------
    science, reference
        The two images, each on its own pixels.
    how
        Method of alignment; see ``registration.choose``.
    wcs
        WCS of the science image and of the reference.
    name
        Name of the science image, for the log.

    Raises
    ------
    UnusableData
        If the images cannot be aligned in that way, hold too few stars or share hardly a pixel.
    """
    found = stars.find(science.image, science.mask), stars.find(reference.image, reference.mask)
    mapping = registration.choose(how, wcs=wcs, found=found, shapes=(science.shape, reference.shape))
    log.info(
        "%s: reference moved by %.2f, %.2f px, %d stars within %.2f px",
        name, *mapping.shift_px, mapping.matched, mapping.rms_px,
    )  # fmt: skip
    moved = aligned_images.aligned(reference, mapping, science.shape)
    if moved is not reference:
        found = found[0], stars.find(moved.image, moved.mask)
    return Pair(science=science, reference=moved, found=found)
