"""Where one machine keeps everything when nobody says otherwise: one folder, from ``SIREN_HOME`` or the user's data."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """Return the folder of all state on this machine."""
    chosen = os.environ.get("SIREN_HOME")
    return Path(chosen).expanduser().resolve() if chosen else platformdirs.user_data_path("brightsiren")


def alert_root() -> Path:
    """Return the root of the alert river's files: ``SIREN_OBSERVATORY_ALERT_ROOT``, or ``alerts`` in the home."""
    chosen = os.environ.get("SIREN_OBSERVATORY_ALERT_ROOT")
    return Path(chosen).expanduser().resolve() if chosen else home() / "alerts"


def registry_url() -> str:
    """Return the registry's URL: ``SIREN_REGISTRY_URL``, or a file in the home."""
    return os.environ.get("SIREN_REGISTRY_URL") or f"sqlite:///{home()}/registry.sqlite"
