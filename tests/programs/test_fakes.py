"""Programs that hang, crash or write invalid or truncated output are detected in time and leave no process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support import fakes

from tasks.errors import MissingPart, ProgramError
from tasks.programs import run

DEADLINE_S = 0.4
GRACE_S = 5.0
# one of each kind for every program; `make gate` crosses all
FEW = ("hangs with all its output written", "dies of a segmentation fault", "writes nothing", "lacks the last block")


@pytest.fixture
def outcome(tmp_path, monkeypatch):
    def suffer(program: str, how: str) -> fakes.Outcome:
        programs = fakes.install(tmp_path, program, how)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        return fakes.suffer(tmp_path, program, timeout_s=DEADLINE_S)

    return suffer


@pytest.mark.parametrize("how", FEW)
@pytest.mark.parametrize("program", fakes.WRAPPERS)
def test_misbehaviour_is_an_error_in_time(outcome, program, how):
    found = outcome(program, how)

    assert found.error is not None
    assert found.seconds < DEADLINE_S + GRACE_S
    assert not found.left_alive


@pytest.mark.parametrize("program", fakes.WRAPPERS)
def test_a_fake_that_behaves_is_believed(outcome, program):
    assert outcome(program, "works").error is None


def test_a_cancel_file_above_the_scratch_folder_ends_a_program(tmp_path):
    folder = tmp_path / "night" / "solved" / ".solve-1" / "frame"
    threading.Timer(0.2, (tmp_path / "night" / run.CANCEL_FILE).touch).start()
    started = time.monotonic()

    with pytest.raises(ProgramError, match="sleep was cancelled"):
        run.run(["sleep", "60"], folder=folder, timeout_s=60)

    assert time.monotonic() - started < 2


def test_a_program_that_wants_too_much_memory_is_refused_it(tmp_path):
    code = "import time; time.sleep(0.2); bytes(2 << 30)"

    with pytest.raises(ProgramError, match="exit code 1") as caught:
        run.run([sys.executable, "-c", code], folder=tmp_path, timeout_s=30, memory_bytes=1 << 30)

    assert "MemoryError" in caught.value.log_tail


def test_an_inherited_limit_of_memory_is_kept_where_it_cannot_be_raised(tmp_path):
    """Kind: limits set above the hard limit, as under ``ulimit -v`` or systemd's LimitAS: "Operation not permitted"."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv of util-linux is not there")
    code = (
        "import resource, sys; from pathlib import Path; from tasks.programs import run; "
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)); "
        "run.run(['true'], folder=Path(sys.argv[1]), timeout_s=60)"
    )
    # as root without the right to raise limits, as any user
    bound = ["--bounding-set=-sys_resource", "--inh-caps=-sys_resource"] if os.geteuid() == 0 else []
    done = subprocess.run(
        ["setpriv", *bound, sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_program_that_is_not_there_is_a_missing_part(tmp_path):
    with pytest.raises(MissingPart, match="absent"):
        run.run([str(tmp_path / "absent")], folder=tmp_path, timeout_s=1)


def test_a_program_ends_when_its_worker_is_killed(tmp_path):
    if not run._with_parent_death_signal("KILL"):
        pytest.skip("setpriv of util-linux is not there")
    code = (
        "import sys; from pathlib import Path; from tasks.programs import run; "
        "run.run(['sh', '-c', 'echo $$ > pid; exec sleep 60'], folder=Path(sys.argv[1]), timeout_s=60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    mark = tmp_path / "pid"
    deadline = time.monotonic() + 30
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    worker.kill()
    worker.wait()
    while Path(f"/proc/{int(mark.read_text())}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
