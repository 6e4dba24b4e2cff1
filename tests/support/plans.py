"""Maps, telescopes and plans for the tests of planning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import healpy
import numpy as np

from tasks.records import Camera, Exposure, FieldOfView, Limits, Mount, Plan, Site, SkyMap, Telescope, Tile, Tiling
from tasks.science.planning import error_circles
from tasks.science.planning.observable_tiles import Window

START = datetime(2026, 1, 16, 0, 0, tzinfo=UTC)
# overhead at El Sauce around midnight of that night
RA_DEG, DEC_DEG = 105.0, -30.0


def sky_map(*, error_deg: float = 4.0, ra_deg: float = RA_DEG, dec_deg: float = DEC_DEG) -> SkyMap:
    return error_circles.gaussian_map(ra_deg, dec_deg, error_deg=error_deg)


def flat(nside: int, density: np.ndarray) -> SkyMap:
    """A map of one order from probability per pixel (NESTED)."""
    order = int(np.log2(nside))
    pixel = np.arange(12 * nside**2)
    area = healpy.nside2pixarea(nside)
    return SkyMap(
        uniq=pixel + 4 * nside**2,
        order=np.full(len(pixel), order),
        density=density / density.sum() / area,
    )


def window(hours: float = 24.0, start: datetime = START) -> Window:
    return Window(start=start, end=start + timedelta(hours=hours))


def telescope(name: str = "Small", **changes) -> Telescope:
    made = {
        "site": Site(latitude_deg=-30.47, longitude_deg=-70.78, elevation_m=1580.0),
        "field_of_view": FieldOfView(width_deg=1.5, height_deg=1.0),
        "mount": Mount(slew_deg_per_s=2.0, settle_s=3.0),
        "camera": Camera(readout_s=8.0),
        "exposure": Exposure(seconds=60.0, filter="r"),
        "limits": Limits(minimum_altitude_deg=30.0, moon_distance_deg=20.0),
        "tiling": Tiling(),
    }
    return Telescope(name=name, **{**made, **changes})


def plan(**changes) -> Plan:
    tile = Tile(
        id="T00012",
        ra_deg=57.29578,
        dec_deg=-90.0,
        start=datetime(2026, 1, 15, 23, 59, 59, 123456, tzinfo=UTC),
        exposure_s=300.0,
        filter="r",
        probability=0.12344,
        cumulative=0.12344,
        airmass=1.23456,
    )
    made = {"event_id": "S260115a", "telescope": "7DT", "engine": "siren", "tiles": (tile,), "probability": 0.12344}
    return Plan(**{**made, "area_deg2": 1.206, **changes})
