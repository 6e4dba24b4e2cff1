"""Where one machine keeps its state if nobody says otherwise: one folder, from ``SIREN_HOME`` or the user's data."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """Return the folder of all state on this machine."""
    chosen = os.environ.get("SIREN_HOME")
    return Path(chosen).expanduser().resolve() if chosen else platformdirs.user_data_path("brightsiren")
