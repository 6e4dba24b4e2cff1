"""The three engines that subtract a reference: siren, SFFT and HOTPANTS."""

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
from tasks.science.sources import stars
from tasks.science.sources.stars import Stars
from tasks.science.subtraction import alard_lupton, aligned_images, registration, sfft
from tasks.science.subtraction.alard_lupton import Subtraction
from tasks.science.subtraction.aligned_images import Exposure

log = logging.getLogger(__name__)

SATURATED_PART = 0.95  # HOTPANTS sees stars up to this part of saturation


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Science image and reference on the same pixels, with the stars of both (on those pixels)."""

    science: Exposure
    reference: Exposure
    found: tuple[Stars, Stars]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A subtraction, its mask as bits, the science image, and the failures of the engines tried before."""

    subtraction: Subtraction
    bits: Any
    science: Any
    failures: tuple[str, ...] = ()


def difference(science: ImagePlanes, reference: ImagePlanes, options: SearchOptions, *, only: bool = False) -> Result:
    """Align and subtract two images on the device of this process.

    Parameters
    ----------
    only
        Try the configured engine alone; else the others follow when it fails.

    Raises
    ------
    UnusableData
        If the images cannot be aligned or hold too few stars.
    AlgorithmError, ProgramError, MissingPart
        What the last engine said, when all failed.
    """
    pair = align(science, reference, options)
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
        return Result(subtraction=result, bits=bits, science=pair.science.image, failures=tuple(map(str, errors)))
    raise _all_failed(errors)


def searchable(result: Result) -> matched_filter.Planes:
    """Return what a search needs of a subtraction that is still in memory."""
    made = result.subtraction
    return matched_filter.planes(
        made.difference,
        made.convolved,
        made.variance,
        result.bits,
        result.science,
        direction=made.direction,
        kernel_sum=made.kernel_sum,
        psf=made.psf,
        fwhm_px=max(made.fwhm_science_px, made.fwhm_reference_px),
    )


def align(science: ImagePlanes, reference: ImagePlanes, options: SearchOptions) -> Pair:
    """Bring the reference onto the science image's pixels."""
    there, original = exposure(science), exposure(reference)
    found = stars.find(there.image, there.mask), stars.find(original.image, original.mask)
    shapes = science.shape, reference.shape
    mapping = registration.choose(options.align, wcs=(science.wcs, reference.wcs), found=found, shapes=shapes)
    log.info(
        "%s: reference moved by %.2f, %.2f px, %d stars within %.2f px",
        science.path.name, *mapping.shift_px, mapping.matched, mapping.rms_px,
    )  # fmt: skip
    moved = aligned_images.aligned(original, mapping, science.shape)
    if moved is not original:
        found = found[0], stars.find(moved.image, moved.mask)
    return Pair(science=there, reference=moved, found=found)


def exposure(planes: ImagePlanes) -> Exposure:
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
    """Write the pair to a scratch folder, run HOTPANTS there and read what it made."""
    widths = pair.found[0].typical_fwhm, pair.found[1].typical_fwhm
    low = [_lowest(each) for each in (pair.science, pair.reference)]
    settings = hotpants.Options(
        fwhm_science_px=widths[0],
        fwhm_reference_px=widths[1],
        lowest_science_adu=low[0],
        highest_science_adu=_highest(pair.science, science.saturation),
        lowest_reference_adu=low[1],
        highest_reference_adu=_highest(pair.reference, reference.saturation),
        stars=int(pair.found[0].clean.sum()),
        timeout_s=options.program_timeout_s,
    )
    with tempfile.TemporaryDirectory(prefix="hotpants-") as name:
        folder = Path(name)
        files = [_plain(folder, each, label) for each, label in ((pair.science, "sci"), (pair.reference, "ref"))]
        inputs = hotpants.Inputs(
            science=files[0][0], science_noise=files[0][1], science_mask=files[0][2],
            reference=files[1][0], reference_noise=files[1][1], reference_mask=files[1][2],
        )  # fmt: skip
        made = hotpants.subtract(inputs, folder, settings, shape=science.shape)
        return _read_hotpants(made, pair, widths)


ENGINES: dict[str, Callable[[Pair, ImagePlanes, ImagePlanes, SearchOptions], Subtraction]] = {
    "siren": _siren,
    "hotpants": _hotpants,
    "sfft": _sfft,
}


def _lowest(each: Exposure) -> float:
    """Return the sky minus ten sigma."""
    xp = arrays.array_namespace(each.image)
    good = ~each.mask
    return float(xp.median(each.image[good]) - 10 * xp.sqrt(xp.median(each.variance[good])))


def _highest(each: Exposure, saturation: float) -> float:
    return SATURATED_PART * saturation if np.isfinite(saturation) else float(each.image[~each.mask].max())


def _plain(folder: Path, each: Exposure, label: str) -> tuple[Path, Path, Path]:
    """Write image, noise and mask as HOTPANTS reads them."""
    bad = arrays.to_host(each.mask | each.saturated)
    planes: dict[str, Any] = {
        "image": np.where(bad, 0, arrays.to_host(each.image)).astype(np.float32),
        "noise": np.sqrt(np.where(bad, 1e10, arrays.to_host(each.variance))).astype(np.float32),
        "mask": bad.astype(np.uint8),
    }
    paths = tuple(folder / f"{label}-{name}.fits" for name in planes)
    for path, plane in zip(paths, planes.values(), strict=True):
        fits_images.write_image(path, plane, {})
    return paths[0], paths[1], paths[2]


def _read_hotpants(made: hotpants.Result, pair: Pair, widths: tuple[float, float]) -> Subtraction:
    planes = [fits_images.read_image(path)[0] for path in (made.difference, made.convolved, made.noise, made.mask)]
    xp = arrays.array_namespace(pair.science.image)
    bad = (planes[3] != 0) | (np.abs(planes[0] - hotpants.FILL) < hotpants.FILL) | ~np.isfinite(planes[0])
    return alard_lupton.from_engine(
        pair.science,
        pair.reference,
        difference=xp.asarray(np.where(bad, 0, planes[0]).astype(np.float32)),
        convolved=xp.asarray(planes[1].astype(np.float32)),
        variance=xp.asarray(np.square(planes[2], dtype=np.float32)),
        mask=xp.asarray(bad),
        direction=made.direction,
        engine="hotpants",
        kernel_sum=made.kernel_sum,
        substamps=made.substamps,
        found=pair.found,
        widths=widths,
    )


def _all_failed(errors: list[SirenError]) -> SirenError:
    """Keep the kind of the first failure; tell them all."""
    if len(errors) == 1 or isinstance(errors[0], ProgramError):
        return errors[0]
    return type(errors[0])("; ".join(map(str, errors)))
