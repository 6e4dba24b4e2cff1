"""Programs that run until they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import MissingPart, ProgramError
from tasks.programs import run

TALK = "import time\nprint('ready', flush=True)\ntime.sleep(60)"
DEAF = "import signal, time\nfor each in (2, 15): signal.signal(each, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(60)"
PARENT = "import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\nprint(child.pid, flush=True)\ntime.sleep(60)"


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def first_line(service: run.Service) -> str:
    deadline = time.monotonic() + 20
    while not (text := service.log_file.read_text()):
        service.check_runs()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return text.splitlines()[0]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_service_runs_for_the_length_of_its_block(tmp_path: Path) -> None:
    with run.service(python(TALK), folder=tmp_path, name="talker") as service:
        assert first_line(service) == "ready"
        service.check_runs()
    assert service.process.poll() is not None
    assert service.log_file == tmp_path / "talker.log"


def test_a_service_that_ends_by_itself_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with run.service(python("print('no licence'); raise SystemExit(3)"), folder=tmp_path, name="quitter") as service:
        service.process.wait(20)
        with pytest.raises(ProgramError, match="quitter ended with exit code 3") as caught:
            service.check_runs()
    assert "no licence" in caught.value.log_tail


def test_a_service_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    with run.service(python(DEAF), folder=tmp_path, name="deaf", grace_s=0.4) as service:
        first_line(service)
        started = time.monotonic()
    assert service.process.returncode == -signal.SIGKILL
    assert time.monotonic() - started < 5


def test_what_a_service_started_ends_with_it(tmp_path: Path) -> None:
    with run.service(python(PARENT), folder=tmp_path, name="parent", grace_s=1) as service:
        child = int(first_line(service))
        assert alive(child)
    time.sleep(0.2)
    assert not alive(child)


def test_a_service_ends_when_we_are_killed(tmp_path: Path) -> None:
    if not run._with_parent_death_signal("TERM"):
        pytest.skip("setpriv of util-linux is not there")
    code = f"""
from pathlib import Path
import os, signal, sys, time
from tasks.programs import run
with run.service([sys.executable, '-c', {TALK!r}], folder=Path({str(tmp_path)!r}), name='orphan') as service:
    print(service.process.pid, flush=True)
    while not service.log_file.read_text():
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(python(code), capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while alive(int(done.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_program_that_is_not_there_is_a_missing_part(tmp_path: Path) -> None:
    with (
        pytest.raises(MissingPart, match="is on PATH"),
        run.service([str(tmp_path / "absent")], folder=tmp_path, name="absent"),
    ):
        pass


ECHO = "import sys\nfor line in sys.stdin: print(line.strip().upper(), flush=True)\nprint('noise', file=sys.stderr)"


@pytest.fixture
def bell() -> Iterator[int]:
    ends = os.pipe()
    yield ends[0]
    for end in ends:
        os.close(end)


def test_a_piped_service_answers_and_ends_with_its_input(tmp_path: Path, bell: int) -> None:
    with run.service(python(ECHO), folder=tmp_path, name="echo", piped=True) as service:
        assert service.read_line(0.01, wake=bell) is None
        service.write_line("vela")
        assert service.read_line(20, wake=bell) == "VELA\n"
        service.end_input(20)
        assert service.process.poll() == 0
        assert service.read_line(20, wake=bell) == ""
        service.write_line("ignored")
    assert service.log_file.read_text() == "noise\n"


def test_a_piped_service_outlives_its_killed_parent_until_its_input_ends(tmp_path: Path) -> None:
    code = (
        "import sys, time; sys.path[:0] = sys.argv[2:]; from pathlib import Path; from tasks.programs import run\n"
        "with run.service([sys.executable, '-c', \"import sys, os; print(os.getpid(), flush=True); sys.stdin.read(); "
        "open('last', 'w')\"], folder=Path(sys.argv[1]), name='heir', piped=True) as heir:\n"
        "    print(heir.process.stdout.readline().decode().strip(), flush=True); time.sleep(60)"
    )
    words = [*python(code), str(tmp_path), *sys.path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (tmp_path / "last").is_file()
