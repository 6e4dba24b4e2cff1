"""Images as observatories keep them: compressed files, tiles of fpack, an empty primary unit with the image behind it.

Each becomes the bytes of a plain image with the cards of both units; those of the image's own unit count where both have one.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from tasks.constants import FITS_BLOCK, FITS_CARD
from tasks.errors import UnusableData

# a malicious file expands 1000:1; a full raw frame has 122 MB
UNPACKED_BYTES = 1 << 30
OPENERS: Mapping[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
# what fpack writes; other codecs read damaged tiles without checking their own bounds
CODECS = ("RICE_1", "GZIP_1", "GZIP_2", "NOCOMPRESS")
# what the packages raise for files that are damaged
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)
# cards that describe how a unit is stored
STORAGE = ("XTENSION", "PCOUNT", "GCOUNT", "TFIELDS", "EXTEND", "INHERIT", "CHECKSUM", "DATASUM", "BLANK")


def unpacked(path: Path) -> bytes | None:
    """Return the content of a compressed file; None for one that is not compressed.

    Raises
    ------
    UnusableData
        If it is damaged, or unpacks to more than a gibibyte.
    """
    opener = OPENERS.get(path.suffix.lower())
    if opener is None:
        return None
    try:
        with opener(path, "rb") as file:
            content: bytes = file.read(UNPACKED_BYTES + 1)
    except DAMAGE as error:
        raise UnusableData(f"{path.name} cannot be read: {error}") from error
    if len(content) > UNPACKED_BYTES:
        raise UnusableData(f"{path.name} unpacks to more than {UNPACKED_BYTES >> 20} MiB")
    return content


def primary_is_empty(beginning: bytes) -> bool:
    """Return whether a FITS file's first unit has no image, so that one may lie in an extension."""
    cards = (beginning[place : place + FITS_CARD] for place in range(0, FITS_BLOCK, FITS_CARD))
    axes = next((card for card in cards if card.startswith(b"NAXIS   =")), b"")
    return axes[10:].split(b"/")[0].strip() == b"0"


def from_extension(source: Path | bytes, name: str) -> bytes:
    """Return the only two-dimensional image of a file as a plain FITS file.

    Parameters
    ----------
    source
        The file, or its content.
    name
        Its name, for errors.

    Raises
    ------
    UnusableData
        If it has no image or several, is damaged, or the image has more than a gibibyte.
    """
    file: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            # cards out of the standard are judged where the header is read
            warnings.simplefilter("ignore")
            with fits.open(file, memmap=False, lazy_load_hdus=True) as units:
                image = _only_image(units, name)
                data, cards = image.data, _joined(units[0].header, image.header)
    except UnusableData:
        raise
    except Exception as error:  # the codecs raise errors of their own
        raise UnusableData(f"{name} cannot be read: {str(error)[:200]}") from error
    written = io.BytesIO()
    fits.PrimaryHDU(np.asarray(data), cards).writeto(written, output_verify="silentfix")
    return written.getvalue()


def _only_image(units: fits.HDUList, name: str) -> Any:
    """Return the unit with the image; an HDU of fpack counts as one."""
    images = [unit for unit in units if isinstance(unit, fits.ImageHDU | fits.CompImageHDU) and len(unit.shape) == 2]
    if len(images) != 1:
        names = ", ".join(unit.name or str(unit.ver) for unit in images) or "none"
        raise UnusableData(f"{name} holds {len(images)} images in extensions ({names}); expected one")
    [image] = images
    codec = getattr(image, "compression_type", CODECS[0])
    if codec not in CODECS:
        raise UnusableData(f"{name} is compressed by {codec} (allowed: {', '.join(CODECS)})")
    if image.shape[0] * image.shape[1] * abs(int(image.header["BITPIX"])) // 8 > UNPACKED_BYTES:
        raise UnusableData(f"{name} unpacks to more than {UNPACKED_BYTES >> 20} MiB")
    return image


def _joined(primary: fits.Header, own: fits.Header) -> fits.Header:
    cards = own.copy(strip=True)
    cards.extend((card for card in primary.copy(strip=True).cards if card.keyword not in cards), unique=True)
    for key in STORAGE:
        cards.remove(key, ignore_missing=True)
    return cards
