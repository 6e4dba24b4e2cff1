"""Rank a night's candidates by an event's sky map."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.errors import UnusableData
from tasks.io.nights import ranking_table, stage_results
from tasks.io.skymaps import sky_map_files
from tasks.records import Alert, Candidate, Places, Ranking, Stage
from tasks.science.candidates import sky_map_ranking

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, task_run_name="rank-{night}")
def rank(alert: Alert, night: date, places: Places) -> Ranking:
    """Join a night's candidates into sources and order them by the event's best sky map.

    Raises
    ------
    UnusableData
        If the event has no sky map, or the night has not been searched.
    """
    best = alert.best_map
    if best is None or best.path is None:
        raise UnusableData(f"event {alert.notice.event_id} has no sky map to rank candidates against")
    sources = sky_map_ranking.sources(_candidates(places.product_root, night), sky_map_files.read(best.path))
    log.info("%s: %d sources of %s ranked", alert.notice.event_id, len(sources), night)
    return Ranking(event_id=naming.event_slug(alert.notice), night=night, sources=sources)


@task(cache_policy=NO_CACHE, task_run_name="write-ranking-{ranked.night}")
def write(ranked: Ranking, alert: Alert, root: Path) -> Path:
    """Write the ranking as a table beside the event's page and show it on the run's page."""
    file = naming.AlertTree(root=root).event(alert.notice) / f"candidates-{ranked.night}.csv"
    products.write_text(file, ranking_table.csv_text(ranked))
    rows = ranking_table.rows(ranked)
    create_table_artifact(rows, key="event-candidates", description=f"{ranked.event_id} on {ranked.night}")
    return file


def _candidates(root: Path, night: date) -> list[Candidate]:
    ledger_files = sorted(naming.NightTree(root=root).report(night).glob(f"*/{Stage.SEARCH}.json"))
    if not ledger_files:
        raise UnusableData(f"night {night} has not been searched: run the flow night first")
    return [candidate for file in ledger_files for candidate in stage_results.read_stage(file).candidates]
