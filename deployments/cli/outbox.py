"""``siren outbox``: what waits in the outbox and what was given up; try it again, or drop it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from deployments.terminal import output

if TYPE_CHECKING:
    from tasks.records.outbox import Unsent
    from tasks.registry import Registry

REGISTRY = click.option("--registry", "url", help="URL of the registry.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("outbox")
def command() -> None:
    """Show what the outbox has not sent, try again what was given up, or drop it."""


@command.command("list")
@REGISTRY
@AS_JSON
def list_unsent(url: str | None, *, as_json: bool) -> None:
    """Show the messages (m…) and uploads (u…) that wait and that were given up, with reason and age."""
    from tasks.registry import unsent  # slow start-up: SQLAlchemy

    with _registry(url) as registry, registry.read() as session:
        waiting, failed = unsent.waiting(session), unsent.given_up(session)
    moment = datetime.now(UTC)
    result = {"waiting": _rows(waiting, moment), "failed": _rows(failed, moment)}
    text = "\n".join([*_lines("wait", waiting, moment), *_lines("were given up", failed, moment)])
    output.show(result, text, as_json=as_json)


@command.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@REGISTRY
@AS_JSON
def retry(ids: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """Send again what was given up: the IDs that `list` shows, or all without one. The next delivery sends it."""
    from tasks.registry import unsent  # slow start-up: SQLAlchemy

    with _registry(url) as registry, registry.begin() as session:
        number = unsent.retry(session, ids, now=datetime.now(UTC))
    output.show({"retried": number}, f"{number} wait to be sent again", as_json=as_json)


@command.command("drop")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@REGISTRY
@AS_JSON
def drop(ids: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """Drop what was given up: it is shown no more and never sent; the registry keeps it with its reason."""
    from tasks.registry import unsent  # slow start-up: SQLAlchemy

    with _registry(url) as registry, registry.begin() as session:
        number = unsent.drop(session, ids, now=datetime.now(UTC))
    output.show({"dropped": number}, f"{number} dropped", as_json=as_json)


@contextmanager
def _registry(url: str | None) -> Iterator[Registry]:
    from deployments.server import default_paths
    from tasks import registry  # slow start-up: SQLAlchemy

    opened = registry.open(default_paths.registry_url(url))
    try:
        yield opened
    finally:
        opened.close()


def _rows(entries: Sequence[Unsent], moment: datetime) -> list[dict[str, Any]]:
    return [
        {
            "id": entry.id,
            "what": entry.what,
            "reason": entry.reason,
            "created": entry.created,
            "age_s": (moment - entry.created).total_seconds(),
            "due": entry.due,
            "attempts": entry.attempts,
        }
        for entry in entries
    ]


def _lines(words: str, entries: Sequence[Unsent], moment: datetime) -> list[str]:
    lines = [
        f"  {entry.id:<7} {_age(moment - entry.created):>6}  {entry.what}{f': {entry.reason}' if entry.reason else ''}"
        for entry in entries
    ]
    return [f"{len(entries)} {words}", *lines]


def _age(span: timedelta) -> str:
    """Write an age in its largest unit of which there are at least two."""
    minutes = int(span.total_seconds() // 60)
    for unit, length in (("d", 24 * 60), ("h", 60)):
        if minutes >= 2 * length:
            return f"{minutes // length} {unit}"
    return f"{minutes} min"
