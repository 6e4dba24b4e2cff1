"""Apertures: the standard ones, a user's own, and the best one by the stars' growth curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sep

from tasks.science.astrometry.matching import Floats
from tasks.science.photometry.depths import Pixels

# diameter of the best aperture for a Gaussian, in FWHM, halved
BEST_RADIUS_FWHM = 0.6731
# APER_3 to APER_5 of the first pipeline of these cameras
FIXED_DIAMETERS_ARCSEC = (3.0, 5.0, 10.0)
STANDARD = ("0", "1", "2", "3", "4", "5")
# The whole light of a star: 20 arcsec hold 99.5 % of a Moffat profile that AUTO (95 %) and 10 arcsec (94-98 %) cut.
# Only bright stars have it measured well.
TOTAL, TOTAL_ARCSEC = "TOT", 20.0
# diameters from below the seeing to the largest standard one
CURVE_ARCSEC = np.linspace(1.0, 10.0, 32)
# a diameter of less than three pixels holds no certain part of a star: of coarser pixels the diameters are in px
COARSE_ARCSEC = 1.0
# more take time and change the mean curve little; fewer let one blended star decide
MOST_STARS, FEWEST_STARS = 200, 10
# of the sky around a star: beyond the largest diameter of the curve at 0.505 arcsec per pixel
RING_PX = (24.0, 40.0)


@dataclass(frozen=True, kw_only=True)
class Apertures:
    """Diameters in px by key: 0 to 5, TOT, and U1, U2 and so on for a user's own; in measuring order."""

    diameters_px: dict[str, float]

    @property
    def in_order(self) -> tuple[float, ...]:
        """Diameters in the order in which programs take them."""
        return tuple(self.diameters_px.values())

    def place(self, key: str) -> int:
        """Return the index of a key among the measured apertures."""
        return list(self.diameters_px).index(key)

    @property
    def with_depth(self) -> tuple[str, ...]:
        """Keys with a zero point and a depth: all but TOT."""
        return tuple(key for key in self.diameters_px if key != TOTAL)


def apertures(
    seeing_arcsec: float, scale_arcsec: float, *, extra: Sequence[str] = (), best_px: float | None = None
) -> Apertures:
    """Return the apertures of an image: three scale with the seeing, three are 3, 5, 10 arcsec, one is total light.

    Of pixels coarser than 1 arcsec the fixed ones are as many pixels instead.

    Parameters
    ----------
    seeing_arcsec, scale_arcsec
        FWHM of stars, and the size of a pixel.
    extra
        Further diameters, each followed by its unit, ``px`` or ``arcsec``.
    best_px
        The best diameter if it was measured; else that for a Gaussian of this FWHM.
    """
    seeing_px = seeing_arcsec / scale_arcsec
    follow = (best_px or 2 * BEST_RADIUS_FWHM * seeing_px, 2 * seeing_px, 3 * seeing_px)
    per_px = min(scale_arcsec, COARSE_ARCSEC)
    fixed = (diameter / per_px for diameter in FIXED_DIAMETERS_ARCSEC)
    own = {f"U{number}": _pixels(text, scale_arcsec) for number, text in enumerate(extra, start=1)}
    standard = dict(zip(STANDARD, (*follow, *fixed), strict=True))
    return Apertures(diameters_px={**standard, TOTAL: TOTAL_ARCSEC / per_px, **own})


def best_diameter_px(
    pixels: Pixels,
    place: tuple[Floats, Floats],
    *,
    sky_sigma_adu: float,
    egain: float,
    scale_arcsec: float,
) -> float | None:
    """Return the diameter of best signal to noise: the mean over stars of the best of 32 between 1 and 10 arcsec.

    The smallest is never the best one: pixels are too coarse for it.

    Parameters
    ----------
    pixels
        The image, native float32.
    place
        1-based positions of lone stars, the brightest first.
    sky_sigma_adu, egain
        Noise of a pixel, and e-/ADU.

    Returns
    -------
    None if fewer than ten stars have a growth curve.
    """
    x, y = (np.asarray(axis, dtype=float)[:MOST_STARS] - 1 for axis in place)
    image = np.ascontiguousarray(pixels.image, dtype=np.float32)
    radii = CURVE_ARCSEC / min(scale_arcsec, COARSE_ARCSEC) / 2
    around, _, _ = sep.sum_circann(image, x, y, *RING_PX, subpix=1)
    sky = around / (np.pi * (RING_PX[1] ** 2 - RING_PX[0] ** 2))
    sums = np.stack([sep.sum_circle(image, x, y, radius)[0] for radius in radii], axis=1)
    area = np.pi * radii**2
    flux = sums - sky[:, None] * area
    noise2 = area * sky_sigma_adu**2 + np.maximum(flux, 0) / egain
    snr = np.where(flux > 0, flux / np.sqrt(np.maximum(noise2, 1e-12)), 0.0)[:, 1:]
    inside = ~pixels.bad[
        np.clip(np.round(y).astype(int), 0, image.shape[0] - 1), np.clip(np.round(x).astype(int), 0, image.shape[1] - 1)
    ]
    rows = snr[(snr.max(axis=1) > 0) & inside]
    if len(rows) < FEWEST_STARS:
        return None
    return float(np.mean(2 * radii[1:][rows.argmax(axis=1)]))


def _pixels(text: str, scale_arcsec: float) -> float:
    return float(text.removesuffix("px")) if text.endswith("px") else float(text.removesuffix("arcsec")) / scale_arcsec
