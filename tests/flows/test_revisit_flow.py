"""The flow ``revisit``: a burst of Swift that was announced, looked at again, with a server that knows the next run."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from support import bat_site

from blocks import Observatory
from flows.alerts.respond import respond
from flows.alerts.revisit import revisit
from tasks.alerts import revisits
from tasks.options import RevisitOptions
from tasks.records.blocks import LOCAL

EVENT = "Swift_1423875"
# of the notice: its ISOTime
TRIGGER = datetime(2025, 12, 14, 9, 2, 17, 540000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def root(prefect_api: None, shared_data: Path, tmp_path: Path) -> Path:
    """Respond to the real notice of a burst, with a deployment of ``revisit`` on the server."""
    Observatory(alert_root=str(tmp_path)).save("observatory", overwrite=True)
    logging.getLogger("prefect").setLevel(logging.WARNING)
    revisit.to_deployment(revisits.REVISIT.split("/")[1]).apply()
    notice = shared_data / "notices" / "swift_bat_type61.xml"
    made = respond(notice, hashlib.sha256(notice.read_bytes()).hexdigest(), blocks=LOCAL)
    assert made.event_id == EVENT
    return tmp_path


@pytest.fixture
def site() -> Iterator[tuple[type[bat_site.Pages], RevisitOptions]]:
    with bat_site.site() as (handler, url):
        yield handler, RevisitOptions(bat_page=True, bat_url=url)


def scheduled() -> list[FlowRun]:
    """Return the runs of the deployment that wait for their moment."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs()
    return [run for run in runs if run.deployment_id and run.parameters.get("event_id") == EVENT]


def said(root: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted((root / "outbox").rglob("*.md"))]


def test_what_is_new_is_told_and_the_next_look_made_for_its_moment_once(root, site, monkeypatch) -> None:
    """The page's early form has a fluence and no spectrum: it is looked at again until 6 h after the trigger."""
    pages, options = site
    pages.answers += [bat_site.EARLY, bat_site.EARLY, bat_site.COMPLETE]
    before = {run.id for run in scheduled()}

    monkeypatch.setattr(revisits, "now", lambda: TRIGGER + 6 * MINUTE)
    moments = [revisit(EVENT, options=options, blocks=LOCAL) for _ in range(2)]

    assert pages.asked == ["/BATbursts/1423875/bascript/top.html"] * 2
    assert moments == [TRIGGER + 10 * MINUTE] * 2
    [run] = [run for run in scheduled() if run.id not in before]
    assert abs(run.expected_start_time - moments[0]) < timedelta(seconds=1)
    assert run.parameters["options"]["bat_url"] == options.bat_url
    assert len([text for text in said(root) if "BAT analysis" in text]) == 1

    monkeypatch.setattr(revisits, "now", lambda: TRIGGER + 20 * MINUTE)
    assert revisit(EVENT, options=options, blocks=LOCAL) is None
    assert len([each for each in scheduled() if each.id not in before]) == 1
    assert any("1.220e-07" in text for text in said(root))
    assert len([text for text in said(root) if "no XRT position" in text]) == 1
