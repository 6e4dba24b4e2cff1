"""The product store: a folder, or a WebDAV server such as ownCloud.

A file is put under a temporary name, moved into place and checked by its hash, so that under a final name there is never
a part of a file. Putting the same file again changes nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import requests
from webdav3.client import Client
from webdav3.exceptions import (
    MethodNotSupported,
    NotEnoughSpace,
    RemoteResourceNotFound,
    ResourceLocked,
    ResponseErrorCode,
    WebDavException,
)

from tasks.errors import AlgorithmError, Unavailable, UnusableData

log = logging.getLogger(__name__)

SEGMENT_LENGTH = 200
PATH_LENGTH = 2000
CHUNK = 1 << 20
# a line that was just cut may take the next request with it
REMOVALS = 2
# what an answer of the server means beyond "it failed"
REFUSALS = {401: "refuses the user or password", 403: "forbids it"}
REFUSED, CONFLICT, SERVER_TROUBLE = 400, 409, 500
LATER = (408, 425, 429)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A file in the store; ``written`` is False where the same content was there already."""

    remote: str
    sha256: str
    size: int
    written: bool


class Store(Protocol):
    """A place that takes files under relative paths."""

    def put(self, source: Path, remote: str, *, attempt: int = 1) -> Stored:
        """Bring a file under its path, whole or not at all; ``attempt`` counts the tries, from 1."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def segments(remote: str) -> tuple[str, ...]:
    """Split a path in the store; refuse whatever could leave its root or hide from people.

    Raises
    ------
    UnusableData
        For absolute paths, ``.`` and ``..``, backslashes, control characters, empty or endless names.
    """
    parts = tuple(unicodedata.normalize("NFC", part) for part in remote.split("/"))
    if len(remote) > PATH_LENGTH or not all(_is_name(part) for part in parts):
        raise UnusableData(
            f"{remote[:120]!r} is no path in the store: allowed are names of 1 to {SEGMENT_LENGTH} bytes joined by '/', "
            "without '.', '..', a leading '/', backslashes or control characters"
        )
    return parts


class FolderStore:
    """A store in a folder.

    Parameters
    ----------
    root
        Made if missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def close(self) -> None:
        """Do nothing: a folder has no connections."""

    def put(self, source: Path, remote: str, *, attempt: int = 1) -> Stored:  # noqa: ARG002 - every copy has a name of its own
        """Copy a file under its path.

        Raises
        ------
        UnusableData
            If the path is not allowed, or leads out of the root over a link.
        Unavailable
            If the folder cannot be written.
        """
        target = self.root.joinpath(*segments(remote))
        sha256, size = _measure(source)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.parent.resolve().is_relative_to(self.root.resolve()):
                raise UnusableData(f"{remote!r} leads out of the store over a link")
            if target.is_file() and _measure(target) == (sha256, size):
                return Stored(remote=remote, sha256=sha256, size=size, written=False)
            _copy(source, target)
        except OSError as error:
            raise Unavailable(f"the store at {self.root} cannot be written: {error.strerror}") from error
        return Stored(remote=remote, sha256=sha256, size=size, written=True)


class WebDavStore:
    """A store on a WebDAV server.

    Parameters
    ----------
    client
        Knows the server, user, password and time-out.
    root
        Folder on the server under which everything goes; made if missing.
    """

    def __init__(self, client: Client, *, root: str = "") -> None:
        self.client = client
        self.root = segments(root.strip("/")) if root.strip("/") else ()
        self._made: set[tuple[str, ...]] = {()}
        client.session.hooks["response"].append(_read_refusal)

    def close(self) -> None:
        """Close the connections."""
        self.client.session.close()

    def put(self, source: Path, remote: str, *, attempt: int = 1) -> Stored:
        """Bring a file under its path.

        Each attempt has a temporary name of its own: a request that was given up may still be at work on the server,
        and would write into a file that the next attempt has checked already. What the two attempts before have left is
        removed: a file that changes while it is sent has its next attempt two later.

        Raises
        ------
        UnusableData
            If the path is not allowed.
        AlgorithmError
            If the server refuses the user, the password or the place.
        Unavailable
            If the server does not answer, has trouble, is full, or holds other bytes than were sent.
        """
        path = (*self.root, *segments(remote))
        sha256, size = _measure(source)
        *before, aside = (_aside(path, number) for number in range(max(attempt - 2, 1), attempt + 1))
        for left in before:
            self._remove(left)
        if self._holds(path, sha256=sha256, size=size):
            return Stored(remote=remote, sha256=sha256, size=size, written=False)
        self._make_folder(path[:-1])
        try:
            self._send(source, aside, size=size)
            self._require(aside, sha256=sha256, size=size)
            self._move(aside, path)
            self._require(path, sha256=sha256, size=size)
        except (AlgorithmError, Unavailable):
            self._remove(aside)
            raise
        return Stored(remote=remote, sha256=sha256, size=size, written=True)

    def _send(self, source: Path, path: tuple[str, ...], *, size: int) -> None:
        # requests sends a file of no bytes in chunks, which not every server takes
        with source.open("rb") as file:
            checksum = f"OC-Checksum: SHA1:{_hash(source, 'sha1')}"
            try:
                self._call("upload", path, data=file if size else b"", headers=[checksum])
            except _Missing:
                # somebody removed the folder that we made: make it again at the next try
                self._made = {()}
                raise

    def _move(self, source: tuple[str, ...], target: tuple[str, ...]) -> None:
        where = f"Destination: {self.client.get_url(_quoted(target))}"
        self._call("move", source, headers=[where, "Overwrite: T"])

    def _remove(self, path: tuple[str, ...]) -> None:
        """Remove a file if the server lets us: what stays is hidden, and is tried again with the next attempt."""
        for _ in range(REMOVALS):
            try:
                self._call("clean", path)
            except (_Missing, AlgorithmError) as refusal:
                log.debug("%s", refusal)
            except Unavailable as trouble:
                log.debug("%s", trouble)
                continue
            return

    def _make_folder(self, folder: tuple[str, ...]) -> None:
        """Make a folder and its parents, each once; that it exists is success."""
        if folder in self._made:
            return
        try:
            self._call("mkdir", folder, slash=True)
        except _Exists:
            log.debug("the folder %s is there", "/".join(folder))
        except _Missing:
            self._make_folder(folder[:-1])
            with contextlib.suppress(_Exists):
                self._call("mkdir", folder, slash=True)
        self._made.add(folder)

    def _require(self, path: tuple[str, ...], *, sha256: str, size: int) -> None:
        if not self._holds(path, sha256=sha256, size=size):
            raise Unavailable(f"the store holds other bytes than were sent under {'/'.join(path)}")

    def _holds(self, path: tuple[str, ...], *, sha256: str, size: int) -> bool:
        """Tell whether the server has exactly these bytes, by reading them back: not every server knows a hash."""
        digest, length = hashlib.sha256(), 0
        try:
            with self._answer("download", path) as response:
                for chunk in response.iter_content(CHUNK):
                    digest.update(chunk)
                    length += len(chunk)
                    if length > size:
                        return False
        except _Missing:
            return False
        return length == size and digest.hexdigest() == sha256

    def _call(self, action: str, path: tuple[str, ...], *, slash: bool = False, **request: Any) -> None:
        with self._answer(action, path, slash=slash, **request):
            pass

    @contextmanager
    def _answer(
        self,
        action: str,
        path: tuple[str, ...],
        *,
        slash: bool = False,
        data: Any = None,
        headers: list[str] | None = None,
    ) -> Iterator[requests.Response]:
        """Ask the server; say its errors by what must happen next."""
        where = _quoted(path) + ("/" if slash else "")
        with _translated(action, "/".join(path)):
            response = self.client.execute_request(action, where, data=data, headers_ext=headers)
            with contextlib.closing(response):
                yield response


class _Missing(Unavailable):
    """The resource or its folder is not there."""


class _Exists(Unavailable):
    """The folder is there already."""


@contextmanager
def _translated(action: str, path: str) -> Iterator[None]:
    try:
        yield
    except RemoteResourceNotFound as error:
        raise _Missing(f"{path} is not in the store") from error
    except MethodNotSupported as error:
        if action != "mkdir":
            raise AlgorithmError(f"the store does not know how to {action} {path}") from error
        raise _Exists(f"{path} is in the store") from error
    except ResponseErrorCode as error:
        raise _meaning(action, path, error.code) from error
    except (NotEnoughSpace, ResourceLocked) as error:
        raise Unavailable(f"the store is full or locked: {action} {path}") from error
    except (requests.RequestException, WebDavException) as error:
        raise Unavailable(f"the store does not answer {action} {path}: {type(error).__name__}") from error


def _read_refusal(response: requests.Response, *_: Any, **__: Any) -> None:
    """Read a refusal to its end: the library drops some unread, and their connections with them."""
    if response.status_code >= REFUSED:
        response.raw.drain_conn()


def _meaning(action: str, path: str, status: int) -> Exception:
    if status == CONFLICT:
        return _Missing(f"the folder of {path} is not in the store")
    if status in REFUSALS:
        return AlgorithmError(f"the store {REFUSALS[status]}: {action} {path}")
    if status >= SERVER_TROUBLE or status in LATER:
        return Unavailable(f"the store has trouble with {action} {path}: status {status}")
    return AlgorithmError(f"the store refuses {action} {path}: status {status}")


def _aside(path: tuple[str, ...], attempt: int) -> tuple[str, ...]:
    name = hashlib.sha256("/".join(path).encode()).hexdigest()[:12]
    return (*path[:-1], f".{name}-{attempt}.part")


def _quoted(path: tuple[str, ...]) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in path)


def _is_name(part: str) -> bool:
    if part in ("", ".", "..") or any(sign in part for sign in "\\/"):
        return False
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") for sign in part):
        return False
    return len(part.encode()) <= SEGMENT_LENGTH


def _measure(path: Path) -> tuple[str, int]:
    return _hash(path, "sha256"), path.stat().st_size


def _hash(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        # SHA-1 is what ownCloud's checksum header knows; it guards against accidents, not against people
        algorithm: Callable[[], Any] = lambda: hashlib.new(kind, usedforsecurity=False)  # noqa: E731 - file_digest's form
        return hashlib.file_digest(file, algorithm).hexdigest()


def _copy(source: Path, target: Path) -> None:
    aside = target.with_name(f".{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with source.open("rb") as reader, aside.open("xb") as writer:
            while chunk := reader.read(CHUNK):
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
