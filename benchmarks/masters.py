"""B1: a master from 20 bias frames, in memory and files to file, against ccdproc."""

from __future__ import annotations

import functools
from pathlib import Path

import ccdproc
import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.stats import sigma_clip

from benchmarks import frames, harness
from benchmarks.harness import Gate, Report, Row, Setting
from tasks.io.fits import fits_images as images
from tasks.io.fits import raw_frames
from tasks.records import FrameType
from tasks.science.images import combining

NUMBER, QUICK_NUMBER = 20, 12
ROUNDS = 5
NOISE = combining.Noise(read_adu=frames.READ_E / frames.GAIN, gain=frames.GAIN, pedestal_adu=frames.BIAS_ADU)
# host memory for a band of the stack, as in the task
BAND_BYTES = 1 << 28
WORDS = {"median": "plain median", "seed": "clipped median"}


def run(setting: Setting) -> Report:
    number = QUICK_NUMBER if setting.quick else NUMBER
    paths = frames.write_biases(setting.folder, setting.shape, number)
    return Report(
        name="b1",
        title=f"Master of {number} bias frames of {setting.shape[1]} x {setting.shape[0]} px",
        rows=(*_in_memory(paths, setting), *_files(paths, setting)),
        notes=(
            (
                "A few pixels in a million lie at exactly 3 sigma, where the peer's rounding decides: there ours must be what "
                "whole numbers give, which decide exactly. "
                "Both sides also give each pixel's uncertainty; ours counts the frames it kept. Clipped: the seed's rounds "
                "(at most five, 3 population sigma of the mean), then the median; ccdproc.combine() knows no number of "
                "rounds, so its Combiner is the peer there. Files are uint16; ccdproc computes in float64 by default. "
                "Ours sorts by a network of vectorised steps in pieces that fit the cache, and reads one band ahead."
            ),
        ),
    )


def _in_memory(paths: list[Path], setting: Setting) -> list[Row]:
    stack = np.stack([images.read_image(path)[0] for path in paths])
    combiner = ccdproc.Combiner([CCDData(plane.astype(np.float32), unit=u.adu) for plane in stack], dtype=np.float32)
    rows = []
    for mode, words in WORDS.items():
        ours = functools.partial(combining.combine, stack, mode=mode, noise=NOISE)
        theirs = functools.partial(_combined, combiner, mode)
        same = _ulps(ours().image, _decided(theirs(), ours().image, stack, mode))
        what = f"in memory, {words}, against Combiner"
        rows.append(harness.versus(what, ours, theirs, repeats=setting.repeats, target=4.0, gates=[same]))
    return rows


def _files(paths: list[Path], setting: Setting) -> list[Row]:
    own, other = setting.folder / "ours.fits", setting.folder / "theirs.fits"
    stack = np.stack([images.read_image(path)[0] for path in paths])
    peers = {"median": _by_combine, "seed": _by_combiner}
    rows = []
    for mode, cache in (("median", "warm"), ("median", "cold"), ("seed", "warm")):
        ours = functools.partial(_ours, paths, own, mode)
        theirs = functools.partial(peers[mode], paths, other)
        ours(), theirs()
        made = images.read_image(own)[0]
        same = _ulps(made, _decided(images.read_image(other)[0], made, stack, mode))
        name = "ccdproc.combine" if mode == "median" else "Combiner fed from files"
        rows.append(
            harness.versus(
                f"files to file, {WORDS[mode]}, {cache} cache, against {name}",
                ours,
                theirs,
                repeats=setting.repeats,
                target=20.0 if mode == "median" else None,
                gates=[same],
                before=functools.partial(harness.evict, paths if cache == "cold" else []),
            )
        )
    return rows


def _ours(paths: list[Path], out: Path, mode: str) -> None:
    opened, _ = raw_frames.open_set([frames.frame(path, FrameType.BIAS) for path in paths])
    shape = opened.stored[0].shape
    image, variance = (np.empty(shape, np.float32) for _ in range(2))
    for rows, stack in raw_frames.bands(opened.stored, step=max(1, BAND_BYTES // (2 * len(paths) * shape[1]))):
        made = combining.combine(stack, mode=mode, noise=NOISE)
        image[rows], variance[rows] = made.image, made.variance
    images.write_image(out, image, {"NCOMBINE": len(paths)})
    images.write_image(out.with_suffix(".var.fits"), variance, {"NCOMBINE": len(paths)})


def _by_combine(paths: list[Path], out: Path) -> None:
    master = ccdproc.combine([str(path) for path in paths], method="median", unit="adu")
    master.data = master.data.astype(np.float32)
    master.write(out, overwrite=True)


def _by_combiner(paths: list[Path], out: Path) -> None:
    combiner = ccdproc.Combiner([CCDData.read(path, unit="adu") for path in paths], dtype=np.float32)
    images.write_image(out, np.asarray(_combined(combiner, "seed"), np.float32), {})


def _combined(combiner: ccdproc.Combiner, mode: str) -> np.ndarray:
    combiner.data_arr.mask[...] = False
    if mode == "seed":
        # Combiner.sigma_clipping(maxiters=5) fails: "got multiple values for keyword argument 'maxiters'"; its body does not
        clipped = sigma_clip(combiner.data_arr.data, sigma=3, axis=0, maxiters=5, cenfunc="mean", stdfunc="std")
        combiner.data_arr.mask |= clipped.mask
    return np.asarray(combiner.median_combine().data)


def _decided(theirs: np.ndarray, ours: np.ndarray, stack: np.ndarray, mode: str) -> np.ndarray:
    """Return the peer's master; different pixels with clipped values are computed again in integers."""
    if mode != "seed":
        return theirs
    exact = np.array(theirs, np.float32)
    for y, x in np.argwhere(abs(ours - exact) > np.spacing(exact)):
        exact[y, x] = _clipped_median([int(count) for count in stack[:, y, x]])
    return exact


def _clipped_median(counts: list[int]) -> float:
    """Clip beyond 3 sigma, (n x - S)^2 > 9 (n Q - S^2), for at most five rounds; return the median of what is left."""
    for _ in range(ROUNDS):
        number, total, squares = len(counts), sum(counts), sum(count * count for count in counts)
        left = [count for count in counts if (number * count - total) ** 2 <= 9 * (number * squares - total * total)]
        if len(left) == number:
            break
        counts = left
    return float(np.median(counts))


def _ulps(ours: np.ndarray, theirs: np.ndarray) -> Gate:
    """Return the largest difference in units of the last place of single precision."""
    theirs = np.asarray(theirs, np.float32)
    return Gate(what="largest distance in ulp", value=float((abs(ours - theirs) / np.spacing(theirs)).max()), limit=1)
