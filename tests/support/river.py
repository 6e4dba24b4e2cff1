"""The alert river in processes that a test may kill at any time.

``listen`` runs the listener with its dispatcher. A run is a file named by its idempotency key, so that the same key gives
the same run, as on the Prefect server. ``work`` replaces a Prefect worker and the flow ``reconcile``: it calls the
functions of ``flows.alerts.respond`` and ``flows.alerts.plan`` with plain functions in place of their tasks. The registry,
the files, Slack's protocol and WebDAV are real. Only Prefect's orchestration (5 s per start) and the drawing of pictures,
which has no effects, are left out. Both processes are forked in 30 ms from one that has imported everything.

A process can kill itself at a named step; see ``support.crash_points``.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import sqlalchemy as sa
from prefect import Task
from prefect.blocks.core import Block

import blocks
from blocks import ProductStore, RegistryDatabase, SlackWorkspace
from deployments.listening import daemon, dispatch, listener
from flows.alerts import plan as plan_flow
from flows.alerts import respond as respond_flow
from support import slack as slack_stand_in
from support import webdav
from support.crash_points import ROOT, CrashPoints
from tasks import observatory, registry, resources
from tasks.alerts import registration, triage
from tasks.errors import SirenError, Unavailable, UnusableData
from tasks.io.messages import slack_sender
from tasks.io.pages import sky_map_plots
from tasks.messages import announcements, delivery
from tasks.options import PlanOptions
from tasks.planning import aims, leases
from tasks.records import Blocks, Home, Places
from tasks.records.events import StoredNotice
from tasks.registry import Registry, models, outbox, plans
from tasks.science.skymaps import sky_pictures

log = logging.getLogger(__name__)

CLOCK = datetime(2026, 1, 15, 22, 30, tzinfo=UTC)
OPTIONS = PlanOptions(engine="siren", tiles=2, hours=12.0)
TELESCOPES = ("TCH",)
BLOCKS = Blocks(observatory="o", registry="r", slack="s", store="w")
IDLE_S = 0.03
# no two events are closer in time than this: none are linked
NO_LINKS_S = -1.0
PICTURE = b"\x89PNG\r\n\x1a\n a picture"


@dataclass(frozen=True, kw_only=True)
class River:
    """Folders and addresses of one run of the river."""

    root: Path
    slack: str = ""
    dav: str = ""
    broker: str = ""
    topic: str = ""
    session_s: float = 2.0
    database: str = ""
    lease_s: float = 0.4
    """Lease of a message, a file or a plan, in s; minutes in production."""

    @property
    def url(self) -> str:
        return self.database or f"sqlite:///{self.root}/registry.sqlite"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def done(self) -> Path:
        return self.root / "done"


# --------------------------------------------------------------------------------------------------------- listener


def listen(river: River, point: str = "", names: Path | None = None) -> None:
    """Listen and dispatch until the process ends."""
    quiet()
    book = registry.open(river.url)
    crash_points = CrashPoints(point, names)
    crash_points.everywhere()

    def submit(notice: StoredNotice) -> str:
        crash_points.step("before a run is made")
        make_run(river, notice)
        crash_points.step("after a run is made")
        return f"notice-{notice.sha256}"

    stop, arrived = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    configuration = {
        "bootstrap.servers": river.broker,
        "group.id": river.topic,
        "session.timeout.ms": int(1000 * river.session_s),
        "heartbeat.interval.ms": int(300 * river.session_s),
        "max.poll.interval.ms": int(5000 * river.session_s),
        "topic.metadata.refresh.interval.ms": 1000,
        "log_level": 0,
    }
    options = listener.ListenOptions(topics=(river.topic,), configuration=configuration)
    loop = listener.Listener(
        options, archive=listener.Archive(root=river.root, registry=book), arrived=arrived, alarm=log.error
    )
    dispatcher = dispatch.Dispatcher(root=river.root, registry=book, submit=submit, announce=lambda _: None)
    daemon.run_together(lambda: loop.run(stop), lambda: dispatcher.run(stop, arrived), stop=stop)
    book.close()


def make_run(river: River, notice: StoredNotice) -> None:
    """Create the run of a notice atomically, one per key, as the server does."""
    content = {"path": str(notice.path), "sha256": notice.sha256, "topic": notice.topic}
    run = river.runs / f"notice-{notice.sha256}"
    run.parent.mkdir(exist_ok=True)
    aside = run.with_name(f".{run.name}-{os.getpid()}")
    aside.write_text(json.dumps(content))
    aside.replace(run)


# ----------------------------------------------------------------------------------------------------------- worker


def work(river: River, point: str = "", names: Path | None = None) -> None:
    """Respond to runs and reconcile until the process ends."""
    quiet()
    without_prefect(river)
    book = registry.open(river.url)
    CrashPoints(point, names).everywhere()
    wanted = still_wanted()
    while wanted():
        busy = [turn(river, run) for run in waiting(river) if wanted()]
        try:
            reconcile(river, book)
        except Unavailable as trouble:
            log.warning("%s", trouble)
        time.sleep(0 if busy else IDLE_S)


def respond_only(river: River, point: str = "", names: Path | None = None) -> None:
    """Parse, register, decide and announce, or record a dead letter; no links, plans, pictures, pages or sending, for speed."""
    quiet()
    without_prefect(river)
    book = registry.open(river.url)
    resources.registry = lambda *_: contextlib.nullcontext(book)  # type: ignore[assignment]
    home = Home(root=river.root, registry="r", store="w")
    wanted = still_wanted()
    while wanted():
        for run in waiting(river):
            if not wanted():
                return
            content = json.loads(run.read_text())
            path, sha256, topic = Path(content["path"]), content["sha256"], content["topic"]
            try:
                alert = triage.understand(path, topic, river.root)
            except UnusableData as error:
                registration.record_dead_letter(path, sha256, str(error), home, topic=topic)
            else:
                registered = registration.register(alert, home)
                decision = triage.decide(alert, "sevendt", "", registered, CLOCK)
                announcements.announce(alert, decision, registered, home, source=path, within_s=NO_LINKS_S)
                registration.mark_answered(alert.sha256, home)
            run.unlink()
        time.sleep(IDLE_S)


def still_wanted() -> Callable[[], bool]:
    """Return a function that returns False after SIGTERM.

    The handler must not raise: if it interrupts a finalizer, the error is lost and the process continues.
    """
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    return lambda: not stopped.is_set()


def send_messages(river: River, point: str = "", names: Path | None = None) -> None:
    """Only send the messages of the outbox, until the process ends."""
    quiet()
    without_prefect(river)
    wanted = still_wanted()
    while wanted():
        delivery.deliver(home=Home(root=river.root, registry="r", slack="s"), patience_s=0.0)
        time.sleep(IDLE_S)


def waiting(river: River) -> Iterator[Path]:
    """Yield the waiting runs, oldest first.

    Those that were taken are let go of: a path keeps each of its forms that was asked for, which would look like a leak.
    """
    runs = deque(sorted(river.runs.glob("notice-*"), key=lambda run: run.stat().st_mtime_ns))
    while runs:
        yield runs.popleft()


def turn(river: River, run: Path) -> None:
    """Execute one run; a failed run stays, to be retried."""
    content = json.loads(run.read_text())
    try:
        respond(river, **content)
    except SirenError as trouble:
        log.warning("%s", trouble)
        time.sleep(0.2)
        return
    run.replace(river.done / run.name)


def respond(river: River, path: str, sha256: str, topic: str | None = None) -> None:
    answered = respond_flow.respond.fn(Path(path), sha256, topic, telescopes=TELESCOPES, clock=CLOCK, blocks=BLOCKS)
    if answered.to_plan:
        plan_flow.plan.fn(answered.event_id, answered.to_plan, options=OPTIONS, clock=CLOCK, blocks=BLOCKS)


def reconcile(river: River, book: Registry) -> None:
    """Do the work of the flow ``reconcile``: repeat unanswered notices, then send the outbox."""
    for notice in book.unanswered(before=datetime.now(UTC) - timedelta(seconds=2 * river.lease_s)):
        respond(river, str(notice.path), notice.sha256, notice.topic)
    home = Home(root=river.root, registry="r", slack="s", store="w")
    leases.fail_abandoned_plans(home)
    with book.read() as session:
        messages, uploads = (outbox.next_due(session, lane) for lane in (outbox.MESSAGES, outbox.UPLOADS))
    if messages is not None:
        delivery.deliver(home, patience_s=0.0)
    if uploads is not None:
        delivery.upload(home, patience_s=0.0)


def without_prefect(river: River) -> None:
    """Replace tasks by their functions, and blocks by the test's places."""
    for name, module in list(sys.modules.items()):
        if name.startswith("tasks."):
            _make_plain(module)
    saved = saved_blocks(river)
    for kind in vars(blocks).values():
        if isinstance(kind, type) and issubclass(kind, Block):
            kind.load = lambda *_, kind=kind, **__: saved.get(kind) or kind()  # type: ignore[method-assign]
    folder = river.root
    observatory.places = lambda _: Places(  # type: ignore[assignment]
        raw_root=folder,
        product_root=folder,
        alert_root=folder,
        references=folder,
        astrometric_catalogue=folder,
        photometric_catalogue=folder,
    )
    observatory.home = lambda _: Home(root=folder, registry="r", slack="s", store="w")  # type: ignore[assignment]
    sky_pictures.picture = aims.picture = lambda *_, **__: None  # type: ignore[assignment]
    sky_map_plots.sky_map = sky_map_plots.coverage = lambda _: PICTURE  # type: ignore[assignment]
    slack_sender.SlackSender.pace_s = 0.0
    outbox.LEASE = plans.LEASE = timedelta(seconds=river.lease_s)
    outbox.FIRST_DELAY, outbox.LONGEST_DELAY = timedelta(seconds=0.1), timedelta(seconds=1)


def _make_plain(module: ModuleType) -> None:
    for name, value in list(vars(module).items()):
        if isinstance(value, Task):
            plain = value.fn
            plain.fn = plain  # for tasks that call another task's function
            setattr(module, name, plain)
        elif name == "emit_event":
            setattr(module, name, lambda **_: None)


def saved_blocks(river: River) -> dict[type, Any]:
    channels = {"gw": "GW", "grb": "GRB", "test": "TEST", "operators": "OPS", "low_significance": "LOW"}
    return {
        RegistryDatabase: _Address(river.url),
        SlackWorkspace: SlackWorkspace(
            token=slack_stand_in.TOKEN,
            url=river.slack,
            **{f"channel_{name}": f"C-{channel}" for name, channel in channels.items()},
        ),
        ProductStore: ProductStore(url=river.dav, user=webdav.USER, password=webdav.PASSWORD, root="siren/products"),
    }


@dataclass(frozen=True)
class _Address:
    url: str

    def address(self) -> str:
        return self.url


def quiet() -> None:
    """Disable log lines: many processes are killed."""
    logging.disable(logging.ERROR)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# ------------------------------------------------------------------------------------------------------- from outside


@functools.cache
def context() -> ForkServerContext:
    """Return a context that forks processes from one that has imported everything and handled one notice."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.warm"])
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    # not every Python passes the module search path to that process
    with mock.patch.dict(os.environ, {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}):
        forkserver.ensure_running()
    return context


def start(target: Callable[..., None], river: River, point: str = "", names: Path | None = None) -> BaseProcess:
    for folder in (river.runs, river.done):
        folder.mkdir(parents=True, exist_ok=True)
    process = context().Process(target=target, args=(river, point, names), daemon=True)
    main = sys.modules["__main__"]
    # otherwise the child would import the script of the test runner
    with mock.patch.dict(vars(main), {"__spec__": None}):
        vars(main).pop("__file__", None)
        process.start()
    return process


def kill(process: BaseProcess) -> None:
    process.kill()
    process.join(20)


def finish(process: BaseProcess) -> None:
    """Ask a process to end and wait for it; one that has not installed its handler yet ends at once."""
    process.terminate()
    process.join(30)
    assert process.exitcode in (0, -signal.SIGTERM), f"it ended with {process.exitcode}"


def until(
    condition: Callable[[], bool], *, patience_s: float = 120.0, every_s: float = 0.03, what: object = ""
) -> None:
    """Wait for a condition; ``what``, a text or a function that returns one, describes it in the error."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what() if callable(what) else what}"
        time.sleep(every_s)


def settled(river: River, book: Registry, count: int) -> bool:
    """Return whether all ``count`` notices have an outcome and nothing waits to be sent.

    A notice whose planning process was killed has no outcome, but this is known only after the plan's lease.
    """
    moment = datetime.now(UTC)
    fresh = models.Plan.alive >= moment - plans.LEASE
    if len(list(river.done.glob("notice-*"))) < count:
        return False
    with book.read() as session:
        lanes = [outbox.counts(session, lane) for lane in (outbox.MESSAGES, outbox.UPLOADS)]
        planning = session.scalars(sa.select(models.Plan.id).where(models.Plan.state == "running", fresh)).first()
    unsent = any(set(lane) - {"sent", "failed"} for lane in lanes)
    return not (planning or unsent or book.unanswered(before=moment))
