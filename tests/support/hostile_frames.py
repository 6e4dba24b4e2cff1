"""Hostile or corrupt contents of a night folder: headers, names and files."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from astropy.io import fits

CARD = 80
BLOCK = 2880
Mutation = Callable[[bytearray, np.random.Generator], bytes]

COMMANDS = (
    "$(touch canary)", "`touch canary`", "; touch canary", "| touch canary", "& touch canary &", "&& touch canary",
    "|| touch canary", "> canary", ">> canary", "< /etc/passwd > canary", "\ntouch canary\n", "\rtouch canary\r",
    "\x00touch canary", "'; touch canary; '", '"; touch canary; "', "$(touch${IFS}canary)", "{touch,canary}",
    "%0atouch canary", "${PATH}", "!touch canary", "~root", "*", "?", "-oN canary", "--output=canary", "@canary",
    "x.fits[1:2,1:2]", "x[1:2]", "x[EVENTS]", "x(canary)", "!x.fits", "shmem://h1", "mem://", "http://127.0.0.1:9/x",
    "ftp://127.0.0.1/x", "|cat", "stdin", "-", "/dev/stdout", "/etc/cron.d/canary",
)  # fmt: skip
PATHS = (
    "..", "../..", "../../../../../../tmp/canary", "..\\..\\canary", "/tmp/canary", "//canary", "./canary", ".", "",
    " ", "a/b/c", "%2e%2e%2fcanary", "..%2fcanary", "C:\\canary", "CON", ".ssh/authorized_keys", "~/canary",
    "file:///tmp/canary", "x" * 68, "." * 68, "/" * 68, "T00001/../../../canary", "T00001\x00.fits",
    "__import__('os').system('touch canary')", "{{ ''.__class__ }}", "{0.__class__}", "%s%s%s%n",
    "<script>alert(1)</script>", "' OR 1=1 --", "\udcff\udcfe", "é" * 10, "\x1b[31mred",
)  # fmt: skip
KEYWORDS = ("INSTRUME", "IMAGETYP", "DATE-OBS")


def payloads() -> list[tuple[str, str]]:
    """Return 200 pairs of keyword and hostile value; most are OBJECTs, which name folders and files."""
    both = (*COMMANDS, *PATHS)
    pairs = [("OBJECT", value) for value in both]
    pairs += [("OBJECT", f"T00001{value}"[:68]) for value in COMMANDS]
    pairs += [("FILTER", value) for value in both]
    pairs += [(KEYWORDS[i % 3], value) for i, value in enumerate(COMMANDS)]
    return pairs[:200]


def with_card(frame: bytes, keyword: str, value: str) -> bytes:
    """Return a frame with the text of one card replaced, byte for byte, whatever FITS allows."""
    text = value.replace("'", "''").encode("utf-8", "surrogatepass")[:68]
    card = (f"{keyword:<8}= '".encode() + text + b"'").ljust(CARD)[:CARD]
    for start in range(0, 20 * BLOCK, CARD):
        if frame[start : start + 8] == f"{keyword:<8}".encode():
            return frame[:start] + card + frame[start + CARD :]
    raise ValueError(f"the frame has no card {keyword}")


def small(frame: Path, *, side: int = 64) -> bytes:
    """Return a frame cut to a corner: the same cards, few pixels."""
    with fits.open(frame, do_not_scale_image_data=True) as units:
        header, data = units[0].header.copy(), np.asarray(units[0].data[:side, :side])
    header["NAXIS1"] = header["NAXIS2"] = side
    body = data.astype(">i2").tobytes()
    return header.tostring().encode("ascii") + body + bytes(-len(body) % BLOCK)


def fuzz(frame: bytes, rng: np.random.Generator, number: int) -> Iterator[tuple[str, bytes]]:
    """Yield ``number`` corrupt copies of a frame, each with the suffix of its file name."""
    for index in range(number):
        how = MUTATIONS[index % len(MUTATIONS)]
        content = how(bytearray(frame), rng)
        if how in (_zipped_cut, _bomb):
            yield ".fits.gz", content
        elif how in (_rice, _hcompress):
            yield ".fits.fz", content
        elif rng.random() < 0.05:
            yield ".fits.gz", gzip.compress(content, 1)
        else:
            yield ".fits", content


def _card(frame: bytearray, keyword: str, value: str) -> bytearray:
    """Replace a card; if the frame does not have it, replace an unused card."""
    card = f"{keyword:<8}= {value}".encode("ascii", "replace").ljust(CARD)[:CARD]
    starts = range(0, bytes(frame).index(b"END".ljust(CARD)), CARD)
    own = [place for place in starts if frame[place : place + 8] == f"{keyword:<8}".encode()]
    spare = [place for place in starts if frame[place : place + 8] in (b"FOCALLEN", b"XPIXSZ  ", b"SWCREATE")]
    place = (own or spare)[0]
    frame[place : place + CARD] = card
    return frame


def _chosen(*choices: tuple[str, str]) -> Mutation:
    def mutate(frame: bytearray, rng: np.random.Generator) -> bytes:
        keyword, value = choices[int(rng.integers(len(choices)))]
        return bytes(_card(frame, keyword, value))

    return mutate


def _flip_header(frame: bytearray, rng: np.random.Generator) -> bytes:
    for place in rng.integers(0, 2 * BLOCK, int(rng.integers(1, 20))):
        frame[place] ^= 1 << int(rng.integers(8))
    return bytes(frame)


def _flip_data(frame: bytearray, rng: np.random.Generator) -> bytes:
    for place in rng.integers(2 * BLOCK, len(frame), 200):
        frame[place] = int(rng.integers(256))
    return bytes(frame)


def _cut(frame: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(frame[: int(rng.integers(len(frame)))])


def _noise(frame: bytearray, rng: np.random.Generator) -> bytes:
    return rng.bytes(int(rng.integers(1, len(frame))))


def _noisy_start(frame: bytearray, rng: np.random.Generator) -> bytes:
    return b"SIMPLE  =                    T".ljust(CARD) + rng.bytes(4 * BLOCK)


def _no_end(frame: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(frame).replace(b"END".ljust(CARD), b"COMMENT".ljust(CARD), 1)


def _repeated(frame: bytearray, rng: np.random.Generator) -> bytes:
    end = bytes(frame).index(b"END".ljust(CARD))
    cards = b"".join(f"HIERARCH ESO X{i} = {i}".encode().ljust(CARD) for i in range(int(rng.integers(1, 9000))))
    return bytes(frame[:end]) + cards + bytes(frame[end:])


def _zipped_cut(frame: bytearray, rng: np.random.Generator) -> bytes:
    whole = gzip.compress(bytes(frame), 1)
    return whole[: int(rng.integers(1, len(whole)))]


def _bomb(frame: bytearray, rng: np.random.Generator) -> bytes:
    return gzip.compress(bytes(frame) + bytes(32 << 20), 1)


def _packed(kind: str, **options: int) -> Mutation:
    def pack(frame: bytearray, rng: np.random.Generator) -> bytes:
        data = rng.integers(0, 1000, (64, 64)).astype(np.int16)
        buffer = io.BytesIO()
        unit = fits.CompImageHDU(data, compression_type=kind, **options)
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(buffer)
        content = bytearray(buffer.getvalue())
        for place in rng.integers(3 * BLOCK, len(content), 20):
            content[place] = int(rng.integers(256))
        return bytes(content)

    return pack


_rice = _packed("RICE_1")
_hcompress = _packed("HCOMPRESS_1", tile_shape=(64, 64))
_structure = _chosen(
    ("NAXIS", "3"), ("NAXIS", "999"), ("NAXIS", "-2"), ("NAXIS", "0"), ("NAXIS1", "1000000000"),
    ("NAXIS2", "1000000000"), ("NAXIS1", "-64"), ("NAXIS2", "2147483648"), ("NAXIS1", "99999999999999999999"),
    ("NAXIS1", "64.5"), ("NAXIS2", "'64'"), ("NAXIS1", "1"), ("NAXIS2", "1"), ("BITPIX", "17"), ("BITPIX", "-32"),
    ("BITPIX", "64"), ("BITPIX", "8"), ("BITPIX", "0"), ("BZERO", "1E300"), ("BZERO", "NaN"), ("BZERO", "'x'"),
    ("BSCALE", "1E308"), ("BSCALE", "0"), ("BSCALE", "-1"), ("SIMPLE", "F"),
)  # fmt: skip
_physics = _chosen(
    ("EXPTIME", "NaN"), ("EXPTIME", "1E308"), ("EXPTIME", "-100."), ("EXPTIME", "'abc'"), ("EXPTIME", "0"),
    ("EGAIN", "0"), ("EGAIN", "-1"), ("EGAIN", "1E-300"), ("EGAIN", "'six'"), ("GAIN", "99999999999"), ("GAIN", "'x'"),
    ("DATE-OBS", "'0000-00-00T99:99:99'"), ("DATE-OBS", "'99999-01-01T00:00:00'"), ("DATE-OBS", "42"),
    ("DATE-OBS", "'2026-02-30T00:00:00'"), ("DATE-OBS", "''"), ("RA", "1E30"), ("RA", "NaN"), ("DEC", "-91."),
    ("DEC", "'south'"), ("XBINNING", "0"), ("XBINNING", "-3"), ("XBINNING", "1E9"), ("OBJCTRA", "'99 99 99'"),
    ("IMAGETYP", "'ZERO'"), ("IMAGETYP", "7"), ("FILTER", "T"), ("CCD-TEMP", "'NaN'"), ("AIRMASS", "-1E99"),
)  # fmt: skip
# a real OmegaCAM header made wcslib write past its arrays (astropy#20349); these headers are similar
_celestial = _chosen(
    ("CTYPE1", "'RA---ZPN'"), ("CTYPE1", "'RA---TAN-SIP'"), ("CTYPE1", "'RA---XXX'"), ("PV1_99", "1E300"),
    ("PV2_9999", "1.0"), ("A_ORDER", "999999999"), ("PROJP1", "NaN"), ("WCSAXES", "99"), ("WCSAXES", "-1"),
    ("CD1_1", "0"), ("CD1_1", "1E308"), ("PC9_9", "1"), ("CDELT1", "0"), ("LONPOLE", "NaN"), ("TR9_9", "1"),
    ("CPDIS1", "'LOOKUP'"), ("DP1", "'EXTVER: 1'"), ("RADESYS", "'" + "A" * 66 + "'"), ("CTYPE9", "'DEC--TAN'"),
)  # fmt: skip
MUTATIONS: tuple[Mutation, ...] = (
    _flip_header, _structure, _physics, _celestial, _cut, _flip_data, _structure, _physics, _celestial, _noise,
    _noisy_start, _no_end, _repeated, _zipped_cut, _rice, _hcompress, _flip_header, _cut, _bomb,
)  # fmt: skip


def traps(folder: Path) -> list[str]:
    """Create files, links and folders with the names of frames that are not frames; return the names."""
    names = ["folder.fits", "pipe.fits", "loop.fits", "zero.fits", "nowhere.fits", "a[1:2];touch canary.fits"]
    (folder / names[0]).mkdir()
    os.mkfifo(folder / names[1])
    (folder / names[2]).symlink_to(folder / names[2])
    (folder / names[3]).symlink_to("/dev/zero")
    (folder / names[4]).symlink_to(folder / "absent")
    (folder / names[5]).write_bytes(b"")
    return names
