"""Leases on plans: a process keeps its plan while it renews the lease."""

from __future__ import annotations

import logging
import sqlite3
import time
from datetime import timedelta
from pathlib import Path

import pytest
from support import alerts

from tasks import resources
from tasks.alerts import registration
from tasks.planning import leases
from tasks.records import Alert, Home
from tasks.records.events import PlanState
from tasks.registry import engine, plans
from tasks.registry.store import now

LEASE = timedelta(seconds=0.3)


@pytest.fixture(autouse=True)
def short_lease(monkeypatch):
    monkeypatch.setattr(plans, "LEASE", LEASE)


def claim(root: Path, alert: Alert) -> bool:
    with resources.registry(Home(root=root)) as book, book.begin() as session:
        return plans.claim(session, alerts.request(alert), now=now())


def states(root: Path) -> list[tuple[PlanState, str]]:
    with resources.registry(Home(root=root)) as book:
        return [(entry.state, entry.reason) for entry in book.history("S241102br").plans]


def test_a_plan_longer_than_its_lease_is_nobody_elses_until_its_process_ends(tmp_path):
    alert = alerts.gw()
    registration.register.fn(alert, home=Home(root=tmp_path))
    assert claim(tmp_path, alert)
    with leases.renewing_lease(alerts.request(alert), Home(root=tmp_path)):
        time.sleep(3 * LEASE.total_seconds())
        assert not claim(tmp_path, alert)
    time.sleep(1.1 * LEASE.total_seconds())
    assert claim(tmp_path, alert)


def test_a_plan_goes_on_while_the_registry_is_away_and_tells_again_after_it(tmp_path, monkeypatch, caplog):
    alert = alerts.gw()
    registration.register.fn(alert, home=Home(root=tmp_path))
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 20)
    assert claim(tmp_path, alert)
    with caplog.at_level(logging.WARNING), leases.renewing_lease(alerts.request(alert), Home(root=tmp_path)):
        other = sqlite3.connect(tmp_path / "registry.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(LEASE.total_seconds())
        other.execute("ROLLBACK")
        other.close()
        time.sleep(LEASE.total_seconds())
        assert not claim(tmp_path, alert)
    assert "was not renewed: the registry's database does not answer" in caplog.text


def test_a_dead_plan_is_given_up_when_a_newer_notice_came(tmp_path):
    first, second = alerts.gw(), alerts.gw(alert_type="UPDATE", minutes=9)
    registration.register.fn(first, home=Home(root=tmp_path))
    assert claim(tmp_path, first)
    time.sleep(1.1 * LEASE.total_seconds())
    assert leases.fail_abandoned_plans.fn(home=Home(root=tmp_path)) == (), "the newest notice's plan is made again"

    registration.register.fn(second, home=Home(root=tmp_path))
    assert claim(tmp_path, second)
    assert leases.fail_abandoned_plans.fn(home=Home(root=tmp_path)) == ("S241102br",)
    assert leases.fail_abandoned_plans.fn(home=Home(root=tmp_path)) == ()
    assert states(tmp_path) == [
        (PlanState.FAILED, "its process died, and a newer notice came"),
        (PlanState.RUNNING, ""),
    ]
