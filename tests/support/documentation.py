"""What the pages of the documentation name: code spans and blocks, links, cards, columns, files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from markdown.extensions.toc import slugify

from docs import generate

FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CARD = re.compile(r"[A-Z][A-Z0-9_-]{1,7}")
# what a small letter stands for in the name of a card or column
PLACES = {
    "nnn": r"\d{3}",
    "i": r"\d+",
    "j": r"\d+",
    "k": r"(AUTO|A|PSF|TOT|U?\d)",
    "a": r"(AUTO|PSF|APER(_U?\d)?)",
    "f": r"[A-Za-z]\w{0,7}",
}


def prose(text: str) -> str:
    """Return a page without its code blocks."""
    return FENCE.sub("", text)


def spans(text: str) -> set[str]:
    """Return the code spans of a page."""
    return set(SPAN.findall(prose(text)))


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    return [body for name, body in FENCE.findall(text) if name == language]


def section(text: str, title: str) -> str:
    """Return a section of a page with the sections inside it."""
    start = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert start, f"no section {title}"
    end = re.search(rf"^#{{1,{len(start[1])}}} ", text[start.end() :], re.MULTILINE)
    return text[start.start() : start.end() + end.start()] if end else text[start.start() :]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings."""
    return {slugify(re.sub(r"`", "", title), "-") for title in HEADING.findall(FENCE.sub("", text))}


def links(text: str) -> list[str]:
    """Return where a page leads to."""
    return LINK.findall(prose(text))


def undocumented(names: set[str], page: str) -> set[str]:
    """Return the names of cards or columns that a page does not name; its small letters stand for numbers and the like."""
    known = [_pattern(span) for span in spans(page)]
    return {name for name in names if not any(each.fullmatch(name) for each in known)}


def undocumented_files(files: set[str], page: str) -> set[str]:
    """Return the files, relative to their root, that the first columns of a page's tables do not name."""
    cells = [line.split("|")[1] for line in prose(page).splitlines() if line.startswith("|")]
    known = [_file_pattern(each) for cell in cells for span in SPAN.findall(cell) for each in _alternatives(span)]
    return {name for name in files if not any(each.fullmatch(name) for each in known)}


def declared_cards(source: str) -> Iterator[str]:
    """Yield the header cards that a module's dictionaries name, with an example where a part of the name is computed."""
    for node in ast.walk(ast.parse(source)):
        keys = node.keys if isinstance(node, ast.Dict) else ()
        if isinstance(node, ast.DictComp):
            keys = (node.key,)
        for key in keys:
            if isinstance(key, ast.Constant) and CARD.fullmatch(str(key.value)):
                yield str(key.value)
            elif isinstance(key, ast.JoinedStr) and CARD.fullmatch(name := _example(key)):
                yield name


def page(name: str) -> str:
    """Return a page as it is built."""
    return generate.page(name)


def pages() -> list[Path]:
    """Return README and all pages."""
    return [generate.ROOT / "README.md", *sorted(generate.DOCS.glob("*.md"))]


def _pattern(span: str) -> re.Pattern[str]:
    # a letter stands for something only at the end of a part: MAG_a_f, CDi_j, IMCMBnnn; source_id is a plain name
    part = r"(?<![a-z])(nnn|[ijkaf])(?![a-z])"
    pieces = re.split(part, span)
    return re.compile("".join(PLACES.get(piece, re.escape(piece)) for piece in pieces))


def _file_pattern(span: str) -> re.Pattern[str]:
    text = re.escape(span).replace("…", ".*").replace(r"\*", "[^/]*")
    return re.compile(rf"(.*/)?{re.sub(r'<[^<>/]+>', '[^/]+', text)}")


def _alternatives(span: str) -> list[str]:
    found = re.fullmatch(r"(.*)\{([^{}]*)\}(.*)", span)
    return [f"{found[1]}{each}{found[3]}" for each in found[2].split(",")] if found else [span]


def _example(key: ast.JoinedStr) -> str:
    parts = []
    for number, value in enumerate(key.values):
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
        else:
            width = ast.unparse(value.format_spec) if value.format_spec else ""
            parts.append("BIAS" if number == 0 else "001" if "03d" in width else "1")
    return "".join(parts)
