"""After an outage longer than the broker remembers: the notices that were missed, from GraceDB."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from prefect import flow, unmapped
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks import observatory as tasks_observatory
from tasks.alerts import backfilling
from tasks.messages import delivery
from tasks.options import BackfillOptions
from tasks.records.backfills import Backfilled

USUAL = BackfillOptions()
# four connections at most: the server is not ours
POLITE = cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=4))


@flow(name="backfill", flow_run_name="backfill-{observatory}", task_runner=POLITE)
def backfill(
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    options: BackfillOptions = USUAL,
    observatory: str = "observatory",
    registry: str = "registry",
    slack: str = "slack",
) -> Backfilled:
    """Store the notices of a time in which nothing was heard; the dispatcher makes their runs as for any others.

    A notice that came by the broker after all is the same bytes, and counts once. Its age is part of its decision: what
    is old starts no telescope by itself.

    Args:
        since: Begin of the time; the gaps in what was heard, where it is not given.
        until: End of the time; now, where it is not given.
        options: Where notices are fetched from, and what counts as a gap.
        observatory: Name of the block with the observatory's places.
        registry: Name of the block with the registry's database; empty: a file beside the alerts.
        slack: Name of the block with the Slack workspace; empty: messages are written to a folder.
    """
    root = tasks_observatory.places(observatory).alert_root
    spans = backfilling.find_gaps(since, until, options, root=root, registry=registry)
    events = backfilling.list_events(spans, options)

    recovered = backfilling.recover.map(
        events, unmapped(spans), unmapped(options), root=unmapped(root), registry=registry
    ).result()

    made = backfilling.report(spans, recovered, root=root, registry=registry)
    delivery.deliver(root=root, registry=registry, workspace=slack)
    return made
