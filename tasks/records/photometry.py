"""Records of an image's photometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class ZeroPointTerms:
    """How the zero point of APER_1 depends on a star's colour and place, fitted to ``stars`` stars; mag.

    ``colour_mag`` is per mag of BP - RP, None where colours are unknown; ``spatial_rms_mag`` the rms of the zero point over
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
    """What single stars say of an aperture's zero point: one entry for each star that is good, all in mag.

    ``limits_mag`` are the magnitudes between which stars count; of those ``kept`` is True where the clipping left one. The
    zero point is the median of the kept, ``mad_mag`` their unscaled MAD.
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
    ``TOT``, where there were bright stars enough, is the zero point of a star's whole light; ``U1`` and so on are the
    user's own apertures, and ``PSF``, where it was measured, has a zero point but no depth.
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
    """Depth from the scatter of empty apertures, where there were enough of them."""

    terms: ZeroPointTerms | None = None
    """None where there were too few stars for them."""

    seen_filter: str = ""
    """Filter that the stars say was in the beam; empty where too few stars can tell."""

    plots: tuple[Path, ...] = ()
    """Pictures of the stars behind each zero point, where they were drawn."""
