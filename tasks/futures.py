"""Submit tasks and wait for them: collect results, name failures, stop if a service is unavailable."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any, cast
from uuid import UUID

from prefect import Task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import TaskRun
from prefect.exceptions import PrefectException, UnfinishedRun, UpstreamTaskError
from prefect.futures import PrefectFuture
from prefect.utilities.annotations import quote

from tasks.errors import SirenError, Unavailable, disk_is_full, passing
from tasks.records import Rejected
from tasks.runtime import POLL_S, R, T

log = logging.getLogger(__name__)

# Prefect's name of the final state of a task whose predecessor failed; its type is PENDING
NOT_READY = "NotReady"
NAMES_S = 5.0
REASON_LENGTH = 400


def unwrapped(value: T) -> T:
    """Wrap a task's parameter so that Prefect does not search it for futures.

    The search takes 1 ms per frame of a night in each task that gets the night's records.
    """
    return cast("T", quote(value))


def submit(task: Task[..., R], *arguments: Any, name: str = "", **keywords: Any) -> PrefectFuture[R]:
    """Submit a task to the flow's task runner; arguments may be futures of other tasks.

    Parameters
    ----------
    name
        Name of the task's run; empty: the task's own.
    """
    named = task.with_options(task_run_name=name) if name else task
    return cast("PrefectFuture[R]", named.submit(*arguments, **keywords))


def gather(futures: Iterable[PrefectFuture[R]], *, stage: str = "") -> tuple[tuple[R, ...], tuple[Rejected, ...]]:
    """Wait for all tasks; return the results of those that succeeded, in order, and the failures.

    A task that never began because one before it failed is no failure of its own: gather that one, too.

    Parameters
    ----------
    futures
        Futures from ``submit`` and ``map``.
    stage
        Name of the stage, for the failures.

    Raises
    ------
    Unavailable
        If a task failed for a reason independent of its input, such as a full disk.
    """
    results: list[R] = []
    failed: list[tuple[PrefectFuture[R], Exception]] = []
    for future in futures:
        try:
            results.append(future.result())
        except Exception as error:  # noqa: BLE001 - no error of one task may stop the flow of the others
            if not _never_began(future, error):
                failed.append((future, error))
    _stop_where_unavailable([error for _, error in failed])
    names = _names([future.task_run_id for future, _ in failed])
    failures = tuple(
        Rejected(name=name, stage=stage, reason=_reason(error), passing=passing(error))
        for name, (_, error) in zip(names, failed, strict=True)
    )
    for failure in failures:
        log.warning("%s: %s", failure.name, failure.reason)
    return tuple(results), failures


def _stop_where_unavailable(errors: Iterable[Exception]) -> None:
    """Raise an error that is independent of a task's input: a full disk, an unavailable service."""
    for error in errors:
        if isinstance(error, Unavailable):
            raise error
        if disk_is_full(error):
            raise Unavailable(f"no space is left: {error}") from error


def _never_began(future: PrefectFuture[Any], error: Exception) -> bool:
    """Return whether a task was not run because one that it depends on failed."""
    if isinstance(error, UpstreamTaskError):
        return True
    return isinstance(error, UnfinishedRun) and future.state.name == NOT_READY


def _reason(error: Exception) -> str:
    text = str(error) if isinstance(error, SirenError) else f"{type(error).__name__}: {error}"
    return text[:REASON_LENGTH]


def _names(task_runs: Sequence[UUID]) -> list[str]:
    """Return the task runs' names, or the id if the server never got one (its worker crashed too early).

    The server gets task runs through events, which arrive shortly after the future is done. A run gets its name when it
    begins; before the server knows its end, the name may be provisional.
    """
    deadline = time.monotonic() + NAMES_S
    names: dict[UUID, str] = {}
    waiting = set(task_runs)
    while waiting:
        for run in _known_runs(waiting):
            names[run.id] = run.name
            if run.state is not None and run.state.is_final():
                waiting.discard(run.id)
        if not waiting or time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    return [names.get(run, str(run)) for run in task_runs]


def _known_runs(task_runs: Iterable[UUID]) -> list[TaskRun]:
    runs = []
    with get_client(sync_client=True) as client:
        for run in task_runs:
            with contextlib.suppress(PrefectException):
                runs.append(client.read_task_run(run))
    return runs
