"""Backfill: fetch missed notices from GraceDB after an outage longer than the broker's memory."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from prefect import flow, unmapped
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.deprecated import block_keywords
from tasks import observatory
from tasks.alerts import backfilling
from tasks.messages import delivery
from tasks.options import BackfillOptions
from tasks.records import Blocks
from tasks.records.backfills import Backfilled

# at most four connections: GraceDB is shared with others
POLITE = cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=4))


@flow(name="backfill", flow_run_name="backfill-{blocks.observatory}", task_runner=POLITE)
@block_keywords("observatory", "registry", "slack")
def backfill(
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    options: BackfillOptions = BackfillOptions(),
    blocks: Blocks = Blocks(),
) -> Backfilled:
    """Store the notices of a time in which the listener received nothing; the dispatcher starts their runs.

    A notice that the broker delivers as well has the same bytes and is stored once. Decisions depend on the notice's age, so
    an old notice starts no automatic plan.

    Args:
        since: Begin of the time; if it is not given, the gaps in what was received.
        until: End of the time; now, if it is not given.
        options: Address of GraceDB, and the definition of a gap.
        blocks: Names of the blocks with places, registry and Slack.
    """
    home = observatory.home(blocks)
    spans = backfilling.find_gaps(since, until, options, home)
    events = backfilling.list_events(spans, options)

    recovered = backfilling.recover.map(events, unmapped(spans), unmapped(options), unmapped(home)).result()

    backfilled = backfilling.report(spans, recovered, home)
    delivery.deliver(home)
    return backfilled
