"""Typed fields of an untrusted document: a value of the right type, or None and a remark."""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pybase64

from tasks import naming
from tasks.errors import UnusableData

TEXT_LIMIT = 2000
ID_LIMIT = 200
SHOWN = 60
FITS_STARTS = (b"SIMPLE  =", b"\x1f\x8b")

# a database cannot store NUL and lone surrogates as UTF-8 text; other control characters break messages
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TEST_TOPIC = re.compile(r"(?:^|[._-])test(?:$|[._-])", re.IGNORECASE)


def clean(text: str) -> str:
    """Return a text safe to store, log and post: one line without control characters and lone surrogates."""
    return _spell_out(" ".join(text.split()))


def _spell_out(text: str) -> str:
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def identifier(text: str) -> str:
    """Clean an event's id and limit its length; different ids stay different."""
    name = _spell_out(text.strip())
    return name if len(name) <= ID_LIMIT else f"{name[: ID_LIMIT // 2]}...{naming.hashed(text)}"


def moment(text: str) -> datetime:
    """Parse an ISO time; without a time zone it is UTC.

    Raises
    ------
    ValueError
        If it is not an ISO time, or outside the years 1 to 9999.
    """
    try:
        time = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def is_test_topic(topic: str | None) -> bool:
    """Return whether a Kafka topic carries tests only (``gcn.classic.voevent.SWIFT_BAT_GRB_POS_TEST``)."""
    return topic is not None and _TEST_TOPIC.search(topic) is not None


def decode_map(text: str) -> bytes:
    """Decode a sky map from base64 and check that it starts like a FITS file, gzipped or not.

    Raises
    ------
    UnusableData
        If the text is not base64, or not of a FITS file.
    """
    try:
        content = pybase64.b64decode(text, validate=True)
    except ValueError:
        content = _decode_wrapped(text)
    if not content.startswith(FITS_STARTS):
        raise UnusableData(f"the map is not a FITS file: it starts with {content[:10]!r}")
    return content


def _decode_wrapped(text: str) -> bytes:
    """Decode base64 that is broken into lines."""
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError as error:
        raise UnusableData(f"the map is not base64: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Fields:
    """The fields of one object of a document. A value of the wrong type becomes a remark.

    ``remarks`` is shared by all objects of the document and grows as they are read.
    """

    content: Mapping[str, Any]
    remarks: list[str] = field(default_factory=list)
    path: str = ""

    def __contains__(self, key: str) -> bool:
        return self.content.get(key) is not None

    def remark(self, key: str, sentence: str) -> None:
        """Add a remark on a field."""
        self.remarks.append(clean(f"{self.path}{key}: {sentence}")[:TEXT_LIMIT])

    def text(self, key: str) -> str | None:
        """Return a text (a number is converted to one), or None if it is absent or empty."""
        value = self.content.get(key)
        if isinstance(value, str):
            return clean(value.strip())[:TEXT_LIMIT] or None
        if isinstance(value, int | float):
            return str(value).lower() if isinstance(value, bool) else str(value)
        self._refuse(key, value, "a text")
        return None

    def number(self, key: str, *, low: float = -math.inf, high: float = math.inf) -> float | None:
        """Return a finite number from ``low`` to ``high``, also if it is written as a text."""
        number = as_number(self.content.get(key))
        if number is None:
            self._refuse(key, self.content.get(key), "a number")
            return None
        if not low <= number <= high:
            self._refuse(key, number, f"a number from {low:g} to {high:g}")
            return None
        return number

    def integer(self, key: str) -> int | None:
        """Return a whole number."""
        number = self.number(key)
        return None if number is None else int(number)

    def flag(self, key: str) -> bool | None:
        """Return a boolean, also if it is written as a text."""
        value = self.content.get(key)
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
            return value.strip().lower() == "true"
        self._refuse(key, value, "true or false")
        return None

    def moment(self, key: str) -> datetime | None:
        """Return a time in UTC."""
        value = self.content.get(key)
        try:
            if isinstance(value, str):
                return moment(value)
        except ValueError:
            pass
        self._refuse(key, value, "an ISO time")
        return None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; a single text or number is a list of one."""
        value = self.content.get(key)
        items = value if isinstance(value, list) else [] if value is None else [value]
        good = [str(item) for item in items if isinstance(item, str | int | float) and not isinstance(item, bool)]
        if len(good) < len(items):
            self._refuse(key, value, "a list of texts")
        return tuple(clean(item.strip())[:TEXT_LIMIT] for item in good)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a list of numbers; a single number is a list of one."""
        value = self.content.get(key)
        items = value if isinstance(value, list) else [] if value is None else [value]
        good = [number for number in map(as_number, items) if number is not None]
        if len(good) < len(items):
            self._refuse(key, value, "a list of numbers")
        return tuple(good)

    def probabilities(self, key: str) -> dict[str, float] | None:
        """Return probabilities (0 to 1) by name, or None if there are none."""
        inner = self.object(key)
        if inner is None:
            return None
        numbers = {clean(name): inner.number(name, low=0, high=1) for name in inner.content}
        return {name: value for name, value in numbers.items() if value is not None} or None

    def object(self, key: str) -> Fields | None:
        """Return an object inside this one."""
        value = self.content.get(key)
        if isinstance(value, Mapping):
            return Fields(content=value, remarks=self.remarks, path=f"{self.path}{key}.")
        self._refuse(key, value, "an object")
        return None

    def sky_map(self, key: str) -> bytes | None:
        """Return the bytes of a FITS file in base64; a broken one becomes a remark and None."""
        value = self.content.get(key)
        if value is None:
            return None
        try:
            return decode_map(value) if isinstance(value, str) else None
        except UnusableData as error:
            self.remark(key, str(error))
            return None

    def _refuse(self, key: str, value: Any, expected: str) -> None:
        if value is not None:
            self.remark(key, f"got {_shown(value)}, expected {expected}")


def as_number(value: Any) -> float | None:
    """Return a finite number, also one written as a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_pair(value: Any) -> tuple[float, float] | None:
    """Return two finite numbers; None for anything else."""
    numbers = [as_number(item) for item in value] if isinstance(value, list) else []
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        return None
    return numbers[0], numbers[1]


def _shown(value: Any) -> str:
    """Return a value of any size in a few characters."""
    if isinstance(value, list | Mapping):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value[:SHOWN] if isinstance(value, str) else value)[:SHOWN]
