"""Whatever comes: no process ends, nothing valid is lost, what is refused is kept with its reason.

The notices go through the broker, the listener's process and a worker's process; see ``support.river``.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from support import hostile, kafka, map_probe, notice_bytes, river, tally

from tasks import registry
from tasks.errors import UnusableData
from tasks.io.notices import parsing, voevent_xml
from tasks.registry import Registry, models

VALID_EVERY = 50
PEAK_MIB, READ_S = 512, 2.0
ATTACK_S, ATTACK_MIB = 0.05, 50


# -------------------------------------------------------------------------------------------------- fuzzed notices


def interleaved(payloads: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Put a valid notice of an event of its own after every so many; tell which they are."""
    for number, payload in enumerate(payloads, start=1):
        yield payload, False
        if number % VALID_EVERY == 0:
            name = f"valid{number}"
            yield (
                (notice_bytes.mission(name) if number % 100 else notice_bytes.gw(hostile.superevent(300_000 + number))),
                True,
            )


def fuzzed(broker: kafka.Broker, root: Path, label: str, payloads: Iterator[bytes]) -> None:
    places = river.River(
        root=root / "alerts",
        broker=broker.address,
        topic=broker.topic(f"fuzz-{len(label)}"),
        session_s=broker.session_s,
    )
    places.root.mkdir(parents=True)
    book = registry.open(places.url)
    processes = [river.start(part, places) for part in (river.listen, river.respond_only)]
    sent = dict(interleaved(payloads))
    broker.send(places.topic, *sent)
    # a marker behind everything: processed last
    marker = notice_bytes.mission("marker")
    broker.send(places.topic, marker)
    began = time.monotonic()
    river.until(
        lambda: any(process.exitcode is not None for process in processes) or finished(places, book, 1 + len(sent)),
        patience_s=60 + 0.25 * len(sent),
        every_s=0.03 if len(sent) < 1000 else 1.0,
        what=label,
    )
    seconds = time.monotonic() - began
    exits = sum(process.exitcode is not None for process in processes)
    assert exits == 0
    understood, rejected, valid = judge(places, book, sent)
    for process in processes:
        river.finish(process)
    book.close()
    tally.count(
        f"R1 fuzzed {label} ({broker.kind})",
        notices=len(sent),
        exits=exits,
        rejected=rejected,
        in_the_dead_letters_with_reason_and_bytes=rejected,
        understood_all_the_same=understood - valid,
        valid_between_them=valid,
        of_those_announced=valid,
        seconds=round(seconds),
    )


def finished(places: river.River, book: Registry, count: int) -> bool:
    with book.read() as session:
        states = dict(
            session.execute(sa.select(models.Notice.state, sa.func.count()).group_by(models.Notice.state)).all()
        )
    return states.get("understood", 0) + states.get("dead", 0) == count and not list(places.runs.glob("notice-*"))


def judge(places: river.River, book: Registry, sent: dict[bytes, bool]) -> tuple[int, int, int]:
    """Hold each notice against the parser: dead with its bytes and a reason, or understood and announced."""
    with book.read() as session:
        rows = session.execute(sa.select(models.Notice.sha256, models.Notice.state, models.Notice.announced)).all()
    known = {sha256: (state, announced) for sha256, state, announced in rows}
    counts = [0, 0, 0]
    for payload, valid in sent.items():
        sha256 = hashlib.sha256(payload).hexdigest()
        state, announced = known[sha256]
        if is_notice(payload, places.topic):
            assert (state, announced is not None) == ("understood", True), payload[:200]
            counts[0] += 1
            counts[2] += valid
        else:
            assert state == "dead"
            assert not valid
            letter = places.root / "dead-letter" / sha256
            assert letter.read_bytes() == payload
            assert json.loads(letter.with_name(f"{sha256}.json").read_bytes())["reason"]
            counts[1] += 1
    return counts[0], counts[1], counts[2]


def is_notice(payload: bytes, topic: str) -> bool:
    try:
        parsing.parse(payload, topic=topic)
    except UnusableData:
        return False
    return True


def test_two_hundred_fuzzed_notices_end_no_process(broker: kafka.Broker, scratch: Path) -> None:
    chance = random.Random(1)
    both = [*hostile.json_notices(100, chance), *hostile.xml_notices(100, chance)]
    fuzzed(broker, scratch, "JSON and XML", iter(both))


@pytest.mark.gate
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("form", ["JSON", "XML"])
def test_ten_thousand_fuzzed_notices_end_no_process(broker: kafka.Broker, scratch: Path, form: str) -> None:
    make = {"JSON": hostile.json_notices, "XML": hostile.xml_notices}[form]
    fuzzed(broker, scratch, form, make(10_000, random.Random(form)))


# ------------------------------------------------------------------------------------------------------ XML attacks


@contextmanager
def watched(path: Path) -> Iterator[list[int]]:
    """Count the times that anybody, the XML library included, opens or reads a file."""
    library = ctypes.CDLL(None, use_errno=True)
    handle = library.inotify_init1(os.O_NONBLOCK)
    assert library.inotify_add_watch(handle, os.fsencode(path), 0x1 | 0x20) >= 0  # IN_ACCESS, IN_OPEN
    seen: list[int] = []
    try:
        yield seen
        try:
            seen.append(len(os.read(handle, 4096)) // 16)
        except BlockingIOError:
            seen.append(0)
    finally:
        os.close(handle)


@contextmanager
def door() -> Iterator[tuple[int, list[int]]]:
    """Open a port and count who comes."""
    visits: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        open_ = threading.Event()

        def count() -> None:
            while not open_.is_set():
                try:
                    server.accept()[0].close()
                    visits.append(1)
                except TimeoutError:
                    pass

        thread = threading.Thread(target=count)
        thread.start()
        try:
            yield server.getsockname()[1], visits
        finally:
            open_.set()
            thread.join()


@pytest.mark.counted
@pytest.mark.skipif(sys.platform != "linux", reason="watches a file as Linux does")
def test_twelve_attacks_by_xml_reach_neither_file_nor_network(tmp_path: Path) -> None:
    (canary := tmp_path / "canary").write_text("secret")
    slowest = largest = 0.0
    with watched(canary) as seen, door() as (port, visits):
        attacks = {name: text.replace(":9/", f":{port}/") for name, text in hostile.xml_attacks(canary).items()}
        for text in attacks.values():
            before, began = resident_mib(), time.thread_time()
            try:
                found = repr(parsing.parse(text.encode()))
            except UnusableData as refusal:
                found = str(refusal)
            slowest = max(slowest, time.thread_time() - began)
            largest = max(largest, resident_mib() - before)
            assert "secret" not in found
        time.sleep(0.2)
    assert (sum(seen), len(visits), len(attacks)) == (0, 0, 12)
    assert slowest <= ATTACK_S
    assert largest <= ATTACK_MIB
    tally.count(
        "R8 attacks by XML",
        attacks=len(attacks),
        file_accesses=sum(seen),
        connections=len(visits),
        ms_at_most=round(1000 * slowest, 1),
        MB_at_most=round(largest, 1),
    )


def test_the_watch_over_a_file_sees_whoever_reads_it(tmp_path: Path) -> None:
    (canary := tmp_path / "canary").write_text("<a/>")
    with watched(canary) as seen:
        voevent_xml.etree.parse(str(canary))
    assert sum(seen) > 0


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# --------------------------------------------------------------------------------------------------------- sky maps


def hostile_maps(folder: Path, count: int) -> None:
    """Read so many hostile maps in a process of their own: its memory, the time of each, what became of their notices."""
    folder.mkdir()
    named = list(hostile.sky_maps().values())[:count]
    mutated = hostile.mutated_maps(2 * count, np.random.default_rng(500))
    spoilt = (content for content in mutated if not reads(content))
    for number, content in enumerate([*named, *(next(spoilt) for _ in range(count - len(named)))]):
        (folder / f"{number:03d}").write_bytes(content)
    tests = Path(map_probe.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}:{tests}"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", map_probe.__file__, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    peak_mib = max(each["peak_kib"] for each in told) / 1024
    slowest = max(each["seconds"] for each in told)
    fates = [each["notice"] for each in told]
    assert len(told) == count
    assert all(each["refused"] for each in told)
    assert "with" not in fates
    assert peak_mib <= PEAK_MIB
    assert slowest <= READ_S
    tally.count(
        "R9 hostile sky maps",
        maps=count,
        refused_with_a_reason=count,
        notices_announced_without_map=fates.count("without"),
        notices_over_the_size_limit=fates.count("refused"),
        MiB_at_most=round(peak_mib),
        s_at_most=round(slowest, 2),
    )


def reads(content: bytes) -> bool:
    from tasks.io.skymaps import sky_map_files

    try:
        sky_map_files.read(content)
    except UnusableData:
        return False
    return True


def test_sixty_hostile_maps_are_refused_in_little_memory(tmp_path: Path) -> None:
    hostile_maps(tmp_path / "maps", 60)


@pytest.mark.gate
def test_five_hundred_hostile_maps_are_refused_in_little_memory(tmp_path: Path) -> None:
    hostile_maps(tmp_path / "maps", 500)
