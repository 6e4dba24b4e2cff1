"""Blocks from the environment: ``SIREN_<BLOCK>_<FIELD>``, such as ``SIREN_GCN_CLIENT_ID``.

Variables that are set overwrite the fields of the saved block. A block without variables is saved with its defaults if it
does not exist yet and has a default for every field. Otherwise its variables are reported as missing.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from prefect.blocks.core import Block
from prefect.blocks.notifications import SlackWebhook
from pydantic import SecretStr, ValidationError

import blocks
from blocks import default_places
from tasks.errors import MissingPart, UnusableData

OPERATORS_WEBHOOK = "SIREN_OPERATORS_WEBHOOK"
B = TypeVar("B", bound=Block)


@dataclass(frozen=True, kw_only=True)
class SavedBlocks:
    """The blocks that exist, as ``type/name``, and the variables of those that are missing."""

    saved: tuple[str, ...]
    missing: tuple[str, ...]


def save_blocks(
    environment: Mapping[str, str] | None = None, *, defaults: Mapping[str, str] | None = None
) -> SavedBlocks:
    """Register our block types and save the blocks that the environment or the defaults describe.

    Parameters
    ----------
    environment
        Variables; None means those of this process.
    defaults
        Values for a block that does not exist yet, used for variables that are not set.

    Raises
    ------
    UnusableData
        If a variable does not fit its field; the message names the variable.
    """
    environment = os.environ if environment is None else environment
    saved, missing = [], []
    for kind in block_types():
        kind.register_type_and_schema()
        name = document_name(kind)
        if save_block(kind, environment, defaults or {}):
            saved.append(f"{kind.get_block_type_slug()}/{name}")
        else:
            missing.append(f"{kind.get_block_type_slug()}/{name}: {', '.join(_required(kind))}")
    if save_webhook(environment):
        saved.append("slack-webhook/operators")
    else:
        missing.append(f"slack-webhook/operators: {OPERATORS_WEBHOOK}")
    return SavedBlocks(saved=tuple(saved), missing=tuple(missing))


def block_types() -> tuple[type[Block], ...]:
    """Return the block classes that the package exports, sorted by name."""
    members = [value for _, value in sorted(vars(blocks).items()) if inspect.isclass(value)]
    return tuple(kind for kind in members if issubclass(kind, Block) and kind is not Block)


def document_name(kind: type[Block]) -> str:
    """Return the default name of a block in flows: its type's slug."""
    return str(kind.get_block_type_slug())


def variable(kind: type[Block], field: str) -> str:
    """Return the environment variable of a block's field."""
    return f"SIREN_{document_name(kind)}_{field}".replace("-", "_").upper()


def save_block(kind: type[Block], environment: Mapping[str, str], defaults: Mapping[str, str]) -> bool:
    """Save one block if its fields are given; return whether it exists now."""
    name = document_name(kind)
    values = _values(kind, environment)
    if exists(kind, name):
        if values:
            _build(kind, {**_saved_values(kind, name), **values}).save(name, overwrite=True)
        return True
    values = {**_values(kind, defaults), **values}
    if not set(_required_fields(kind)) <= values.keys():
        return False
    _build(kind, values).save(name)
    return True


def local_defaults(home: Path) -> dict[str, str]:
    """Return the default values of a new machine: all paths under one folder.

    Paths must be absolute, because a worker runs flows in a folder of its own.
    """
    usual = default_places.home()
    places = {
        variable(blocks.Observatory, name): str(home / path.relative_to(usual))
        for name, path in blocks.Observatory().paths().items()
    }
    return places | {
        variable(blocks.RegistryDatabase, "url"): f"sqlite:///{home}/registry.sqlite",
        variable(blocks.ProductStore, "root"): str(home / "store"),
    }


def load(kind: type[B], environment: Mapping[str, str] | None = None) -> B:
    """Return a block: from the environment if it gives all required fields, else as saved on the server.

    Raises
    ------
    MissingPart
        If neither is available; the message names the variables.
    """
    values = _values(kind, os.environ if environment is None else environment)
    if set(_required_fields(kind)) <= values.keys():
        return cast("B", _build(kind, values))
    try:
        return cast("B", kind.load(document_name(kind)))
    except (ValueError, RuntimeError) as error:
        raise MissingPart(f"set {', '.join(_required(kind))}, or save the block {document_name(kind)}") from error


def save_webhook(environment: Mapping[str, str]) -> bool:
    """Save the operators' webhook; return whether it exists now."""
    if url := environment.get(OPERATORS_WEBHOOK):
        SlackWebhook(url=SecretStr(url)).save("operators", overwrite=True)
        return True
    return exists(SlackWebhook, "operators")


def exists(kind: type[Block], name: str) -> bool:
    """Return whether a block of that type and name is saved."""
    try:
        kind.load(name, validate=False)
    except ValueError:
        return False
    return True


def _saved_values(kind: type[Block], name: str) -> dict[str, Any]:
    saved = kind.load(name, validate=False)
    return {field: getattr(saved, field) for field in _own_fields(kind) if hasattr(saved, field)}


def _values(kind: type[Block], variables: Mapping[str, str]) -> dict[str, str]:
    named = {field: variables.get(variable(kind, field)) for field in _own_fields(kind)}
    return {field: value for field, value in named.items() if value}


def _build(kind: type[Block], values: Mapping[str, Any]) -> Block:
    """Build a block; if a value does not fit, the error names the variable, never the value."""
    try:
        return kind(**values)
    except ValidationError as error:
        fields = {str(item["loc"][0]) if item["loc"] else "": item["msg"] for item in error.errors(include_input=False)}
        problems = "; ".join(f"{variable(kind, field)}: {message}" for field, message in fields.items())
        raise UnusableData(f"block {document_name(kind)} cannot be made from the environment: {problems}") from None


def _own_fields(kind: type[Block]) -> tuple[str, ...]:
    return tuple(field for field in kind.model_fields if field not in Block.model_fields)


def _required_fields(kind: type[Block]) -> tuple[str, ...]:
    return tuple(field for field in _own_fields(kind) if kind.model_fields[field].is_required())


def _required(kind: type[Block]) -> tuple[str, ...]:
    return tuple(variable(kind, field) for field in _required_fields(kind))
