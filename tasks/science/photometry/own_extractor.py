"""Source extraction in this process, with Source Extractor's columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS

from tasks.options import ReduceOptions
from tasks.records import MaskBit
from tasks.science.astrometry import wcs_checks
from tasks.science.photometry import source_catalogue
from tasks.science.photometry.image_photometry import Extract, Extracted
from tasks.science.sources import apertures
from tasks.science.sources.apertures import Extraction, Floats, Sources

# Source Extractor's bits: blended with a neighbour, saturated, cut by the border, aperture incomplete
BLENDED, SATURATED, TRUNCATED, INCOMPLETE = 2, 4, 8, 16
# a larger source is judged by the mask of its middle
LARGEST_CORE_PX = 8
# default of Source Extractor's SATUR_LEVEL
UNSATURATED_ADU = 50000.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """An image with its mask bits and header cards; ``variance`` of its sky if that varies over the image."""

    data: Floats
    mask: Floats
    cards: Mapping[str, Any]
    scale_arcsec: float
    variance: Floats | None = None


def extractor(image: Image, options: ReduceOptions) -> Extract:
    """Detect an image's sources and return the function that measures them.

    Pixels without data are left out; faulty ones keep their replacement values.
    """
    nothing = (image.mask & MaskBit.NO_DATA.value) != 0
    detections = apertures.detect(
        image.data,
        variance=image.variance,
        mask=nothing if nothing.any() else None,
        gain=float(image.cards.get("EGAIN", 1.0)),
        how=Extraction(threshold_sigma=options.detect_threshold),
    )

    def extract(*, seeing_arcsec: float, diameters_px: tuple[float, ...] = ()) -> Extracted:
        del seeing_arcsec  # only a program's star classifier needs it
        sources = detections.measured(diameters_px)
        table = table_of(
            sources,
            wcs_checks.wcs_of(image.cards),
            image.mask,
            scale_arcsec=image.scale_arcsec,
            saturation_adu=float(image.cards.get("SATURATE", UNSATURATED_ADU)),
        )
        return Extracted(table=table, sky_adu=sources.sky, sky_sigma_adu=sources.sky_sigma)

    return extract


def table_of(sources: Sources, wcs: WCS, mask: Floats, *, scale_arcsec: float, saturation_adu: float) -> Table:
    """Return sources as detections with the columns that the photometry of an image reads.

    Parameters
    ----------
    wcs
        Of the image.
    mask
        Bits of ``MaskBit``; IMAFLAGS_ISO are those of the pixels within the isophote's mean radius.
    scale_arcsec
        Size of a pixel.
    saturation_adu
        A source whose peak reaches this is saturated.
    """
    ra, dec = wcs.all_pix2world(sources.x, sources.y, 0) if len(sources) else (np.zeros(0), np.zeros(0))
    table = Table(
        {
            "NUMBER": np.arange(1, len(sources) + 1),
            "ALPHA_J2000": ra,
            "DELTA_J2000": dec,
            "X_IMAGE": sources.x + 1,
            "Y_IMAGE": sources.y + 1,
            "XWIN_IMAGE": sources.x_win + 1,
            "YWIN_IMAGE": sources.y_win + 1,
            "FWHM_IMAGE": sources.fwhm_px,
            "FWHM_WORLD": sources.fwhm_px * scale_arcsec / 3600,
            "ELLIPTICITY": 1 - sources.b / sources.a,
            "ELONGATION": sources.a / sources.b,
            "THETA_IMAGE": np.degrees(sources.theta),
            "FLUX_MAX": sources.peak,
            "FLUX_RADIUS": sources.half_light_px,
            "ISOAREA_IMAGE": sources.area_px,
            "FLAGS": _flags(sources, saturation_adu),
            "IMAFLAGS_ISO": _mask_bits(sources, mask),
        }
    )
    for name, flux, error in (
        ("AUTO", sources.flux_auto, sources.error_auto),
        ("APER", sources.flux, sources.error),
    ):
        table[f"FLUX_{name}"], table[f"FLUXERR_{name}"] = flux, error
        table[f"MAG_{name}"], table[f"MAGERR_{name}"] = source_catalogue.magnitudes(flux, error)
    return table


def _flags(sources: Sources, saturation_adu: float) -> Any:
    """Translate the library's bits to Source Extractor's."""
    own = sources.flags
    blended = np.where(own & 1, BLENDED, 0)
    cut = np.where(own & 2, TRUNCATED, 0) | np.where(own & 0xF0, INCOMPLETE, 0)
    return blended | cut | np.where(sources.peak >= saturation_adu, SATURATED, 0)


def _mask_bits(sources: Sources, mask: Floats) -> Any:
    half = np.clip(np.ceil(np.sqrt(sources.area_px / np.pi)), 1, LARGEST_CORE_PX).astype(int)
    column, row = np.round(sources.x).astype(int), np.round(sources.y).astype(int)
    bits = np.zeros(len(sources), dtype=np.int64)
    for number, (x, y, reach) in enumerate(zip(column, row, half, strict=True)):
        near = mask[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        bits[number] = np.bitwise_or.reduce(near, axis=None) if near.size else 0
    return bits
