"""Images as FITS files, read in pure Python and NumPy, so that a malformed file raises an error and never crashes.

Raw frames are untrusted. Each header card is checked here and NumPy reads the data as plain bytes: no C library parses
the file or gets its name. Written files hold native arrays with the cards that the caller gives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from astropy.io import fits

from tasks.constants import FITS_BLOCK, FITS_CARD
from tasks.errors import UnusableData
from tasks.io.fits import packed_images

Value: TypeAlias = str | int | float | bool
Header: TypeAlias = dict[str, Value]
Image: TypeAlias = np.ndarray[Any, Any]

# the longest header seen in production has 3 blocks; 64 leave room for a SCAMP solution and a long history
HEADER_BLOCKS = 64
LONGEST_SIDE = 1 << 17
# rows are swapped to big-endian in pieces that stay in the cache
WRITE_BYTES = 1 << 20
# half a million pixels in bands across a frame give its median to 0.03 ADU
SAMPLE_PIXELS = 1 << 19
SAMPLE_BANDS = 16
SAMPLES = {8: ">u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}
UNSIGNED_ZERO = 32768.0
STRUCTURE = re.compile(r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|B(ZERO|SCALE)|BLANK|CHECKSUM|DATASUM|END")
COMMENTARY = ("COMMENT", "HISTORY", "CONTINUE", "")
KEYWORD = re.compile(rb"[A-Z0-9_-]{0,8} *")
FOREIGN, CONTROL = re.compile(rb"[\x80-\xff]"), re.compile(rb"[\x00-\x1f\x7f]")
STRING = re.compile(r" *'((?:[^']|'')*)'")
INTEGER = re.compile(r"[+-]?\d{1,18}")
REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([EeDd][+-]?\d{1,4})?")


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image file with a parsed header and complete data.

    ``content`` holds the unpacked bytes of a compressed file; a plain file is read from disk row by row.
    """

    path: Path
    header: Header
    shape: tuple[int, int]
    bitpix: int
    offset: int
    content: bytes | None = None

    def rows(self, start: int = 0, stop: int | None = None) -> Image:
        """Return rows ``start`` to ``stop``: uint16 for unsigned 16-bit raw data, uint8 for bytes, else float32."""
        ny, nx = self.shape
        stop = ny if stop is None else min(stop, ny)
        sample = np.dtype(SAMPLES[self.bitpix])
        count = (stop - start) * nx
        first = self.offset + start * nx * sample.itemsize
        data = self._bytes(sample, count, first)
        if data.size != count:
            raise UnusableData(f"{self.path.name} became shorter while it was read")
        return _scaled(data.reshape(stop - start, nx), self.header)

    def part(self, rows: slice, columns: slice) -> Image:
        """Return some rows and columns, of the same types as ``rows``, without reading the others.

        The file is memory-mapped: use it only for our own products, which are never truncated while being read.
        """
        sample = np.dtype(SAMPLES[self.bitpix])
        whole = self.content if self.content is not None else np.memmap(self.path, np.uint8, mode="r")
        data = np.ndarray(self.shape, sample, buffer=whole, offset=self.offset)
        return _scaled(data[rows, columns], self.header)

    def sample(self) -> Image:
        """Return bands of rows from the whole frame, or the whole frame if it is small."""
        ny, nx = self.shape
        rows = max(1, SAMPLE_PIXELS // SAMPLE_BANDS // nx)
        if rows * SAMPLE_BANDS >= ny:
            return self.rows()
        starts = np.linspace(0, ny - rows, SAMPLE_BANDS).astype(int)
        return np.concatenate([self.rows(int(start), int(start) + rows) for start in starts])

    def _bytes(self, sample: np.dtype[Any], count: int, first: int) -> Image:
        if self.content is not None:
            return np.frombuffer(self.content, sample, count=count, offset=first)
        try:
            return np.fromfile(self.path, sample, count=count, offset=first)
        except OSError as error:
            raise UnusableData(f"{self.path.name} cannot be read: {error}") from error


def open_image(path: Path) -> ImageFile:
    """Check an image file and return a handle on its rows.

    Raises
    ------
    UnusableData
        If the file cannot be read, is not FITS, has no two-dimensional image in its first unit nor a single one in an
        extension, or is shorter than its header requires.
    """
    content = packed_images.unpacked(path)
    try:
        beginning = content if content is not None else _beginning(path)
        if packed_images.primary_is_empty(beginning):
            content = packed_images.from_extension(content if content is not None else path, path.name)
        length = len(content) if content is not None else path.stat().st_size
    except OSError as error:
        raise UnusableData(f"{path.name} cannot be read: {error}") from error
    beginning = content if content is not None else beginning
    header, offset = parse_header(beginning, path.name)
    shape, bitpix = _geometry(header, path.name)
    needed = offset + shape[0] * shape[1] * abs(bitpix) // 8
    if length < needed:
        raise UnusableData(f"{path.name} is truncated: {length} bytes of the {needed} that its header promises")
    return ImageFile(path=path, header=header, shape=shape, bitpix=bitpix, offset=offset, content=content)


def read_header(path: Path) -> Header:
    """Return the cards of a complete image file; errors as for ``open_image``."""
    return open_image(path).header


def read_image(path: Path) -> tuple[Image, Header]:
    """Return an image ``(ny, nx)`` and its cards; see ``ImageFile.rows`` for the types and ``open_image`` for errors."""
    stored = open_image(path)
    return stored.rows(), stored.header


def write_image(path: Path, data: Image, header: Mapping[str, Any] | fits.Header) -> None:
    """Write a float32, uint8 or uint16 image; the same arguments give the same bytes.

    Parameters
    ----------
    path
        Path to write to; use the temporary name of ``products.staged``.
    data
        Image ``(ny, nx)``.
    header
        Cards to write after those of the array. Values that FITS cannot hold (NaN, other objects) and cards that
        describe an array are left out; characters other than printable ASCII become ``?``.
    """
    cards = _cards(data, header)
    rows = max(1, WRITE_BYTES // max(1, data[0].nbytes))
    with path.open("wb") as file:
        file.write(cards)
        for start in range(0, data.shape[0], rows):
            file.write(_big_endian(data[start : start + rows]))
        file.write(bytes(-data.nbytes % FITS_BLOCK))


def parse_header(beginning: bytes, name: str) -> tuple[Header, int]:
    """Return the cards of the first unit and the length of the header in bytes.

    The last value of a repeated keyword counts; one in lower case counts as in upper case, and a card whose name is no ASCII
    is left out. Malformed numbers (``6,4E-05``) stay text; comments and history are left out. Raises ``UnusableData`` for anything that is not a header.
    """
    if not beginning.startswith(b"SIMPLE  ="):
        raise UnusableData(f"{name} is not a FITS file: it does not begin with SIMPLE")
    header: Header = {}
    for place in range(0, min(len(beginning), HEADER_BLOCKS * FITS_BLOCK) - FITS_CARD + 1, FITS_CARD):
        card = beginning[place : place + FITS_CARD]
        if card.startswith(b"END") and not card[3:].strip():
            return header, -(-(place + FITS_CARD) // FITS_BLOCK) * FITS_BLOCK
        _add_card(header, card, name)
    raise UnusableData(f"{name} has no END card in the first {HEADER_BLOCKS} header blocks")


def _add_card(header: Header, card: bytes, name: str) -> None:
    card = card[:8].upper() + card[8:]
    if FOREIGN.search(card[:8]) and not CONTROL.search(card):
        # a name that FITS does not know says nothing that is used; the others' facts stand
        return
    if not KEYWORD.fullmatch(card[:8]) or any(byte in card for byte in (0, 10, 13)):
        raise UnusableData(f"{name} has a broken header card: {card[:30].decode('ascii', 'replace')!r}")
    keyword = card[:8].decode("ascii").rstrip()
    if card[8:10] != b"= " or keyword in COMMENTARY:
        return
    value = _value(card[10:].decode("ascii", "replace"))
    if value is not None:
        header[keyword] = value


def _value(text: str) -> Value | None:
    """Return the value in the last 70 characters of a card; None if it is blank."""
    if (string := STRING.match(text)) is not None:
        return string[1].replace("''", "'").rstrip()
    word = text.split("/", 1)[0].strip()
    if word in ("T", "F"):
        return word == "T"
    if INTEGER.fullmatch(word):
        return int(word)
    if REAL.fullmatch(word):
        return float(word.upper().replace("D", "E"))
    return word or None


def _geometry(header: Header, name: str) -> tuple[tuple[int, int], int]:
    axes, nx, ny, bitpix = (_integer(header, key, name) for key in ("NAXIS", "NAXIS1", "NAXIS2", "BITPIX"))
    if axes != 2 or not (0 < nx <= LONGEST_SIDE and 0 < ny <= LONGEST_SIDE):
        raise UnusableData(f"{name} holds no image: {axes} axes of {nx} x {ny} pixels (allowed: 2 axes)")
    if bitpix not in SAMPLES:
        raise UnusableData(f"{name} has BITPIX {bitpix} (allowed: {', '.join(map(str, SAMPLES))})")
    for key in ("BZERO", "BSCALE"):
        if not isinstance(header.get(key, 0), int | float) or not math.isfinite(float(header.get(key, 0))):
            raise UnusableData(f"{name} has {key} {header[key]!r} (allowed: a number)")
    return (ny, nx), bitpix


def _integer(header: Header, key: str, name: str) -> int:
    value = header.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnusableData(f"{name} has {key} {value!r} (allowed: a whole number)")
    return value


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BLOCKS * FITS_BLOCK)


def _scaled(data: Image, header: Header) -> Image:
    """Return stored samples as native values."""
    zero, scale = float(header.get("BZERO", 0)), float(header.get("BSCALE", 1))
    if data.dtype.kind == "i" and data.itemsize == 2 and (zero, scale) == (UNSIGNED_ZERO, 1.0):
        # adding 32768 to a signed 16-bit integer flips its highest bit
        native = data.astype(np.int16).view(np.uint16)
        native ^= np.uint16(0x8000)
        return native
    if (zero, scale) == (0.0, 1.0):
        with np.errstate(over="ignore", invalid="ignore"):
            return data.astype(np.uint8 if data.itemsize == 1 else np.float32)
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # an extreme scale gives infinities, which count as missing values
        return (data.astype(np.float64) * scale + zero).astype(np.float32)


def _big_endian(rows: Image) -> memoryview:
    if rows.dtype == np.uint16:
        rows = (rows ^ np.uint16(0x8000)).view(np.int16)
    return np.ascontiguousarray(rows, rows.dtype.newbyteorder(">")).view(np.uint8).data


def _cards(data: Image, header: Mapping[str, Any] | fits.Header) -> bytes:
    bitpix = {np.dtype(np.float32): -32, np.dtype(np.uint8): 8, np.dtype(np.uint16): 16}.get(data.dtype)
    if bitpix is None or data.ndim != 2:
        raise TypeError(f"an image of type {data.dtype} with {data.ndim} axes cannot be written")
    written = fits.Header([("SIMPLE", True), ("BITPIX", bitpix), ("NAXIS", 2)])
    written["NAXIS1"], written["NAXIS2"] = data.shape[1], data.shape[0]
    if bitpix == 16:
        written["BZERO"], written["BSCALE"] = 32768, 1
    for key, value in header.items():
        if STRUCTURE.fullmatch(key) or key in COMMENTARY:
            continue
        if (clean := _writable(value)) is not None:
            written[key] = clean
    text: str = written.tostring()
    return text.encode("ascii")


def _writable(value: Any) -> Value | None:
    """Return the value as a FITS card can hold it, or None if it cannot."""
    if isinstance(value, str):
        return "".join(letter if " " <= letter <= "~" else "?" for letter in value)
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating) and math.isfinite(value):
        return float(value)
    return None
