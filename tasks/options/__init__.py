"""Options: how a stage works. Frozen pydantic dataclasses whose docstrings become the fields of Prefect's run form."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tasks.options.alerts import CONFIG, BackfillOptions, PlanOptions, RevisitOptions
from tasks.records import Stage

__all__ = [
    "BackfillOptions",
    "CalibrateOptions",
    "DeepOptions",
    "HeaderRewrite",
    "NightOptions",
    "PlanOptions",
    "ReduceOptions",
    "Reflection",
    "RevisitOptions",
    "SearchOptions",
    "StackOptions",
]

# a diameter with its unit
APERTURE = r"^\d{1,4}(\.\d{1,4})?(px|arcsec)$"


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


@dataclass(config=CONFIG, kw_only=True)
class ReduceOptions:
    """How frames get their WCS and zero points."""

    position_error_arcmin: Annotated[float, Field(gt=0, le=120)] = 30.0
    """Largest pointing error that SCAMP looks for, in arcmin."""

    detect_threshold: Annotated[float, Field(gt=0)] = 3.0
    """Detection threshold of Source Extractor, in sigma of the sky."""

    distortion_degree: Annotated[int, Field(ge=1, le=5)] = 3
    """Degree of the distortion polynomial."""

    maximum_rms_arcsec: Annotated[float, Field(gt=0)] = 0.30
    """Largest rms against the reference, per axis, of a solution that is let through."""

    minimum_matches: Annotated[int, Field(ge=3)] = 30
    """Fewest stars matched with the reference of a solution that is let through."""

    bright_mag: float = 12.0
    """Brightest star used for the zero point, in mag."""

    faint_mag: float = 18.0
    """Faintest star used for the zero point, in mag."""

    photometry_fraction: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Part of the half axes of the image within which stars are used."""

    photometry_engine: Literal["source-extractor", "sep"] = "source-extractor"
    """What detects and measures sources: Source Extractor, or the same algorithms in this process."""

    best_aperture: Literal["seeing", "growth"] = "seeing"
    """Diameter of APER: 1.3462 times the seeing, or that of best signal to noise on the growth curves of stars."""

    extra_apertures: Annotated[tuple[Annotated[str, Field(pattern=APERTURE)], ...], Field(max_length=9)] = ()
    """Diameters of further apertures, in arcsec or px: ``("10arcsec", "24px")``; their keys are U1, U2 and so on."""

    cluster_radius_px: Annotated[float, Field(ge=0)] = 0.0
    """Stars within this distance of the image's centre are not used: a globular cluster is there, in px."""

    colour_term: bool = False
    """Refer zero points to stars of BP - RP = ``colour_pivot_mag``; the colour term is fitted and reported in any case."""

    colour_pivot_mag: Annotated[float, Field(ge=-1, le=5)] = 1.0
    """BP - RP of the star to which a colour term refers, in mag."""

    spatial_zero_point: Literal["none", "cubic", "grid"] = "none"
    """Correct magnitudes by place: a surface of third degree, and 8 x 8 cells on top; needs 200 stars, reported anyway."""

    filter_margin_mag: Annotated[float, Field(ge=0, le=1)] = 0.02
    """How well passbands are known: another filter must fit the stars better by more than this, in mag, to be believed."""

    empty_apertures: bool = True
    """Measure the depth by 500 empty apertures of each size too."""

    psf_photometry: bool = False
    """Fit the image's PSF to every source too, for crowded fields: MAG_PSF and so on; 4 to 12 ms of work for each source."""

    zero_point_plots: Literal["none", "stacks", "all"] = "stacks"
    """Of which images a picture of each aperture's zero point is drawn: a second of work each."""

    program_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Deadline of one run of an external program, in s."""

    slots: Annotated[int, Field(ge=1, le=64)] = 2
    """Frames of a batch that are worked on at a time, and threads of SCAMP."""

    catalogue_url: str = ""
    """TAP service that missing cells of the reference catalogue are fetched from; none: a night needs no network."""

    catalogue_mag: Annotated[float, Field(ge=5, le=21)] = 18.0
    """Faintest G magnitude of the stars that are fetched."""

    header_writer: Literal["missfits", "siren"] = "missfits"
    """What writes a solution into an image: MissFITS, or ourselves where it is not installed or not wanted."""

    index_folder: str = "/usr/share/astrometry"
    """Folder of Astrometry.net's index files; solve-field is the last resort where there are some."""


@dataclass(config=CONFIG, kw_only=True)
class StackOptions:
    """Which frames are stacked together, and how."""

    gap_s: Annotated[float, Field(gt=0)] = 300.0
    """A longer time between two starts begins a new stack, in s."""

    units: Literal["each", "together"] = "each"
    """Whether each unit's frames make stacks of their own, or those of all units of a field and filter one together."""

    skip: tuple[str, ...] = ()
    """Objects or tiles that are not stacked, such as fields observed as time series."""

    extended: tuple[str, ...] = ()
    """Objects or tiles larger than a mesh of the background: from their frames only the sky's level is subtracted."""

    engine: Literal["siren", "swarp"] = "siren"
    """What resamples and combines: ourselves, or SWarp."""

    gpu: bool = False
    """Take a GPU's slot, for the engine ``siren``; where there is no GPU it computes on the processor."""

    combine: Literal["clipped", "mean", "seed"] = "clipped"
    """How values become one: weighted mean, clipped from three frames on; not clipped; or median of equal weights."""

    background: Literal["mesh", "level", "none"] = "mesh"
    """What is subtracted from each frame: the background in meshes, the sky's level, or nothing."""

    background_px: Annotated[int, Field(ge=32)] = 512
    """Mesh size of the background, in px."""

    clip_sigma: Annotated[float, Field(gt=1)] = 5.0
    """Clipping of outliers, in sigma."""

    program_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """Deadline of SWarp and of Source Extractor, in s."""

    slots: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads of a stack."""

    memory_mb: Annotated[float, Field(ge=64)] = 1024.0
    """Most memory for the resampled pixels of all frames, beside the stack itself, in MiB."""

    scale_arcsec: Annotated[float, Field(gt=0)] = 0.505
    """Pixel scale of a stack, in arcsec."""

    photometry: ReduceOptions = Field(default_factory=ReduceOptions)
    """How the stack is measured."""


@dataclass(config=CONFIG, kw_only=True)
class DeepOptions:
    """Which frames of many nights make a deep stack, and how."""

    select: Literal["median", "nsigma", "all"] = "median"
    """Frames sharper and deeper than the median, or than a limit so many sigma on the other side of it, or all."""

    sigmas: Annotated[float, Field(ge=0, le=10)] = 1.0
    """How many standard deviations the limits of ``nsigma`` lie from the median."""

    names: tuple[str, ...] = ()
    """Names of the frames to take, instead of choosing; none means that they are chosen."""

    centre_deg: tuple[float, float] | None = None
    """RA and Dec of the stack's centre, in degrees, where it is not the field's."""

    stacking: StackOptions = Field(default_factory=lambda: StackOptions(background="level"))
    """How the frames are combined; with background ``none`` the sky stays in the stack."""


@dataclass(config=CONFIG, kw_only=True)
class SearchOptions:
    """How a reference is subtracted and what counts as a detection."""

    engine: Literal["siren", "hotpants", "sfft"] = "siren"
    """Engine that is tried first."""

    align: Literal["auto", "wcs", "stars", "none"] = "auto"
    """How the reference is brought onto the science image's pixels."""

    detect_sigma: Annotated[float, Field(gt=0)] = 5.0
    """Significance from which a detection is kept."""

    program_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """Deadline of an external engine, in s."""


@dataclass(config=CONFIG, kw_only=True)
class NightOptions:
    """All that determines a night's products besides its frames."""

    until: Stage = Stage.SEARCH
    """Last stage that is run."""

    objects: tuple[str, ...] = ()
    """Objects or tiles that are reduced; none means all."""

    calibration: CalibrateOptions = CalibrateOptions()
    """How masters are combined and lights calibrated."""

    reduction: ReduceOptions = ReduceOptions()
    """How frames get their WCS and zero points."""

    stacking: StackOptions = StackOptions()
    """Which frames are stacked together, and how."""

    searching: SearchOptions = SearchOptions()
    """How references are subtracted and what counts as a detection."""
