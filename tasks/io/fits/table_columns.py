"""Columns of FITS tables from arrays."""

from __future__ import annotations

from typing import Any

from astropy.io import fits
from numpy.typing import NDArray


def column(name: str, array: NDArray[Any], unit: str | None = None) -> fits.Column:
    """Return a column of whole numbers or floats of 4 or 8 bytes."""
    letter = {"f8": "D", "f4": "E", "i8": "K", "i4": "J"}[f"{array.dtype.kind}{array.dtype.itemsize}"]
    return fits.Column(name=name, format=letter, array=array, unit=unit)
