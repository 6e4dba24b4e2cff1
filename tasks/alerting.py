"""Understand a notice, decide what to do about it."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, policies, products
from tasks.io import notices, skymaps
from tasks.records import Alert, Decision, ParsedNotice, SkyMapSummary
from tasks.science import alerts, decisions

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, task_run_name="understand-{path.name}")
def understand(path: Path, topic: str | None, root: Path) -> Alert:
    """Parse a stored notice, reduce its sky maps to numbers and keep them as files under ``root``.

    Raises
    ------
    UnusableData
        If the file is no notice; a broken sky map alone is a remark.
    """
    payload = notices.read(path)
    parsed = notices.parse(payload, topic=topic)
    alert = alerts.assemble(parsed, sha256=hashlib.sha256(payload).hexdigest(), read=skymaps.read)
    kept = _keep_maps(alert, parsed, naming.AlertTree(root=root))
    log.info("%s %s of %s understood", kept.notice.mission, kept.notice.alert_type, kept.notice.event_id)
    return kept


@task(cache_policy=NO_CACHE, task_run_name="decide-{alert.notice.event_id}-{policy}")
def decide(alert: Alert, policy: str, thresholds: str = "", previous: Decision | None = None) -> Decision:
    """Apply the policy of that name, with a set of its thresholds, to an alert."""
    decision = decisions.decide(alert, policies.load(policy, thresholds=thresholds), previous=previous)
    log.info("%s: score %s, %s", alert.notice.event_id, decision.score, decision.summary)
    return decision


def _keep_maps(alert: Alert, parsed: ParsedNotice, tree: naming.AlertTree) -> Alert:
    """Write the maps that could be read, once, and name their files in the alert."""

    def keep(summary: SkyMapSummary | None) -> SkyMapSummary | None:
        if summary is None:
            return None
        path, content = tree.sky_map(alert, summary.role), parsed.maps[summary.role]
        if not (path.is_file() and path.read_bytes() == content):
            products.write_bytes(path, content)
        return replace(summary, path=path)

    return replace(alert, sky_map=keep(alert.sky_map), combined=keep(alert.combined))
