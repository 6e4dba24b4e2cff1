"""Every program of ours against every misbehaviour."""

from __future__ import annotations

import os
from itertools import product

import pytest
from support import fakes, tally

pytestmark = pytest.mark.gate

DEADLINE_S = 0.5
GRACE_S = 5.0


def test_every_fake_is_caught_within_5_s_of_the_deadline(tmp_path, monkeypatch):
    path = os.environ["PATH"]
    outcomes = {}
    for number, (program, how) in enumerate(product(fakes.WRAPPERS, fakes.MISBEHAVIOUR)):
        home = tmp_path / str(number)
        monkeypatch.setenv("PATH", f"{fakes.install(home, program, how)}:{path}")
        outcomes[program, how] = fakes.suffer(home, program, timeout_s=DEADLINE_S)

    believed = [key for key, each in outcomes.items() if each.error is None]
    late = [key for key, each in outcomes.items() if each.seconds > DEADLINE_S + GRACE_S]
    alive = [key for key, each in outcomes.items() if each.left_alive]
    tally.count(
        "R12 fakes that hang, crash, lie or truncate",
        fakes=len(outcomes),
        caught=len(outcomes) - len(believed),
        left_running=len(alive),
        s_at_most=round(max(each.seconds for each in outcomes.values()), 2),
        s_deadline=DEADLINE_S,
    )
    assert (believed, late, alive) == ([], [], [])
