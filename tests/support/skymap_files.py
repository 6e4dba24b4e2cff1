"""Sky maps written as FITS bytes with astropy: an independent writer for the reader under test."""

from __future__ import annotations

import gzip
import io

import healpy
import numpy as np
from astropy.io import fits

PIXEL_SR = np.pi / 3 / 4.0 ** np.arange(30)


def multiorder(uniq, density, *, distance=None, header=None, compressed=False, **extra) -> bytes:
    columns = {"UNIQ": np.asarray(uniq, np.int64), "PROBDENSITY": np.asarray(density, float)}
    if distance is not None:
        columns |= dict(zip(("DISTMU", "DISTSIGMA", "DISTNORM"), map(np.asarray, distance), strict=True))
    cards = {"PIXTYPE": "HEALPIX", "ORDERING": "NUNIQ", "COORDSYS": "C", "INDXSCHM": "EXPLICIT", **(header or {})}
    return table(columns | extra, cards, compressed=compressed)


def flat(probability, *, ordering="NESTED", distance=None, header=None, compressed=False, per_row=1) -> bytes:
    columns = {"PROB": np.asarray(probability, float)}
    if distance is not None:
        columns |= dict(zip(("DISTMU", "DISTSIGMA", "DISTNORM"), map(np.asarray, distance), strict=True))
    columns = {name: values.reshape(-1, per_row) if per_row > 1 else values for name, values in columns.items()}
    nside = healpy.npix2nside(np.asarray(probability).size)
    cards = {"PIXTYPE": "HEALPIX", "ORDERING": ordering, "COORDSYS": "C", "NSIDE": nside, **(header or {})}
    return table(columns, cards, compressed=compressed)


def table(columns, cards, *, compressed=False) -> bytes:
    kinds = {"i": "K", "f": "D", "S": "8A", "U": "8A"}
    made = [
        fits.Column(
            name=name,
            format=(str(values.shape[1]) if values.ndim == 2 else "") + kinds[values.dtype.kind],
            array=values,
        )
        for name, values in columns.items()
    ]
    extension = fits.BinTableHDU.from_columns(made)
    extension.header.update(cards)
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), extension]).writeto(file)
    return gzip.compress(file.getvalue(), 1) if compressed else file.getvalue()


def blob(ra_deg=40.0, dec_deg=-20.0, *, sigma_deg=8.0, order=4, distance_mpc=None, **options) -> bytes:
    """Return a round localisation on the pixels of one order; a distance is the same everywhere."""
    pixels = np.arange(12 * 4**order)
    away = np.arccos(
        np.clip(
            np.stack(healpy.pix2vec(2**order, pixels, nest=True), 1) @ healpy.ang2vec(ra_deg, dec_deg, lonlat=True),
            -1,
            1,
        )
    )
    density = np.exp(-0.5 * (np.degrees(away) / sigma_deg) ** 2)
    density /= density.sum() * PIXEL_SR[order]
    distance = None
    if distance_mpc is not None:
        ones = np.ones(len(pixels))
        distance = (distance_mpc * ones, 0.2 * distance_mpc * ones, ones / distance_mpc**2)
    return multiorder(pixels + 4 * 4**order, density, distance=distance, **options)
