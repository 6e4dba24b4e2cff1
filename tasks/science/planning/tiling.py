"""Tiles: fixed grids of telescopes, tiles that overlap a sky map's region, and the probability in each."""

from __future__ import annotations

import re
from dataclasses import dataclass

import healpy
import numpy as np
import numpy.typing as npt
from scipy import sparse, spatial

from tasks.records import FieldOfView, Telescope
from tasks.science.astrometry import directions
from tasks.science.skymaps import footprints, healpix, regions
from tasks.science.skymaps.regions import Cells, Floats, Integers

# pixels across the shorter side of a field, for comparing tiles with one another
CELLS_ACROSS = 12
# more tiles than this are first reduced by the probability at a few points of each
MOST_COMPARED = 1500


@dataclass(frozen=True, kw_only=True, eq=False)
class Tiles:
    """Fields of one telescope: number in its grid, centre in degrees, and id, each of shape (n,)."""

    number: Integers
    ra_deg: Floats
    dec_deg: Floats
    id: npt.NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.number)

    def take(self, rows: npt.NDArray[np.bool_] | Integers) -> Tiles:
        """Return some of the tiles."""
        ids = None if self.id is None else self.id[rows]
        return Tiles(number=self.number[rows], ra_deg=self.ra_deg[rows], dec_deg=self.dec_deg[rows], id=ids)

    def name(self, row: int, telescope: Telescope) -> str:
        """Return a tile's id: its own, or its number in the grid in the telescope's format."""
        return telescope.tiling.id_format.format(self.number[row]) if self.id is None else str(self.id[row])


def rings(telescope: Telescope) -> Tiles:
    """Return a telescope's whole grid, numbered from 0 at the south pole, ring by ring, eastwards from RA 0.

    Rings lie a declination step apart, from -90 deg. A ring has the fewest equally spaced tiles that are at most a
    right ascension step apart at its edge nearer the equator. Steps not given follow from the field and the overlap,
    so that the last ring is the north pole.
    """
    view, rule = telescope.field_of_view, telescope.tiling
    step = rule.declination_step_deg or 180 / np.ceil(180 / (view.height_deg * (1 - rule.overlap)))
    across = rule.ra_step_deg or view.width_deg * (1 - rule.overlap)
    declination = -90 + step * np.arange(int(np.floor(180 / step + 1e-9)) + 1)
    widest = np.radians(np.maximum(np.abs(declination) - step / 2, 0))
    members = np.ceil(360 * np.cos(widest) / across - 1e-9).astype(int)
    members[np.isclose(np.abs(declination), 90)] = 1
    count = min(int(members.sum()), rule.count or int(members.sum()))
    first = np.repeat(np.cumsum(members) - members, members)[:count]
    number = np.arange(count)
    ra = 360.0 * (number - first) / np.repeat(members, members)[:count]
    return Tiles(number=number, ra_deg=ra, dec_deg=np.repeat(declination, members)[:count])


def centre_of(name: str, telescope: Telescope) -> tuple[float, float] | None:
    """Return RA and Dec in degrees of a tile in a telescope's grid; None if it has no tile of that name."""
    digits = re.sub(r"\D", "", name)
    if not digits or len(digits) > 9 or telescope.tiling.id_format.format(int(digits)) != name:
        return None
    grid = rings(telescope)
    number = int(digits)
    return (float(grid.ra_deg[number]), float(grid.dec_deg[number])) if number < len(grid) else None


def near(tiles: Tiles, cells: Cells, view: FieldOfView) -> Tiles:
    """Return the tiles that may overlap a cell: all that do, and some that are only near."""
    tiles = tiles.take(_in_mask(tiles, cells, view))
    points, centres = cells.points(), directions.unit_vectors(tiles.ra_deg, tiles.dec_deg)
    close = np.zeros(len(tiles), dtype=bool)
    for order in np.unique(cells.order):
        reach = np.radians(view.radius_deg + footprints.ROOT_PIXEL_DEG / 2.0**order)
        distance, _ = spatial.cKDTree(points[cells.order == order]).query(centres, distance_upper_bound=reach)
        close |= distance <= reach
    return tiles.take(close)


def _in_mask(tiles: Tiles, cells: Cells, view: FieldOfView) -> npt.NDArray[np.bool_]:
    """Return which centres lie in or beside a coarse pixel, larger than a field, that holds a cell."""
    order = min(footprints.order_for(2 * view.radius_deg) - 1, 8)
    if order < 0:
        return np.ones(len(tiles), dtype=bool)
    nside = 2**order
    mask = np.zeros(12 * nside**2, dtype=bool)
    fine = cells.order >= order
    mask[cells.pixel[fine] >> (2 * (cells.order[fine] - order))] = True
    for coarse in np.unique(cells.order[~fine]):
        mask.reshape(-1, 4 ** (order - coarse))[cells.pixel[cells.order == coarse]] = True
    around = healpy.get_all_neighbours(nside, np.flatnonzero(mask), nest=True)
    mask[around[around >= 0]] = True
    return np.asarray(mask[healpy.ang2pix(nside, tiles.ra_deg, tiles.dec_deg, nest=True, lonlat=True)])


def sampled(tiles: Tiles, along: footprints.Curve, view: FieldOfView) -> Floats:
    """Return a rough probability of each tile, from the map at a few points of it."""
    across = 1 if len(tiles) > 100_000 else 5
    offsets = (np.arange(across) + 0.5) / across - 0.5
    total = np.zeros(len(tiles))
    for east in offsets * view.width_deg:
        for north in offsets * view.height_deg:
            dec = np.clip(tiles.dec_deg + north, -90, 90)
            ra = tiles.ra_deg + east / np.maximum(np.cos(np.radians(tiles.dec_deg)), 0.02)
            total += _density(along, ra, dec)
    return total / across**2 * view.area_deg2 / footprints.SPHERE_DEG2


def _density(along: footprints.Curve, ra_deg: Floats, dec_deg: Floats) -> Floats:
    """Return the map at positions, in probability per sphere."""
    order = 20
    pixel = healpy.ang2pix(2**order, ra_deg, dec_deg, nest=True, lonlat=True)
    ranges = healpix.ranges_of(pixel.astype(np.int64), order)
    return along.probability(ranges) * 12 * 4.0**order


def strongest(
    tiles: Tiles, along: footprints.Curve, view: FieldOfView, most: int = MOST_COMPARED
) -> npt.NDArray[np.bool_]:
    """Return which ``most`` tiles have the largest rough probability; all if there are no more."""
    rows = np.ones(len(tiles), dtype=bool)
    if len(tiles) > most:
        rows[np.argsort(-sampled(tiles, along, view), kind="stable")[most:]] = False
    return rows


def fitted(cells: Cells, tiles: Tiles, view: FieldOfView) -> Cells:
    """Split the cells near tiles until they are small compared with a field."""
    order = footprints.order_for(view.smaller_deg / CELLS_ACROSS)
    if len(tiles) == 0:
        return cells
    tree = spatial.cKDTree(directions.unit_vectors(tiles.ra_deg, tiles.dec_deg))
    for step in range(int(cells.order.min(initial=order)) + 1, order + 1):
        reach = np.radians(view.radius_deg + footprints.ROOT_PIXEL_DEG / 2.0**cells.order)
        distance, _ = tree.query(cells.points(), distance_upper_bound=float(reach.max(initial=0.0)))
        cells = regions.refine(cells, step, distance <= reach)
    return cells


def membership(tiles: Tiles, points: Floats, view: FieldOfView) -> sparse.csr_matrix:
    """Return the matrix (tiles, points) that is 1 where a direction lies in a tile; ``points`` is (n, 3)."""
    centres = directions.unit_vectors(tiles.ra_deg, tiles.dec_deg)
    shape = (len(tiles), len(points))
    if 0 in shape:
        return sparse.csr_matrix(shape)
    neighbours = spatial.cKDTree(points).query_ball_point(centres, 2 * np.sin(np.radians(view.radius_deg) * 1.001 / 2))
    tile = np.repeat(np.arange(len(tiles)), [len(rows) for rows in neighbours])
    cell = np.concatenate([np.asarray(rows, dtype=int) for rows in neighbours])
    within = footprints.inside(points[cell], tiles.ra_deg[tile], tiles.dec_deg[tile], view)
    return sparse.csr_matrix((np.ones(int(within.sum())), (tile[within], cell[within])), shape=shape)


def probabilities(tiles: Tiles, along: footprints.Curve, view: FieldOfView) -> Floats:
    """Return the map's probability inside each tile (0 to 1), to about 0.1 %."""
    pairs = zip(tiles.ra_deg, tiles.dec_deg, strict=True)
    return np.array([footprints.probability(footprints.field_ranges(ra, dec, view), along) for ra, dec in pairs])
