"""A unit's calibration in processes that are killed at random writes and then continue.

Run as ``python -m support.write_kills FOLDER OUT KILLS SEED``: prints the result as JSON. A process of one thread
forks a child for each try; the child kills itself with SIGKILL when it opens a file for writing, or renames one, for
the n-th time, or a few milliseconds after that.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import threading
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from support import night_runs
from tasks.nights import housekeeping
from tasks.options import CalibrateOptions
from tasks.records import NightFolder
from tasks.reduction import calibration, inventory
from tasks.reduction import masters as mastering

NIGHT = date(2026, 1, 15)
UNIT = "7DT01"
OPTIONS = CalibrateOptions()
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# delay of every second kill after the operation, in s
DELAY_S = 0.004


@dataclass
class Found:
    """Result of the runs."""

    kills: int = 0
    nights: int = 0
    invalid: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    differ: int = 0
    of: int = 0
    done_again: int = 0


def calibrate(folder: Path, out: Path) -> None:
    """Make the masters and calibrate the lights, as the flow does."""
    with housekeeping.night_lock(NIGHT, out, (NightFolder(unit=UNIT, night=NIGHT, folder=folder),)):
        taken = inventory.take_inventory.fn(folder, UNIT, NIGHT, OPTIONS)
        masters = mastering.make_masters.fn(taken, out, OPTIONS)
        for batch in taken.batches(OPTIONS.batch):
            calibration.calibrate_lights.fn(batch, masters, NIGHT, out, OPTIONS)


def forked(folder: Path, out: Path, *, blow: int, late: bool) -> bool:
    """Calibrate in a child that is killed at its ``blow``-th write, or never if that is 0; return whether it finished."""
    child = os.fork()
    if not child:
        status = 1
        try:
            if blow:
                sys.addaudithook(_blow(out, blow, late=late))
            calibrate(folder, out)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "the child failed by itself"
        return True
    return False


def _blow(out: Path, number: int, *, late: bool):
    root, left = str(out), [number]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if not (writes or event in {"os.rename", "os.remove"}) or not str(arguments[0]).startswith(root):
            return
        left[0] -= 1
        if left[0]:
            return
        if late:
            threading.Timer(random.uniform(0, DELAY_S), os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def suffer(folder: Path, home: Path, *, kills: int, seed: int) -> Found:
    """Repeat until ``kills`` processes were killed; finish each night and compare it with an undisturbed one."""
    rng = random.Random(seed)
    random.seed(seed)
    reference = home / "reference"
    forked(folder, reference, blow=0, late=False)
    theirs, found = night_runs.contents(reference), Found()
    while found.kills < kills:
        out = home / f"night-{found.nights}"
        while found.kills < kills:
            before = night_runs.batches(out) if out.exists() else {}
            if forked(folder, out, blow=rng.randint(1, 40), late=bool(found.kills % 2)):
                break
            found.kills += 1
            found.invalid += [*night_runs.invalid(out), *night_runs.lying(out)]
            found.done_again += len(night_runs.done_again(before, night_runs.batches(out)))
        forked(folder, out, blow=0, late=False)
        ours = night_runs.contents(out)
        found.invalid += [*night_runs.invalid(out), *night_runs.lying(out)]
        # another night may be writing into the archive, so its scratch files are deleted only when old
        found.left += [name for name in night_runs.left_over(out) if not name.startswith("master_frame")]
        found.differ += sum(ours.get(name) != theirs.get(name) for name in {*ours, *theirs})
        found.of += len(theirs)
        found.nights += 1
        shutil.rmtree(out)
    return found


if __name__ == "__main__":
    folder, home, kills, seed = sys.argv[1:]
    found = suffer(Path(folder), Path(home), kills=int(kills), seed=int(seed))
    sys.stdout.write(json.dumps(asdict(found)) + "\n")
