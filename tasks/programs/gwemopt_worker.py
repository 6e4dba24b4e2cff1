"""The process in which gwemopt runs: ``python -m tasks.programs.gwemopt_worker REQUEST.json``.

A separate process, because importing gwemopt takes seconds, creates folders in the home directory and prints. It reads
the files of ``tasks.programs.gwemopt`` beside the request and writes ``schedule.json`` there. gwemopt's sky-map reader
is not used: it rasterises the whole sky, needs distances and takes most of a run's time.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import astropy.units as u
import gwemopt.coverage
import gwemopt.moc
import gwemopt.params
import gwemopt.segments
import gwemopt.tiles
import numpy as np
from astropy.table import Table
from astropy.time import Time
from astropy.utils import iers
from gwemopt.args import parse_args


def main(request_file: Path) -> None:
    """Plan the telescopes of a request one after the other; covered probability is reduced for the next ones."""
    iers.conf.auto_download = False
    folder = request_file.parent
    gwemopt.params.CONFIG_DIR = gwemopt.moc.CONFIG_DIR = folder
    gwemopt.params.TESSELATION_DIR = folder
    request = json.loads(request_file.read_bytes())
    sky_map = Table.read(folder / "cells.fits")
    first = np.ones(len(sky_map), dtype=bool)
    schedule = {}
    for job in request["jobs"]:
        schedule[job["telescope"]], footprint = plan(job, request, sky_map)
        if footprint is not None:
            seen = footprint.contains_lonlat(sky_map["RA"] * u.deg, sky_map["DEC"] * u.deg)
            sky_map["PROBDENSITY"][seen & first] *= request["second_look"]
            first &= ~seen
    (folder / "schedule.json").write_text(json.dumps({"telescopes": schedule}))


def plan(job: dict[str, Any], request: dict[str, Any], sky_map: Table) -> tuple[list[dict[str, float]], Any]:
    """Return one telescope's tiles with their starts (MJD UTC), and the MOC of their footprints or None."""
    params = parameters(job, request)
    params = gwemopt.segments.get_telescope_segments(params)
    # gwemopt derives the length of a slot from the first two: with fewer it cannot plan
    if len(params["config"][job["telescope"]]["exposurelist"]) < 2:
        return [], None
    map_struct = {"skymap": sky_map.copy(), "skymap_schedule": sky_map.copy()}
    footprints = gwemopt.moc.create_moc(params, map_struct=map_struct)
    tiles = gwemopt.tiles.moc(params, map_struct, footprints)
    _, coverage = gwemopt.coverage.timeallocation(params, map_struct, tiles)
    rows = [{"number": int(row[5]), "start_mjd": float(row[2])} for row in coverage["data"]]
    chosen = [footprints[job["telescope"]][row["number"]]["moc"] for row in rows]
    return rows, (chosen[0].union(*chosen[1:]) if chosen else None)


def parameters(job: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Return gwemopt's parameters for one telescope: one exposure per tile, one filter, no repeats."""
    words = ["--doTiles", "--doSchedule", "--doSingleExposure", "--timeallocationType", "powerlaw"]
    words += ["--scheduleType", "greedy", "--telescopes", job["telescope"], "--event", "event"]
    words += ["--filters", job["filter"], "--exposuretimes", str(job["exposure_s"])]
    words += ["--airmass", str(1 / math.sin(math.radians(max(job["minimum_altitude_deg"], 1.0))))]
    words += ["--max_nb_tiles", str(request["tiles"]), "--Tobs", f"0.0,{request['hours'] / 24}"]
    params = dict(gwemopt.params.params_struct(parse_args(words)))
    params["gpstime"] = Time(request["start"], scale="utc").gps
    table = params["config"][job["telescope"]]
    table["tesselation"] = np.atleast_2d(table["tesselation"])
    return params


if __name__ == "__main__":
    main(Path(sys.argv[1]))
