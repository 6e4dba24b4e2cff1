"""Products: written under a temporary name and renamed, with a recipe beside each, so that a rerun is a lookup.

A product is a file; ``<file>.json`` holds its sha256, inputs, options, code and tool versions, and the record that the
task returned. ``recall`` returns that record while the recipe is the same and every output is intact; ``staged`` makes
sure that a file under its final name is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from tasks import errors, naming
from tasks.records.decoding import reader

R = TypeVar("R")

WRITERS = 8
"""Number of files written and synced at a time; more does not make the disk faster."""

TEMPORARY = re.compile(r"\.\d+-[0-9a-f]{8}\..+")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that determines a product: stage, input files, options (any JSON value), tool versions."""

    stage: str
    inputs: Sequence[Path] = ()
    options: Any = None
    tools: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return a hash that changes if the recipe would give another product."""
        content = {
            "stage": self.stage,
            "inputs": [[path.name, _identity(path)] for path in self.inputs],
            "options": to_jsonable_python(self.options),
            "tools": dict(self.tools),
            "code": metadata.version("brightsiren"),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; on success sync and rename the file, on failure remove it.

    Raises
    ------
    Unavailable
        If no space is left.
    """
    temporary = _aside(path)
    with _reporting_full_disk(path):
        try:
            _make_folder(path.parent)
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def partial_files(folder: Path) -> list[Path]:
    """Return the partially written files under a folder, of running and of killed runs."""
    return [path for path in folder.rglob(".*") if TEMPORARY.fullmatch(path.name) and path.is_file()]


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically and durably."""
    with staged(path) as temporary:
        temporary.write_bytes(content)


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write many files, each atomically; all are durable when this returns.

    Several files are synced at a time and each folder once, which for small files is ten times faster than one after
    another.

    Raises
    ------
    Unavailable
        If no space is left.
    """
    asides = {path: _aside(path) for path in contents}
    folders = sorted({path.parent for path in contents})
    with _reporting_full_disk(*folders):
        try:
            for folder in folders:
                _make_folder(folder)
            with ThreadPoolExecutor(WRITERS) as pool:
                list(pool.map(_write_synced, asides.values(), contents.values()))
            for path, aside in asides.items():
                aside.replace(path)
            for folder in folders:
                _sync(folder)
        finally:
            for aside in asides.values():
                aside.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` as UTF-8, atomically and durably."""
    write_bytes(path, content.encode())


def recall(recipe: Recipe, output: Path, kind: type[R]) -> R | None:
    """Return the record of an earlier run of ``recipe``, or None if anything differs.

    Parameters
    ----------
    recipe
        The recipe that would be run now.
    output
        The first output: its sidecar lists all outputs and holds the record.
    kind
        The record's class.
    """
    note = _read_note(output)
    if note is None or note.get("fingerprint") != recipe.fingerprint():
        return None
    outputs = note.get("outputs", [])
    if not all(_intact(output.parent / entry["name"], entry) for entry in outputs):
        return None
    try:
        record: R = reader(kind).validate_python(note["result"])  # type: ignore[arg-type]  # a class is hashable
        return record
    except (KeyError, ValidationError):
        return None


def remember(recipe: Recipe, outputs: Sequence[Path], result: Any, *, others: Sequence[Path] = ()) -> None:
    """Write the sidecars of ``outputs``; the first one also holds ``result``.

    ``others`` are products that must also be intact for the result to be recalled; their own sidecars are not changed.
    """
    entries = [_entry(path, relative_to=outputs[0].parent) for path in (*outputs, *others)]
    fingerprint = recipe.fingerprint()
    for path, entry in zip(outputs[1:], entries[1 : len(outputs)], strict=True):
        _write_note(path, {**entry, "fingerprint": fingerprint, "made_with": outputs[0].name})
    _write_note(
        outputs[0],
        {
            **entries[0],
            "fingerprint": fingerprint,
            "stage": recipe.stage,
            "inputs": [{"name": str(path), "identity": _identity(path)} for path in recipe.inputs],
            "options": to_jsonable_python(recipe.options),
            "tools": dict(recipe.tools),
            "code": metadata.version("brightsiren"),
            "outputs": entries,
            "result": to_jsonable_python(result),
        },
    )


def stage_of(product: Path) -> str:
    """Return the stage whose recipe made a product; empty if its sidecar has none."""
    return str((_read_note(product) or {}).get("stage", ""))


def made_with(product: Path) -> list[Path]:
    """Return the other outputs of a product's recipe if the product is its first output, else an empty list."""
    entries = (_read_note(product) or {}).get("outputs", [])
    others = [product.parent / entry["name"] for entry in entries[1:]]
    return [path for path in others if (_read_note(path) or {}).get("made_with") == product.name]


def _aside(path: Path) -> Path:
    """Return a unique temporary name beside ``path``."""
    return path.with_name(f".{os.getpid()}-{os.urandom(4).hex()}.{path.name}")


@contextmanager
def _reporting_full_disk(*paths: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if errors.disk_is_full(error):
            names = ", ".join(map(str, paths))
            raise errors.Unavailable(f"no space is left for {names}") from error
        raise


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents if missing, and sync them to disk."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _write_synced(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entry(path: Path, *, relative_to: Path) -> dict[str, Any]:
    status = path.stat()
    return {
        "name": os.path.relpath(path, relative_to),
        "sha256": _known_sha256(path, status) or sha256_of(path),
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
    }


def _known_sha256(path: Path, status: os.stat_result) -> str | None:
    """Return the hash in a product's sidecar if the file has the recorded size and modification time."""
    note = _read_note(path)
    if note and note.get("size") == status.st_size and note.get("mtime_ns") == status.st_mtime_ns:
        return str(note["sha256"])
    return None


def _intact(path: Path, entry: Mapping[str, Any]) -> bool:
    """Return whether a file is unchanged: by size and time, or by its hash if only the time differs."""
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_size != entry["size"]:
        return False
    return bool(status.st_mtime_ns == entry["mtime_ns"] or sha256_of(path) == entry["sha256"])


def _identity(path: Path) -> str:
    """Return an input's identity: the content's hash for our own products, else size and time."""
    status = path.stat()
    return _known_sha256(path, status) or f"{status.st_size}:{status.st_mtime_ns}"


def _read_note(product: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(naming.sidecar(product).read_bytes())
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def _write_note(product: Path, note: Mapping[str, Any]) -> None:
    write_text(naming.sidecar(product), json.dumps(note, indent=1, sort_keys=True) + "\n")
