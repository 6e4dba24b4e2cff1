"""Static HTML pages from Jinja templates, escaped by default."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

_TEMPLATES = Environment(
    loader=PackageLoader("tasks.io.pages", "templates"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **context: Any) -> str:
    """Render a template; a variable that it uses and ``context`` lacks is an error."""
    return _TEMPLATES.get_template(template).render(**context)
