"""Response of a unit: colour terms relative to the catalogue's passbands, and zero-point changes over the field.

Both are left out unless a request asks for them. Photometry has to recover them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tasks.science.simulation.bands import Floats
from tasks.science.simulation.plan import Request, stream

# BP - RP of the stars whose zero point is a unit's
PIVOT_MAG = 1.0
# of the surface's coefficients, in the order of ``TERMS``
TERMS = ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
# points on each side on which the rms of a surface is measured
GRID = 41


@dataclass(frozen=True, kw_only=True)
class UnitResponse:
    """Dependence of a star's magnitude through a unit on colour and position.

    ``colour_mag`` holds, by filter, the zero point's change per mag of BP - RP; ``surface_mag`` the coefficients of
    Legendre products in x and y, the zero point's change over the frame.
    """

    colour_mag: Mapping[str, float] = field(default_factory=dict)
    surface_mag: tuple[float, ...] = ()

    def of_colour(self, bp_rp: Floats, filter_: str) -> Floats:
        """Return the zero point's offset for stars of some colour."""
        return self.colour_mag.get(filter_, 0.0) * (bp_rp - PIVOT_MAG)

    def of_place(self, x: Floats, y: Floats, shape: tuple[int, int]) -> Floats:
        """Return the zero point's offset at 0-based pixels of a frame of ``shape``."""
        if not self.surface_mag:
            return np.zeros(len(x))
        ny, nx = shape
        return _surface(2 * (x + 0.5) / nx - 1, 2 * (y + 0.5) / ny - 1, np.array(self.surface_mag))


def draw_response(request: Request, unit: str) -> UnitResponse:
    """Draw a unit's response: colour terms of 0.5 to 1 times the requested size, a surface of the requested rms."""
    terms = {}
    for name in request.filters if request.colour_term_mag else ():
        rng = stream(request.seed, "colour", unit, name)
        terms[name] = float(rng.choice([-1, 1]) * rng.uniform(0.5, 1) * request.colour_term_mag)
    if not request.spatial_mag:
        return UnitResponse(colour_mag=terms)
    coefficients = stream(request.seed, "surface", unit).normal(0, 1, len(TERMS))
    u, v = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-1, 1, GRID)] * 2))
    coefficients *= request.spatial_mag / np.std(_surface(u, v, coefficients))
    return UnitResponse(colour_mag=terms, surface_mag=tuple(float(each) for each in coefficients))


def _surface(u: Floats, v: Floats, coefficients: NDArray[np.float64]) -> Floats:
    """Return the surface, with a mean of 0 over the frame."""
    square = np.zeros((4, 4))
    for (i, j), value in zip(TERMS, coefficients, strict=True):
        square[i, j] = value
    # a cubic grows without bound far outside the frame
    x, y = np.clip(u, -1.2, 1.2), np.clip(v, -1.2, 1.2)
    return np.asarray(np.polynomial.legendre.legval2d(x, y, square), dtype=np.float64)
