"""Options of a light's reduction: astrometry and photometry."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tasks.options.config import CONFIG

# a diameter with its unit
APERTURE = r"^\d{1,4}(\.\d{1,4})?(px|arcsec)$"


@dataclass(config=CONFIG, kw_only=True)
class ReduceOptions:
    """Options of astrometry and photometry."""

    position_error_arcmin: Annotated[float, Field(gt=0, le=120)] = 30.0
    """Largest pointing error that SCAMP searches, in arcmin."""

    detect_threshold: Annotated[float, Field(gt=0)] = 3.0
    """Detection threshold of Source Extractor, in sigma of the sky."""

    distortion_degree: Annotated[int, Field(ge=1, le=5)] = 3
    """Degree of the distortion polynomial."""

    maximum_rms_px: Annotated[float, Field(gt=0)] = 0.6
    """Largest rms against the reference, per axis, of an accepted solution, in px."""

    maximum_offset_px: Annotated[float, Field(gt=0)] = 0.2
    """Largest median offset from the reference of an accepted solution, in px."""

    maximum_part_px: Annotated[float, Field(gt=0)] = 1.0
    """Largest median offset in a sixteenth of the frame of an accepted solution, in px."""

    minimum_matches: Annotated[int, Field(ge=3)] = 30
    """Fewest stars matched with the reference in an accepted solution."""

    bright_mag: float = 12.0
    """Brightest star used for the zero point, in mag."""

    faint_mag: float = 18.0
    """Faintest star used for the zero point, in mag."""

    photometry_fraction: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Fraction of the image's half axes within which stars are used."""

    photometry_engine: Literal["source-extractor", "sep"] = "source-extractor"
    """Program that detects and measures sources: Source Extractor, or the same algorithms in this process."""

    best_aperture: Literal["seeing", "growth"] = "seeing"
    """Diameter of APER: 1.3462 times the seeing, or that of the best signal-to-noise ratio on stars' growth curves."""

    extra_apertures: Annotated[tuple[Annotated[str, Field(pattern=APERTURE)], ...], Field(max_length=9)] = ()
    """Diameters of further apertures, in arcsec or px: ``("10arcsec", "24px")``; their keys are U1, U2 and so on."""

    cluster_radius_px: Annotated[float, Field(ge=0)] = 0.0
    """Stars within this distance of the image's centre are not used, for a globular cluster there, in px."""

    colour_term: bool = False
    """Refer zero points to stars of BP - RP = ``colour_pivot_mag``; the colour term is fitted and reported in any case."""

    colour_pivot_mag: Annotated[float, Field(ge=-1, le=5)] = 1.0
    """Reference colour BP - RP of the colour term, in mag."""

    spatial_zero_point: Literal["none", "cubic", "grid"] = "none"
    """Correct magnitudes by position: a cubic surface, or that plus 8 x 8 cells; needs 200 stars, reported in any case."""

    filter_margin_mag: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Uncertainty of passbands, in mag: another filter is reported only if it fits the stars better by more than this."""

    empty_apertures: bool = True
    """Measure the depth also with 500 empty apertures of each size."""

    psf_photometry: bool = False
    """Fit the image's PSF to every source, for crowded fields: MAG_PSF and other columns; 4 to 12 ms per source."""

    zero_point_plots: Literal["none", "stacks", "all"] = "stacks"
    """Images for which the zero point of each aperture is plotted; a second per image."""

    program_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Deadline of one run of an external program, in s."""

    slots: Annotated[int, Field(ge=1, le=64)] = 2
    """Number of frames processed at a time, and threads of SCAMP."""

    catalogue_url: str = ""
    """TAP service for missing cells of the reference catalogue; if empty, a night needs no network."""

    catalogue_mag: Annotated[float, Field(ge=5, le=21)] = 18.0
    """Faintest G magnitude of the fetched stars."""

    header_writer: Literal["missfits", "siren"] = "missfits"
    """Program that writes a solution into an image: MissFITS, or brightsiren itself."""

    index_folder: str = "/usr/share/astrometry"
    """Folder of Astrometry.net's index files; if it has any, solve-field is the last attempt."""
