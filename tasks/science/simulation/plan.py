"""Plan of a simulated night: its size, its exposures and their times."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from tasks import naming
from tasks.errors import UnusableData
from tasks.records import FrameType

# of the production frames of 7DT
GAIN_SETTING = 2750
# nominal scale of 7DT
SCALE_ARCSEC = 0.505
# assumed, for read-out and the next pointing
OVERHEAD_S = 15.0
# bound of what a request may ask for
LARGEST_TERM_MAG = 0.5
OBJECT_NAME = re.compile(r"[!-~](?:[ -~]{0,38}[!-~])?")
# unlike any dark, so that the dark must be scaled
FLAT_EXPOSURES_S = (3.0, 3.5, 4.0, 4.5, 5.0)
# the clock in hours after 0 h UTC of the evening's date; a night's label is the date of UTC - 15 h
CALIBRATIONS_AT_H, FLATS_AT_H = 21.0, 24.1
# 4:34:13 UTC: the start of a real frame of 7DT
LIGHTS_AT = timedelta(hours=28, minutes=34, seconds=13)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A preset size of night. ``shape`` is (ny, nx) of a frame."""

    shape: tuple[int, int]
    units: int
    transients: int
    galaxies: int


# "full" is a frame of 7DT, "small" a quarter of its sides, "tiny" for tests
SCALES = {
    "tiny": Scale(shape=(400, 600), units=1, transients=5, galaxies=6),
    "small": Scale(shape=(1597, 2394), units=2, transients=10, galaxies=40),
    "full": Scale(shape=(6388, 9576), units=2, transients=10, galaxies=400),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """Parameters of a night. Positions in degrees; ``lights`` per unit and filter.

    The last ``mislabelled`` lights of the first unit in the first filter are taken through the second one.
    ``colour_term_mag`` is the size of the units' colour terms (mag per mag of BP - RP), ``spatial_mag`` the rms of their
    zero point over the frame.
    """

    scale: str = "small"
    units: tuple[str, ...] = ("7DT01", "7DT02")
    filters: tuple[str, ...] = ("r", "i")
    lights: int = 6
    biases: int = 7
    darks: int = 5
    flats: int = 5
    exposure_s: float = 100.0
    corrupt: int = 0
    mislabelled: int = 0
    colour_term_mag: float = 0.0
    spatial_mag: float = 0.0
    seed: int = 1
    night: date = date(2026, 1, 15)
    object: str = "T00001"
    ra_deg: float = 110.0
    dec_deg: float = -30.0

    @property
    def size(self) -> Scale:
        """Preset named by ``scale``."""
        return SCALES[self.scale]

    @property
    def folder(self) -> str:
        """Name of each unit's night folder."""
        return naming.night_folder(self.night, gain_setting=GAIN_SETTING)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One exposure of the night, before anything is drawn. ``start`` is aware UTC."""

    name: str
    unit: str
    type: FrameType
    start: datetime
    exposure_s: float
    filter: str = ""
    number: int = 1
    true_filter: str = ""
    """Filter in the beam; the header's ``filter`` may be wrong."""


def stream(seed: int, *words: str) -> np.random.Generator:
    """Return the random generator of one named object, independent of those of all others."""
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in words)])


def checked(request: Request) -> Request:
    """Return ``request``, or raise ``UnusableData`` with its fault."""
    if request.scale not in SCALES:
        raise UnusableData(f"scale {request.scale!r} is not one of {', '.join(SCALES)}")
    _check_names(request)
    for word, low in (("lights", 1), ("biases", 0), ("darks", 0), ("flats", 0), ("corrupt", 0), ("seed", 0)):
        if (number := getattr(request, word)) < low:
            raise UnusableData(f"{word} = {number} is below {low}")
    if not 0 <= request.mislabelled <= (request.lights if len(request.filters) > 1 else 0):
        raise UnusableData(f"mislabelled = {request.mislabelled}: at most all lights of a filter, with a second filter")
    for word in ("colour_term_mag", "spatial_mag"):
        if not 0 <= (size := getattr(request, word)) <= LARGEST_TERM_MAG:
            raise UnusableData(f"{word} = {size} is not between 0 and {LARGEST_TERM_MAG:g} mag")
    if not 0 < request.exposure_s <= 3600:
        raise UnusableData(f"exposure of {request.exposure_s} s is not between 0 and 3600 s")
    if not (0 <= request.ra_deg < 360 and -89 <= request.dec_deg <= 89):
        raise UnusableData(f"field centre {request.ra_deg}, {request.dec_deg} is not on the sky between Dec -89 and 89")
    return request


def _check_names(request: Request) -> None:
    if not request.units or not request.filters:
        raise UnusableData("a night needs at least one unit and one filter")
    for word, names in (("unit", request.units), ("filter", request.filters)):
        if len(set(names)) < len(names):
            raise UnusableData(f"a {word} is named twice: {', '.join(names)}")
    for unit in request.units:
        naming.unit(unit)
    if not OBJECT_NAME.fullmatch(request.object):
        raise UnusableData(f"object {request.object!r} is not 1 to 40 printable ASCII characters")


def shots(request: Request, unit: str) -> tuple[Shot, ...]:
    """Return a unit's exposures in the order of their times: bias, dark, flat, light."""
    return (
        *_biases(request, unit),
        *_darks(request, unit),
        *_flats(request, unit),
        *_lights(request, unit),
    )


def corrupt_shots(request: Request, unit: str) -> tuple[Shot, ...]:
    """Return the times and names of extra frames to be corrupted, after the last light."""
    first = len(request.filters) * request.lights
    return tuple(
        _light(request, unit, filter_=request.filters[0], number=request.lights + i + 1, place=first + i)
        for i in range(request.corrupt)
    )


def _moment(request: Request, offset: timedelta) -> datetime:
    return datetime.combine(request.night, time(), tzinfo=UTC) + offset


def _biases(request: Request, unit: str) -> Iterator[Shot]:
    for i in range(request.biases):
        start = _moment(request, timedelta(hours=CALIBRATIONS_AT_H, seconds=5 * i))
        yield Shot(name=f"bias-{i + 1:04d}.fits", unit=unit, type=FrameType.BIAS, start=start, exposure_s=0.0)


def _darks(request: Request, unit: str) -> Iterator[Shot]:
    exposure = request.exposure_s
    for i in range(request.darks):
        offset = timedelta(hours=CALIBRATIONS_AT_H + 0.25, seconds=i * (exposure + OVERHEAD_S))
        name = f"dark-{naming.exposure_text(exposure)}-{i + 1:04d}.fits"
        start = _moment(request, offset)
        yield Shot(name=name, unit=unit, type=FrameType.DARK, start=start, exposure_s=exposure)


def _flats(request: Request, unit: str) -> Iterator[Shot]:
    for k, filter_ in enumerate(request.filters):
        for i in range(request.flats):
            yield Shot(
                name=f"flat-{filter_}-{i + 1:04d}.fits",
                unit=unit,
                type=FrameType.FLAT,
                start=_moment(request, timedelta(hours=FLATS_AT_H, seconds=20 * (k * request.flats + i))),
                exposure_s=FLAT_EXPOSURES_S[i % len(FLAT_EXPOSURES_S)],
                filter=filter_,
                number=i + 1,
            )


def _lights(request: Request, unit: str) -> Iterator[Shot]:
    for k, filter_ in enumerate(request.filters):
        for i in range(request.lights):
            yield _light(request, unit, filter_=filter_, number=i + 1, place=k * request.lights + i)


def _light(request: Request, unit: str, *, filter_: str, number: int, place: int) -> Shot:
    lag = float(stream(request.seed, "clock", unit).uniform(0, 2))
    start = _moment(request, LIGHTS_AT + timedelta(seconds=place * (request.exposure_s + OVERHEAD_S) + round(lag, 3)))
    exposure = naming.exposure_text(request.exposure_s)
    name = f"{naming.slug(request.object)}_{filter_}_{unit}_{start:%Y%m%d_%H%M%S}_{exposure}s.fits"
    return Shot(
        name=name,
        unit=unit,
        type=FrameType.LIGHT,
        start=start,
        exposure_s=request.exposure_s,
        filter=filter_,
        number=number,
        true_filter=request.filters[1] if _lies(request, unit, filter_, number) else filter_,
    )


def _lies(request: Request, unit: str, filter_: str, number: int) -> bool:
    first = unit == request.units[0] and filter_ == request.filters[0]
    return first and request.lights - request.mislabelled < number <= request.lights
