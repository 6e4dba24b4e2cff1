"""Workers and flow processes killed with -9 at random times: the night completes, the bytes are the same."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from prefect.client.orchestration import get_client
from support import night_runs, simulated, tally

from deployments.server import automations

pytestmark = [pytest.mark.gate, pytest.mark.server, pytest.mark.timeout(3600)]

KILLS = 20
KILLS_PER_NIGHT = 7
# the longest rerun comes last: meanwhile the server finds out about the runs that were killed
PARTS = (0.9, 0.5, 0.1)
# what a rerun may do beyond what remained, and how long a dead run may be called running
MORE = 0.05
LONGEST_SILENCE_S = 300.0
UNITS = 2


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulated.make_night(tmp_path_factory.mktemp("night"), units=UNITS, filters=("r",), lights=4)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with night_runs.temporary_prefect(tmp_path_factory.mktemp("server")) as address:
        with get_client(sync_client=True) as client:
            automations.upsert(client, automations.crash_silent_runs())
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
    whole = night_runs.batches(unharmed.out)
    different, again, invalid, left, rows, killed = [], 0, [], [], [], {}
    for part in PARTS:
        run = start(f"flow-kill-{part}")
        night_runs.wait_for(lambda run=run, part=part: len(night_runs.batches(run.out)) >= part * len(whole))
        workers = run.workers()
        run.kill()
        moment = time.monotonic()
        killed |= dict.fromkeys(night_runs.runs("Running") - killed.keys(), moment)
        night_runs.wait_for(lambda workers=workers: not any(night_runs._words(pid) for pid in workers), timeout_s=60)
        invalid += night_runs.invalid(run.out)
        seen = night_runs.batches(run.out)
        second = start(f"flow-kill-{part}")
        second.finish()
        done = night_runs.batches(second.out)
        again += len(night_runs.done_again(seen, done))
        rows.append((len(whole) - len(seen), sum(done[name] != seen.get(name) for name in done), second.seconds))
        different += same(second, unharmed)
        invalid += [*night_runs.invalid(second.out), *night_runs.lying(second.out)]
        left += [name for name in night_runs.left_over(second.out) if name.startswith(("work/", "masters/"))]
    longest, revived = silence(killed)
    tally.count(
        "R15 kill -9 of the flow at 90, 50 and 10 %",
        kills=len(PARTS),
        completed=len(PARTS),
        batches=len(whole),
        remaining=[remaining for remaining, _, _ in rows],
        made_by_the_rerun=[made for _, made, _ in rows],
        s_rerun=[round(seconds) for _, _, seconds in rows],
        s_unharmed=round(unharmed.seconds),
        finished_batches_done_again=again,
        products_that_differ=len(different),
        invalid_files=len(invalid),
        scratch_left=len(left),
        runs_killed=len(killed),
        s_until_crashed_at_most=round(longest),
        finished_runs_turned_crashed=len(revived),
    )
    assert (different, invalid, left, again) == ([], [], [], 0)
    assert all(made <= remaining * (1 + MORE) for remaining, made, _ in rows)
    assert killed
    assert longest <= LONGEST_SILENCE_S
    assert revived == []


def silence(killed: dict[str, float]) -> tuple[float, list[str]]:
    """Wait until every killed run is known to be dead; return the longest wait, and who else is called crashed.

    ``killed`` are runs with the moment at which their process died.
    """
    waited = {}
    while len(waited) < len(killed):
        crashed = night_runs.runs("Crashed")
        waited |= {run: time.monotonic() - killed[run] for run in crashed & killed.keys() - waited.keys()}
        if time.monotonic() > max(killed.values()) + 2 * LONGEST_SILENCE_S:
            return float("inf"), []
        time.sleep(1)
    return max(waited.values()), sorted(night_runs.runs("Crashed") - killed.keys())
