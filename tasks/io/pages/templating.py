"""Pages: static HTML from templates, one file each, readable on a phone, escaped by default."""

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
    """Render a template with what it needs; a name it asks for and does not get is an error."""
    return _TEMPLATES.get_template(template).render(**context)
