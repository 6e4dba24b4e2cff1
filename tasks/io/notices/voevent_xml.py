"""A VOEvent's XML as plain fields, parsed without access to files or the network.

A VOEvent needs no document type and no entities; a document with either is refused as an attack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from lxml import etree

from tasks.errors import UnusableData
from tasks.io.notices import untrusted_fields
from tasks.io.notices.untrusted_fields import Fields

SIZE_LIMIT = 1024 * 1024
"""Largest VOEvent in bytes; real ones have a few thousand."""

DEPTH_LIMIT = 64
ENCODING = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*['\"]([^'\"]*)['\"]")
ENCODINGS = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii", b"iso-8859-1"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """A VOEvent: its attributes, its parameters by group (the top level is ``""``), and its positions and times."""

    root: etree._Element
    ivorn: str | None
    role: str
    groups: dict[str, Fields]
    remarks: list[str]

    @property
    def top(self) -> Fields:
        """The parameters outside any group."""
        return self.groups[""]

    @cached_property
    def params(self) -> Fields:
        """All parameters; the first of those with the same name."""
        merged = {name: value for group in reversed(self.groups.values()) for name, value in group.content.items()}
        return Fields(content={**merged, **self.top.content}, remarks=self.remarks)

    def true_params(self, *, but: str | None = None, only: str | None = None) -> tuple[str, ...]:
        """Return the names of the parameters with the value ``true``: of one group, or of all groups but one."""
        chosen = [group for name, group in self.groups.items() if name != but and only in {None, name}]
        return tuple(
            dict.fromkeys(name for group in chosen for name, value in group.content.items() if value == "true")
        )

    def fields_at(self, *path: str) -> Fields:
        """Return the texts of the children of the first element at ``path`` as fields."""
        element = next(_descend(self.root, *path), None)
        children = [] if element is None else [child for child in element if isinstance(child.tag, str)]
        content = {_name(child): (child.text or "").strip() or None for child in reversed(children)}
        return Fields(content=content, remarks=self.remarks, path=f"{path[-1]}.")

    def attribute(self, name: str, *path: str) -> tuple[str, ...]:
        """Return an attribute of every element at ``path``."""
        return tuple(element.get(name) or "" for element in _descend(self.root, *path))


def read(payload: bytes) -> Document:
    """Read a VOEvent.

    Raises
    ------
    UnusableData
        If it is not well-formed, too large or deep, in another encoding, has a document type, or is no VOEvent.
    """
    root = _parse(payload)
    if _name(root) != "VOEvent":
        _refuse_root(root)
    remarks: list[str] = []
    groups = {
        name: Fields(content=content, remarks=remarks, path=f"{name}/" if name else "")
        for name, content in _params(root)
    }
    ivorn = root.get("ivorn")
    return Document(
        root=root,
        ivorn=untrusted_fields.clean(ivorn.strip())[: untrusted_fields.TEXT_LIMIT] or None if ivorn else None,
        role=untrusted_fields.clean(root.get("role") or "observation")[: untrusted_fields.SHOWN].lower(),
        groups=groups,
        remarks=remarks,
    )


def _parse(payload: bytes) -> etree._Element:
    _refuse_at_sight(payload)
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, dtd_validation=False, no_network=True, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(payload, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise UnusableData(f"not XML: {str(error)[:200]}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise UnusableData("the XML has a document type; no VOEvent does")
    _check_depth(root)
    return root


def _refuse_at_sight(payload: bytes) -> None:
    """Refuse, before parsing, a document with features that no VOEvent has."""
    if len(payload) > SIZE_LIMIT:
        raise UnusableData(f"a VOEvent of {len(payload)} bytes; at most {SIZE_LIMIT} are allowed")
    encoding = ENCODING.match(payload)
    if b"\x00" in payload or (encoding and encoding[1].lower() not in ENCODINGS):
        raise UnusableData("the XML is neither in UTF-8 nor in ASCII or Latin-1")
    if b"<!DOCTYPE" in payload or b"<!ENTITY" in payload:
        raise UnusableData("the XML has a document type or entities; no VOEvent does")


def _check_depth(root: etree._Element) -> None:
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > DEPTH_LIMIT:
            raise UnusableData(f"XML nested deeper than {DEPTH_LIMIT} levels")


def _refuse_root(root: etree._Element) -> None:
    if root.get("role") == "iamalive":
        raise UnusableData("heartbeat, not an alert")
    raise UnusableData(f"XML whose root is {_name(root)[: untrusted_fields.SHOWN]!r}, expected VOEvent")


def _name(element: etree._Element) -> str:
    """Return an element's name without its namespace."""
    return etree.QName(element).localname


def _children(element: etree._Element, name: str) -> Iterator[etree._Element]:
    return (child for child in element if isinstance(child.tag, str) and _name(child) == name)


def _descend(element: etree._Element, *path: str) -> Iterator[etree._Element]:
    """Yield the elements at a path of names; ``*`` stands for any number of levels."""
    if not path:
        yield element
    elif path[0] == "*":
        for inner in element.iter("{*}" + path[1]):
            yield from _descend(inner, *path[2:])
    else:
        for child in _children(element, path[0]):
            yield from _descend(child, *path[1:])


def _params(root: etree._Element) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Yield each group's name and parameters, the top level first."""
    what = next(_children(root, "What"), None)
    yield "", {} if what is None else _param_values(what)
    groups: dict[str, dict[str, str | None]] = {}
    for group in [] if what is None else _children(what, "Group"):
        name = untrusted_fields.clean(group.get("name") or group.get("type") or "group")[: untrusted_fields.SHOWN]
        groups[name] = {**_param_values(group), **groups.get(name, {})}
    yield from groups.items()


def _param_values(parent: etree._Element) -> dict[str, str | None]:
    """Return name and value of each Param, the first of each name; the value is an attribute or a child."""
    values: dict[str, str | None] = {}
    for param in _children(parent, "Param"):
        value = param.get("value")
        if value is None:
            value = next((child.text for child in _children(param, "Value")), None)
        values.setdefault(
            untrusted_fields.clean(param.get("name") or "")[: untrusted_fields.SHOWN], (value or "").strip() or None
        )
    return values
