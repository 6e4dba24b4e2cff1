"""Checks of a program's output files (existence, completeness, size), and scratch folders."""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tasks.constants import FITS_BLOCK, FITS_CARD
from tasks.errors import ProgramError, Unavailable, disk_is_full

# headers of our programs have a few hundred cards; a file without END is not read to its end
LARGEST_HEADER = 400 * FITS_BLOCK
# names of scratch folders
SCRATCH = re.compile(r"\.[a-z-]+-[a-z0-9_]{8}")


@contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new folder under ``parent``; remove it on success, keep its logs and configurations on failure."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
    with ExitStack() as on_failure:
        on_failure.callback(_keep_text, folder)
        try:
            yield folder
        except OSError as error:
            if disk_is_full(error):
                raise Unavailable(f"no space is left in {parent} for scratch files of {name}") from error
            raise
        on_failure.pop_all()
    shutil.rmtree(folder, ignore_errors=True)


def link(source: Path, name: Path) -> Path:
    """Make ``name`` a symbolic link to ``source``, so that a program finds its companions beside it."""
    name.symlink_to(Path(os.path.abspath(source)))  # noqa: PTH100 - resolve() would follow links of the product tree
    return name


def settings(values: Mapping[str, object]) -> str:
    """Return a configuration file of the AstrOmatic programs: one ``KEY value`` per line, sequences with commas."""
    return "".join(f"{key:<24}{_word(value)}\n" for key, value in values.items())


def require_image(path: Path, *, program: str, shape: tuple[int, int] | None = None, log_tail: str = "") -> None:
    """Raise ``ProgramError`` unless ``path`` is a complete FITS image, of ``shape`` (ny, nx) if given."""
    header = _headers(path, program, log_tail)[0]
    found = (int(header.get("NAXIS2", "0")), int(header.get("NAXIS1", "0")))
    if 0 in found or (shape is not None and found != shape):
        expected = "an image" if shape is None else f"{shape[1]} x {shape[0]} px"
        raise ProgramError(f"{program} wrote {found[1]} x {found[0]} px, expected {expected}", log_tail=log_tail)


def require_table(path: Path, name: str, *, program: str, log_tail: str = "") -> int:
    """Return the number of rows of a table in a complete FITS file; raise ``ProgramError`` if it is missing."""
    for header in _headers(path, program, log_tail)[1:]:
        if header.get("EXTNAME", "").strip("' ") == name:
            return int(header.get("NAXIS2", "0"))
    raise ProgramError(f"{program} wrote {path.name} without a table {name}", log_tail=log_tail)


def require_cards(path: Path, keywords: Sequence[str], *, program: str, log_tail: str = "") -> None:
    """Raise ``ProgramError`` unless ``path`` is a complete FITS file and its first header has all ``keywords``."""
    header = _headers(path, program, log_tail)[0]
    if missing := [keyword for keyword in keywords if keyword not in header]:
        raise ProgramError(f"{program} wrote {path.name} without {', '.join(missing)}", log_tail=log_tail)


def _headers(path: Path, program: str, log_tail: str) -> list[dict[str, str]]:
    """Return the headers of all HDUs, checked against the file's length; the data are not read."""
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise ProgramError(f"{program} ended without writing {path.name}", log_tail=log_tail) from error
    headers: list[dict[str, str]] = []
    position = 0
    with path.open("rb") as file:
        while position < size:
            file.seek(position)
            header, length = _header(file.read(min(LARGEST_HEADER, size - position)))
            position += length + _data_length(header)
            if not length or position > size:
                raise ProgramError(
                    f"{program} wrote {path.name} truncated or not FITS ({size} bytes)", log_tail=log_tail
                )
            headers.append(header)
    if not headers:
        raise ProgramError(f"{program} wrote {path.name} empty", log_tail=log_tail)
    return headers


def _header(content: bytes) -> tuple[dict[str, str], int]:
    """Return the value cards at the start of ``content`` and the header's length; 0 if there is no header."""
    if not content.startswith((b"SIMPLE  =", b"XTENSION=")):
        return {}, 0
    cards: dict[str, str] = {}
    for start in range(0, len(content) - FITS_CARD + 1, FITS_CARD):
        card = content[start : start + FITS_CARD].decode("latin-1")
        if card.rstrip() == "END":
            return cards, math.ceil((start + FITS_CARD) / FITS_BLOCK) * FITS_BLOCK
        if card[8:10] == "= ":
            cards.setdefault(card[:8].strip(), card[10:].split("/")[0].strip())
    return {}, 0


def _data_length(header: Mapping[str, str]) -> int:
    try:
        axes = [int(header[f"NAXIS{axis}"]) for axis in range(1, int(header.get("NAXIS", "0")) + 1)]
        bits = abs(int(header.get("BITPIX", "8"))) * int(header.get("GCOUNT", "1"))
        elements = (int(header.get("PCOUNT", "0")) + math.prod(axes)) if axes else 0
    except (KeyError, ValueError):
        return FITS_BLOCK**3  # lies about its axes: longer than any file
    return math.ceil(bits * elements / 8 / FITS_BLOCK) * FITS_BLOCK


def _keep_text(folder: Path) -> None:
    for path in folder.iterdir():
        if path.suffix not in {".log", ".conf"}:
            path.unlink(missing_ok=True) if not path.is_dir() else shutil.rmtree(path, ignore_errors=True)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, tuple | list):
        return ",".join(_word(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
