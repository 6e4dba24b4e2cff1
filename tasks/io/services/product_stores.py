"""The product store: a folder, or a WebDAV server such as ownCloud.

A file is uploaded under a temporary name, checked by its hash and renamed, so that a file under its final name is always
complete. Idempotent: storing the same file again changes nothing.
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

from tasks.errors import AlgorithmError, Refused, Unavailable, UnusableData

log = logging.getLogger(__name__)

SEGMENT_LENGTH = 200
PATH_LENGTH = 2000
CHUNK = 1 << 20
# the first request after a broken connection may fail too
REMOVALS = 2
# endings and names that ownCloud and Nextcloud keep for themselves and refuse (owncloud/core issue 7496)
RESERVED_ENDINGS, RESERVED_NAMES = (".part", ".filepart"), frozenset({".htaccess"})
TEMPORARY = ".sending"
# status codes with a specific meaning
REFUSALS = {401: "refuses the user or password", 403: "forbids it"}
REFUSED, CONFLICT, TOO_LARGE, SERVER_TROUBLE = 400, 409, 413, 500
LATER = (408, 425, 429)


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file in the store; ``written`` is False if the store had the same content already."""

    remote: str
    sha256: str
    size: int
    written: bool


class Store(Protocol):
    """A store of files under relative paths."""

    def put(self, source: Path, remote: str, *, attempt: int = 1) -> StoredFile:
        """Store a file under its path, completely or not at all; ``attempt`` counts the attempts, from 1."""
        ...

    def check(self) -> str:
        """Return where the store is; an error says why nothing can be stored there."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def segments(remote: str) -> tuple[str, ...]:
    """Split a path in the store; refuse paths that could leave its root or be invisible.

    Raises
    ------
    UnusableData
        For absolute paths, ``.`` and ``..``, backslashes, control characters, spaces at an end of a name, empty or too long
        names, and names that ownCloud keeps for itself.
    """
    parts = tuple(unicodedata.normalize("NFC", part) for part in remote.split("/"))
    if len(remote) > PATH_LENGTH or not all(_is_name(part) for part in parts):
        raise UnusableData(
            f"{remote[:120]!r} is no path in the store: allowed are names of 1 to {SEGMENT_LENGTH} bytes joined by '/', "
            "without '.', '..', a leading '/', backslashes or control characters, spaces at an end, and names that stores "
            f"keep for themselves ({', '.join((*RESERVED_ENDINGS, *sorted(RESERVED_NAMES)))})"
        )
    return parts


class FolderStore:
    """A store in a folder.

    Parameters
    ----------
    root
        The folder; created if missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def close(self) -> None:
        """Do nothing: a folder has no connections."""

    def check(self) -> str:
        """Return the folder.

        Raises
        ------
        Unavailable
            If the folder, or the nearest one above it that exists, cannot be written.
        """
        there = next(each for each in (self.root, *self.root.parents) if each.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise Unavailable(f"the store at {self.root} cannot be written")
        return str(self.root)

    def put(self, source: Path, remote: str, *, attempt: int = 1) -> StoredFile:  # noqa: ARG002 - every copy has a unique temporary name
        """Copy a file under its path.

        Raises
        ------
        UnusableData
            If the path is not allowed, or leaves the root through a symbolic link.
        Unavailable
            If the folder cannot be written.
        """
        target = self.root.joinpath(*segments(remote))
        sha256, size = _measure(source)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.parent.resolve().is_relative_to(self.root.resolve()):
                raise UnusableData(f"{remote!r} leaves the store through a symbolic link")
            if target.is_file() and _measure(target) == (sha256, size):
                return StoredFile(remote=remote, sha256=sha256, size=size, written=False)
            _copy(source, target)
        except OSError as error:
            raise Unavailable(f"the store at {self.root} cannot be written: {error.strerror}") from error
        return StoredFile(remote=remote, sha256=sha256, size=size, written=True)


class WebDavStore:
    """A store on a WebDAV server.

    Parameters
    ----------
    client
        A client with server, user, password and time-out.
    root
        Root folder on the server; created if missing.
    """

    def __init__(self, client: Client, *, root: str = "") -> None:
        self.client = client
        self.root = segments(root.strip("/")) if root.strip("/") else ()
        self._made: set[tuple[str, ...]] = {()}
        client.session.hooks["response"].append(_read_refusal)

    def close(self) -> None:
        """Close the connections."""
        self.client.session.close()

    def check(self) -> str:
        """Return the server's address; a missing root folder is made at the first upload.

        Raises
        ------
        Refused, Unavailable
            If the server refuses the user or the password, or does not answer.
        """
        self._call("info", (), headers=["Depth: 0"])
        return str(self.client.webdav.hostname)

    def put(self, source: Path, remote: str, *, attempt: int = 1) -> StoredFile:
        """Store a file under its path.

        Each attempt has its own temporary name: the server may still process a request that was given up, and would write
        into a file that the next attempt has already checked. The temporary files of the two previous attempts are
        removed: if a file changes while it is sent, its next attempt has a number two higher.

        Raises
        ------
        UnusableData
            If the path is not allowed.
        AlgorithmError
            If the server refuses the path or the size.
        Refused
            If the server refuses the user, the password or the right to write.
        Unavailable
            If the server does not answer, has an error, is full, or holds other bytes than were sent.
        """
        path = (*self.root, *segments(remote))
        sha256, size = _measure(source)
        *before, aside = (_aside(path, number) for number in range(max(attempt - 2, 1), attempt + 1))
        for left in before:
            self._remove(left)
        if self._holds(path, sha256=sha256, size=size):
            return StoredFile(remote=remote, sha256=sha256, size=size, written=False)
        self._make_folder(path[:-1])
        try:
            self._send(source, aside, size=size)
            self._require(aside, sha256=sha256, size=size)
            self._move(aside, path)
            self._require(path, sha256=sha256, size=size)
        except (AlgorithmError, Unavailable):
            self._remove(aside)
            raise
        return StoredFile(remote=remote, sha256=sha256, size=size, written=True)

    def _send(self, source: Path, path: tuple[str, ...], *, size: int) -> None:
        # requests sends an empty file in chunks, which not every server accepts
        with source.open("rb") as file:
            checksum = f"OC-Checksum: SHA1:{_hash(source, 'sha1')}"
            try:
                self._call("upload", path, data=file if size else b"", headers=[checksum])
            except _Missing:
                # the folder was removed meanwhile: the next attempt creates it again
                self._made = {()}
                raise

    def _move(self, source: tuple[str, ...], target: tuple[str, ...]) -> None:
        where = f"Destination: {self.client.get_url(_quoted(target))}"
        self._call("move", source, headers=[where, "Overwrite: T"])

    def _remove(self, path: tuple[str, ...]) -> None:
        """Remove a file if possible; a hidden file that stays is removed at the next attempt."""
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
        """Create a folder and its parents, each once; an existing folder is a success."""
        if folder in self._made:
            return
        try:
            self._call("mkdir", folder, slash=True)
        except _Exists:
            log.debug("the folder %s exists", "/".join(folder))
        except _Missing:
            self._make_folder(folder[:-1])
            with contextlib.suppress(_Exists):
                self._call("mkdir", folder, slash=True)
        self._made.add(folder)

    def _require(self, path: tuple[str, ...], *, sha256: str, size: int) -> None:
        if not self._holds(path, sha256=sha256, size=size):
            raise Unavailable(f"the store holds other bytes than were sent under {'/'.join(path)}")

    def _holds(self, path: tuple[str, ...], *, sha256: str, size: int) -> bool:
        """Return whether the server has exactly these bytes, by downloading them: not every server offers a hash."""
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
        """Send a request to the server and translate its errors into ours."""
        where = _quoted(path) + ("/" if slash else "")
        with _translated(action, "/".join(path)):
            response = self.client.execute_request(action, where, data=data, headers_ext=headers)
            with contextlib.closing(response):
                yield response


class _Missing(Unavailable):
    """The resource or its folder does not exist."""


class _Exists(Unavailable):
    """The folder exists already."""


@contextmanager
def _translated(action: str, path: str) -> Iterator[None]:
    try:
        yield
    except RemoteResourceNotFound as error:
        raise _Missing(f"{path} is not in the store") from error
    except MethodNotSupported as error:
        if action != "mkdir":
            raise AlgorithmError(f"the store does not support {action} {path}") from error
        raise _Exists(f"{path} is in the store") from error
    except ResponseErrorCode as error:
        raise _meaning(action, path, error.code, error.message) from error
    except NotEnoughSpace as error:
        raise Unavailable(f"the store is full (507): {action} {path}") from error
    except ResourceLocked as error:
        raise Unavailable(f"somebody has locked {path} in the store (423): {action}") from error
    except (requests.RequestException, WebDavException) as error:
        raise Unavailable(f"the store does not answer {action} {path}: {type(error).__name__}") from error


def _read_refusal(response: requests.Response, *_: Any, **__: Any) -> None:
    """Read a refusal to its end: its words are kept, and its connection can be reused. The library drops some unread."""
    if response.status_code >= REFUSED:
        log.debug("a refusal of %d bytes", len(response.content))


def _meaning(action: str, path: str, status: int, body: bytes) -> Exception:
    if status == REFUSED and b"checksum" in body.lower():
        return Unavailable(f"the store received other bytes than were sent: {action} {path}")
    if status == CONFLICT:
        return _Missing(f"the folder of {path} is not in the store")
    if status in REFUSALS:
        return Refused(f"the store {REFUSALS[status]} ({action}, status {status})")
    if status >= SERVER_TROUBLE or status in LATER:
        return Unavailable(f"the store failed at {action} {path}: status {status}")
    if status == TOO_LARGE:
        return AlgorithmError(f"the store takes no file as large as {path}: ask for a larger limit of uploads")
    return AlgorithmError(f"the store refuses {action} {path}: status {status}")


def _aside(path: tuple[str, ...], attempt: int) -> tuple[str, ...]:
    name = hashlib.sha256("/".join(path).encode()).hexdigest()[:12]
    return (*path[:-1], f".{name}-{attempt}{TEMPORARY}")


def _quoted(path: tuple[str, ...]) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in path)


def _is_name(part: str) -> bool:
    if part in ("", ".", "..") or part != part.strip() or any(sign in part for sign in "\\/"):
        return False
    if part.lower() in RESERVED_NAMES or part.lower().endswith(RESERVED_ENDINGS):
        return False
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") for sign in part):
        return False
    return len(part.encode()) <= SEGMENT_LENGTH


def _measure(path: Path) -> tuple[str, int]:
    return _hash(path, "sha256"), path.stat().st_size


def _hash(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        # ownCloud's checksum header supports SHA-1; it protects against accidents, not against attacks
        algorithm: Callable[[], Any] = lambda: hashlib.new(kind, usedforsecurity=False)  # noqa: E731 - file_digest's form
        return hashlib.file_digest(file, algorithm).hexdigest()


def _copy(source: Path, target: Path) -> None:
    aside = target.with_name(f".{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY}")
    try:
        with source.open("rb") as reader, aside.open("xb") as writer:
            while chunk := reader.read(CHUNK):
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
