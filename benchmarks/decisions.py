"""B7: notice bytes to decision, against ligo.skymap's crossmatch on the same map.

Uses the real notices beside the checkout if there are any, and a simulated one.
"""

from __future__ import annotations

import functools
import io
import time
from pathlib import Path

import numpy as np
from ligo.skymap.distance import parameters_to_marginal_moments
from ligo.skymap.io import read_sky_map
from ligo.skymap.moc import uniq2pixarea
from ligo.skymap.postprocess import crossmatch

from benchmarks import harness
from benchmarks.harness import Gate, Report, Row, Setting
from tasks import policies, simulation
from tasks.io.notices import parsing
from tasks.io.skymaps import sky_map_files
from tasks.records import Alert, Policy
from tasks.science.alerts import assembly, decisions
from tasks.science.simulation.alerts import AlertRequest

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "notices"
POLICY = "sevendt"
CALLS, QUICK_CALLS = 400, 60
TARGET_MS = {50: 5.0, 99: 15.0}
AREA_TOLERANCE = 1e-3
# the simulated notice is always available; its peer takes seconds, so one is enough
WHOLE = "notice"


def run(setting: Setting) -> Report:
    policy = policies.load(POLICY)
    rows = []
    for path in _notices(setting.folder):
        payload = path.read_bytes()
        alert = _understand(payload)
        if alert.sky_map is not None:
            rows += _rows(path.stem, payload, alert, policy, setting)
    return Report(
        name="b7",
        title="Notice bytes to decision",
        rows=tuple(rows),
        notes=(
            (
                "Ours parses and checks the notice, decodes and reads its map, works out 50 and 90 % areas, distance with "
                "quantiles, the seed's figures and the peak, and applies a policy. The peer gets the map's bytes from the "
                "parsed notice and decides nothing: crossmatch for the areas and parameters_to_marginal_moments for the "
                "distance; the plain call crossmatch(map, contours=(0.5, 0.9)) also works out volumes, which ours does not."
            ),
        ),
    )


def _rows(name: str, payload: bytes, alert: Alert, policy: Policy, setting: Setting) -> list[Row]:
    ours = functools.partial(_decide, payload, policy)
    content = next(iter(parsing.parse(payload).maps.values()))
    same, whole = functools.partial(_areas_and_distance, content), functools.partial(_crossmatch, content)
    summary = alert.sky_map
    gates = [
        Gate(what=f"area {level} % differs by", value=abs(mine / theirs - 1), limit=AREA_TOLERANCE)
        for level, mine, theirs in zip((50, 90), (summary.area50_deg2, summary.area90_deg2), same(), strict=True)
    ]
    taken = _latencies(ours, QUICK_CALLS if setting.quick else CALLS)
    figures = {share: float(np.percentile(taken, share)) * 1e3 for share in TARGET_MS}
    met = all(figures[share] <= limit for share, limit in TARGET_MS.items())
    rows = [
        Row(
            what=f"{name} ({summary.rows} rows): latency, target p50 ≤ 5 ms, p99 ≤ 15 ms",
            figure=", ".join(f"p{share} {value:.1f} ms" for share, value in figures.items()),
            met=met,
        ),
        harness.versus(f"{name}: against areas and distance alone", ours, same, repeats=setting.repeats, gates=gates),
    ]
    if name == WHOLE:
        what = f"{name}: against the plain call, volumes and all"
        rows.append(harness.versus(what, ours, whole, repeats=setting.repeats, target=20.0, gates=gates))
    return rows


def _notices(folder: Path) -> list[Path]:
    """Return the notices to decide: real ones if there are any, and always a simulated one."""
    simulation.make_alert(folder, AlertRequest(seed=1))
    real = sorted(REAL.glob("S2*.json")) if REAL.is_dir() else []
    return [*(path for path in real if "edited" not in path.name), folder / "notice.json"]


def _understand(payload: bytes) -> Alert:
    return assembly.assemble(parsing.parse(payload), sha256="0" * 64, read=sky_map_files.read)


def _decide(payload: bytes, policy: Policy) -> object:
    return decisions.decide(_understand(payload), policy)


def _areas_and_distance(content: bytes) -> tuple[float, float]:
    """Let the peer do the same work on a map as ours, and no more."""
    table = read_sky_map(io.BytesIO(content), moc=True)
    if "DISTMU" in table.colnames:
        probability = table["PROBDENSITY"] * uniq2pixarea(table["UNIQ"])
        parameters_to_marginal_moments(
            np.asarray(probability), np.asarray(table["DISTMU"]), np.asarray(table["DISTSIGMA"])
        )
    return tuple(crossmatch(table["UNIQ", "PROBDENSITY"], contours=(0.5, 0.9)).contour_areas)


def _crossmatch(content: bytes) -> object:
    return crossmatch(read_sky_map(io.BytesIO(content), moc=True), contours=(0.5, 0.9))


def _latencies(call: functools.partial, number: int) -> list[float]:
    taken = []
    for _ in range(number):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return taken
