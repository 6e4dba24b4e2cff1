"""Options of calibration: masters, header corrections, ghosts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tasks.options.config import CONFIG


@dataclass(config=CONFIG, kw_only=True)
class HeaderRewrite:
    """One row of a user's table: a card with exactly ``value`` gets the value ``new``."""

    key: str
    """Keyword of the card."""

    value: str | int | float | bool
    """Its value, exactly."""

    new: str | int | float | bool
    """Its new value."""


@dataclass(config=CONFIG, kw_only=True)
class Reflection:
    """A reflection of saturated stars: an optical ghost, or crosstalk between amplifiers.

    A star at position p from the frame's centre has its reflection at ``scale`` p + (``dx_px``, ``dy_px``).
    """

    scale: float = -1.0
    """Position of the ghost relative to the star's, from the centre: -1 is opposite, 1 the same position."""

    dx_px: float = 0.0
    """Shift to the right, in px."""

    dy_px: float = 0.0
    """Shift upwards, in px."""

    radius_px: Annotated[float, Field(gt=0)] = 30.0
    """Radius of the masked area, in px."""


@dataclass(config=CONFIG, kw_only=True)
class CalibrateOptions:
    """Options of calibration."""

    combine: Literal["clipped", "seed", "median", "mean"] = "clipped"
    """How frames are combined into a master."""

    clip_sigma: Annotated[float, Field(gt=1, le=20)] = 5.0
    """Pixels further from the median than this many sigma are left out of a master (mode clipped)."""

    minimum_bias: Annotated[int, Field(ge=1)] = 5
    """Fewest bias frames for a good master. Fewer make a doubtful one if no other night's can be borrowed."""

    minimum_darks: Annotated[int, Field(ge=1)] = 3
    """Fewest darks of one exposure time for a good master. Fewer make a doubtful one if no other night's can be borrowed."""

    minimum_flats: Annotated[int, Field(ge=1)] = 3
    """Fewest flats of one filter for a good master. Fewer make a doubtful one if no other night's can be borrowed."""

    temperature_range_c: Annotated[float, Field(gt=0)] = 2.0
    """Largest difference of the sensor's temperature from the lights', in C; dark current doubles every 6 C."""

    flat_signal: tuple[float, float] = (0.1, 0.8)
    """Range of a usable flat's signal, as a fraction of saturation: noisy below it, non-linear above it."""

    bad_sigma: Annotated[float, Field(gt=1)] = 5.0
    """Pixels of a master dark, or of the bias noise, that deviate by more than this many nMAD are bad."""

    bad_flat: tuple[float, float] = (0.5, 1.5)
    """Pixels of a master flat outside this range, relative to their surroundings, are bad."""

    bias_level_adu: tuple[float, float] | None = None
    """Range of a good master bias's level, in ADU; if it is not given, 0 to 2 ADU above that of the telescope's camera."""

    bias_structure_adu: Annotated[float, Field(gt=0)] = 2.5
    """Largest scatter of a good master bias beyond the noise of its frames, in ADU."""

    dark_uniformity: float = 2.15
    """Smallest score of a good master dark: minus the decimal logarithm of its fraction of outlying pixels."""

    flat_levels: tuple[float, float] = (0.7, 1.3)
    """Range of a good master flat's smooth level, relative to its centre."""

    flat_edge_variation: Annotated[float, Field(gt=0)] = 0.6
    """Largest difference between the edges of a good master flat."""

    flat_noise: Annotated[float, Field(gt=0)] = 0.04
    """Largest relative noise of a pixel of a good master flat."""

    archive: bool = True
    """Archive good masters, compare new ones with the last good one, and borrow masters that a night lacks."""

    bias_age_days: Annotated[float, Field(ge=0)] = 30.0
    """Age from which a borrowed master bias is flagged, in days."""

    dark_age_days: Annotated[float, Field(ge=0)] = 30.0
    """Age from which a borrowed master dark is flagged, in days."""

    flat_age_days: Annotated[float, Field(ge=0)] = 15.0
    """Age from which a borrowed master flat is flagged, in days."""

    overscan: bool = False
    """Subtract the median of each row's overscan (card BIASSEC) if a frame has one."""

    trim: bool = False
    """Trim frames to the exposed section (card TRIMSEC) if they are not trimmed yet."""

    header_table: tuple[HeaderRewrite, ...] = ()
    """Rewrites of header cards, applied after all rules, in this order."""

    cosmic_rays: bool = True
    """Find cosmic rays and mask them."""

    cosmic_sigma: Annotated[float, Field(gt=0)] = 4.5
    """A cosmic ray's Laplacian is above this many times the noise."""

    cosmic_fraction: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Limit for the neighbours of a cosmic ray, as a fraction of ``cosmic_sigma``."""

    cosmic_contrast: Annotated[float, Field(gt=0)] = 5.0
    """A cosmic ray's Laplacian is above this many times the image's fine structure."""

    cosmic_rounds: Annotated[int, Field(ge=1, le=20)] = 4
    """Largest number of iterations of the search for cosmic rays."""

    cosmic_exposure_s: Annotated[float, Field(ge=0)] = 0.0
    """Lights of a shorter exposure time are not searched for cosmic rays, in s."""

    sky_unevenness: Annotated[float, Field(gt=0)] = 0.25
    """Flag a light if its sky noise in one part deviates from the expected noise by more than this fraction."""

    defringe: tuple[str, ...] = ()
    """Filters to correct for fringes, with ``<filter>-fringe.fits`` of the archive's folder ``fringe``."""

    halos: bool = True
    """Mark the halos of saturated stars (mask bit 64)."""

    trails: bool = True
    """Find the trails of satellites that cross the frame, and mask them (mask bit 32)."""

    trail_sigma: Annotated[float, Field(ge=4)] = 8.0
    """Significance from which a line of pixels counts as a trail."""

    reflections: tuple[Reflection, ...] = ()
    """Reflections of saturated stars to mask (mask bit 128); none are known for 7DT."""

    saturation_adu: Annotated[float | None, Field(gt=0)] = None
    """Raw value at and above which a pixel is saturated, in ADU; if it is not given, that of the telescope's camera."""

    batch: Annotated[int, Field(ge=1, le=100)] = 10
    """Largest number of frames on a device at a time."""
