"""The first binary table of an untrusted FITS file, read row by row within limits.

Written for sky maps in alerts: a reader of only the FITS features that they use is faster than a general one. It can be
bounded: it allocates memory for the bytes that were actually read, not for the size that a header claims.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.constants import FITS_BLOCK, FITS_CARD
from tasks.errors import UnusableData

HEADER_BLOCKS_LIMIT = 200
COLUMNS_LIMIT = 64
GZIP = b"\x1f\x8b"
GZIP_WINDOW = 16 + zlib.MAX_WBITS
UNSIGNED_ZERO = 2**63
# https://fits.gsfc.nasa.gov/fits_standard.html, table 18; all big-endian
FORMATS = {"L": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "A": "S1"}
FORM = re.compile(r"(\d{0,7})([LBIJKEDA])$")

Value = str | int | float | bool
Bytes = bytes | memoryview


class ByteReader:
    """Reads bytes in order and decompresses gzip, up to ``limit`` bytes."""

    def __init__(self, payload: bytes, *, limit: int) -> None:
        self._rest = memoryview(payload)
        self._inflater = zlib.decompressobj(GZIP_WINDOW) if payload.startswith(GZIP) else None
        self._left = limit

    def take(self, size: int) -> Bytes:
        """Return the next ``size`` bytes; raises ``UnusableData`` if they are missing or over the limit."""
        if size > self._left:
            raise UnusableData("the FITS file is larger than the limit for a sky map")
        self._left -= size
        content = self._rest[:size] if self._inflater is None else self._inflate(size)
        if len(content) < size:
            raise UnusableData(f"the FITS file is truncated: {size} bytes announced, {len(content)} there")
        if self._inflater is None:
            self._rest = self._rest[size:]
        return content

    def _inflate(self, size: int) -> bytes:
        parts: list[bytes] = []
        missing = size
        while missing and self._inflater is not None and not self._inflater.eof:
            part = self._step(missing)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _step(self, size: int) -> bytes:
        inflater = self._inflater
        if inflater is None:
            return b""
        try:
            part = inflater.decompress(self._rest, size)
        except zlib.error as error:
            raise UnusableData(f"the gzipped FITS file is damaged: {error}") from error
        self._rest = memoryview(inflater.unconsumed_tail)
        return part


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column's position in a row: first byte, NumPy type, number of values; and its TZERO."""

    offset: int
    dtype: np.dtype[np.generic]
    repeat: int
    zero: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A binary table with a parsed header; its rows are read from ``source``."""

    header: Mapping[str, Value]
    columns: Mapping[str, Column]
    row_bytes: int
    rows: int
    source: ByteReader

    def take(self, rows: int) -> npt.NDArray[np.uint8]:
        """Return the bytes of the next rows: shape (rows, row_bytes)."""
        return np.frombuffer(self.source.take(rows * self.row_bytes), np.uint8).reshape(rows, self.row_bytes)

    def text(self, key: str) -> str | None:
        """Return a text from the header."""
        value = self.header.get(key)
        return value or None if isinstance(value, str) else None

    def number(self, key: str) -> float | None:
        """Return a finite number from the header, else None."""
        value = self.header.get(key)
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
        return number if np.isfinite(number) else None


def values(raw: npt.NDArray[np.uint8], column: Column) -> npt.NDArray[np.generic]:
    """Return a column of ``raw`` rows in native byte order, one value after another."""
    width = column.dtype.itemsize * column.repeat
    # a view of the rows: only the change of byte order copies data
    cells = raw[:, column.offset : column.offset + width].view(column.dtype).reshape(-1)
    native = cells.astype(column.dtype.newbyteorder("="), copy=False)
    if column.zero == UNSIGNED_ZERO:
        # unsigned integers are stored with the top bit flipped; a valid UNIQ then fits in signed ones
        return (native.view(np.uint64) ^ np.uint64(UNSIGNED_ZERO)).view(np.int64)
    return native


def open_table(payload: bytes, *, limit: int) -> Table:
    """Open the first binary table of a FITS file, gzipped or not.

    Parameters
    ----------
    payload
        The whole file.
    limit
        Maximum size of the decompressed file, in bytes.

    Raises
    ------
    UnusableData
        If it is not FITS, or has no plain binary table with a consistent header.
    """
    if not payload.startswith((b"SIMPLE", GZIP)):
        raise UnusableData(f"not a FITS file: it starts with {payload[:16]!r}")
    source = ByteReader(payload, limit=limit)
    primary = _header(source)
    if "SIMPLE" not in primary:
        raise UnusableData("not a FITS file: the first card is not SIMPLE")
    try:
        _skip(source, _data_bytes(primary))
        header = _header(source)
    except UnusableData as error:
        raise UnusableData(f"no complete table in the FITS file, expected a sky map's: {error}") from error
    if str(header.get("XTENSION")).strip() != "BINTABLE" or "ZTABLE" in header:
        raise UnusableData(f"the first extension is {str(header.get('XTENSION'))[:20]!r}, expected a plain BINTABLE")
    columns, width = _columns(header)
    row_bytes, rows = _integer(header, "NAXIS1"), _integer(header, "NAXIS2")
    if width != row_bytes or row_bytes == 0:
        raise UnusableData(f"the table's columns have {width} bytes a row, its header says {row_bytes}")
    return Table(header=header, columns=columns, row_bytes=row_bytes, rows=rows, source=source)


def _header(source: ByteReader) -> dict[str, Value]:
    """Read a header up to END."""
    header: dict[str, Value] = {}
    for _ in range(HEADER_BLOCKS_LIMIT):
        block = bytes(source.take(FITS_BLOCK)).decode("latin-1")
        for start in range(0, FITS_BLOCK, FITS_CARD):
            card = block[start : start + FITS_CARD]
            if card.rstrip() == "END":
                return header
            if card[8:10] == "= ":
                header.setdefault(card[:8].rstrip(), _value(card[10:]))
    raise UnusableData(f"a FITS header without END in {HEADER_BLOCKS_LIMIT} blocks")


def _value(text: str) -> Value:
    """Parse a card's value: a quoted text, a logical, an integer or a float; anything else stays text."""
    stripped = text.lstrip()
    if stripped.startswith("'"):
        quoted = re.match(r"'((?:[^']|'')*)'", stripped)
        return quoted[1].replace("''", "'").rstrip() if quoted else stripped[1:].rstrip()
    word = stripped.partition("/")[0].strip()
    if word in {"T", "F"}:
        return word == "T"
    try:
        return int(word) if re.fullmatch(r"[+-]?\d{1,19}", word) else float(word.replace("D", "E"))
    except ValueError:
        return word


def _integer(header: Mapping[str, Value], key: str) -> int:
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UnusableData(f"the FITS header's {key} is {str(value)[:20]!r}, expected a whole number")
    return value


def _data_bytes(header: Mapping[str, Value]) -> int:
    """Return the size of an HDU's data in bytes; the primary HDU of a sky map usually has none."""
    axes = _integer(header, "NAXIS")
    if axes == 0:
        return 0
    if axes > COLUMNS_LIMIT:
        raise UnusableData(f"a FITS image of {axes} axes")
    size = abs(int(header.get("BITPIX", 8))) // 8
    for axis in range(1, axes + 1):
        size *= _integer(header, f"NAXIS{axis}")
    return size


def _skip(source: ByteReader, size: int) -> None:
    if size:
        source.take(-(-size // FITS_BLOCK) * FITS_BLOCK)


def _columns(header: Mapping[str, Value]) -> tuple[dict[str, Column], int]:
    """Return the columns by upper-case name, and the bytes of a row."""
    count = _integer(header, "TFIELDS")
    if count > COLUMNS_LIMIT:
        raise UnusableData(f"a table of {count} columns; at most {COLUMNS_LIMIT} are allowed")
    columns: dict[str, Column] = {}
    offset = 0
    for index in range(1, count + 1):
        column = _column(header, index, offset=offset)
        columns.setdefault(str(header.get(f"TTYPE{index}", index)).strip().upper(), column)
        offset += column.dtype.itemsize * column.repeat
    return columns, offset


def _column(header: Mapping[str, Value], index: int, *, offset: int) -> Column:
    form = FORM.match(str(header.get(f"TFORM{index}")).strip())
    if form is None:
        raise UnusableData(f"column {index} has the format {str(header.get(f'TFORM{index}'))[:20]!r}, expected numbers")
    zero, scale = header.get(f"TZERO{index}", 0), header.get(f"TSCAL{index}", 1)
    if scale != 1 or zero not in {0, UNSIGNED_ZERO}:
        raise UnusableData(f"column {index} is scaled ({str(scale)[:20]}, {str(zero)[:20]}); no sky map is")
    return Column(offset=offset, dtype=np.dtype(FORMATS[form[2]]), repeat=int(form[1] or 1), zero=float(zero))
