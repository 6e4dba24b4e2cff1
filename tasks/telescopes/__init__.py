"""Telescopes: one TOML file each, read into a ``Telescope`` and checked.

An observatory's own files lie in the folder that ``SIREN_TELESCOPES`` names; of two files of one name its own counts. A
telescope's name must be that of its file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tasks.errors import UnusableData
from tasks.records import Telescope

FOLDER = Path(__file__).parent
OWN_FOLDER = "SIREN_TELESCOPES"
ENDING = ".toml"
# other spellings → our names
ALIASES = {"Abastunami-T70": "Abastumani-T70"}
_TELESCOPE = TypeAdapter(Telescope)


def names() -> tuple[str, ...]:
    """Return the names of all telescopes, sorted."""
    return tuple(sorted(_files()))


def load(name: str) -> Telescope:
    """Read one telescope, by its name or by the path of its file, which ends in ``.toml``.

    Raises
    ------
    UnusableData
        If there is none of that name, or its file cannot be read or is invalid.
    """
    files, resolved = _files(), ALIASES.get(name, name)
    path = Path(name).expanduser() if name.endswith(ENDING) else files.get(resolved)
    if path is None:
        raise UnusableData(f"telescope {name!r} is unknown; known are {', '.join(sorted(files))}, or a file *{ENDING}")
    try:
        telescope = parse(path.read_bytes(), source=path.name)
    except OSError as error:
        raise UnusableData(f"the telescope's file {path} cannot be read: {error.strerror}") from error
    if telescope.name != path.stem:
        raise UnusableData(f"{path.name}: name is {telescope.name!r}, but the file's name says {path.stem!r}")
    return telescope


def _files() -> dict[str, Path]:
    """Return the files of all telescopes by name, an observatory's own before ours."""
    own = os.environ.get(OWN_FOLDER)
    folders = (FOLDER, Path(own).expanduser()) if own else (FOLDER,)
    return {path.stem: path for folder in folders for path in sorted(folder.glob(f"*{ENDING}"))}


def parse(content: bytes, *, source: str) -> Telescope:
    """Parse the bytes of a TOML file as a telescope; ``source`` names them in errors."""
    try:
        table = tomllib.loads(content.decode())
        return _TELESCOPE.validate_python(table)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnusableData(f"{source} is not TOML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise UnusableData(f"{source} does not describe a telescope: {wrong}") from error


def known(wanted: Iterable[str]) -> tuple[Telescope, ...]:
    """Load the known telescopes of ``wanted``; unknown names are skipped."""
    available = frozenset(names())
    return tuple(load(name) for name in wanted if name in available)
