"""Running programs: deadlines, cancellation, signals, and an environment without secrets."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tasks.errors import MissingPart, ProgramError
from tasks.programs import run as runner


def run(tmp_path, script, **options):
    return runner.run(["/bin/sh", "-c", script], folder=tmp_path / "scratch", **{"timeout_s": 10.0, **options})


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with Path(f"/proc/{pid}/stat").open() as file:
        return file.read().rsplit(") ", 1)[1][0] != "Z"


def dead_within(pid, seconds):
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_output_and_errors_end_in_one_log(tmp_path):
    finished = run(tmp_path, "echo out; echo err >&2")

    assert finished.log_text() == "out\nerr\n"
    assert finished.log_file.parent == tmp_path / "scratch"


def test_an_exit_code_is_an_error_with_the_tail_of_the_log(tmp_path):
    with pytest.raises(ProgramError, match="exit code 3") as caught:
        run(tmp_path, "echo why; exit 3")

    assert caught.value.log_tail == "why\n"


def test_a_signal_is_named(tmp_path):
    with pytest.raises(ProgramError, match="SIGSEGV"):
        run(tmp_path, "kill -SEGV $$")


def test_the_deadline_kills_the_whole_group(tmp_path):
    started = time.monotonic()
    with pytest.raises(ProgramError, match="deadline"):
        run(tmp_path, "sleep 300 & echo $! > child; wait", timeout_s=0.5)

    assert time.monotonic() - started < 5.5
    assert dead_within(int((tmp_path / "scratch" / "child").read_text()), 2)


def test_a_child_left_behind_by_a_program_that_ended_is_killed(tmp_path):
    run(tmp_path, "sleep 300 & echo $! > child")

    assert dead_within(int((tmp_path / "scratch" / "child").read_text()), 2)


def test_a_cancel_file_stops_the_program(tmp_path):
    timer = threading.Timer(0.3, (tmp_path / runner.CANCEL_FILE).touch)
    timer.start()
    started = time.monotonic()
    with pytest.raises(ProgramError, match="cancelled"):
        run(tmp_path, "sleep 300", timeout_s=60, cancel_folder=tmp_path)

    assert time.monotonic() - started < 5


def test_the_environment_holds_no_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("SLACK_TOKEN", "xoxb-secret")
    monkeypatch.setenv("PREFECT_API_KEY", "secret")
    text = run(tmp_path, "env", environment={"ASKED": "yes"}).log_text()

    assert "secret" not in text
    assert "ASKED=yes" in text
    assert "PATH=" in text


def test_nothing_waits_for_standard_input(tmp_path):
    assert run(tmp_path, "cat; echo end").log_text() == "end\n"


def test_a_program_that_is_not_there_is_a_missing_part(tmp_path):
    with pytest.raises(MissingPart, match="program"):
        runner.run(["/no/such/program"], folder=tmp_path, timeout_s=1)
    with pytest.raises(MissingPart, match="no-such-a, no-such-b"):
        runner.find(["no-such-a", "no-such-b"])
