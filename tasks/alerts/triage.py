"""Parse a notice and decide what to do about it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.runtime import flow_run

from tasks import naming, policies, products
from tasks.io.notices import parsing
from tasks.io.skymaps import recent_maps, sky_map_files
from tasks.records import Alert, Decision, ParsedNotice, PlanMode, SkyMap, SkyMapSummary
from tasks.records.events import Registered
from tasks.science.alerts import assembly, decisions

log = logging.getLogger(__name__)

ACCEPTED = "gw.alert.accepted"


@task(cache_policy=NO_CACHE, task_run_name="understand-{path.name}")
def understand(path: Path, topic: str | None, root: Path) -> Alert:
    """Parse a stored notice, reduce its sky maps to numbers and write them as files under ``root``.

    Raises
    ------
    UnusableData
        If the file is no notice; a broken sky map alone is a remark.
    """
    payload = parsing.read(path)
    parsed = parsing.parse(payload, topic=topic)
    sky_maps: dict[bytes, SkyMap] = {}

    def read(content: bytes) -> SkyMap:
        sky_maps[content] = sky_map_files.read(content)
        return sky_maps[content]

    alert = assembly.assemble(parsed, sha256=hashlib.sha256(payload).hexdigest(), read=read)
    tree = naming.AlertTree(root=root)
    stored = _store_maps(alert, parsed, sky_maps, tree)
    _write(tree.notice_copy(alert), payload)
    log.info("%s %s of %s understood", stored.notice.mission, stored.notice.alert_type, stored.notice.event_id)
    return stored


@task(cache_policy=NO_CACHE, task_run_name="decide-{alert.notice.event_id}-{policy}")
def decide(
    alert: Alert,
    policy: str,
    thresholds: str = "",
    registered: Registered | None = None,
    clock: datetime | None = None,
) -> Decision:
    """Apply the policy of that name, with a set of its thresholds, to an alert.

    What the same policy has said of the same notice before stands: a notice that is understood again is older, but
    nothing else.
    """
    rules = policies.load(policy, thresholds=thresholds)
    if registered and registered.decision and registered.decision.policy_sha256 == rules.sha256:
        return registered.decision
    previous = registered.previous_decision if registered else None
    decision = decisions.decide(alert, rules, previous=previous, now=clock or datetime.now(UTC))
    if registered and registered.planned:
        decision = decisions.settle(decision, alert, before=registered.previous, previous=previous)
    log.info("%s: score %s, %s", alert.notice.event_id, decision.score, decision.summary)
    return decision


@task(cache_policy=NO_CACHE, task_run_name="accept-{registered.slug}")
def accept(
    alert: Alert, registered: Registered, decision: Decision, telescopes: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Emit the event that starts a plan if the decision asks for one; return the telescopes to plan.

    ``telescopes`` replace those of the decision.
    """
    if decision.plan is not PlanMode.AUTOMATIC or not registered.counts:
        return ()
    chosen = telescopes or decision.telescopes
    emit_event(
        event=ACCEPTED,
        resource={"prefect.resource.id": f"siren.event.{registered.slug}"},
        payload={
            "event_id": registered.slug,
            "alert_type": alert.notice.alert_type,
            "telescopes": list(chosen),
            "test": registered.test,
        },
    )
    return chosen


def name_of_run() -> str:
    """Name a run of ``respond`` after its topic and the hash of its notice."""
    parameters = flow_run.get_parameters() or {}
    topic = str(parameters.get("topic") or "notice").removeprefix("gcn.").removeprefix("notices.")
    return f"respond-{naming.slug(topic)}-{str(parameters.get('sha256'))[:8]}"


def _store_maps(alert: Alert, parsed: ParsedNotice, sky_maps: Mapping[bytes, SkyMap], tree: naming.AlertTree) -> Alert:
    """Write the maps that could be read, once, and name their files in the alert; nobody need read these again."""

    def store(summary: SkyMapSummary | None) -> SkyMapSummary | None:
        if summary is None:
            return None
        path, content = tree.sky_map(alert, summary.role), parsed.maps[summary.role]
        _write(path, content)
        recent_maps.remember(path, sky_maps[content])
        return replace(summary, path=path)

    return replace(alert, sky_map=store(alert.sky_map), combined=store(alert.combined))


def _write(path: Path, content: bytes) -> None:
    """Write a file unless it is there with the same bytes."""
    if not (path.is_file() and path.read_bytes() == content):
        products.write_bytes(path, content)
