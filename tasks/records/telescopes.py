"""The record of a telescope: the content of one TOML file of ``tasks/telescopes``, with units in the names.

Ranges are part of the types, so that a wrong number in a file is refused with its name and bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

STRICT = ConfigDict(extra="forbid")
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=360)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Site:
    """A telescope's site: geodetic latitude, east longitude, height above the ellipsoid."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    latitude_deg: Latitude
    longitude_deg: Longitude
    elevation_m: float
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class FieldOfView:
    """A rectangular field on the sky, east-west by north-south."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    width_deg: Annotated[float, Field(gt=0, le=20)]
    height_deg: Annotated[float, Field(gt=0, le=20)]

    @property
    def area_deg2(self) -> float:
        """Return the area of the field, flat."""
        return self.width_deg * self.height_deg

    @property
    def smaller_deg(self) -> float:
        """Return the shorter side."""
        return min(self.width_deg, self.height_deg)

    @property
    def radius_deg(self) -> float:
        """Return the distance from the centre to a corner."""
        return math.hypot(self.width_deg, self.height_deg) / 2


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on the exposure of a tile."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    minimum_altitude_deg: Annotated[float, Field(ge=0, lt=90)] = 30.0
    moon_distance_deg: Annotated[float, Field(ge=0, le=180)] = 20.0
    declination_deg: tuple[Latitude, Latitude] = (-90.0, 90.0)
    sun_altitude_deg: Annotated[float, Field(ge=-18, le=0)] = -12.0
    minimum_observable_h: NotNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Slew rate and settling time of a mount."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    slew_deg_per_s: Positive
    settle_s: NotNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class ComputedCard:
    """A card computed from another: ``factor`` times its number, plus ``offset``."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    card: str
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, kw_only=True)
class HeaderRules:
    """How a camera's software names the facts of a frame, where it differs from the known dialects.

    ``copy_cards`` fills a missing card from the first of others that is there, ``compute`` calculates one, ``add`` gives a
    missing one a value, ``map_values`` replaces values; in this order.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    copy_cards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    compute: Mapping[str, ComputedCard] = field(default_factory=dict)
    add: Mapping[str, str | int | float] = field(default_factory=dict)
    map_values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera. ``egain_e_per_adu`` maps the header's GAIN (a setting) to e-/ADU; ``any`` stands for every other."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    readout_s: NotNegative
    name: str = ""
    pixel_scale_arcsec: Positive | None = None
    saturation_adu: Positive | None = None
    read_noise_e: NotNegative | None = None
    bias_adu: NotNegative | None = None
    egain_e_per_adu: Mapping[str, Positive] = field(default_factory=dict)
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Relative difference in scale or gain from which a frame is flagged."""
    header: HeaderRules = field(default_factory=HeaderRules)
    """How its software writes headers."""


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Exposure of one tile: ``count`` times ``seconds`` through ``filter``."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    seconds: Positive
    filter: str
    count: Annotated[int, Field(ge=1)] = 1
    magnitude: float | None = None
    """Expected depth of one exposure, in mag."""

    @property
    def total_s(self) -> float:
        """Return the open-shutter time on one tile."""
        return self.count * self.seconds


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """The fixed grid of a telescope: rings of constant declination (see ``science.tiling.rings``).

    Without given steps, they follow from the field and ``overlap``. ``count`` keeps only the first tiles.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    declination_step_deg: Positive | None = None
    ra_step_deg: Positive | None = None
    overlap: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    count: Annotated[int, Field(ge=1)] | None = None
    id_format: str = "{:07d}"


@dataclass(frozen=True, kw_only=True)
class StackGrid:
    """The pixel grid of stacks and references."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    scale_arcsec: Positive


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One of several equal telescopes on independent mounts, with its known filters."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: str
    filters: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Telescope:
    """One telescope, or one array of equal units, for planning and reduction."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,23}$")]
    site: Site
    field_of_view: FieldOfView
    mount: Mount
    camera: Camera
    exposure: Exposure
    limits: Limits = field(default_factory=Limits)
    tiling: Tiling = field(default_factory=Tiling)
    stack: StackGrid | None = None
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Known filters by kind (broad, medium, …)."""
    depth5_mag: Mapping[str, float] = field(default_factory=dict)
    """Depth at 5 sigma of one exposure, by filter."""
    units: tuple[Unit, ...] = ()
    note: str = ""

    @property
    def filter_names(self) -> frozenset[str]:
        """Return all known filters; empty if the file lists none."""
        listed = (name for kind in self.filters.values() for name in kind)
        return frozenset((*listed, *(name for unit in self.units for name in unit.filters)))

    @property
    def block_s(self) -> float:
        """Return the time from the first shutter opening on a tile to the last closing, in s."""
        return self.exposure.total_s + (self.exposure.count - 1) * self.camera.readout_s
