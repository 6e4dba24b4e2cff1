"""Choice of the reference to subtract from a stack, by file names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from tasks import naming
from tasks.errors import UnusableData
from tasks.records import Stack


def best(stack: Stack, paths: Sequence[Path], *, own: Collection[Path], place: Path) -> Path:
    """Return the best reference: same object and filter, other data; ours before a survey's, the farthest in time.

    Parameters
    ----------
    stack
        The stack to subtract from.
    paths
        References of any object and filter.
    own
        Paths, among them references, that contain the stack's own data.
    place
        Folder of the references, for the error text.

    Raises
    ------
    UnusableData
        If there is none.
    """
    pattern = naming.reference_pattern(stack.object, stack.filter)
    fitting = [path for path in paths if pattern.fullmatch(path.name)]
    moment = stack.date_obs.strftime("%Y%m%d_%H%M%S")
    others = [path for path in fitting if path not in own and f"_{moment}_" not in path.name]
    if not others:
        raise UnusableData(
            f"no reference of {stack.object} in {stack.filter} under {place} yet"
            + (f": the {len(fitting)} there hold the stack's own data" if fitting else ", as for each new field")
        )
    day = stack.date_obs.toordinal()
    return max(others, key=lambda path: (_is_own(stack, path), abs(_day(path) - day), path.name))


def _is_own(stack: Stack, reference: Path) -> bool:
    """Return whether a reference is of the stack's own telescope, whose name begins those of its units."""
    return stack.unit.startswith(naming.reference_source(reference.name))


def _day(path: Path) -> int:
    return naming.reference_date(path.name).toordinal()
