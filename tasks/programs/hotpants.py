"""HOTPANTS: convolves one of two aligned images to match the other's PSF and subtracts them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks import constants
from tasks.errors import ProgramError
from tasks.programs import outputs
from tasks.programs.run import find, run, tail

NAMES = ("hotpants",)
# narrowest Gaussian of the kernel, in px: pixels show nothing narrower
SMALLEST_SIGMA_PX = 0.5
FILL = 1e-30
FEW_STAMPS = 20
KERNEL_SUM = re.compile(r"Sum Kernel at .*?:\s*([-+0-9.eE]+)|Actual Sum Kernel\s*=?\s*([-+0-9.eE]+)")
STAMPS_USED = re.compile(r"(\d+) stamps built")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Properties of the two images: FWHM in px, range of good values in ADU, number of stars for the PSF matching."""

    fwhm_science_px: float
    fwhm_reference_px: float
    lowest_science_adu: float
    highest_science_adu: float
    lowest_reference_adu: float
    highest_reference_adu: float
    stars: int
    timeout_s: float = 300.0

    @property
    def convolve(self) -> Literal["t", "i"]:
        """Which image is convolved: the template where it is sharper or equal, else the image."""
        return "t" if self.fwhm_reference_px <= constants.EQUAL_SEEING * self.fwhm_science_px else "i"

    @property
    def radius_px(self) -> int:
        """Half width of the kernel."""
        return round(2.5 * self.widest_px)

    @property
    def stamp_radius_px(self) -> int:
        """Half width of a substamp; it must hold the kernel."""
        return max(round(6 * self.widest_px), self.radius_px + 2)

    @property
    def widest_px(self) -> float:
        """The larger FWHM."""
        return max(self.fwhm_science_px, self.fwhm_reference_px)

    @property
    def sigma_px(self) -> float:
        """Width of the Gaussian that turns one PSF into the other, at least half a pixel."""
        difference = self.fwhm_science_px**2 - self.fwhm_reference_px**2
        return max(math.sqrt(abs(difference)) / constants.SIGMA_TO_FWHM, SMALLEST_SIGMA_PX)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The files of one subtraction, all on the same pixels; masks are 0 if good, noise is 1 sigma in ADU."""

    science: Path
    reference: Path
    science_noise: Path
    reference_noise: Path
    science_mask: Path
    reference_mask: Path
    stamps: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """HOTPANTS's output; ``direction`` names the convolved image, ``kernel_sum`` is None if the log has none."""

    difference: Path
    convolved: Path
    noise: Path
    mask: Path
    direction: Literal["reference", "science"]
    kernel_sum: float | None
    substamps: int
    seconds: float


def command(inputs: Inputs, folder: Path, options: Options) -> list[str]:
    """Return the command line."""
    sigma = options.sigma_px
    few = options.stars < FEW_STAMPS
    regions = (1, 1) if options.stars < 6 * FEW_STAMPS else (3, 2)
    words: list[object] = [find(NAMES), "-inim", inputs.science, "-tmplim", inputs.reference]
    words += ["-outim", folder / "difference.fits", "-oci", folder / "convolved.fits"]
    words += ["-oni", folder / "noise.fits", "-omi", folder / "mask.fits"]
    words += ["-ini", inputs.science_noise, "-tni", inputs.reference_noise]
    words += ["-imi", inputs.science_mask, "-tmi", inputs.reference_mask]
    words += ["-il", options.lowest_science_adu, "-iu", options.highest_science_adu]
    words += ["-tl", options.lowest_reference_adu, "-tu", options.highest_reference_adu]
    words += ["-c", options.convolve, "-n", "i", "-r", options.radius_px, "-rss", options.stamp_radius_px]
    words += ["-ng", 3, 6, 0.5 * sigma, 4, sigma, 2, 2 * sigma]
    words += ["-nrx", regions[0], "-nry", regions[1], "-nsx", 10, "-nsy", 10, "-nss", 3]
    words += ["-ko", 1 if few else 2, "-bgo", 1, "-fi", FILL, "-v", 1]
    if inputs.stamps is not None:
        words += ["-ssf", inputs.stamps]
    return [f"{word:g}" if isinstance(word, float) else str(word) for word in words]


def subtract(inputs: Inputs, folder: Path, options: Options, *, shape: tuple[int, int]) -> Result:
    """Run HOTPANTS on images of ``shape`` (ny, nx) and check its output.

    Raises
    ------
    MissingPart
        If it is not installed.
    ProgramError
        If it fails, exceeds its deadline, or an output image is missing.
    """
    finished = run(command(inputs, folder, options), folder=folder, timeout_s=options.timeout_s)
    log_tail = tail(finished.log_file)
    written = [folder / f"{name}.fits" for name in ("difference", "convolved", "noise", "mask")]
    for path in written:
        outputs.require_image(path, program="hotpants", shape=shape, log_tail=log_tail)
    text = finished.log_text()
    kernel_sum = _kernel_sum(text)
    if kernel_sum is not None and not kernel_sum > 0:
        raise ProgramError(f"hotpants fitted a kernel of sum {kernel_sum:g}, it must be positive", log_tail=log_tail)
    return Result(
        difference=written[0],
        convolved=written[1],
        noise=written[2],
        mask=written[3],
        direction="reference" if options.convolve == "t" else "science",
        kernel_sum=kernel_sum,
        substamps=sum(int(number) for number in STAMPS_USED.findall(text)),
        seconds=finished.seconds,
    )


def _kernel_sum(text: str) -> float | None:
    """Return the mean kernel sum of the regions in the log."""
    sums = [float(first or second) for first, second in KERNEL_SUM.findall(text)]
    return sum(sums) / len(sums) if sums else None
