"""Records of an image's photometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class ZeroPointTerms:
    """Dependence of APER_1's zero point on a star's colour and position, fitted to ``stars`` stars, in mag.

    ``colour_mag`` is per mag of BP - RP, None if colours are unknown; ``spatial_rms_mag`` the rms of the zero point over
    the frame. The residuals' rms, weighted as the fit, is that without (``before``) and with (``after``) both terms.
    """

    stars: int
    before_mag: float
    after_mag: float
    spatial_rms_mag: float | None = None
    colour_mag: float | None = None
    colour_error_mag: float | None = None
    pivot_mag: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ZeroPointStars:
    """Zero points of single stars in one aperture: one entry for each good star, all in mag.

    ``limits_mag`` are the magnitude limits of the stars used; ``kept`` is True for those not clipped. The zero point is
    the median of the kept stars, ``mad_mag`` their unscaled MAD.
    """

    aperture: str
    limits_mag: tuple[float, float]
    zero_point_mag: float
    mad_mag: float
    magnitude: npt.NDArray[np.float64]
    difference_mag: npt.NDArray[np.float64]
    kept: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Photometry:
    """A frame's zero points and quality, for the aperture named ``AUTO`` and the six others (0 to 5).

    ``zero_point_mag``, ``scatter_mag`` (MAD), ``error_mag`` and ``depth5_mag`` map the aperture's key to its value.
    ``TOT``, if there were enough bright stars, is the zero point of a star's total light; ``U1`` and so on are the user's
    own apertures; ``PSF``, if it was measured, has a zero point but no depth.
    """

    catalogue: Path
    stars: int
    seeing_arcsec: float
    ellipticity: float
    elongation: float
    sky_adu: float
    sky_sigma_adu: float
    zero_point_mag: Mapping[str, float]
    scatter_mag: Mapping[str, float]
    error_mag: Mapping[str, float]
    depth3_mag: Mapping[str, float]
    depth5_mag: Mapping[str, float]
    empty3_mag: Mapping[str, float] = field(default_factory=dict)
    empty5_mag: Mapping[str, float] = field(default_factory=dict)
    """5 sigma depth from the scatter of empty apertures, if there were enough of them."""

    terms: ZeroPointTerms | None = None
    """None if there were too few stars."""

    seen_filter: str = ""
    """Filter that fits the stars' magnitudes; empty if there are too few stars."""

    plots: tuple[Path, ...] = ()
    """Plots of each zero point's stars, if they were drawn."""
