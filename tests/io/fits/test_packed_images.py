"""Raw frames as observatories keep them: compressed, by fpack, or with the image in an extension.

Kind: files whose image lies elsewhere, or packed otherwise, than in the plain first unit.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma

import numpy as np
import pytest
from astropy.io import fits

from tasks.errors import UnusableData
from tasks.io.fits import fits_images, packed_images

CARDS = {"IMAGETYP": "LIGHT", "FILTER": "r", "EXPTIME": 100.0, "DATE-OBS": "2026-01-15T03:00:00"}


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 65535, (60, 80)).astype(np.uint16)


def plain(pixels):
    file = io.BytesIO()
    fits.PrimaryHDU(pixels, fits.Header(CARDS)).writeto(file)
    return file.getvalue()


def packed(pixels, *, cards_in="primary", compressed=True):
    primary, own = fits.PrimaryHDU(), fits.Header()
    primary.header.update(CARDS if cards_in == "primary" else {"OBSERVAT": "X"})
    own.update({} if cards_in == "primary" else CARDS)
    make = fits.CompImageHDU if compressed else fits.ImageHDU
    extra = {"compression_type": "RICE_1"} if compressed else {}
    file = io.BytesIO()
    fits.HDUList([primary, make(pixels, own, **extra)]).writeto(file)
    return file.getvalue()


def check(path, pixels):
    stored = fits_images.open_image(path)
    np.testing.assert_array_equal(stored.rows(), pixels)
    np.testing.assert_array_equal(stored.rows(7, 9), pixels[7:9])
    assert stored.rows().dtype == np.uint16
    assert {key: stored.header[key] for key in CARDS} == CARDS


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_compressed_frame_is_the_plain_one(tmp_path, pixels, ending, pack):
    path = tmp_path / f"light.fits.{ending}"
    path.write_bytes(pack(plain(pixels)))
    check(path, pixels)


@pytest.mark.parametrize("cards_in", ["primary", "extension"])
@pytest.mark.parametrize("compressed", [True, False])
def test_an_image_behind_an_empty_first_unit_is_read_with_the_cards_of_both(tmp_path, pixels, cards_in, compressed):
    path = tmp_path / ("light.fits.fz" if compressed else "light.fits")
    path.write_bytes(packed(pixels, cards_in=cards_in, compressed=compressed))
    check(path, pixels)


def test_tiles_inside_a_gzipped_file_are_read(tmp_path, pixels):
    (path := tmp_path / "light.fits.gz").write_bytes(gzip.compress(packed(pixels)))
    check(path, pixels)


def test_floats_in_an_extension_stay_floats(tmp_path, rng):
    image = rng.normal(size=(20, 30)).astype(np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image)]).writeto(path := tmp_path / "stack.fits")
    np.testing.assert_array_equal(fits_images.open_image(path).rows(), image)


def test_several_images_are_refused_by_their_names(tmp_path, pixels):
    units = [fits.PrimaryHDU(), fits.ImageHDU(pixels, name="SCI"), fits.ImageHDU(pixels, name="ERR")]
    fits.HDUList(units).writeto(path := tmp_path / "light.fits")
    with pytest.raises(UnusableData, match=r"2 images in extensions \(SCI, ERR\)"):
        fits_images.open_image(path)


def test_a_codec_that_fpack_does_not_use_by_itself_is_refused_by_its_name(tmp_path, pixels):
    unit = fits.CompImageHDU(pixels.astype(np.int16), compression_type="HCOMPRESS_1", tile_shape=(60, 80))
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path := tmp_path / "light.fits.fz")
    with pytest.raises(UnusableData, match="HCOMPRESS_1"):
        fits_images.open_image(path)


@pytest.mark.parametrize("end", [0, 100, 3000, 8000])
@pytest.mark.parametrize("ending", ["fits.fz", "fits.gz", "fits.bz2", "fits.xz"])
def test_a_damaged_file_is_refused(tmp_path, pixels, ending, end):
    content = packed(pixels)
    pack = {"fits.gz": gzip.compress, "fits.bz2": bz2.compress, "fits.xz": lzma.compress}.get(ending, bytes)
    (path := tmp_path / f"light.{ending}").write_bytes(pack(content)[:end])
    with pytest.raises(UnusableData, match=r"light\.fits"):
        fits_images.open_image(path).rows()


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, pixels, monkeypatch):
    monkeypatch.setattr(packed_images, "UNPACKED_BYTES", 1000)
    for ending, content in (("fits.bz2", bz2.compress(plain(pixels))), ("fits.fz", packed(pixels))):
        (path := tmp_path / f"light.{ending}").write_bytes(content)
        with pytest.raises(UnusableData, match="unpacks to more"):
            fits_images.open_image(path)
