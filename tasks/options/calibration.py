"""Options of calibration: masters, corrections of headers, ghosts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tasks.options.config import CONFIG


@dataclass(config=CONFIG, kw_only=True)
class HeaderRewrite:
    """One row of a user's table: where a card has exactly ``value``, it becomes ``new``."""

    key: str
    """Keyword of the card."""

    value: str | int | float | bool
    """Its value, exactly."""

    new: str | int | float | bool
    """What it becomes."""


@dataclass(config=CONFIG, kw_only=True)
class Reflection:
    """Where light of saturated stars turns up again: a ghost by the optics, or crosstalk between amplifiers.

    A star at the place p from the frame's middle is seen again at ``scale`` p + (``dx_px``, ``dy_px``).
    """

    scale: float = -1.0
    """Place of the ghost over that of the star, from the middle: -1 is the other side, 1 the same place."""

    dx_px: float = 0.0
    """Shift to the right, in px."""

    dy_px: float = 0.0
    """Shift upwards, in px."""

    radius_px: Annotated[float, Field(gt=0)] = 30.0
    """Radius of what is masked there, in px."""


@dataclass(config=CONFIG, kw_only=True)
class CalibrateOptions:
    """How masters are combined and lights calibrated."""

    combine: Literal["clipped", "seed", "median", "mean"] = "clipped"
    """How a stack of frames becomes a master."""

    clip_sigma: Annotated[float, Field(gt=1, le=20)] = 5.0
    """Pixels further from the median than this many sigma are left out of a master (mode clipped)."""

    minimum_bias: Annotated[int, Field(ge=1)] = 5
    """Fewest bias frames for a master."""

    minimum_darks: Annotated[int, Field(ge=1)] = 3
    """Fewest darks of one exposure time for a master."""

    minimum_flats: Annotated[int, Field(ge=1)] = 3
    """Fewest flats of one filter for a master."""

    temperature_range_c: Annotated[float, Field(gt=0)] = 2.0
    """Calibration frames are taken whose sensor was within so many C of the lights': dark current doubles every 6 C."""

    flat_signal: tuple[float, float] = (0.1, 0.8)
    """Between these lies the signal of a usable flat, as a part of saturation: below it is noisy, above detectors bend."""

    bad_sigma: Annotated[float, Field(gt=1)] = 5.0
    """Pixels of a master dark or of the bias' noise that stand out by more than this many nMAD are bad."""

    bad_flat: tuple[float, float] = (0.5, 1.5)
    """Pixels of a master flat outside these, relative to their surroundings, are bad."""

    bias_level_adu: tuple[float, float] = (512.0, 514.0)
    """Level that a good master bias has, in ADU."""

    bias_structure_adu: Annotated[float, Field(gt=0)] = 2.5
    """Largest scatter of a good master bias beyond the noise of its frames, in ADU."""

    dark_uniformity: float = 2.15
    """Least score of a good master dark: minus the decimal logarithm of the part of its pixels that stand out."""

    flat_levels: tuple[float, float] = (0.7, 1.3)
    """Between these lies the smooth level of a good master flat, relative to its centre."""

    flat_edge_variation: Annotated[float, Field(gt=0)] = 0.6
    """The edges of a good master flat differ by less than this."""

    flat_noise: Annotated[float, Field(gt=0)] = 0.04
    """The relative noise of a pixel of a good master flat is below this."""

    archive: bool = True
    """Keep good masters in the archive, compare new ones with the last good one, and borrow what a night lacks."""

    bias_age_days: Annotated[float, Field(ge=0)] = 30.0
    """Age from which a borrowed master bias is flagged, in days."""

    dark_age_days: Annotated[float, Field(ge=0)] = 30.0
    """Age from which a borrowed master dark is flagged, in days."""

    flat_age_days: Annotated[float, Field(ge=0)] = 15.0
    """Age from which a borrowed master flat is flagged, in days."""

    overscan: bool = False
    """Subtract the median of each row's overscan (card BIASSEC), where a frame has one."""

    trim: bool = False
    """Cut frames to the part that sees the sky (card TRIMSEC), where they are not cut yet."""

    header_table: tuple[HeaderRewrite, ...] = ()
    """Rewrites of header cards, applied after all rules, in this order."""

    cosmic_rays: bool = True
    """Find cosmic rays and mask them."""

    cosmic_sigma: Annotated[float, Field(gt=0)] = 4.5
    """A cosmic ray's Laplacian is above this many times the noise."""

    cosmic_fraction: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Beside a cosmic ray this fraction of the limit holds."""

    cosmic_contrast: Annotated[float, Field(gt=0)] = 5.0
    """A cosmic ray's Laplacian is above this many times the fine structure there."""

    cosmic_rounds: Annotated[int, Field(ge=1, le=20)] = 4
    """Most times that an image is searched for cosmic rays."""

    cosmic_exposure_s: Annotated[float, Field(ge=0)] = 0.0
    """Lights of a shorter exposure time are not searched for cosmic rays, in s."""

    sky_unevenness: Annotated[float, Field(gt=0)] = 0.25
    """A light is flagged where the noise of its sky is off in one part by more than this, as a part of what it should be."""

    defringe: tuple[str, ...] = ()
    """Filters whose lights lose their fringes: ``<filter>-fringe.fits`` in the archive's folder ``fringe``, scaled to each."""

    halos: bool = True
    """Mark the surroundings of saturated stars as far as their light stands out (mask bit 64)."""

    trails: bool = True
    """Find the trails of satellites that cross the frame, and mask them (mask bit 32)."""

    trail_sigma: Annotated[float, Field(ge=4)] = 8.0
    """Significance from which a line of pixels counts as a trail."""

    reflections: tuple[Reflection, ...] = ()
    """Where light of saturated stars turns up again (mask bit 128); none are known of the standard telescope."""

    saturation_adu: Annotated[float, Field(gt=0)] = 60000.0
    """Raw value at and above which a pixel is saturated, in ADU."""

    batch: Annotated[int, Field(ge=1, le=100)] = 10
    """Most frames on a device at a time."""
