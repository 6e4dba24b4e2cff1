"""Image files: read completely or refused with a reason, and written so that Astropy reads the same."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from astropy.io import fits

from tasks.errors import UnusableData
from tasks.io.fits import fits_images, packed_images, raw_frames
from tasks.records import Frame, FrameType


def written(path, data, **cards):
    fits_images.write_image(path, data, cards)
    return path


@pytest.fixture
def raw(tmp_path, rng):
    counts = rng.integers(0, 65536, (30, 50)).astype(np.uint16)
    return written(tmp_path / "raw.fits", counts, OBJECT="T00001", EXPTIME=100.0), counts


@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.uint8])
def test_what_is_written_is_read_back(tmp_path, rng, kind):
    data = (rng.random((31, 17)) * 255).astype(kind)
    read, header = fits_images.read_image(written(tmp_path / "a.fits", data, FILTER="r"))
    assert read.dtype == kind
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, data)
    assert header["FILTER"] == "r"


@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.uint8])
def test_a_part_of_an_image_is_that_part(tmp_path, rng, kind):
    data = (rng.random((31, 17)) * 255).astype(kind)
    part = fits_images.open_image(written(tmp_path / "a.fits", data)).part(slice(3, 9), slice(5, 17))
    assert part.dtype == kind
    assert part.dtype.isnative
    np.testing.assert_array_equal(part, data[3:9, 5:])


@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.uint8])
def test_astropy_reads_what_is_written(tmp_path, rng, kind):
    data = (rng.random((31, 17)) * 255).astype(kind)
    path = written(tmp_path / "a.fits", data, LONG="x" * 60, COUNT=3, FLAG=True, REAL=1.5e-7)
    assert path.stat().st_size % 2880 == 0
    with fits.open(path) as units:
        units.verify("exception")
        np.testing.assert_array_equal(units[0].data, data)
        assert units[0].header["COUNT"] == 3
        assert units[0].header["FLAG"] is True
        assert units[0].header["REAL"] == 1.5e-7


@pytest.mark.parametrize("name", ["asi/bias_01.fits.gz", "asi/flat_02.fits.gz", "ccdproc/a8280271.fits"])
def test_real_raw_frames_are_read_as_astropy_reads_them(shared_data, name):
    path = shared_data / "raw" / name
    with fits.open(path) as units:
        expected = np.asarray(units[0].data)
    data, header = fits_images.read_image(path)
    np.testing.assert_array_equal(data, expected)
    assert header["NAXIS1"] == expected.shape[1]


def test_every_real_image_is_read_as_astropy_reads_it(shared_data):
    paths = sorted((shared_data / "images").glob("*/*.fits"))
    assert len(paths) == 29
    for path in paths:
        with fits.open(path) as units:
            expected = np.asarray(units[0].data)
        np.testing.assert_array_equal(fits_images.read_image(path)[0], expected.astype(np.float32))


def test_rows_are_the_same_read_alone_or_together(raw):
    path, counts = raw
    stored = fits_images.open_image(path)
    np.testing.assert_array_equal(stored.rows(7, 12), counts[7:12])
    np.testing.assert_array_equal(stored.rows(25), counts[25:])


def test_a_large_frame_is_sampled_all_over(tmp_path):
    ramp = np.repeat(np.arange(4000, dtype=np.float32)[:, None], 1000, axis=1)
    sample = fits_images.open_image(written(tmp_path / "ramp.fits", ramp)).sample()
    assert sample.size < ramp.size
    assert abs(np.median(sample) - 1999.5) < 150
    assert sample.min() == 0
    assert sample.max() == 3999


def test_the_bytes_depend_on_the_arguments_alone(tmp_path):
    data = np.zeros((5, 5), np.float32)
    one, two = (written(tmp_path / name, data, OBJECT="x").read_bytes() for name in ("a.fits", "b.fits"))
    assert one == two


def test_values_that_fits_cannot_hold_are_left_out(tmp_path):
    header = {"NOTNUM": float("nan"), "NAXIS1": 999, "COMMENT": "x", "ODD": object(), "OBJECT": "Caf\u00e9\n"}
    fits_images.write_image(tmp_path / "a.fits", np.zeros((4, 6), np.float32), header)
    read = fits_images.read_header(tmp_path / "a.fits")
    assert read["NAXIS1"] == 6
    assert "NOTNUM" not in read
    assert "ODD" not in read
    assert read["OBJECT"] == "Caf??"


def test_a_header_of_astropy_can_be_written(tmp_path):
    header = fits.Header([("CTYPE1", "RA---TAN"), ("HISTORY", "made"), ("CRVAL1", 10.5)])
    fits_images.write_image(tmp_path / "a.fits", np.zeros((4, 6), np.float32), header)
    assert fits_images.read_header(tmp_path / "a.fits")["CRVAL1"] == 10.5


def test_an_array_of_another_type_is_a_mistake_of_ours(tmp_path):
    with pytest.raises(TypeError, match="float64"):
        fits_images.write_image(tmp_path / "a.fits", np.zeros((4, 6)), {})


@pytest.mark.parametrize("name", ["a[1:5,1:5].fits", "b|true.fits", "c+1.fits", "!d.fits", "e f.fits"])
def test_a_file_name_is_nothing_but_a_name(tmp_path, name):
    path = written(tmp_path / name, np.ones((9, 8), np.float32))
    assert fits_images.read_image(path)[0].shape == (9, 8)
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "does not begin with SIMPLE"),
        (b"\x89PNG" * 4000, "does not begin with SIMPLE"),
        (b"SIMPLE  =                    T" + b" " * 100, "no END card"),
        (b"SIMPLE  =                    T".ljust(80) + b"\x00" * 5000, "broken header card"),
        (b"SIMPLE  =                    T".ljust(80) + b"END".ljust(80), "holds no image"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_words(tmp_path, content, words):
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    with pytest.raises(UnusableData, match=words):
        fits_images.read_image(path)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (("BITPIX", 17), "BITPIX 17"),
        (("NAXIS", 3), "holds no image"),
        (("NAXIS1", 10**9), "holds no image"),
        (("NAXIS1", -5), "holds no image"),
        (("NAXIS2", 3.5), "allowed: a whole number"),
        (("BZERO", "'much'"), "allowed: a number"),
        (("NAXIS2", 60000), "truncated"),
    ],
)
def test_a_header_that_lies_is_refused_in_words(raw, card, words):
    path, _ = raw
    content = bytearray(path.read_bytes())
    place = next(p for p in range(0, 2880, 80) if content[p : p + 8] == card[0].encode().ljust(8))
    content[place : place + 80] = f"{card[0]:8}= {card[1]!s:>20}".encode().ljust(80)
    path.write_bytes(content)
    with pytest.raises(UnusableData, match=words):
        fits_images.read_image(path)


def test_a_truncated_frame_is_refused_with_both_lengths(raw):
    path, _ = raw
    path.write_bytes(path.read_bytes()[: 2880 + 1000])
    with pytest.raises(UnusableData, match="truncated: 3880 bytes of the 5880"):
        fits_images.read_image(path)


def test_a_frame_that_shrinks_while_it_is_read_is_refused(raw):
    path, _ = raw
    stored = fits_images.open_image(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(UnusableData, match="became shorter"):
        stored.rows()


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "missing.fits", tmp_path):
        with pytest.raises(UnusableData, match="cannot be read"):
            fits_images.read_image(path)


def test_damaged_gzip_is_refused(raw, tmp_path):
    packed = gzip.compress(raw[0].read_bytes())
    for number, content in enumerate((packed[:-200], b"no gzip", packed[:40] + b"\xff" * 40 + packed[80:])):
        path = tmp_path / f"{number}.fits.gz"
        path.write_bytes(content)
        with pytest.raises(UnusableData, match="cannot be read"):
            fits_images.read_image(path)


def test_a_gzip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packed_images, "UNPACKED_BYTES", 1 << 20)
    path = tmp_path / "bomb.fits.gz"
    path.write_bytes(gzip.compress(bytes(1 << 22)))
    with pytest.raises(UnusableData, match="unpacks to more than 1 MiB"):
        fits_images.read_image(path)


def corrupted(content: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(content)
    kind = rng.integers(4)
    if kind == 0:
        return bytes(damaged[: rng.integers(len(damaged))])
    if kind == 1:
        for place in rng.integers(0, 2880, rng.integers(1, 30)):
            damaged[place] = rng.integers(256)
    elif kind == 2:
        start = int(rng.integers(0, 2000))
        damaged[start : start + 80] = rng.bytes(80)
    else:
        place = 80 * int(rng.integers(0, 12)) + 10
        damaged[place : place + 20] = rng.choice(list(b"0123456789-+.EDTF' /"), 20).astype(np.uint8).tobytes()
    return bytes(damaged)


def test_of_300_corrupted_frames_none_raises_anything_but_unusable_data(raw, rng):
    path, _ = raw
    content = path.read_bytes()
    refused = []
    for _ in range(300):
        path.write_bytes(corrupted(content, rng))
        try:
            fits_images.read_image(path)
        except UnusableData as error:
            refused.append(str(error))
    assert 150 < len(refused) < 300
    assert not [reason for reason in refused if "\n" in reason]


def test_bands_of_a_set_join_to_the_whole(tmp_path, rng):
    counts = rng.integers(0, 60000, (3, 25, 40)).astype(np.uint16)
    paths = [written(tmp_path / f"{number}.fits", plane) for number, plane in enumerate(counts)]
    stored = [fits_images.open_image(path) for path in paths]
    pieces = list(raw_frames.bands(stored, step=7))
    assert [rows.start for rows, _ in pieces] == [0, 7, 14, 21]
    np.testing.assert_array_equal(np.concatenate([stack for _, stack in pieces], axis=1), counts)


def test_a_set_keeps_its_frames_and_names_those_that_cannot_be_read(tmp_path):
    from datetime import UTC, datetime

    paths = [written(tmp_path / f"{n}.fits", np.full((6, 6), n, np.float32)) for n in range(3)]
    paths[1].write_bytes(b"nothing")
    chosen = [
        Frame(path=p, type=FrameType.BIAS, unit="7DT01", date_obs=datetime.now(UTC), exposure_s=0.0) for p in paths
    ]
    opened, unreadable = raw_frames.open_set(chosen)
    assert opened.levels_adu == [0.0, 2.0]
    assert list(unreadable) == [chosen[1]]
    assert opened.only([chosen[2]]).levels_adu == [2.0]


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        (b"FILTER  =", b"filter  =", "r"),
        (b"FILTER  =", b"Filter  =", "r"),
        (b"OTHER   =", b"\xd6THER   =", "r"),
        (b"OTHER   =", b"other   =", "r"),
    ],
)
def test_one_foreign_or_lower_case_card_loses_no_frame(tmp_path, old, new, value) -> None:
    """Kind: one card that FITS does not allow hides all others."""
    path = tmp_path / "a.fits"
    header = fits.Header({"FILTER": "r", "OTHER": 1, "EXPTIME": 3.0})
    fits.PrimaryHDU(np.zeros((4, 5), np.uint16), header).writeto(path)
    path.write_bytes(path.read_bytes().replace(old, new))
    stored = fits_images.open_image(path)
    assert stored.header["FILTER"] == value
    assert stored.header["EXPTIME"] == 3.0
    assert stored.rows().shape == (4, 5)
