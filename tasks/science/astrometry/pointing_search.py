"""The true pointing of a frame, by a vote of all pairs of detections and reference stars.

For each orientation tried, the difference of every detection and every reference star is one vote for a pointing
error; true pairs vote for the same cell, false pairs for random cells. The winner is refined to an affine solution and
must then match many more stars than chance would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from scipy.spatial import cKDTree

from tasks.errors import AlgorithmError, UnusableData
from tasks.records import Frame
from tasks.science.astrometry import offset_votes, rotation_votes
from tasks.science.astrometry.matching import Floats

# a second vote, for unexpectedly large pointing errors
WIDER = 3.0
# chance matches and time grow with the area searched
WIDEST_ARCMIN = 120.0
# smaller cells lose votes to distortion and between two steps of the angle, larger ones win votes by chance
CELL_ARCSEC = 10.0
# detections that vote: the number of pairs grows with their square
BRIGHTEST = 120
# reference stars per detection and field: the two lists never have the same depth
REFERENCE_EXCESS = 1.5
# limit of the pairs in crowded fields
MOST_REFERENCES = 20000
# default of SCAMP's POSANGLE_MAXERR
ANGLE_RANGE_DEG = 5.0
# the camera turns only at a meridian flip, by 180 degrees
KNOWN_ANGLE_DEG = 1.0
# radii of the matches, in cells, from the vote to the final affine solution
REFINEMENT = (1.5, 0.8, 0.4, 0.3)
# three stars define an affine solution, the other five confirm it
SMALLEST_MATCH = 8
# least matched fraction of the detections, and least ratio of matches to chance matches
MATCHED_PART, CHANCE_RATIO = 0.3, 4.0
# in crowded fields instead: matches above chance in its standard deviations, and most of the detections
CHANCE_SIGMA, MOST_PART = 8.0, 0.9
# votes in one cell, as a fraction of the detections, at which a candidate is refined at once
STRONG_PART = 0.25


@dataclass(frozen=True, kw_only=True)
class Pointing:
    """An a-priori solution: the sky position of the frame's centre, and pixel to tangent plane in arcsec, (2, 2)."""

    ra_deg: float
    dec_deg: float
    matrix: tuple[tuple[float, float], tuple[float, float]]
    matched: int = 0

    def linear(self) -> Floats:
        """Return the matrix as an array."""
        return np.array(self.matrix)

    def wcs(self, shape: tuple[int, int]) -> WCS:
        """Return the gnomonic WCS of a frame of ``shape`` (ny, nx)."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [self.ra_deg, self.dec_deg]
        wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
        wcs.wcs.cd = self.linear() / 3600
        wcs.array_shape = shape
        return wcs


def scale_of(frame: Frame) -> float:
    """Return the camera's nominal scale in arcsec per pixel.

    Raises
    ------
    UnusableData
        If the telescope's file does not give it.
    """
    if frame.scale_arcsec is None:
        raise UnusableData(
            f"{frame.path.name} has no pixel scale: set camera.pixel_scale_arcsec of its telescope and calibrate it again"
        )
    return frame.scale_arcsec


def radii_arcmin(expected_arcmin: float) -> tuple[float, float]:
    """Return the expected pointing error, and the radius of a second, wider search."""
    return expected_arcmin, min(WIDEST_ARCMIN, WIDER * expected_arcmin)


def reach_deg(frame: Frame, expected_arcmin: float) -> float:
    """Return the largest distance of a star on a frame from the header's pointing, in degrees."""
    return float(np.hypot(*frame.shape)) / 2 * scale_of(frame) / 3600 + radii_arcmin(expected_arcmin)[1] / 60


def surroundings(frames: Iterable[Frame], expected_arcmin: float) -> dict[tuple[float, float], float]:
    """Return the header pointings (RA, Dec) of frames with their ``reach_deg``, all in degrees."""
    return {
        (frame.ra_deg, frame.dec_deg): reach_deg(frame, expected_arcmin)
        for frame in frames
        if frame.ra_deg is not None and frame.dec_deg is not None
    }


def matrix(scale_arcsec: float, *, angle_deg: float, mirrored: bool) -> Floats:
    """Return the matrix from pixels to (xi, eta) in arcsec; ``mirrored`` frames have east right if north is up."""
    angle = np.radians(angle_deg)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    result: Floats = scale_arcsec * rotation @ np.diag([1.0 if mirrored else -1.0, 1.0])
    return result


def orientations(scale_arcsec: float) -> tuple[Floats, ...]:
    """Return the four orientations of a camera on a German mount: mirrored or not, either side of the pier."""
    return tuple(
        matrix(scale_arcsec, angle_deg=angle, mirrored=mirrored) for mirrored in (True, False) for angle in (0.0, 180.0)
    )


def project(ra_deg: Floats, dec_deg: Floats, *, centre: tuple[float, float]) -> Floats:
    """Return gnomonic coordinates (xi, eta) about ``centre`` in arcsec, shape (n, 2)."""
    ra, dec = np.radians(ra_deg - centre[0]), np.radians(dec_deg)
    dec0 = np.radians(centre[1])
    depth = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(ra)
    xi = np.cos(dec) * np.sin(ra) / depth
    eta = (np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(ra)) / depth
    return np.degrees(np.stack([xi, eta], axis=-1)) * 3600


def deproject(xi_arcsec: float, eta_arcsec: float, *, centre: tuple[float, float]) -> tuple[float, float]:
    """Return RA and Dec in degrees of a point on the tangent plane."""
    xi, eta = np.radians(xi_arcsec / 3600), np.radians(eta_arcsec / 3600)
    ra0, dec0 = np.radians(centre)
    depth = np.cos(dec0) - eta * np.sin(dec0)
    ra = ra0 + np.arctan2(xi, depth)
    dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, depth))
    return float(np.degrees(ra) % 360), float(np.degrees(dec))


def search(
    pixels: Floats,
    sky: tuple[Floats, Floats],
    *,
    shape: tuple[int, int],
    centre: tuple[float, float],
    radii_arcmin: Sequence[float],
    scale_arcsec: float,
    known: Floats | None = None,
) -> Pointing:
    """Find the pointing of a frame in ever wider fields: with the orientation ``known``, the usual ones, then any.

    ``known`` is the matrix of another frame; the other parameters are those of ``find``.

    Raises
    ------
    AlgorithmError
        If no round succeeds: the error of the last one.
    """
    everything = orientations(scale_arcsec)
    turned: list[Floats] = []
    rounds: list[tuple[Sequence[Floats], float, float]] = []
    for radius in radii_arcmin:
        rounds += [(everything, ANGLE_RANGE_DEG, radius), (turned, KNOWN_ANGLE_DEG, radius)]
    if known is not None:
        rounds = [*(((known,), KNOWN_ANGLE_DEG, radius) for radius in radii_arcmin), *rounds]
    trouble = AlgorithmError("no radius to search in was given")
    for candidates, angle, radius in rounds:
        if candidates is turned:
            # only for a frame that the usual orientations do not fit
            turned[:] = turned_orientations(
                pixels, sky, shape=shape, centre=centre, radius_arcmin=radius, scale=scale_arcsec
            )
        try:
            return find(
                pixels,
                sky,
                shape=shape,
                centre=centre,
                radius_arcmin=radius,
                candidates=candidates,
                angle_range_deg=angle,
            )
        except AlgorithmError as error:
            trouble = error
    raise trouble


def turned_orientations(
    pixels: Floats,
    sky: tuple[Floats, Floats],
    *,
    shape: tuple[int, int],
    centre: tuple[float, float],
    radius_arcmin: float,
    scale: float,
) -> list[Floats]:
    """Return the likely orientations of a camera that may be turned by any angle; parameters as in ``find``."""
    half = np.array([shape[1] - 1, shape[0] - 1]) / 2
    stars = (pixels[:BRIGHTEST] - half) * scale
    reach = radius_arcmin * 60 + float(np.hypot(*half)) * scale
    plane = _field(sky, centre, reach=reach, per_area=_density(stars, shape, scale))
    return [
        matrix(scale, angle_deg=angle + half_turn, mirrored=mirrored)
        for mirrored in (True, False)
        for angle in rotation_votes.angles(stars * (1.0 if mirrored else -1.0, 1.0), plane)
        for half_turn in (0.0, 180.0)
    ]


def find(
    pixels: Floats,
    sky: tuple[Floats, Floats],
    *,
    shape: tuple[int, int],
    centre: tuple[float, float],
    radius_arcmin: float,
    candidates: Sequence[Floats],
    angle_range_deg: float = ANGLE_RANGE_DEG,
) -> Pointing:
    """Find the pointing of a frame.

    Parameters
    ----------
    pixels
        0-based x, y of detections, brightest first, shape (n, 2).
    sky
        RA and Dec in degrees of reference stars, brightest first.
    shape
        Of the frame, (ny, nx).
    centre
        The frame's centre from the header: RA, Dec in degrees.
    radius_arcmin
        Largest pointing error.
    candidates
        Orientations to try, see ``orientations``; each is turned by up to ``angle_range_deg``.

    Raises
    ------
    AlgorithmError
        If no pointing within the radius matches many more stars than chance.
    """
    half = np.array([shape[1] - 1, shape[0] - 1]) / 2
    stars = pixels[:BRIGHTEST] - half
    scale = float(np.sqrt(abs(np.linalg.det(candidates[0]))))
    half_diagonal = float(np.hypot(*half)) * scale
    density = _density(stars, shape, scale)
    plane = _field(sky, centre, reach=radius_arcmin * 60 + half_diagonal, per_area=density)
    if len(stars) < SMALLEST_MATCH or len(plane) < SMALLEST_MATCH:
        raise AlgorithmError(f"{len(stars)} detections and {len(plane)} reference stars are too few for a pointing")
    trouble = AlgorithmError("no orientation was tried")
    for shift, turned in _winners(
        stars, plane, radius_arcmin * 60, _turned(candidates, half_diagonal, angle_range_deg)
    ):
        try:
            first = _refine(stars, plane, shift, turned, centre=centre)
            # the meridians converge, so the axes turn with the tangent point: refine about the frame's own centre
            near = _field(sky, (first.ra_deg, first.dec_deg), reach=1.2 * half_diagonal, per_area=density)
            matrix_there = turn(first, centre)
            return _refine(stars, near, np.zeros(2), matrix_there, centre=(first.ra_deg, first.dec_deg))
        except AlgorithmError as error:
            trouble = error
    raise trouble


def turn(found: Pointing, tangent: tuple[float, float]) -> Floats:
    """Transform a pointing's matrix from the tangent plane at ``tangent`` to the one at its own centre."""
    step = 1.0 / 3600
    there = (found.ra_deg, found.dec_deg)
    east = (found.ra_deg + step / np.cos(np.radians(found.dec_deg)), found.dec_deg)
    points = np.array([there, east, (found.ra_deg, found.dec_deg + step)])
    old, new = (project(points[:, 0], points[:, 1], centre=centre) for centre in (tangent, there))
    change: Floats = (new[1:] - new[0]).T @ np.linalg.inv((old[1:] - old[0]).T) @ found.linear()
    return change


def _winners(
    stars: Floats, plane: Floats, radius: float, candidates: Iterable[Floats]
) -> Iterator[tuple[Floats, Floats]]:
    """Yield shift and matrix of each candidate with many votes as it is found, and of the best one last."""
    most, best = 0, None
    for turned in candidates:
        votes, shift = offset_votes.winner(stars @ turned.T, plane, reach=radius, cell=CELL_ARCSEC)
        if votes >= STRONG_PART * len(stars):
            yield shift, turned
        if votes > most:
            most, best = votes, (shift, turned)
    if best is not None:
        yield best


def _density(stars: Floats, shape: tuple[int, int], scale_arcsec: float) -> float:
    return REFERENCE_EXCESS * len(stars) / (shape[0] * shape[1] * scale_arcsec**2)


def _field(sky: tuple[Floats, Floats], centre: tuple[float, float], *, reach: float, per_area: float) -> Floats:
    """Return the tangent-plane positions of the brightest reference stars within ``reach`` arcsec."""
    cosine = np.cos(np.radians(sky[1] - centre[1]))
    plane = project(*sky, centre=centre)
    near = (cosine > 0.5) & (np.hypot(plane[:, 0], plane[:, 1]) < reach)
    near &= np.cos(np.radians(sky[0] - centre[0])) > 0
    number = int(min(MOST_REFERENCES, max(BRIGHTEST, per_area * np.pi * reach**2)))
    return plane[near][:number]


def _turned(candidates: Sequence[Floats], half_diagonal: float, range_deg: float) -> Iterator[Floats]:
    """Yield the candidates turned in steps that move the corners by one cell, the small turns first."""
    step = np.degrees(CELL_ARCSEC / half_diagonal)
    for index in sorted(range(-int(np.ceil(range_deg / step)), int(np.ceil(range_deg / step)) + 1), key=abs):
        for candidate in candidates:
            yield matrix(1.0, angle_deg=index * step, mirrored=True) @ candidate


def _refine(stars: Floats, plane: Floats, shift: Floats, linear: Floats, *, centre: tuple[float, float]) -> Pointing:
    tree = cKDTree(plane)
    matched = np.zeros(len(stars), dtype=bool)
    for cells in REFINEMENT:
        distance, index = tree.query(stars @ linear.T + shift, distance_upper_bound=cells * CELL_ARCSEC)
        matched = np.isfinite(distance)
        if matched.sum() < SMALLEST_MATCH:
            break
        design = np.column_stack([stars[matched], np.ones(matched.sum())])
        solution, *_ = np.linalg.lstsq(design, plane[index[matched]], rcond=None)
        linear, shift = solution[:2].T, solution[2]
    number = int(matched.sum())
    area = np.pi * (REFINEMENT[-1] * CELL_ARCSEC) ** 2
    chance = len(stars) * min(1.0, area * len(plane) / float(np.prod(np.ptp(plane, axis=0))))
    # of a crowded field many stars match by chance, and more than all cannot be asked for
    beyond_chance = min(CHANCE_RATIO * chance, chance + CHANCE_SIGMA * np.sqrt(chance), MOST_PART * len(stars))
    needed = max(SMALLEST_MATCH, MATCHED_PART * len(stars), beyond_chance)
    if number < needed:
        raise AlgorithmError(f"the best pointing matches {number} of {len(stars)} stars (needed: {needed:.0f})")
    ra, dec = deproject(*map(float, shift), centre=centre)
    return Pointing(ra_deg=ra, dec_deg=dec, matrix=rows(linear), matched=number)


def rows(linear: Floats) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return a 2 x 2 array as plain numbers."""
    (a, b), (c, d) = np.asarray(linear, dtype=float).tolist()
    return (a, b), (c, d)


def of_wcs(wcs: WCS, shape: tuple[int, int]) -> Pointing:
    """Return the pointing of a solution."""
    ra, dec = wcs.all_pix2world((shape[1] - 1) / 2, (shape[0] - 1) / 2, 0)
    return Pointing(ra_deg=float(ra), dec_deg=float(dec), matrix=rows(wcs.pixel_scale_matrix * 3600))
