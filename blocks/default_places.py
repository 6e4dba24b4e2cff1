"""Default folder of all state on a machine: ``SIREN_HOME``, or the user's data folder."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """Return the folder of all state on this machine."""
    chosen = os.environ.get("SIREN_HOME")
    return Path(chosen).expanduser().resolve() if chosen else platformdirs.user_data_path("brightsiren")
