"""The demonstration: simulate an alert and a night, take both through everything, hold the result against the truth."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord

from deployments.server import temporary_server
from flows.rehearse import rehearse
from tasks import naming, products, simulation
from tasks.errors import UnusableData
from tasks.io.notices import parsing
from tasks.options import PlanOptions
from tasks.records import LOCAL, Places, Rehearsal
from tasks.science.simulation import alerts
from tasks.science.simulation.plan import SCALES, Request

log = logging.getLogger(__name__)

STATE = ".siren"
TELESCOPES = ("7DT", "TCH", "TRE")
FOUND_ARCSEC = 1.5

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """What a demonstration came to, and how many of the simulated transients the night found."""

    rehearsal: Rehearsal
    transients: int
    found: int
    seconds: float
    outbox: Path
    store: Path


def demonstrate(out: Path, *, notice: Path | None, seed: int, say: Say, scale: str = "small") -> Demonstration:
    """Make an alert and a night under ``out`` where they are not there yet, and rehearse them.

    Parameters
    ----------
    out
        Folder of the demonstration: new, empty, or that of an earlier one.
    notice
        A real notice to use instead of the simulated one.
    seed
        Seed of the simulation.
    say
        Called with a line for each step.
    scale
        Size of the simulated frames: tiny (of one unit), small or full (of two).

    Raises
    ------
    UnusableData
        If ``out`` holds anything else, or the notice cannot be read.
    """
    started = time.monotonic()
    out = _claim(out)
    payload = parsing.read(notice) if notice else None
    truth = _night(out / "night", _request(scale, seed), say)
    payload = payload or _alert(out / "alert", seed, truth, say)
    places = _places(out)
    stored = _store(payload, places)
    clock = _clock(payload)
    say("starting a Prefect server of its own (15 s) ...")
    with temporary_server.prefect(out / STATE):
        temporary_server.place(places)
        say(f"responding to the notice: decide, plan {', '.join(TELESCOPES)} with gwemopt, tell everybody;")
        say("then reducing the night: calibrate, solve, measure, stack, subtract, search (two minutes) ...")
        made = rehearse(
            stored,
            stored.name,
            truth["night"],
            TELESCOPES,
            options=PlanOptions(hours=12.0),
            clock=clock,
            blocks=LOCAL,
        )
    return Demonstration(
        rehearsal=made,
        transients=len(truth["transients"]),
        found=_found(made, truth),
        seconds=time.monotonic() - started,
        outbox=places.alert_root / "outbox",
        store=places.alert_root / "store",
    )


def facts(made: Demonstration) -> dict[str, Any]:
    """Return a demonstration's facts for a program."""
    response, report = made.rehearsal.response, made.rehearsal.report
    plans = {plan.telescope: len(plan.tiles) for plan in made.rehearsal.plans}
    return {
        "pages": [str(page) for page in (response.page, report.page) if page],
        "seconds": round(made.seconds, 1),
        "found": made.found,
        "transients": made.transients,
        "event": response.event_id,
        "rejected": response.rejected,
        "action": response.decision.action if response.decision else None,
        "plans": plans,
        "frames": {"ok": report.frames_ok, "rejected": len(report.rejected)},
        "stacks": len(report.stacks),
        "candidates": len([each for each in report.candidates if not each.flags]),
        "outbox": str(made.outbox),
        "store": str(made.store),
    }


def words(made: Demonstration) -> str:
    """Return a demonstration for a person."""
    response, report = made.rehearsal.response, made.rehearsal.report
    return "\n".join(
        [
            "",
            *_alert_words(made),
            "",
            (
                f"Night {report.night}: {report.frames_ok} frames reduced, {len(report.rejected)} left out with a reason, "
                f"{len(report.stacks)} stacks."
            ),
            f"  {made.found} of {made.transients} simulated transients found.",
            *(f"  left out: {each.name}: {each.cause}" for each in report.rejected),
            "",
            f"Done in {made.seconds:.0f} s. Open in a browser:",
            *(f"  {page}" for page in (response.page, report.page) if page),
            f"Messages as Slack would get them: {made.outbox}",
            f"Files as the store would get them: {made.store}",
        ]
    )


def _alert_words(made: Demonstration) -> list[str]:
    response = made.rehearsal.response
    if response.alert is None or response.decision is None:
        return [f"The notice was not understood: {response.rejected}", f"  kept: {response.dead_letter}"]
    lines = [(f"Event {response.event_id}: {response.alert.notice.alert_type}, {response.decision.summary}")]
    for plan in made.rehearsal.plans:
        outcome = f"{len(plan.tiles)} tiles, {plan.probability:.0%} of the probability, {plan.area_deg2:.0f} deg²"
        lines.append(f"  {plan.telescope}: {outcome if plan.tiles else plan.reason}")
    return lines if made.rehearsal.plans else [*lines, "  no plan: the decision asks for none"]


def _claim(out: Path) -> Path:
    """Make the folder of a demonstration, or take up that of an earlier one; touch no other."""
    out = out.resolve()
    try:
        if out.exists() and any(out.iterdir()) and not (out / STATE).is_dir():
            raise UnusableData(f"{out} is neither empty nor an earlier demonstration: choose another folder with --out")
        (out / STATE).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnusableData(f"folder {out} cannot be used: {error.strerror}") from error
    return out


def _request(scale: str, seed: int) -> Request:
    """Ask for a night of as many units as the scale has, with two spoilt frames."""
    return Request(scale=scale, units=Request().units[: SCALES[scale].units], seed=seed, corrupt=2)


def _night(folder: Path, request: Request, say: Say) -> dict[str, Any]:
    """Make the night unless it is there with the same seed and scale; return its truth."""
    truth = folder / "truth.json"
    there = json.loads(truth.read_bytes()) if truth.is_file() else {}
    if (there.get("seed"), there.get("scale")) != (request.seed, request.scale):
        say(f"simulating a night of {', '.join(request.units)} in {folder} (half a minute) ...")
        simulation.make_night(folder, request)
    known: dict[str, Any] = json.loads(truth.read_bytes())
    return {**known, "night": datetime.fromisoformat(known["night"]).date()}


def _alert(folder: Path, seed: int, truth: dict[str, Any], say: Say) -> bytes:
    """Make an alert whose source lies in the night's field; return the notice."""
    say(f"simulating the alert in {folder} ...")
    centre = truth["centre"]
    request = alerts.AlertRequest(seed=seed, ra_deg=centre["ra_deg"], dec_deg=centre["dec_deg"], coincidence=True)
    simulation.make_alert(folder, request)
    return (folder / "notice.json").read_bytes()


def _places(out: Path) -> Places:
    night = out / "night"
    return Places(
        raw_root=night / "obsdata",
        product_root=out / "products",
        alert_root=out / "alerts",
        references=night / "references",
        astrometric_catalogue=night / "catalogues" / "astrometric.ldac.fits",
        photometric_catalogue=night / "catalogues" / "photometric.fits",
    )


def _store(payload: bytes, places: Places) -> Path:
    sha256 = hashlib.sha256(payload).hexdigest()
    path = naming.AlertTree(root=places.alert_root).notice(sha256, datetime.now(UTC).date())
    products.write_bytes(path, payload)
    return path


def _clock(payload: bytes) -> datetime | None:
    """Plan from the notice's own time, as if it had just come."""
    try:
        notice = parsing.parse(payload).notice
    except UnusableData:
        return None  # the flow buries it with the reason
    return notice.time_created or notice.time


def _found(made: Rehearsal, truth: dict[str, Any]) -> int:
    """Count the simulated transients that have a surviving candidate within 1.5 arcsec."""
    kept = [each for each in made.report.candidates if not each.flags]
    if not kept:
        return 0
    sky = SkyCoord([each.ra_deg for each in kept], [each.dec_deg for each in kept], unit="deg")
    there = [SkyCoord(row["ra_deg"], row["dec_deg"], unit="deg") for row in truth["transients"]]
    return int(sum(np.any(sky.separation(place).arcsec < FOUND_ARCSEC) for place in there))
