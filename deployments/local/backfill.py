"""Run a backfill from a terminal: the functions of the flow's tasks, without a Prefect server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path

from tasks import registry
from tasks.alerts import backfilling
from tasks.options import BackfillOptions
from tasks.records.backfills import Backfilled, Recovered, Superevent

# connections to GraceDB, which is shared with others
AT_A_TIME = 4


def fill(
    since: datetime | None, until: datetime | None, options: BackfillOptions, *, root: Path, url: str
) -> Backfilled:
    """Store the notices of a time span, or of all gaps in reception; the parameters are those of the flow.

    Raises
    ------
    Unavailable
        If GraceDB or the database does not answer. Notices stored before are kept, and a repeated call continues.
    UnusableData
        If the span is empty or has no begin.
    """
    with closing(registry.open(url)) as opened:
        spans = backfilling.spans_of(since, until, options, registry=opened, root=root)
        events = backfilling.list_events.fn(spans, options)

        def recover(event: Superevent) -> Recovered:
            return backfilling.recovered_of(event, spans, options, registry=opened, root=root)

        with ThreadPoolExecutor(max_workers=AT_A_TIME, thread_name_prefix="gracedb") as pool:
            recovered = tuple(pool.map(recover, events))
        return backfilling.conclude(spans, recovered, registry=opened, root=root)
