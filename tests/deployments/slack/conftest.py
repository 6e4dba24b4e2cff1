"""Fixtures of the tests of the Slack app."""

from __future__ import annotations

from support.slack_buttons import app, clock, empty, handler, planner, root, store, top, workspace

__all__ = ["app", "clock", "empty", "handler", "planner", "root", "store", "top", "workspace"]
