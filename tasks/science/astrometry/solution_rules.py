"""Rules of solving a frame: reference stars around it, its pointing, acceptance of a solution."""

from __future__ import annotations

from collections.abc import Iterable

from astropy.table import Table

from tasks.errors import AlgorithmError, UnusableData
from tasks.options import ReduceOptions
from tasks.records import Astrometry, Frame
from tasks.science.astrometry import pointing_search, wcs_checks
from tasks.science.astrometry.matching import Floats
from tasks.science.astrometry.pointing_search import Pointing
from tasks.science.headers.card_values import Header

# the search for a pointing needs 8 matches, and not every reference star is detected
FEWEST_REFERENCES = 10
NO_POSITION = "the header does not say where the telescope pointed"

Place = tuple[float, float]
"""RA and Dec in degrees."""


def places(frames: Iterable[tuple[Frame, Place | None]], options: ReduceOptions) -> dict[Place, float]:
    """Return the search positions of frames and the radius about each, in degrees.

    Raises
    ------
    UnusableData
        If no frame has a position.
    """
    error = options.position_error_arcmin
    around = {centre: pointing_search.reach_deg(frame, error) for frame, centre in frames if centre is not None}
    if not around:
        raise UnusableData(NO_POSITION)
    return around


def check_number(stars: Table, catalogue: str) -> None:
    """Raise ``UnusableData`` if a catalogue has too few stars around the field."""
    if len(stars) < FEWEST_REFERENCES:
        raise UnusableData(f"{catalogue} has {len(stars)} stars around the field (needed: {FEWEST_REFERENCES})")


def pointing(
    pixels: Floats,
    guides: Floats,
    sky: tuple[Floats, Floats],
    *,
    frame: Frame,
    shape: tuple[int, int],
    centre: Place | None,
    options: ReduceOptions,
    known: Floats | None,
) -> Pointing:
    """Find the pointing within the expected pointing error, then in a wider field.

    Parameters
    ----------
    pixels, guides
        Exact positions of stars on the frame, and positions of the brightest even if saturated, 0-based.
    sky
        RA and Dec of the reference stars, in degrees.
    frame, shape
        The frame and its shape (ny, nx).
    centre
        Search position: RA, Dec in degrees.
    options
        Smallest number of stars, and the pointing error.
    known
        Orientation to try first, as a matrix.

    Raises
    ------
    AlgorithmError
        If there are too few stars, or too few match.
    UnusableData
        If there is no search position.
    """
    if len(pixels) < options.minimum_matches:
        raise AlgorithmError(f"only {len(pixels)} stars can be measured (needed: {options.minimum_matches})")
    if centre is None:
        raise UnusableData(NO_POSITION)
    return pointing_search.search(
        guides,
        sky,
        shape=shape,
        centre=centre,
        radii_arcmin=pointing_search.radii_arcmin(options.position_error_arcmin),
        scale_arcsec=pointing_search.scale_of(frame),
        known=known,
    )


def judged(
    cards: Header,
    pixels: Floats,
    sky: tuple[Floats, Floats],
    *,
    frame: Frame,
    shape: tuple[int, int],
    centre: Place,
    options: ReduceOptions,
) -> tuple[Header, Astrometry]:
    """Return an accepted solution with its quality cards, or raise ``AlgorithmError`` with all its faults."""
    limits = wcs_checks.WcsLimits(
        rms_px=options.maximum_rms_px,
        offset_px=options.maximum_offset_px,
        part_px=options.maximum_part_px,
        matches=options.minimum_matches,
        scale_arcsec=pointing_search.scale_of(frame),
        centre=centre,
        pointing_deg=max(wcs_checks.LARGEST_POINTING_DEG, options.position_error_arcmin / 60),
    )
    fit, quality = wcs_checks.judge(cards, pixels, sky, limits, shape=shape)
    return {**cards, **quality}, fit
