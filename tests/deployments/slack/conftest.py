"""Fixtures of the tests of what listens to Slack."""

from __future__ import annotations

from support.desk import app, clock, desk, empty, planner, root, store, top, workspace

__all__ = ["app", "clock", "desk", "empty", "planner", "root", "store", "top", "workspace"]
