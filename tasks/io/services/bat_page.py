"""The BAT team's analysis page of a burst: fetch, parse, and the message on it.

The page is written for people and grows over hours. Missing values are left out; a page without any known value has
probably changed its format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree, html

from tasks.errors import UnusableData
from tasks.io.messages import blockkit
from tasks.io.messages.blockkit import Rendered
from tasks.io.services import http
from tasks.records.bursts import BatPage, Fluence, Measurement

SIZE_LIMIT = 2 * 1024 * 1024
NUMBER = r"([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
MEASURED = rf"{NUMBER}(?:\s*(?:\+/-|\u00b1|\+-)\s*{NUMBER})?"
T90 = re.compile(rf"T\s*90\s*\(?\s*15\s*-\s*1[05]0\s*keV\s*\)?\s*[:=]?\s*{MEASURED}", re.IGNORECASE)
T90_HARD = re.compile(rf"T\s*90\s*\(?\s*50\s*-\s*300\s*keV\s*\)?\s*[:=]?\s*{MEASURED}", re.IGNORECASE)
HARDNESS = re.compile(
    rf"(?:hardness\s+ratio|ratio\s+of\s+energy\s+fluences)[^:=]{{0,120}}[:=]\s*{MEASURED}", re.IGNORECASE
)
BAND = re.compile(r"15\s*-\s*150")
SPANS = {"whole burst": r"time[- ]averaged|whole|total", "1-s peak": r"1[- ]?s(?:ec(?:ond)?)?\s+peak|peak\s+1[- ]?s"}
MODELS = {
    "blackbody": "black\\s*body",
    "cutoff power law": "cut-?\\s*off",
    "Band": r"\bband\b",
    "power law": "power[- ]law",
}
TRIED = "T90, hardness ratio, fluences"


def fetch(url: str) -> bytes | None:
    """Fetch a page; None if it does not exist yet. Errors as for ``http.fetch``."""
    return http.fetch(url, what="the BAT page", limit=SIZE_LIMIT)


def parse(content: bytes) -> BatPage:
    """Parse the values that a page has; raises ``UnusableData`` if it is not HTML."""
    try:
        root = html.document_fromstring(content.decode("utf-8", "replace"), html.HTMLParser(remove_comments=True))
    except (etree.ParserError, ValueError) as error:
        raise UnusableData("the BAT page is no HTML") from error
    text = _words(root)
    return BatPage(
        t90_s=_measured(T90, text),
        t90_hard_s=_measured(T90_HARD, text),
        hardness=_measured(HARDNESS, text),
        fluences=tuple(_fluences(root)),
    )


def message(name: str, page: BatPage, url: str) -> Rendered:
    """Return the message on a page's values; fluence of the whole burst and 1-s peak flux, each with its model."""
    pairs = [
        ("T90, 15-150 keV", _seconds(page.t90_s)),
        ("T90, 50-300 keV", _seconds(page.t90_hard_s)),
        ("Hardness ratio", _plain(page.hardness)),
        *((f"{_label(each.span)}, {each.model}", _energy(each)) for each in page.fluences),
    ]
    words = "; ".join(f"{label} {value}" for label, value in pairs if value)
    head = blockkit.section(f"*📈 BAT analysis of {blockkit.escape(name)}* · {blockkit.link(url, 'page')}")
    return blockkit.rendered(f"BAT analysis of {name}: {words}.", [head, *blockkit.fields(pairs)])


def _measured(pattern: re.Pattern[str], text: str) -> Measurement | None:
    match = pattern.search(text)
    return None if match is None else Measurement(value=float(match[1]), error=float(match[2]) if match[2] else None)


def _words(element: etree._Element) -> str:
    """Return the text inside an element, with a space between cells."""
    return " ".join(" ".join(str(text) for text in element.itertext()).split())


def _fluences(root: etree._Element) -> Iterator[Fluence]:
    """Yield the 15-150 keV row of each table, with span and model from the headings before it."""
    span = model = ""
    for element in root.iter("h1", "h2", "h3", "h4", "caption", "p", "tr"):
        words = _words(element)
        if element.tag != "tr":
            span, model = _named(SPANS, words) or span, _named(MODELS, words) or model
        elif BAND.search(words) and span:
            number = re.search(MEASURED, BAND.sub(" ", words, count=1).replace("keV", " "))
            if number is not None:
                energy = Measurement(value=float(number[1]), error=float(number[2]) if number[2] else None)
                yield Fluence(span=span, model=model or "model not named", energy=energy)


def _named(words: dict[str, str], text: str) -> str:
    return next((name for name, pattern in words.items() if re.search(pattern, text, re.IGNORECASE)), "")


def _seconds(number: Measurement | None) -> str:
    return f"{_plain(number)} s" if number else ""


def _plain(number: Measurement | None) -> str:
    if number is None:
        return ""
    return f"{number.value:.2f}" + (f" ± {number.error:.2f}" if number.error is not None else "")


def _energy(fluence: Fluence) -> str:
    number, unit = fluence.energy, "erg/cm²" if fluence.span == "whole burst" else "erg/cm²/s"
    error = f" ± {number.error:.1e}" if number.error is not None else ""
    return f"{number.value:.3e}{error} {unit}"


def _label(span: str) -> str:
    return "Fluence of the whole burst" if span == "whole burst" else "Flux of the 1-s peak"
