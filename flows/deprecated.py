"""Keywords of the last release, one per block; they work until the next release, with a deprecation warning."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from tasks.records import Blocks

P = ParamSpec("P")
R = TypeVar("R")


def block_keywords(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a flow with the parameter ``blocks`` also accept these fields of it as keywords.

    Parameters
    ----------
    names
        Fields of ``Blocks``. They appear in the flow's schema, so that stored parameters of old deployments stay valid.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            given = {name: value for name in names if (value := kwargs.pop(name, None)) is not None}
            if given:
                words = ", ".join(f"{name}={value!r}" for name, value in given.items())
                warnings.warn(f"{words} is deprecated: give blocks=Blocks({words})", DeprecationWarning, stacklevel=2)
                blocks: Any = kwargs.get("blocks", Blocks())
                kwargs["blocks"] = replace(blocks, **given)
            return function(*args, **kwargs)

        wrapper.__signature__ = _extended(function, names)  # type: ignore[attr-defined]
        # Prefect's form reads the descriptions of parameters from the end of the docstring
        lines = [f"    {name}: Deprecated; a field of blocks." for name in names]
        wrapper.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), *lines])
        return wrapper

    return decorate


def _extended(function: Callable[..., Any], names: tuple[str, ...]) -> inspect.Signature:
    signature = inspect.signature(function, eval_str=True)
    old = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=str | None) for name in names
    ]
    return signature.replace(parameters=[*signature.parameters.values(), *old])
