"""Engines that subtract a reference: ``siren``, SFFT and HOTPANTS."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.errors import AlgorithmError, MissingPart, ProgramError, SirenError, UnusableData
from tasks.io.fits import fits_images
from tasks.io.fits.image_planes import ImagePlanes
from tasks.options import SearchOptions
from tasks.programs import hotpants
from tasks.science import arrays
from tasks.science.candidates import matched_filter
from tasks.science.subtraction import alard_lupton, aligned_images, aligned_pair, engine_images, sfft
from tasks.science.subtraction.alard_lupton import Subtraction
from tasks.science.subtraction.aligned_images import SubtractionImage
from tasks.science.subtraction.aligned_pair import Pair

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SubtractionResult:
    """A subtraction, its mask as bits, the science image, and the errors of engines that failed before."""

    subtraction: Subtraction
    bits: Any
    science: Any
    failures: tuple[str, ...] = ()


def difference(
    science: ImagePlanes, reference: ImagePlanes, options: SearchOptions, *, only: bool = False
) -> SubtractionResult:
    """Align and subtract two images on the device of this process.

    Parameters
    ----------
    only
        Try the configured engine alone; else the others are tried after it fails.

    Raises
    ------
    UnusableData
        If the images cannot be aligned or hold too few stars.
    AlgorithmError, ProgramError, MissingPart
        If all engines failed.
    """
    if science.image.shape == reference.image.shape and np.array_equal(science.image, reference.image, equal_nan=True):
        raise UnusableData(f"{science.path.name} and {reference.path.name} hold the same pixels: nothing would be left")
    pair = aligned_pair.align(
        exposure(science),
        exposure(reference),
        how=options.align,
        wcs=(science.wcs, reference.wcs),
        name=science.path.name,
    )
    errors: list[SirenError] = []
    names = [options.engine] if only else [options.engine, *(name for name in ENGINES if name != options.engine)]
    for name in names:
        try:
            result = ENGINES[name](pair, science, reference, options)
        except (AlgorithmError, ProgramError, MissingPart, UnusableData) as error:
            errors.append(error)
            log.warning("%s: engine %s failed: %s", science.path.name, name, error)
            continue
        bits = alard_lupton.bits(result, pair.science, pair.reference)
        return SubtractionResult(
            subtraction=result, bits=bits, science=pair.science.image, failures=tuple(map(str, errors))
        )
    raise _all_failed(errors)


def searchable(result: SubtractionResult) -> matched_filter.SearchPlanes:
    """Return the planes that a search needs, of a subtraction in memory."""
    return matched_filter.planes_of(result.subtraction, result.bits, result.science)


def exposure(planes: ImagePlanes) -> SubtractionImage:
    """Put an image and its planes on the device."""
    xp = arrays.device()
    variance = None if planes.variance is None else xp.asarray(planes.variance)
    return aligned_images.from_planes(
        xp.asarray(planes.image),
        xp.asarray(planes.bits),
        variance,
        gain=planes.gain,
        saturation=planes.saturation,
    )


def _siren(pair: Pair, science: ImagePlanes, reference: ImagePlanes, options: SearchOptions) -> Subtraction:
    del science, reference, options
    return alard_lupton.subtract(pair.science, pair.reference, found=pair.found)


def _sfft(pair: Pair, science: ImagePlanes, reference: ImagePlanes, options: SearchOptions) -> Subtraction:
    del pair, science, reference, options
    return sfft.subtract()


def _hotpants(pair: Pair, science: ImagePlanes, reference: ImagePlanes, options: SearchOptions) -> Subtraction:
    """Write the pair to a scratch folder, run HOTPANTS there and read its result."""
    widths = pair.widths_px
    low_adu = [engine_images.lowest_adu(image) for image in (pair.science, pair.reference)]
    settings = hotpants.Options(
        fwhm_science_px=widths[0],
        fwhm_reference_px=widths[1],
        lowest_science_adu=low_adu[0],
        highest_science_adu=engine_images.highest_adu(pair.science, science.saturation),
        lowest_reference_adu=low_adu[1],
        highest_reference_adu=engine_images.highest_adu(pair.reference, reference.saturation),
        stars=int(pair.found[0].clean.sum()),
        timeout_s=options.program_timeout_s,
    )
    with tempfile.TemporaryDirectory(prefix="hotpants-") as name:
        folder = Path(name)
        labelled = ((pair.science, "sci"), (pair.reference, "ref"))
        files = [_write_images(folder, image, label) for image, label in labelled]
        inputs = hotpants.Inputs(
            science=files[0][0], science_noise=files[0][1], science_mask=files[0][2],
            reference=files[1][0], reference_noise=files[1][1], reference_mask=files[1][2],
        )  # fmt: skip
        return _read_hotpants(hotpants.subtract(inputs, folder, settings, shape=science.shape), pair)


ENGINES: dict[str, Callable[[Pair, ImagePlanes, ImagePlanes, SearchOptions], Subtraction]] = {
    "siren": _siren,
    "hotpants": _hotpants,
    "sfft": _sfft,
}


def _write_images(folder: Path, image: SubtractionImage, label: str) -> tuple[Path, Path, Path]:
    """Write image, noise and mask as HOTPANTS reads them."""
    planes = engine_images.planes(image)
    paths = tuple(folder / f"{label}-{name}.fits" for name in planes)
    for path, plane in zip(paths, planes.values(), strict=True):
        fits_images.write_image(path, plane, {})
    return paths[0], paths[1], paths[2]


def _read_hotpants(result: hotpants.Result, pair: Pair) -> Subtraction:
    paths = (result.difference, result.convolved, result.noise, result.mask)
    return engine_images.subtraction(
        pair,
        *(fits_images.read_image(path)[0] for path in paths),
        fill=hotpants.FILL,
        engine="hotpants",
        direction=result.direction,
        kernel_sum=result.kernel_sum,
        substamps=result.substamps,
    )


def _all_failed(errors: list[SirenError]) -> SirenError:
    """Return an error of the first failure's class with the texts of all."""
    if len(errors) == 1 or isinstance(errors[0], ProgramError):
        return errors[0]
    return type(errors[0])("; ".join(map(str, errors)))
