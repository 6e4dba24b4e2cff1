"""Uploads over a line that spoils a third of all requests: all arrive whole, and nobody ever sees a part of one.

Time is compressed: the client gives up after 0.4 s instead of 30, a failed upload waits 0.02 to 0.2 s instead of 2 s to 15 min.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest
from support import tally, webdav
from webdav3.client import Client

from tasks import registry
from tasks.io.services import product_stores
from tasks.records.outbox import ClaimedUpload, Drained, StoreFile
from tasks.registry import Registry, delivery, outbox
from tasks.registry.store import now

# a client that gave up leaves cheroot an answer that it can write to nobody
pytestmark = pytest.mark.filterwarnings("ignore:.*IOBase.__del__:pytest.PytestUnraisableExceptionWarning")

FAULTS = ("500", "507", "hang", "reset", "truncate", "flip")
EACH = 0.05
GIVE_UP_S, HANG_S = 0.4, 0.6
SENDERS, FOLDERS, LARGEST = 4, 40, 20_000


class Luck:
    """Chooses a fault for each of so many per cent of all requests, and counts them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.lock = threading.Lock()
        self.struck = Counter[str]()
        self.requests = 0

    def choose(self, _: str) -> str:
        with self.lock:
            self.requests += 1
            draw = self.chance.random()
            fault = FAULTS[int(draw / EACH)] if draw < EACH * len(FAULTS) else ""
            self.struck[fault] += 1
            return fault


class Onlooker:
    """Reads what lies under visible names again and again; whatever is not the whole file it wrote down."""

    def __init__(self, root: Path, wanted: dict[str, str]) -> None:
        self.root, self.wanted = root, wanted
        self.looks = 0
        self.partial: set[str] = set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self) -> None:
        while not self.over.wait(0.05):
            for path in visible(self.root):
                name = path.relative_to(self.root).as_posix()
                self.looks += 1
                # the server takes a file away for a moment when it is moved over one that is there
                with contextlib.suppress(FileNotFoundError):
                    if self.wanted.get(name) != sha256(path.read_bytes()):
                        self.partial.add(name)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def visible(root: Path) -> list[Path]:
    return [path for path in root.rglob("[!.]*") if path.is_file()]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def enqueued(book: Registry, folder: Path, count: int) -> dict[str, str]:
    """Put files of all sizes into the outbox; return the hash of each by its path in the store."""
    chance = random.Random(count)
    folder.mkdir()
    wanted = {}
    with book.begin() as session:
        for number in range(count):
            content = chance.randbytes(chance.randrange(LARGEST) if number % 50 else 0)
            (source := folder / str(number)).write_bytes(content)
            remote = f"night{number % FOLDERS}/plans/file{number}.bin"
            wanted[f"Team/{remote}"] = digest = sha256(content)
            file = StoreFile(source=source, remote=remote, sha256=digest, size=len(content))
            outbox.enqueue_upload(session, file, now=now())
    return wanted


def drained(book: Registry, url: str) -> Drained:
    """Send until nothing is left, as one of several senders."""
    options = {"webdav_hostname": url, "webdav_login": webdav.USER, "webdav_password": webdav.PASSWORD}
    with closing(product_stores.WebDavStore(Client({**options, "webdav_timeout": GIVE_UP_S}), root="Team")) as store:

        def put(claimed: ClaimedUpload) -> None:
            store.put(claimed.source, claimed.remote, attempt=claimed.attempt)

        return delivery.drain_uploads(book, put, patience_s=600)


def uploaded(root: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY", timedelta(seconds=0.02))
    monkeypatch.setattr(outbox, "LONGEST_DELAY", timedelta(seconds=0.2))
    luck = Luck(count)
    with closing(registry.open(f"sqlite:///{root}/registry.sqlite")) as book, webdav.server(root / "dav") as server:
        wanted = enqueued(book, root / "sources", count)
        server.choose, server.hang_s = luck.choose, HANG_S
        with Onlooker(server.root, wanted) as onlooker, ThreadPoolExecutor(SENDERS) as pool:
            ends = list(pool.map(lambda _: drained(book, server.url), range(SENDERS)))
        found = {path.relative_to(server.root).as_posix(): sha256(path.read_bytes()) for path in visible(server.root)}
        with book.read() as session:
            assert outbox.counts(session, outbox.UPLOADS) == {"sent": count}
    assert sum(end.sent for end in ends) == count
    assert found == wanted
    assert onlooker.partial == set()
    assert onlooker.looks > count
    tally.count(
        "R19 uploads over a bad line",
        uploads=count,
        present_with_the_right_hash=len(found),
        partial_names_seen=len(onlooker.partial),
        looks=onlooker.looks,
        requests=luck.requests,
        **{f"spoilt_by_{fault}": luck.struck[fault] for fault in FAULTS},
    )


def test_sixty_uploads_over_a_bad_line_arrive_whole(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded(scratch, 60, monkeypatch)


@pytest.mark.gate
@pytest.mark.timeout(1200)
def test_a_thousand_uploads_over_a_bad_line_arrive_whole(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded(scratch, 1_000, monkeypatch)
