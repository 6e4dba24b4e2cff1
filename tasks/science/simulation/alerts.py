"""Simulated alert with known truth: a curved localisation with distance as a multi-order sky map, and its notice.

The event's position and distance are drawn from the posterior of the map itself, so that over many seeds a
fraction p of the events lies inside the region of credible level p.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from astropy.time import Time
from astropy_healpix import HEALPix
from ligo.skymap.distance import moments_to_parameters
from numpy.typing import NDArray

from tasks.errors import UnusableData
from tasks.naming.alerts import LVK_EVENT_ID
from tasks.science.simulation import plan
from tasks.science.simulation.bands import Floats

CREATOR = "brightsiren simulator"
ALERT_TYPES = ("EARLYWARNING", "PRELIMINARY", "INITIAL", "UPDATE", "RETRACTION")
# real BAYESTAR maps have orders 4 to 11; without the finest the map stays small
COARSEST_ORDER, FINEST_ORDER = 4, 10
# a pixel that may contain more probability than this is divided
SPLIT_PROBABILITY = 1e-4
# the localisation is an arc of a ring of this radius, longer than wide by this factor
RING_RADIUS_DEG, ASPECT = 35.0, 6.0
# area of the 90 % region of a normal distribution in two dimensions: -2 ln(0.1) pi sigma1 sigma2
AREA90_PER_SIGMA2 = -2 * np.log(0.1) * np.pi
# of the order of a Fermi GBM position's error
GRB_SIGMA_DEG = 3.0
# keeps the density finite at the ring's centre
SMALLEST_SINE = 0.05
# the distance falls and its spread grows along the ring, as the antenna pattern does
DISTANCE_DROP, SPREAD_RISE = 0.15, 0.10
# density per sr: as in real maps, pixels far from the localisation have no distance
NO_DISTANCE_BELOW = 1e-12
# seconds from event to notice, of the order of real ones (S241102br: 28, 1064 and 113,000; S241004ap: 341)
LATENCIES = {"EARLYWARNING": 5, "PRELIMINARY": 160, "INITIAL": 1500, "UPDATE": 90_000, "RETRACTION": 3_000}


@dataclass(frozen=True, kw_only=True)
class AlertRequest:
    """Parameters of an alert: position (None: random), mean distance, area of the 90 % region, time, kind."""

    seed: int = 1
    event_id: str = ""
    alert_type: str = "PRELIMINARY"
    time: datetime = datetime(2026, 1, 15, 22, 30, 15, tzinfo=UTC)
    ra_deg: float | None = None
    dec_deg: float | None = None
    distance_mpc: float = 80.0
    distance_std_mpc: float = 18.0
    area90_deg2: float = 45.0
    significant: bool = True
    test: bool = False
    coincidence: bool = False


@dataclass(frozen=True, kw_only=True)
class SimulatedLocalisation:
    """A posterior on the sky: an arc of a ring about ``pole``, widths in degrees, and optionally a burst's circle."""

    pole: SkyCoord
    angle_deg: float
    width_deg: float
    length_deg: float
    distance_mpc: float
    distance_std_mpc: float
    burst: SkyCoord | None = None


@dataclass(frozen=True, kw_only=True)
class MultiOrderMap:
    """A sky map's columns (one length) and header: densities per sr, distances in Mpc."""

    uniq: NDArray[np.int64]
    probdensity: Floats
    distmu: Floats
    distsigma: Floats
    distnorm: Floats
    header: Header


@dataclass(frozen=True, kw_only=True)
class SimulatedAlert:
    """An alert: identity, times, maps, contents of the notice, and the true position and distance."""

    event_id: str
    created: datetime
    sky_map: MultiOrderMap | None
    combined: MultiOrderMap | None
    ra_deg: float
    dec_deg: float
    distance_mpc: float


def make_alert(request: AlertRequest) -> SimulatedAlert:
    """Draw an event and its localisation."""
    checked(request)
    rng = plan.stream(request.seed, "alert")
    event_id = request.event_id or default_event_id(request, rng)
    truth = _true_position(request, rng)
    posterior = draw_localisation(request, truth, rng)
    sky_map = combined = None
    if request.alert_type != "RETRACTION":
        sky_map = make_map(posterior, event_id, request.time)
        if request.coincidence:
            combined = make_map(_with_burst(posterior, truth, rng), event_id, request.time)
    return SimulatedAlert(
        event_id=event_id,
        created=request.time + timedelta(seconds=LATENCIES[request.alert_type]),
        sky_map=sky_map,
        combined=combined,
        ra_deg=float(truth.ra.deg),
        dec_deg=float(truth.dec.deg),
        distance_mpc=draw_distance(posterior, truth, rng),
    )


def checked(request: AlertRequest) -> AlertRequest:
    """Return ``request``, or raise ``UnusableData`` with its fault."""
    if request.alert_type not in ALERT_TYPES:
        raise UnusableData(f"alert type {request.alert_type!r} is not one of {', '.join(ALERT_TYPES)}")
    if request.event_id and not LVK_EVENT_ID.fullmatch(request.event_id):
        raise UnusableData(f"event id {request.event_id!r} is not of the form S260115ab, MS260115ab or TS260115ab")
    if not 1 <= request.area90_deg2 <= 2000:
        raise UnusableData(f"90 % area of {request.area90_deg2} deg2 is not between 1 and 2000")
    if not (1 <= request.distance_mpc <= 1e4 and 0.02 <= request.distance_std_mpc / request.distance_mpc <= 0.35):
        raise UnusableData(
            f"distance {request.distance_mpc} +- {request.distance_std_mpc} Mpc: allowed are 1 to 10000 Mpc, "
            "with a spread of 2 to 35 %"
        )
    if (request.ra_deg is None) != (request.dec_deg is None):
        raise UnusableData("a position needs both RA and Dec")
    if request.ra_deg is not None and not (0 <= request.ra_deg < 360 and -90 <= (request.dec_deg or 0) <= 90):
        raise UnusableData(f"position {request.ra_deg}, {request.dec_deg} is not on the sky")
    return request


def default_event_id(request: AlertRequest, rng: np.random.Generator) -> str:
    """Return ``S260115ab`` or, for a test, ``MS260115ab``: the event's date and two letters of the seed."""
    letters = "".join(rng.choice(list(string.ascii_lowercase), 2))
    return f"{'MS' if request.test else 'S'}{request.time:%y%m%d}{letters}"


def draw_localisation(request: AlertRequest, truth: SkyCoord, rng: np.random.Generator) -> SimulatedLocalisation:
    """Place an arc of a ring such that the truth is a random draw from it."""
    sigma2 = request.area90_deg2 / AREA90_PER_SIGMA2
    width, length = np.sqrt(sigma2 / ASPECT), np.sqrt(sigma2 * ASPECT)
    angle = rng.uniform(0, 360)
    # offsets of the truth from the ring's ridge and from the middle of the arc
    off_ridge, along = rng.normal(0, width), rng.normal(0, length)
    pole = _away(truth, angle, RING_RADIUS_DEG + off_ridge)
    seen_from_pole = float(pole.position_angle(truth).deg)
    return SimulatedLocalisation(
        pole=pole,
        angle_deg=seen_from_pole - along / np.sin(np.radians(RING_RADIUS_DEG)),
        width_deg=float(width),
        length_deg=float(length),
        distance_mpc=request.distance_mpc,
        distance_std_mpc=request.distance_std_mpc,
    )


def offsets(posterior: SimulatedLocalisation, sky: SkyCoord) -> tuple[Floats, Floats]:
    """Return distances in degrees from the ridge of the ring, and along it from the middle of the arc."""
    off_ridge = np.atleast_1d(posterior.pole.separation(sky).deg) - RING_RADIUS_DEG
    turned = np.atleast_1d(posterior.pole.position_angle(sky).deg) - posterior.angle_deg
    return off_ridge, ((turned + 180) % 360 - 180) * np.sin(np.radians(RING_RADIUS_DEG))


def log_density(posterior: SimulatedLocalisation, sky: SkyCoord, reach_deg: float = 0.0) -> Floats:
    """Return the log of the density, not normalised; with a reach, an upper bound within that distance."""
    across, along = offsets(posterior, sky)
    # parallels of the ring are longer further out: without this factor the truth would not follow the posterior
    sine = np.sin(np.radians(np.maximum(across + RING_RADIUS_DEG - reach_deg, 0)))
    exponent = -np.log(np.maximum(sine, SMALLEST_SINE) / np.sin(np.radians(RING_RADIUS_DEG)))
    exponent += _gaussian(across, posterior.width_deg, reach_deg)
    # far inside the ring the same angle spans a shorter distance
    exponent += _gaussian(along, posterior.length_deg, 2 * reach_deg)
    if posterior.burst is not None:
        separation = np.atleast_1d(posterior.burst.separation(sky).deg)
        exponent += _gaussian(separation, GRB_SIGMA_DEG, reach_deg)
    result: Floats = exponent
    return result


def distances(posterior: SimulatedLocalisation, sky: SkyCoord) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of the distance in Mpc at positions: both change along the ring."""
    _, along = offsets(posterior, sky)
    bend = 1 - np.exp(-0.5 * (along / (2 * posterior.length_deg)) ** 2)
    mean = posterior.distance_mpc * (1 - DISTANCE_DROP * bend)
    return mean, posterior.distance_std_mpc * (1 - DISTANCE_DROP * bend) * (1 + SPREAD_RISE * bend)


def draw_distance(posterior: SimulatedLocalisation, sky: SkyCoord, rng: np.random.Generator) -> float:
    """Draw a distance from the posterior along one line of sight: r² Normal(r; mu, sigma)."""
    mu, sigma, _ = moments_to_parameters(*distances(posterior, sky))
    r = np.linspace(0, posterior.distance_mpc + 10 * posterior.distance_std_mpc, 20_000)[1:]
    cumulative = np.cumsum(r**2 * np.exp(-0.5 * ((r - mu) / sigma) ** 2))
    return float(np.interp(rng.random(), cumulative / cumulative[-1], r))


def make_map(posterior: SimulatedLocalisation, event_id: str, moment: datetime) -> MultiOrderMap:
    """Return a posterior as a multi-order map, finer at higher probability."""
    order, pixel = _pixels(posterior)
    sky = _centres(order, pixel)
    density = np.exp(log_density(posterior, sky))
    area = _pixel_area_sr(order)
    density /= np.sum(density * area)
    mean, std = distances(posterior, sky)
    mu, sigma, norm = moments_to_parameters(mean, std)
    nothing = density < NO_DISTANCE_BELOW
    mu[nothing], sigma[nothing], norm[nothing] = np.inf, 1.0, 0.0
    weight = density * area
    total_mean = float(np.sum(weight * mean))
    total_std = float(np.sqrt(np.sum(weight * (std**2 + mean**2)) - total_mean**2))
    return MultiOrderMap(
        uniq=4 * 4**order + pixel,
        probdensity=density,
        distmu=mu,
        distsigma=sigma,
        distnorm=norm,
        header=_map_header(event_id, moment, int(order.max()), total_mean, total_std),
    )


def notice(
    request: AlertRequest, alert: SimulatedAlert, sky_map: str | None, combined: str | None
) -> Mapping[str, Any]:
    """Return the notice in the form of ``igwn.gwalert``; the maps are base64 text or None."""
    retraction = request.alert_type == "RETRACTION"
    return {
        "alert_type": request.alert_type,
        "time_created": f"{alert.created:%Y-%m-%dT%H:%M:%S}Z",
        "superevent_id": alert.event_id,
        "urls": {"gracedb": f"https://gracedb.ligo.org/superevents/{alert.event_id}/view/"},
        "event": None if retraction else _event(request, sky_map),
        "external_coinc": _external(combined) if request.coincidence and not retraction else None,
    }


def _event(request: AlertRequest, sky_map: str | None) -> Mapping[str, Any]:
    return {
        "significant": request.significant,
        "time": f"{request.time:%Y-%m-%dT%H:%M:%S}.{request.time.microsecond // 1000:03d}Z",
        "far": 1.2e-10 if request.significant else 4.5e-6,
        "instruments": ["H1", "L1", "V1"],
        "group": "CBC",
        "pipeline": "gstlal",
        "search": "EarlyWarning" if request.alert_type == "EARLYWARNING" else "AllSky",
        "properties": {"HasNS": 1.0, "HasRemnant": 0.98, "HasMassGap": 0.01, "HasSSM": 0.0},
        "classification": _classification(significant=request.significant),
        "duration": None,
        "central_frequency": None,
        "skymap": sky_map,
    }


def _classification(*, significant: bool) -> Mapping[str, float]:
    if significant:
        return {"BNS": 0.9, "NSBH": 0.08, "BBH": 0.0, "Terrestrial": 0.02}
    return {"BNS": 0.2, "NSBH": 0.05, "BBH": 0.0, "Terrestrial": 0.75}


def _external(combined: str | None) -> Mapping[str, Any]:
    return {
        "gcn_notice_id": 790026315,
        "ivorn": "ivo://nasa.gsfc.gcn/Fermi#GBM_Fin_Pos",
        "observatory": "Fermi",
        "search": "GRB",
        "time_difference": 1.7,
        "time_coincidence_far": 2.1e-9,
        "time_sky_position_coincidence_far": 3.4e-11,
        "combined_skymap": combined,
    }


def _true_position(request: AlertRequest, rng: np.random.Generator) -> SkyCoord:
    ra, dec = rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1)))
    if request.ra_deg is not None and request.dec_deg is not None:
        ra, dec = request.ra_deg, request.dec_deg
    return SkyCoord(ra, dec, unit="deg")


def _with_burst(posterior: SimulatedLocalisation, truth: SkyCoord, rng: np.random.Generator) -> SimulatedLocalisation:
    """Return the posterior multiplied by a gamma-ray burst's localisation, drawn about the truth."""
    burst = _away(truth, rng.uniform(0, 360), GRB_SIGMA_DEG * np.hypot(*rng.normal(size=2)))
    return SimulatedLocalisation(**{**vars(posterior), "burst": burst})


def _away(point: SkyCoord, angle_deg: float, separation_deg: float) -> SkyCoord:
    """Return the point at an angle (north over east) and separation, in degrees, from another."""
    ra, dec = np.radians(point.ra.deg), np.radians(point.dec.deg)
    angle, reach = np.radians(angle_deg), np.radians(separation_deg)
    sine = np.sin(dec) * np.cos(reach) + np.cos(dec) * np.sin(reach) * np.cos(angle)
    turn = np.arctan2(np.sin(angle) * np.sin(reach) * np.cos(dec), np.cos(reach) - np.sin(dec) * sine)
    return SkyCoord(np.degrees(ra + turn), np.degrees(np.arcsin(sine)), unit="deg")


def _gaussian(offset: Floats, sigma: float, reach: float) -> Floats:
    exponent: Floats = -0.5 * (np.maximum(np.abs(offset) - reach, 0) / sigma) ** 2
    return exponent


def _pixels(posterior: SimulatedLocalisation) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide pixels that may contain much probability; return orders and NESTED pixel numbers."""
    norm = 2 * np.pi * posterior.width_deg * posterior.length_deg * np.radians(1) ** 2
    pixel = np.arange(12 * 4**COARSEST_ORDER, dtype=np.int64)
    orders, pixels = [], []
    for order in range(COARSEST_ORDER, FINEST_ORDER + 1):
        reach = 1.2 * 58.6323 / 2**order / np.sqrt(2)  # a pixel's corner is this far from its centre, in degrees
        bound = np.exp(log_density(posterior, _centres(np.full_like(pixel, order), pixel), reach))
        split = bound * _pixel_area_sr(np.array(order)) / norm > SPLIT_PROBABILITY
        kept = pixel if order == FINEST_ORDER else pixel[~split]
        orders.append(np.full(len(kept), order, dtype=np.int64))
        pixels.append(kept)
        pixel = (4 * pixel[split][:, None] + np.arange(4)).ravel()
    return np.concatenate(orders), np.concatenate(pixels)


def _centres(order: NDArray[np.int64], pixel: NDArray[np.int64]) -> SkyCoord:
    lon, lat = np.empty(len(pixel)), np.empty(len(pixel))
    for level in np.unique(order):
        at = order == level
        ra, dec = HEALPix(nside=2 ** int(level), order="nested").healpix_to_lonlat(pixel[at])
        lon[at], lat[at] = ra.deg, dec.deg
    return SkyCoord(lon, lat, unit="deg")


def _pixel_area_sr(order: NDArray[np.int64]) -> Floats:
    return np.asarray(4 * np.pi / (12 * 4.0**order), dtype=np.float64)


def _map_header(event_id: str, moment: datetime, order: int, mean: float, std: float) -> Header:
    header = Header()
    header["PIXTYPE"], header["ORDERING"] = "HEALPIX", "NUNIQ"
    header["COORDSYS"] = ("C", "celestial")
    header["MOCORDER"] = (order, "finest order")
    header["INDXSCHM"] = "EXPLICIT"
    header["OBJECT"] = event_id
    header["INSTRUME"] = "H1,L1,V1"
    header["DATE-OBS"] = moment.replace(tzinfo=None).isoformat(timespec="microseconds")
    header["MJD-OBS"] = float(Time(moment).mjd)
    header["DATE"] = (moment + timedelta(seconds=120)).replace(tzinfo=None).isoformat(timespec="microseconds")
    header["CREATOR"], header["ORIGIN"] = CREATOR, "brightsiren"
    header["DISTMEAN"], header["DISTSTD"] = (mean, "Mpc"), (std, "Mpc")
    return header
