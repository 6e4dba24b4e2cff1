"""Telescopes: one TOML file each, read into a ``Telescope`` and checked.

Another folder of such files can be given to ``load``; the name asked for must be the file's and its record's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tasks.errors import UnusableData
from tasks.records import Telescope

FOLDER = Path(__file__).parent
# names in circulation → ours
ALIASES = {"Abastunami-T70": "Abastumani-T70"}
_TELESCOPE = TypeAdapter(Telescope)


def names(folder: Path = FOLDER) -> tuple[str, ...]:
    """Return the names of all telescopes, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def load(name: str, folder: Path = FOLDER) -> Telescope:
    """Read one telescope; raise ``UnusableData`` where it is unknown or its file is wrong."""
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
    """Turn the bytes of a TOML file into a telescope; ``source`` names them in messages."""
    try:
        table = tomllib.loads(content.decode())
        return _TELESCOPE.validate_python(table)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnusableData(f"{source} is not TOML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise UnusableData(f"{source} does not describe a telescope: {wrong}") from error


def known(wanted: Iterable[str]) -> tuple[Telescope, ...]:
    """Load those telescopes that we have; names of others are left out."""
    there = frozenset(names())
    return tuple(load(name) for name in wanted if name in there)
