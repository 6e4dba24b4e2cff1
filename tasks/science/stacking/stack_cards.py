"""Record of a stack, and the header cards of its planes."""

from __future__ import annotations

from pathlib import Path

from tasks import naming
from tasks.records import Astrometry, Photometry, QaBit, Stack
from tasks.science.astrometry import wcs_checks
from tasks.science.astrometry.field_grids import Grid
from tasks.science.headers import provenance
from tasks.science.headers.card_values import Header
from tasks.science.photometry import photometry_cards
from tasks.science.photometry.image_photometry import Measured
from tasks.science.stacking.stack_members import Combination

OF_THE_CATALOGUE = ("OBJECT", "FILTER", "DATE-OBS", "JD", "MJD")


def before_measuring(cards: Header, grid: Grid, *, engine: str, combine: str, background: str) -> Header:
    """Return the cards of a stack with its WCS and how it was made."""
    cards = {**cards, **wcs_checks.cards_of(grid.wcs)}
    how: Header = {"STACKENG": engine, "COMBTYPE": combine, "BACKTYPE": background, "PHOTIME": cards["DATE-AVG"]}
    return {**cards, **how}


def after_measuring(cards: Header, measured: Measured, astrometry: Astrometry, grid: Grid) -> Header:
    """Return the cards of a stack with its photometry, the quality of its WCS, and doubts about its filter."""
    quality = wcs_checks.quality_cards(astrometry, grid.wcs, grid.shape)
    cards = {**cards, **measured.cards, **quality, "SATLV": cards["SATURATE"]}
    doubts = provenance.with_doubt(cards, QaBit.FILTER_DOUBTFUL, measured.doubt) if measured.doubt else {}
    return {**cards, **doubts}


def of_planes(cards: Header) -> Header:
    """Return the cards of a stack that apply to its other planes too."""
    return {key: value for key, value in cards.items() if key not in photometry_cards.OF_THE_IMAGE}


def of_catalogue(cards: Header) -> dict[str, object]:
    """Return the metadata of a stack for its catalogue, by lower-case keys."""
    return {key.lower(): cards[key] for key in OF_THE_CATALOGUE}


def record(chosen: Combination, image: Path, measured: Photometry, fit: Astrometry, *, unit: str, qa: int) -> Stack:
    """Return the record of a stack whose planes lie beside its image."""
    frame = chosen.reference.frame
    return Stack(
        object=frame.object,
        unit=unit,
        filter=frame.filter,
        date_obs=chosen.date_obs,
        exposure_s=chosen.exposure_s,
        image=image,
        variance=naming.variance_of(image),
        mask=naming.mask_of(image),
        inputs=tuple(member.frame.image for member in chosen.members),
        photometry=measured,
        astrometry=fit,
        rejected=chosen.rejected,
        qa=qa,
    )
