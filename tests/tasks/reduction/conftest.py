"""One light of one unit with all its calibration frames, for the tests of masters."""

from __future__ import annotations

from datetime import date

import pytest
from support import simulated

from tasks.records import Inventory
from tasks.reduction import inventory


@pytest.fixture(scope="session")
def one_light_night(tmp_path_factory) -> simulated.Night:
    return simulated.make_night(tmp_path_factory.mktemp("night"), filters=("r",), lights=1)


@pytest.fixture(scope="session")
def one_light(one_light_night) -> Inventory:
    return inventory.take_inventory.fn(one_light_night.folder(), "7DT01", date(2026, 1, 15))
