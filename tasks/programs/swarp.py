"""SWarp: resamples frames onto one grid and combines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from tasks import constants
from tasks.errors import UnusableData
from tasks.programs import outputs
from tasks.programs.run import find, run, tail

Mode: TypeAlias = Literal["CLIPPED", "WEIGHTED", "MEDIAN"]

NAMES = ("SWarp", "swarp")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the combination."""

    combine: Mode = "CLIPPED"
    clip_sigma: float = 5.0
    clip_fraction: float = 0.3
    background_px: int = 512
    subtract_background: bool = True
    levels: tuple[float, ...] = ()
    """Known background levels, one per frame; if empty, the background is measured in meshes."""
    threads: int = 2
    memory_mb: int = 2048
    timeout_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class OutputGrid:
    """The output's pixel grid: centre in degrees, scale in arcsec per pixel, shape (ny, nx)."""

    ra_deg: float
    dec_deg: float
    scale_arcsec: float
    shape: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Input:
    """One frame: image, weight (0 if bad), the factor on its flux, and its gain in e-/ADU."""

    image: Path
    weight: Path
    flux_scale: float
    egain: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """The combined image and its weight, the sum of the inputs' weights on the output's flux scale."""

    image: Path
    weight: Path
    seconds: float


FIXED: Mapping[str, object] = {
    "HEADER_SUFFIX": ".head",
    "WEIGHT_TYPE": "MAP_WEIGHT",
    "WEIGHT_SUFFIX": ".weight.fits",
    "RESCALE_WEIGHTS": False,
    "COMBINE": True,
    "CLIP_WRITELOG": False,
    "BLANK_BADPIXELS": False,
    "CELESTIAL_TYPE": "NATIVE",
    "PROJECTION_TYPE": "TAN",
    "PROJECTION_ERR": 0.001,
    "CENTER_TYPE": "MANUAL",
    "PIXELSCALE_TYPE": "MANUAL",
    "RESAMPLE": True,
    "RESAMPLING_TYPE": "LANCZOS3",
    "OVERSAMPLING": 0,
    "INTERPOLATE": False,
    "FSCALASTRO_TYPE": "VARIABLE",
    "FSCALE_KEYWORD": "FLXSCALE",
    "FSCALE_DEFAULT": 1.0,
    "GAIN_KEYWORD": "EGAIN",
    "GAIN_DEFAULT": 0.0,
    "SATLEV_KEYWORD": "SATURATE",
    "SATLEV_DEFAULT": 65000.0,
    "BACK_FILTERSIZE": 3,
    "DELETE_TMPFILES": True,
    "WRITE_FILEINFO": False,
    "WRITE_XML": False,
    "VERBOSE_TYPE": "NORMAL",
}
"""Fixed settings."""


def configuration(folder: Path, grid: OutputGrid, options: Options, *, number: int) -> str:
    """Return the configuration file for ``number`` frames; flux scales are in the frames' own headers (FLXSCALE)."""
    combine = "WEIGHTED" if options.combine == "CLIPPED" and number < constants.SMALLEST_CLIPPED else options.combine
    return outputs.settings(
        {
            **FIXED,
            "IMAGEOUT_NAME": folder / "stack.fits",
            "WEIGHTOUT_NAME": folder / "stack.weight.fits",
            "COMBINE_TYPE": combine,
            "CLIP_SIGMA": options.clip_sigma,
            "CLIP_AMPFRAC": options.clip_fraction,
            "CENTER": f"{grid.ra_deg:.10f},{grid.dec_deg:+.10f}",
            "PIXEL_SCALE": f"{grid.scale_arcsec:.10g}",
            "IMAGE_SIZE": f"{grid.shape[1]},{grid.shape[0]}",
            "RESAMPLE_DIR": folder,
            "SUBTRACT_BACK": options.subtract_background,
            "BACK_SIZE": options.background_px,
            "BACK_TYPE": "MANUAL" if options.levels else "AUTO",
            "BACK_DEFAULT": ",".join(f"{level:.6g}" for level in options.levels) or "0.0",
            "VMEM_DIR": folder,
            "VMEM_MAX": 4 * options.memory_mb,
            "MEM_MAX": options.memory_mb,
            "COMBINE_BUFSIZE": options.memory_mb // 2,
            "NTHREADS": options.threads,
        }
    )


def command(images: Sequence[Path], folder: Path) -> list[str]:
    """Return the command line for images whose ``.weight.fits`` and ``.head`` lie beside them."""
    return [str(find(NAMES)), *map(str, images), "-c", str(folder / "swarp.conf")]


def combine(inputs: Sequence[Input], grid: OutputGrid, folder: Path, options: Options) -> Result:
    """Resample and combine ``inputs`` in ``folder``.

    Raises
    ------
    UnusableData
        If there are no inputs.
    ProgramError
        If SWarp crashes or hangs, or its image or weight is missing, incomplete or of another shape.
    """
    if not inputs:
        raise UnusableData("a stack needs at least one frame, got none")
    folder.mkdir(parents=True, exist_ok=True)
    images = [_lay_out(item, folder / f"frame-{index:04d}.fits") for index, item in enumerate(inputs, start=1)]
    text = configuration(folder, grid, options, number=len(images))
    (folder / "swarp.conf").write_text(text, encoding="utf-8")
    finished = run(command(images, folder), folder=folder, timeout_s=options.timeout_s)
    log_tail = tail(finished.log_file)
    result = Result(image=folder / "stack.fits", weight=folder / "stack.weight.fits", seconds=finished.seconds)
    for path in (result.image, result.weight):
        outputs.require_image(path, program="swarp", shape=grid.shape, log_tail=log_tail)
    return result


def _lay_out(item: Input, place: Path) -> Path:
    """Link image and weight into the folder, with a header that overrides the image's flux scale and gain."""
    outputs.link(item.image, place)
    if item.weight != place.with_suffix(".weight.fits"):
        outputs.link(item.weight, place.with_suffix(".weight.fits"))
    cards = f"FLXSCALE= {item.flux_scale:20.12E}\nEGAIN   = {item.egain:20.12E}\nEND     \n"
    place.with_suffix(".head").write_text(cards, encoding="ascii")
    return place
