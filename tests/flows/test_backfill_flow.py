"""The flow ``backfill`` from the gap in the registry to the operators' message."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import bulletins, gracedb

from blocks import Observatory
from flows.alerts.backfill import backfill
from tasks import resources
from tasks.options import BackfillOptions
from tasks.records import LOCAL, Home

pytestmark = pytest.mark.usefixtures("prefect_api")


def test_a_span_is_filled_and_told(tmp_path: Path) -> None:
    logging.getLogger("prefect").setLevel(logging.WARNING)
    Observatory(alert_root=str(tmp_path)).save("observatory", overwrite=True)
    since, until = (datetime(2026, 1, day, tzinfo=UTC) for day in (15, 16))
    with gracedb.server() as site:
        for letter in "abc":
            name = f"S260115{letter}"
            files = {f"{name}-preliminary.json": bulletins.gw(name)}
            site.add(name, created="2026-01-15 22:31:00 UTC", files=files)
        made = backfill(since, until, options=BackfillOptions(url=site.url), blocks=LOCAL)
        none = backfill(options=BackfillOptions(url=site.url), blocks=LOCAL)

    assert (made.events, made.new, made.known) == (3, 3, 0)
    assert (none.spans, none.events) == ((), 0), "nobody has listened yet: there is no gap"
    with resources.registry(Home(root=tmp_path)) as book:
        assert len(book.undispatched()) == 3
    texts = [json.dumps(json.loads(path.read_bytes())) for path in (tmp_path / "outbox").rglob("*.json")]
    assert any("3 missed notices" in text for text in texts)
