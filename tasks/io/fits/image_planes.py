"""An image of any telescope with its variance and mask planes and the cards that a subtraction needs."""

from __future__ import annotations

import logging
import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from tasks import naming
from tasks.errors import UnusableData
from tasks.io.fits import fits_images
from tasks.io.fits.fits_images import Header, Image, Value

log = logging.getLogger(__name__)

# only these cards of an untrusted header are passed to wcslib, which has crashed on others
WCS_CARD = re.compile(
    r"NAXIS[12]?|(CTYPE|CRVAL|CRPIX|CUNIT|CDELT|CROTA)[12]|(CD|PC)[12]_[12]|PV[12]_\d{1,2}"
    r"|LONPOLE|LATPOLE|WCSAXES|RADESYS|RADECSYS|EQUINOX|[AB]P?_(ORDER|\d_\d)"
)
LARGEST_SIP_ORDER = 9

# GAIN may be a camera's setting (0, 2750) instead of e-/ADU
LARGEST_GAIN = 100.0
# highest linear value of a 16-bit camera if the header has no SATURATE
SATURATION_16_BIT = 60000.0


@dataclass(frozen=True, kw_only=True)
class ImagePlanes:
    """An image (float32, ny x nx), its mask bits (uint8), its variance (None without a file), its header and WCS.

    ``gain`` is in e-/ADU, ``saturation`` in the image's unit (infinity: unknown).
    """

    path: Path
    image: Image
    bits: Image
    variance: Image | None
    header: Header
    wcs: WCS | None
    gain: float
    saturation: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.image.shape[0], self.image.shape[1]


def read(path: Path, *, saturation: float | None = None) -> ImagePlanes:
    """Read an image and, if their files exist beside it, its variance and mask.

    Raises
    ------
    UnusableData
        If the file is missing or not an image, or a plane beside it has another shape.
    """
    if not path.is_file():
        raise UnusableData(f"{path} is not a file")
    data, header = fits_images.read_image(path)
    image = np.ascontiguousarray(data, dtype=np.float32)
    if not np.isfinite(image).any():
        raise UnusableData(f"{path.name} holds no finite pixel")
    limit = saturation or number(header, "SATURATE") or (SATURATION_16_BIT if data.dtype == np.uint16 else math.inf)
    bits = _beside(naming.mask_of(path), image.shape)
    variance = _beside(naming.variance_of(path), image.shape)
    return ImagePlanes(
        path=path,
        image=image,
        bits=np.zeros(image.shape, dtype=np.uint8) if bits is None else bits.astype(np.uint8),
        variance=variance,
        header=header,
        wcs=celestial(header),
        gain=_gain(header),
        saturation=limit,
    )


def number(header: Header, key: str) -> float | None:
    """Return a card's value if it is a finite number above zero, else None."""
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if value > 0 else None


def celestial(header: Header) -> WCS | None:
    """Return a header's celestial WCS, or None if it has no usable one."""
    if "CTYPE1" not in header or "CTYPE2" not in header:
        return None
    cards = fits.Header([(key, value) for key, value in header.items() if _belongs(key, value)])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(cards)
            usable = wcs.has_celestial and np.isfinite(wcs.all_pix2world(0.0, 0.0, 0)).all()
    except (ValueError, TypeError, KeyError, IndexError) as error:  # wcslib's errors are ValueErrors
        log.warning("the WCS cannot be used: %s", str(error).strip().splitlines()[-1:])
        return None
    return wcs if usable else None


def _belongs(key: str, value: Value) -> bool:
    """Return whether a card describes a celestial WCS of an allowed order."""
    if key.endswith("_ORDER") and not (isinstance(value, int) and 0 <= value <= LARGEST_SIP_ORDER):
        return False
    return bool(WCS_CARD.fullmatch(key)) and (not isinstance(value, str) or value.isascii())


def _gain(header: Header) -> float:
    """Return the gain in e-/ADU: EGAIN, else GAIN below ``LARGEST_GAIN``, else 1."""
    if (egain := number(header, "EGAIN")) is not None:
        return egain
    gain = number(header, "GAIN")
    return gain if gain is not None and gain < LARGEST_GAIN else 1.0


def _beside(path: Path, shape: tuple[int, ...]) -> Image | None:
    if not path.is_file():
        return None
    plane, _ = fits_images.read_image(path)
    if plane.shape != shape:
        raise UnusableData(f"{path.name} has {plane.shape} pixels (ny, nx), its image {shape}")
    return plane
