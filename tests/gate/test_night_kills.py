"""Workers and flow processes killed with -9 at random times: the night completes, the bytes are the same."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from support import night_runs, simulated, tally

pytestmark = [pytest.mark.gate, pytest.mark.server, pytest.mark.timeout(3600)]

KILLS = 20
KILLS_PER_NIGHT = 7
PARTS = (0.1, 0.5, 0.9)
UNITS = 2


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulated.make_night(tmp_path_factory.mktemp("night"), units=UNITS, filters=("r",), lights=4)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with night_runs.server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="module")
def start(night, api, tmp_path_factory):
    def begin(name: str) -> night_runs.Run:
        home = tmp_path_factory.getbasetemp() / name
        home.mkdir(exist_ok=True)
        return night_runs.Run(night=night, out=home / "out", api=api, log=home / "log.txt")

    return begin


@pytest.fixture(scope="module")
def unharmed(start):
    run = start("unharmed")
    run.finish()
    assert len(run.report().stacks) == UNITS
    return run


def same(run, unharmed) -> list[str]:
    """Return the products that differ from those of the night that nobody disturbed."""
    ours, theirs = night_runs.contents(run.out), night_runs.contents(unharmed.out)
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def test_workers_are_killed_20_times(start, unharmed):
    rng = random.Random(14)
    kills, again, different, nights, invalid = 0, 0, [], 0, []
    while kills < KILLS:
        run = start(f"worker-kills-{nights}")
        nights += 1
        own, seen = 0, {}
        while run.going and own < KILLS_PER_NIGHT and kills < KILLS:
            reached = len(night_runs.batches(run.out)) if run.out.exists() else 0
            victims = run.workers()
            # one more batch is done before the next blow, so that no task is hit by all of them
            if not victims or (own and reached <= len(seen)):
                time.sleep(0.1)
                continue
            time.sleep(rng.uniform(0, 1.5))
            again += len(night_runs.done_again(seen, night_runs.batches(run.out)))
            seen = night_runs.batches(run.out)
            try:
                os.kill(rng.choice(victims), signal.SIGKILL)
            except ProcessLookupError:
                continue
            kills, own = kills + 1, own + 1
            invalid += night_runs.invalid(run.out)
        run.finish()
        again += len(night_runs.done_again(seen, night_runs.batches(run.out)))
        different += same(run, unharmed)
        invalid += [*night_runs.invalid(run.out), *night_runs.lying(run.out)]
        assert not [each for each in run.report().rejected if each.passing]
    tally.count(
        "R14 kill -9 of a worker",
        kills=kills,
        nights=nights,
        completed=nights,
        finished_batches_done_again=again,
        products_that_differ=len(different),
        of=nights * len(night_runs.contents(unharmed.out)),
        invalid_files=len(invalid),
    )
    assert (different, invalid) == ([], [])
    assert again <= kills


def test_the_flow_is_killed_at_10_50_and_90_percent(start, unharmed):
    whole = len(night_runs.batches(unharmed.out))
    different, again, invalid, left = [], 0, [], []
    for part in PARTS:
        run = start(f"flow-kill-{part}")
        night_runs.wait_for(lambda run=run, part=part: len(night_runs.batches(run.out)) >= part * whole)
        workers = run.workers()
        run.kill()
        night_runs.wait_for(lambda workers=workers: not any(night_runs._words(pid) for pid in workers), timeout_s=60)
        invalid += night_runs.invalid(run.out)
        seen = night_runs.batches(run.out)
        second = start(f"flow-kill-{part}")
        second.finish()
        again += len(night_runs.done_again(seen, night_runs.batches(second.out)))
        different += same(second, unharmed)
        invalid += [*night_runs.invalid(second.out), *night_runs.lying(second.out)]
        left += [name for name in night_runs.left_over(second.out) if name.startswith(("work/", "masters/"))]
    tally.count(
        "R15 kill -9 of the flow at 10, 50 and 90 %",
        kills=len(PARTS),
        completed=len(PARTS),
        finished_batches_done_again=again,
        products_that_differ=len(different),
        invalid_files=len(invalid),
        scratch_left=len(left),
    )
    assert (different, invalid, left, again) == ([], [], [], 0)
