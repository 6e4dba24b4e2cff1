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
