"""gwemopt, the planner of the LVK follow-up community, run as one process for all telescopes of a plan.

It gets only promising tiles and a map restricted to them, and returns tiles with start times. All other numbers of a
plan (probability, area, airmass, reasons) are computed by our own code, for every engine alike.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from pydantic import TypeAdapter, ValidationError

from tasks.errors import ProgramError
from tasks.options import PlanOptions
from tasks.programs import run
from tasks.records import Telescope

log = logging.getLogger(__name__)

MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
# gwemopt's own default when a telescope's file gives no depth; it does not change the order of tiles
DEFAULT_MAGNITUDE = 20.0


@dataclass(frozen=True, kw_only=True, eq=False)
class TelescopeTiles:
    """One telescope and the tiles (n, 2: right ascension and declination in degrees) that it may observe."""

    telescope: Telescope
    centres_deg: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Map:
    """The map as disjoint pixels: UNIQ, probability per sr, and the centres in degrees, each of shape (n,)."""

    uniq: npt.NDArray[np.int64]
    density: npt.NDArray[np.float64]
    ra_deg: npt.NDArray[np.float64]
    dec_deg: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A chosen tile, by its row among the given ones, and its start."""

    row: int
    start: datetime


@dataclass(frozen=True, kw_only=True)
class ScheduledTile:
    """A tile in the process's output, numbered from 1."""

    number: int
    start_mjd: float


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The process's output."""

    telescopes: Mapping[str, tuple[ScheduledTile, ...]]


def command(request_file: Path) -> list[str]:
    """Return the command line that plans a request."""
    return [sys.executable, "-m", "tasks.programs.gwemopt_worker", str(request_file)]


def plan(
    jobs: Sequence[TelescopeTiles],
    sky_map: Map,
    *,
    start: datetime,
    options: PlanOptions,
    folder: Path,
    cancel_folder: Path | None = None,
) -> dict[str, tuple[Choice, ...]]:
    """Run gwemopt once for all ``jobs`` and return the chosen tiles, by telescope, in order of time.

    ``folder`` is a scratch folder and the process's home. Probability covered by earlier jobs counts for later ones only
    with the weight ``options.second_look``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_map(sky_map, folder / "cells.fits")
    for job in jobs:
        _write_telescope(job, folder)
    request = {
        "start": start.replace(tzinfo=None).isoformat(),
        "hours": options.hours,
        "tiles": options.tiles,
        "second_look": options.second_look,
    }
    request_file = folder.resolve() / "request.json"
    request_file.write_text(json.dumps({**request, "jobs": [_described(job.telescope) for job in jobs]}))
    finished = run.run(
        command(request_file),
        folder=folder,
        timeout_s=options.program_timeout_s,
        environment={"HOME": str(folder.resolve()), "PYTHONWARNINGS": "ignore"},
        cancel_folder=cancel_folder,
    )
    log.info("gwemopt planned %d telescopes in %.1f s", len(jobs), finished.seconds)
    return parse(folder / "schedule.json", {job.telescope.name: len(job.centres_deg) for job in jobs})


def parse(schedule_file: Path, given: Mapping[str, int]) -> dict[str, tuple[Choice, ...]]:
    """Read a schedule and check it: known telescopes, known tiles without repetition, finite starts."""
    try:
        schedule = TypeAdapter(Schedule).validate_json(schedule_file.read_bytes())
    except (OSError, ValidationError) as error:
        raise ProgramError(f"gwemopt left no readable schedule: {error}") from error
    if unknown := sorted(set(schedule.telescopes) - set(given)):
        raise ProgramError(f"gwemopt planned telescopes that were not given: {', '.join(unknown)}")
    return {name: _checked(name, rows, given[name]) for name, rows in schedule.telescopes.items()}


def _checked(name: str, rows: Sequence[ScheduledTile], given: int) -> tuple[Choice, ...]:
    numbers = [row.number for row in rows]
    if len(set(numbers)) < len(numbers) or any(not 1 <= number <= given for number in numbers):
        raise ProgramError(f"gwemopt's tiles for {name} repeat or are not among the {given} given: {numbers[:20]}")
    if not all(math.isfinite(row.start_mjd) for row in rows):
        raise ProgramError(f"gwemopt gave {name} a start that is no time")
    ordered = sorted(rows, key=lambda row: row.start_mjd)
    return tuple(Choice(row=row.number - 1, start=MJD_EPOCH + timedelta(days=row.start_mjd)) for row in ordered)


def config_text(telescope: Telescope) -> str:
    """Return a telescope in gwemopt's format.

    The field is a polygon even if it is square: gwemopt passes a square's side to a function that expects half of it, and
    would plan with fields twice too wide and high.
    """
    limits, exposure = telescope.limits, telescope.exposure
    lines = {
        "filt": exposure.filter,
        "magnitude": exposure.magnitude or DEFAULT_MAGNITUDE,
        "exposuretime": telescope.block_s,
        "latitude": telescope.site.latitude_deg,
        "longitude": telescope.site.longitude_deg,
        "elevation": telescope.site.elevation_m,
        "FOV": f"{telescope.name}.reg",
        "FOV_type": "region",
        "FOV_coverage": f"{telescope.name}.reg",
        "FOV_coverage_type": "region",
        "tesselationFile": f"{telescope.name}.tess",
        "horizon": limits.minimum_altitude_deg,
        "moon_constraint": limits.moon_distance_deg,
        "min_observability_duration": limits.minimum_observable_h,
        "slew_rate": telescope.mount.slew_deg_per_s,
        "readout": telescope.camera.readout_s,
        "overhead_per_exposure": telescope.camera.readout_s + telescope.mount.settle_s,
        "filt_change_time": 0.0,
    }
    lowest, highest = limits.declination_deg
    return "".join(f"{key} {value}\n" for key, value in lines.items()) + f"dec_constraint {lowest},{highest}\n"


def _described(telescope: Telescope) -> dict[str, str | float]:
    return {
        "telescope": telescope.name,
        "filter": telescope.exposure.filter,
        "exposure_s": telescope.block_s,
        "minimum_altitude_deg": telescope.limits.minimum_altitude_deg,
    }


def _write_telescope(job: TelescopeTiles, folder: Path) -> None:
    name, view = job.telescope.name, job.telescope.field_of_view
    x, y = view.width_deg / 2, view.height_deg / 2
    polygon = ",".join(f"{value:.6f}" for value in (-x, -y, x, -y, x, y, -x, y))
    rows = [f"{row + 1} {ra:.7f} {dec:.7f}\n" for row, (ra, dec) in enumerate(job.centres_deg)]
    (folder / f"{name}.config").write_text(config_text(job.telescope))
    (folder / f"{name}.reg").write_text(f"# Region file format: DS9\nicrs\npolygon({polygon})\n")
    (folder / f"{name}.tess").write_text("".join(rows))


def _write_map(sky_map: Map, path: Path) -> None:
    columns = [
        fits.Column(name="UNIQ", format="K", array=sky_map.uniq),
        fits.Column(name="PROBDENSITY", format="D", unit="sr-1", array=sky_map.density),
        fits.Column(name="RA", format="D", array=sky_map.ra_deg),
        fits.Column(name="DEC", format="D", array=sky_map.dec_deg),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    table.header["ORDERING"] = "NUNIQ"
    table.writeto(path, overwrite=True)
