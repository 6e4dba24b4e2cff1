"""Galaxies as targets: probability of each to be the host, and fields centred on the likely ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tasks.errors import UnusableData
from tasks.records import Galaxies, SkyMap
from tasks.science.astrometry import directions
from tasks.science.planning import observable_tiles, tiling
from tasks.science.skymaps import credible_regions

Floats = npt.NDArray[np.float64]

# galaxies beyond these many standard deviations of the pixel's distance are not hosts
DISTANCE_SIGMAS = 3.0
REGION = 0.99
# more than a telescope observes in a night
MOST_GALAXIES = 2000


def weights(galaxies: Galaxies, sky_map: SkyMap) -> Floats:
    """Return the weight of each galaxy (n,), summing to 1 if any is a possible host.

    The map's density at the galaxy times the distance density along its line of sight,
    DISTNORM · Normal(r; DISTMU, DISTSIGMA)
    (Singer et al. 2016, ApJL 829 L15), times its luminosity 10^(-0.4 M); a galaxy without a magnitude
    counts as the median one.

    Raises
    ------
    UnusableData
        If the map has no distances: a galaxy's weight is then unknown.
    """
    if sky_map.distmu is None or sky_map.distsigma is None or sky_map.distnorm is None:
        raise UnusableData("the sky map has no distances: galaxies cannot be weighted; plan tiles instead")
    row = credible_regions.rows_at(sky_map, galaxies.ra_deg, galaxies.dec_deg)
    inside = row >= 0
    mean, sigma, norm = (np.where(inside, column[row], np.nan) for column in _columns(sky_map))
    pull = (galaxies.distance_mpc - mean) / sigma
    radial = norm * np.exp(-0.5 * pull**2) / (np.sqrt(2 * np.pi) * sigma)
    host = inside & (np.abs(pull) < DISTANCE_SIGMAS) & (galaxies.distance_mpc > 0)
    absolute = galaxies.magnitude - 5 * np.log10(np.where(host, galaxies.distance_mpc, 1.0)) - 25
    with_magnitude = host & np.isfinite(absolute)
    absolute = np.where(
        np.isfinite(absolute), absolute, np.median(absolute[with_magnitude]) if with_magnitude.any() else 0.0
    )
    weight = np.where(host, sky_map.density[row] * radial * 10 ** (-0.4 * (absolute + 20)), 0.0)
    total = float(weight.sum())
    return np.asarray(weight / total if total > 0 else weight)


def no_host(galaxies: Galaxies, sky_map: SkyMap) -> str:
    """Say why no galaxy of a catalogue is a likely host."""
    inside = credible_regions.rows_at(sky_map, galaxies.ra_deg, galaxies.dec_deg) >= 0
    # what lies in a pixel of negligible density is far from the source
    level = credible_regions.credible_level(sky_map, galaxies.ra_deg, galaxies.dec_deg)
    near = int(np.count_nonzero(inside & (level <= REGION)))
    where = f"{near} of its {len(galaxies.ra_deg)} galaxies lie in the {REGION:.0%} region"
    return f"galaxies: {where}, none within {DISTANCE_SIGMAS:g} sigma of the distance there; tiles are planned instead"


def _columns(sky_map: SkyMap) -> tuple[Floats, Floats, Floats]:
    mean, sigma, norm = sky_map.distmu, sky_map.distsigma, sky_map.distnorm
    if mean is None or sigma is None or norm is None:
        raise UnusableData("the sky map has no distances")
    return mean, sigma, norm


def fields(galaxies: Galaxies, weight: Floats) -> tuple[tiling.Tiles, observable_tiles.Targets]:
    """Return a field centred on each likely host, strongest first, and the hosts as targets."""
    strongest = np.argsort(-weight, kind="stable")[:MOST_GALAXIES]
    strongest = strongest[weight[strongest] > 0]
    tiles = tiling.Tiles(
        number=np.arange(len(strongest)),
        ra_deg=galaxies.ra_deg[strongest],
        dec_deg=galaxies.dec_deg[strongest],
        id=galaxies.name[strongest],
    )
    points = directions.unit_vectors(tiles.ra_deg, tiles.dec_deg)
    return tiles, observable_tiles.Targets(points=points, weight=weight[strongest])
