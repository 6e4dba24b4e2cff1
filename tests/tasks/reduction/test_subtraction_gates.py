"""Never a wrong difference: what does not lie on each other is aligned by its stars or refused; holes are masked."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from tasks.errors import UnusableData
from tasks.io.fits import image_planes
from tasks.options import SearchOptions
from tasks.reduction.engines import subtraction_engines
from tasks.science.candidates import findings


@pytest.fixture(scope="module")
def plain(shared_data):
    files = sorted((shared_data / "images" / "saao").glob("*.fits"))
    return subtract(files[5], files[0])[0]


@pytest.fixture
def decam(shared_data):
    folder = shared_data / "images" / "decam"
    return folder / "DEC-OBS04a.mini.fits", folder / "DEC-OBS18a.mini.fits"


@pytest.fixture
def saao(shared_data):
    files = sorted((shared_data / "images" / "saao").glob("*.fits"))
    return files[5], files[0]


def subtract(science, reference, **options):
    pair = [image_planes.read(path) for path in (science, reference)]
    chosen = SearchOptions(engine="siren", **options)
    result = subtraction_engines.difference(*pair, chosen, only=True)
    found = findings.find(subtraction_engines.searchable(result), pair[0].wcs, chosen)
    return result, [index for index in range(len(found.found)) if not found.reasons(index)]


def changed(path, target, *, pixels=None, header=None):
    with fits.open(path) as units:
        image, cards = units[0].data.astype(np.float32), units[0].header.copy()
    fits.writeto(target, image if pixels is None else pixels(image), cards if header is None else header(cards))
    return target


def moved(pixels):
    def move(cards):
        cards["CRPIX1"] += pixels
        return cards

    return move


@pytest.mark.parametrize("off_px", [5, 30])
def test_a_wcs_that_is_off_is_mended_by_the_stars_or_refused(decam, tmp_path, off_px):
    """Kind: a WCS was believed without a look at the stars: 19 and 202 false detections."""
    science, reference = decam
    wrong = changed(science, tmp_path / "wrong.fits", header=moved(off_px))
    result, plain = subtract(science, reference)
    mended, detections = subtract(wrong, reference)

    assert len(detections) == len(plain) <= 3
    assert mended.subtraction.chi2 == pytest.approx(result.subtraction.chi2, rel=0.02)
    with pytest.raises(UnusableData, match="0 of 1"):
        subtract(wrong, reference, align="wcs")


def test_two_fields_with_one_wcs_are_refused(saao, tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (270.0, -30.0), (100.0, 100.0), (-1e-4, 1e-4)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]

    def labelled(cards):
        cards.update(wcs.to_header())
        return cards

    half = fits.getdata(saao[0]).shape[1] // 2
    left = changed(saao[0], tmp_path / "left.fits", pixels=lambda image: image[:, :half], header=labelled)
    right = changed(saao[1], tmp_path / "right.fits", pixels=lambda image: image[:, half : 2 * half], header=labelled)
    for align in ("auto", "wcs", "stars", "none"):
        with pytest.raises(UnusableData, match="stars"):
            subtract(left, right, align=align)


@pytest.mark.parametrize(
    ("value", "side", "where"),
    [
        (np.nan, 1, "science"),
        (np.inf, 1, "science"),
        (np.nan, 60, "science"),
        (-np.inf, 1, "reference"),
        (np.nan, 60, "reference"),
    ],
)
def test_holes_are_masked_and_change_nothing_elsewhere(saao, plain, tmp_path, value, side, where):
    """Kind: masked pixels that are not finite spoil sums in which their weight is 0."""

    def holed(image):
        image[100 : 100 + side, 100 : 100 + side] = value
        return image

    science, reference = saao
    if where == "science":
        science = changed(science, tmp_path / "holed.fits", pixels=holed)
    else:
        reference = changed(reference, tmp_path / "holed.fits", pixels=holed)
    result, detections = subtract(science, reference)

    assert result.subtraction.kernel_sum == pytest.approx(plain.subtraction.kernel_sum, rel=0.01)
    assert result.subtraction.chi2 == pytest.approx(plain.subtraction.chi2, rel=0.05)
    assert len(detections) <= 5
    assert (result.bits[100 : 100 + side, 100 : 100 + side] != 0).all() or where == "reference"


def test_an_image_and_itself_leave_nothing_which_is_said(saao):
    with pytest.raises(UnusableData, match="the same pixels"):
        subtract(saao[0], saao[0])
