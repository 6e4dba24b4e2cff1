"""What image code asks of its array module is there in NumPy and in CuPy, whether or not there is a GPU here."""

from __future__ import annotations

import ast
import inspect
from functools import reduce

import numpy as np
import pytest

UFUNC_KEYWORDS = {"out", "dtype", "casting"}


def uses(repository):
    """Every ``xp.name(...)`` of the science modules: where, which name, which keywords."""
    for path in sorted((repository / "tasks" / "science").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            owner, *names = ast.unparse(node).removeprefix("self.").removeprefix("field.").split(".")
            if owner == "xp" and names and all(name.isidentifier() for name in names):
                keywords = {each.arg for each in calls[id(node)].keywords} if id(node) in calls else set()
                yield f"{path.name}:{node.lineno}", ".".join(names), keywords


def lacking(repository, module):
    """What an array module does not have, or does not take."""
    wrong = []
    for where, name, keywords in uses(repository):
        try:
            found = reduce(getattr, name.split("."), module)
        except AttributeError:
            wrong.append(f"{where}: there is no {module.__name__}.{name}")
            continue
        if surplus := keywords - taken(found, keywords):
            wrong.append(f"{where}: {module.__name__}.{name} does not take {', '.join(sorted(surplus))}")
    return wrong


def taken(function, keywords):
    """The keywords that a function takes; all of them where it does not say."""
    if type(function).__name__ == "ufunc":
        return UFUNC_KEYWORDS
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return keywords
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return keywords
    return {each.name for each in parameters}


def test_numpy_has_all_that_image_code_uses(repository):
    names = {name for _, name, _ in uses(repository)}
    assert len(names) > 40
    assert "fft.rfft2" in names
    assert lacking(repository, np) == []


def test_cupy_has_all_that_image_code_uses(repository):
    assert lacking(repository, pytest.importorskip("cupy", reason="CuPy is not installed")) == []
