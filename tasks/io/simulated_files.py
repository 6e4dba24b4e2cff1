"""Files of a simulated night or alert: raw frames, catalogues, truth tables, and corrupted frames."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from tasks.errors import UnusableData
from tasks.io.fits.table_columns import column

Array = NDArray[Any]

MARK = ".simulated.json"
CARD_LENGTH = 80
# ways to corrupt a frame, in turn
SPOILS = ("truncated", "garbage", "no-filter", "unknown-type", "empty")


def claim(out: Path, kind: str) -> None:
    """Create the folder ``out``, or clear one with an earlier simulation of this ``kind``.

    Raises
    ------
    UnusableData
        If ``out`` is a file, or a folder with anything but such a simulation.
    """
    if out.exists() and not out.is_dir():
        raise UnusableData(f"{out} is a file: expected a folder")
    if out.is_dir() and any(out.iterdir()):
        _clear(out, kind)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).write_text(json.dumps({"kind": kind}) + "\n")
    except OSError as error:
        raise UnusableData(f"folder {out} cannot be created: {error.strerror}") from error


def _clear(out: Path, kind: str) -> None:
    """Remove the files of an earlier simulation, which the folder's mark identifies, and nothing else."""
    try:
        mark = json.loads((out / MARK).read_bytes())
    except (OSError, ValueError):
        mark = {}
    if not isinstance(mark, dict) or mark.get("kind") != kind:
        raise UnusableData(f"{out} is not empty and not an earlier simulated {kind}: choose another folder")
    for name in ("obsdata", "catalogues", "references", "truth"):
        if (folder := out / name).is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
    for name in ("truth.json", "notice.json", "skymap.multiorder.fits", "combined.multiorder.fits"):
        (out / name).unlink(missing_ok=True)


def write_image(path: Path, data: Array, header: fits.Header | None = None) -> None:
    """Write an image; unsigned integers get FITS's BZERO. The same image gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(data=data, header=header).writeto(path, overwrite=True)


def write_header(path: Path, header: fits.Header) -> None:
    """Write a header as text, one card per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header.totextfile(path, overwrite=True)


def write_table(path: Path, columns: Mapping[str, Array], units: Mapping[str, str]) -> None:
    """Write numerical columns as a FITS table in the first extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = fits.BinTableHDU.from_columns([column(name, array, units.get(name)) for name, array in columns.items()])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)


def write_ldac(path: Path, columns: Mapping[str, Array], units: Mapping[str, str]) -> None:
    """Write a catalogue as FITS_LDAC, the format of Source Extractor and SCAMP: a field header, then the objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                    0",
        "NAXIS   =                    0",
        "END",
    ]
    text = "".join(card.ljust(CARD_LENGTH) for card in cards)
    field = fits.Column(
        name="Field Header Card",
        format=f"{len(text)}A",
        dim=f"({CARD_LENGTH}, {len(cards)})",
        array=np.array([[card.ljust(CARD_LENGTH) for card in cards]]),
    )
    objects = [column(name, array, units.get(name)) for name, array in columns.items()]
    tables = [
        fits.BinTableHDU.from_columns([field], name="LDAC_IMHEAD"),
        fits.BinTableHDU.from_columns(objects, name="LDAC_OBJECTS"),
    ]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(path, overwrite=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON; the keys keep their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def spoil(path: Path, number: int) -> str:
    """Corrupt a good frame in one of the ways of ``SPOILS``, in turn; return which."""
    way = SPOILS[number % len(SPOILS)]
    size = path.stat().st_size
    if way == "truncated":
        with path.open("r+b") as file:
            file.truncate(size * 2 // 3)
    elif way == "garbage":
        path.write_bytes(np.random.default_rng(number).bytes(min(size, 100_000)))
    elif way == "empty":
        path.write_bytes(b"")
    else:
        _spoil_header(path, way)
    return way


def _spoil_header(path: Path, way: str) -> None:
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        if way == "no-filter":
            del hdus[0].header["FILTER"]
        else:
            hdus[0].header["IMAGETYP"] = "FOCUS"
