"""Observability of a position: distance from Sun and Moon; times and altitude at each site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from tasks.records import Kind, Limits, Telescope
from tasks.records.bursts import Burst, Outlook, View
from tasks.science.astrometry import directions
from tasks.science.planning import visibility
from tasks.science.planning.visibility import Refusal

Floats = npt.NDArray[np.float64]

# a day contains one night of every site
HOURS = 24.0


def of_position(ra_deg: float, dec_deg: float, moment: datetime, telescopes: Sequence[Telescope]) -> Outlook:
    """Return the outlook of a position.

    Parameters
    ----------
    ra_deg, dec_deg
        Position, ICRS, in degrees.
    moment
        Sun and Moon are geocentric, at this time; the telescopes' views cover the next 24 h.
    telescopes
        Telescopes to compute views for.
    """
    point = directions.unit_vectors(ra_deg, dec_deg)
    sun, moon = visibility.sun_and_moon(visibility.unix(moment))
    return Outlook(
        sun_deg=float(directions.separations_deg(point, sun)),
        moon_deg=float(directions.separations_deg(point, moon)),
        views=tuple(_view(point, telescope, moment) for telescope in telescopes),
    )


def added(burst: Burst, telescopes: Sequence[Telescope]) -> Burst:
    """Return a burst with the outlook of its position, from the time of its notice."""
    place = burst.position
    moment = (place.time_created or place.time) if place else None
    if place is None or moment is None or place.ra_deg is None or place.dec_deg is None or place.kind is not Kind.GRB:
        return burst
    return replace(burst, outlook=of_position(place.ra_deg, place.dec_deg, moment, telescopes))


def _reason(sky: visibility.SiteSky, point: Floats, limits: Limits) -> str:
    """Return the reason why a position is never observable in the dark."""
    refused = visibility.refusals(sky, point[None], limits)
    if refused[Refusal.DECLINATION].all():
        return "beyond the telescope's declinations, {:g}° to {:g}°".format(*limits.declination_deg)
    if refused[Refusal.ALTITUDE].all():
        return f"too low, {visibility.altitudes(sky, point[None]).max():.0f}° at best"
    return "too close to the Moon"


def _view(point: Floats, telescope: Telescope, moment: datetime) -> View:
    limits = telescope.limits
    nights = visibility.nights(telescope.site, moment, moment + timedelta(hours=HOURS), limits.sun_altitude_deg)
    times = visibility.steps(nights, visibility.STEP_S)
    if len(times) == 0:
        return View(telescope=telescope.name, reason="no darkness")
    sky = visibility.over(telescope.site, times)
    height = visibility.altitudes(sky, point[None])[0]
    free = visibility.observable(sky, point[None], limits)[0]
    if not free.any():
        return View(telescope=telescope.name, reason=_reason(sky, point, limits))
    first = int(np.argmax(free))
    ends = np.flatnonzero(~free[first:] | (np.diff(times[first:], prepend=times[first]) > 1.5 * visibility.STEP_S))
    last = first + int(ends[0]) if len(ends) else len(times)
    return View(
        telescope=telescope.name,
        start=visibility.moment(float(times[first])),
        end=visibility.moment(float(times[last - 1]) + visibility.STEP_S),
        highest_deg=float(height[first:last].max()),
    )
