"""Telescopes: one TOML file each, read into a ``Telescope`` and checked.

``load`` accepts another folder of such files; a telescope's name must be that of its file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tasks.errors import UnusableData
from tasks.records import Telescope

FOLDER = Path(__file__).parent
# other spellings → our names
ALIASES = {"Abastunami-T70": "Abastumani-T70"}
_TELESCOPE = TypeAdapter(Telescope)


def names(folder: Path = FOLDER) -> tuple[str, ...]:
    """Return the names of all telescopes, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def load(name: str, folder: Path = FOLDER) -> Telescope:
    """Read one telescope; raise ``UnusableData`` if it is unknown or its file is invalid."""
    known = names(folder)
    resolved = ALIASES.get(name, name)
    if resolved not in known:
        raise UnusableData(f"telescope {name!r} is unknown; known are {', '.join(known)}")
    path = folder / f"{resolved}.toml"
    telescope = parse(path.read_bytes(), source=path.name)
    if telescope.name != resolved:
        raise UnusableData(f"{path.name}: name is {telescope.name!r}, but the file's name says {resolved!r}")
    return telescope


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
