"""Discovery: what is left on a difference, each with a magnitude and every reason to doubt it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.io.fits import fits_images, image_planes
from tasks.options import SearchOptions
from tasks.records import Candidate, CandidateBatch, Difference, Stack
from tasks.science import arrays, detection, filtering, flags, stamps, stars
from tasks.science.filtering import Planes
from tasks.science.measurement import Detections

log = logging.getLogger(__name__)

TOOLS = {"numpy": np.__version__}
MAG_PER_RELATIVE = 1.0857  # 2.5 / ln 10
REGION_ARCSEC = 2.5
# survivors with a picture; a bad difference has thousands
PICTURES = 50


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Detections on one difference with their flags (name -> booleans) and the planes they were found on."""

    found: Detections
    flags: dict[str, Any]
    planes: Planes
    wcs: WCS | None

    def reasons(self, index: int) -> tuple[str, ...]:
        """Return the flags of one detection."""
        return flags.names(self.flags, index)

    def sky(self) -> tuple[Any, Any]:
        """Return right ascensions and declinations in degrees, NaN without WCS."""
        if self.wcs is None or not len(self.found):
            empty = np.full(len(self.found), np.nan)
            return empty, empty
        ra, dec = self.wcs.all_pix2world(self.found.x, self.found.y, 0)
        return np.asarray(ra), np.asarray(dec)


@task(task_run_name="search-{difference.stack.object}-{difference.stack.filter}", tags={"gpu"}, cache_policy=NO_CACHE)
def search(difference: Difference, root: Path, options: SearchOptions) -> CandidateBatch:
    """Find, measure and flag what is left on a difference; write the catalogue, regions and stamps."""
    del root  # the products lie beside the difference
    started = time.monotonic()
    table = naming.transients_of(difference.image)
    inputs = [difference.image, difference.variance, difference.mask, difference.convolved, difference.stack.image]
    recipe = products.Recipe(stage="search", inputs=inputs, options=options, tools=TOOLS)
    if (known := products.recall(recipe, table, CandidateBatch)) is not None:
        return known
    findings = find(_planes(difference), image_planes.read(difference.stack.image).wcs, options)
    drawn = _draw(findings, difference)
    batch = CandidateBatch(difference=difference, candidates=_candidates(findings, difference, drawn), table=table)
    outputs = [*_write_tables(findings, batch), *drawn.values()]
    batch = replace(batch, seconds=round(time.monotonic() - started, 3))
    products.remember(recipe, outputs, batch)
    log.info(
        "%s: %d detections, %d without a flag, %.1f s",
        difference.image.name, len(findings.found), len(survivors(findings)), batch.seconds,
    )  # fmt: skip
    return batch


def find(planes: Planes, wcs: WCS | None, options: SearchOptions) -> Findings:
    """Detect, measure and flag."""
    found, maps = detection.detect(planes, threshold=options.detect_sigma)
    log.debug("S/N of empty sky scatters by %.2f before calibration", maps.scatter)
    listed = stars.find(planes.science, planes.mask & ~planes.covered)
    return Findings(found=found, flags=flags.judge(found, planes, listed), planes=planes, wcs=wcs)


def survivors(findings: Findings) -> list[int]:
    """Return the detections that no flag speaks against."""
    return [index for index in range(len(findings.found)) if not findings.reasons(index)]


def table_of(findings: Findings, *, zero_point_mag: float | None = None) -> Table:
    """Return all detections as a table: measurements, ``flag_0`` .. ``flag_13``, their names, and ``why_not``."""
    ra, dec = findings.sky()
    table = Table({"number": np.arange(1, len(findings.found) + 1), "ra_deg": ra, "dec_deg": dec})
    for name in Detections.__dataclass_fields__:
        table[name] = np.asarray(getattr(findings.found, name))
    table["mag"], table["mag_error"] = magnitudes(findings.found, zero_point_mag)
    for number, (name, answers) in enumerate(findings.flags.items()):
        table[f"flag_{number}"] = np.asarray(answers, dtype=bool)
        table[f"flag_{number}"].description = name
    table["flag"] = np.any([np.asarray(answers) for answers in findings.flags.values()], axis=0)
    table["why_not"] = [";".join(findings.reasons(index)) for index in range(len(table))] or np.zeros(0, dtype="U1")
    return table


def total_zero_point(stack: Stack) -> float | None:
    """Return the zero point of a star's whole light, which PSF fluxes need; that of AUTO where it was not measured."""
    known = stack.photometry.zero_point_mag
    return known.get("TOT", known.get("AUTO"))


def magnitudes(found: Detections, zero_point_mag: float | None) -> tuple[Any, Any]:
    """Return magnitudes of |flux| and their errors; NaN without a zero point."""
    flux = np.abs(found.flux)
    error = MAG_PER_RELATIVE * found.flux_error / np.where(flux > 0, flux, np.inf)
    if zero_point_mag is None:
        return np.full(len(flux), np.nan), error
    return zero_point_mag - 2.5 * np.log10(np.where(flux > 0, flux, np.nan)), error


def _planes(difference: Difference) -> Planes:
    """Read a difference and what belongs to it, onto the device."""
    xp = arrays.device()
    image, header = fits_images.read_image(difference.image)
    others = (difference.convolved, difference.variance, difference.mask, difference.stack.image)
    convolved, variance, bits, science = (xp.asarray(fits_images.read_image(path)[0]) for path in others)
    psf, _ = fits_images.read_image(naming.psf_of(difference.image))
    widths = (image_planes.number(header, key) or 1.0 for key in ("FWHMSCI", "FWHMREF"))
    return filtering.planes(
        xp.asarray(image),
        convolved,
        variance,
        bits,
        science,
        direction=difference.direction,
        kernel_sum=difference.kernel_sum,
        psf=psf.astype(np.float64),
        fwhm_px=max(widths),
    )


def _candidates(findings: Findings, difference: Difference, drawn: dict[int, Path]) -> tuple[Candidate, ...]:
    stack, found = difference.stack, findings.found
    ra, dec = findings.sky()
    mag, mag_error = magnitudes(found, total_zero_point(stack))
    stem = difference.image.name.removesuffix(".fits")
    return tuple(
        Candidate(
            id=f"{stem}.{index + 1}",
            object=stack.object,
            unit=stack.unit,
            filter=stack.filter,
            date_obs=stack.date_obs,
            x_px=float(found.x[index]),
            y_px=float(found.y[index]),
            ra_deg=float(ra[index]),
            dec_deg=float(dec[index]),
            snr=float(found.snr[index]),
            flux_adu=float(found.flux[index]),
            mag=float(mag[index]) if np.isfinite(mag[index]) else None,
            mag_error=float(mag_error[index]) if np.isfinite(mag[index]) else None,
            sign=int(found.sign[index]),
            flags=findings.reasons(index),
            stamp=drawn.get(index),
        )
        for index in range(len(found))
    )


def _write_tables(findings: Findings, batch: CandidateBatch) -> list[Path]:
    """Write catalogue, regions of the survivors and the count of each flag."""
    zero_point = total_zero_point(batch.difference.stack)
    table = table_of(findings, zero_point_mag=zero_point)
    write_table(batch.table, table)
    regions = batch.table.with_suffix(".reg")
    products.write_text(regions, region_text(findings))
    summary = batch.table.with_name(batch.table.name.replace(".transient.cat", ".flag.summary.csv"))
    total = max(len(table), 1)
    rows = [f"{name},{int(np.sum(a))},{np.sum(a) / total:.4f}" for name, a in findings.flags.items()]
    products.write_text(summary, "\n".join(["flag,n,ratio", *rows]) + "\n")
    return [batch.table, regions, summary]


def write_table(path: Path, table: Table) -> None:
    """Write a table as ECSV: text that keeps types and descriptions."""
    with products.staged(path) as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)


def region_text(findings: Findings) -> str:
    """Return DS9 regions of the survivors: circles on the sky, or on the image without WCS."""
    ra, dec = findings.sky()
    if findings.wcs is None:
        circles = [
            f"circle({findings.found.x[i] + 1:.2f},{findings.found.y[i] + 1:.2f},8)" for i in survivors(findings)
        ]
        return "\n".join(["image", *circles]) + "\n"
    circles = [f'circle({ra[i]:.6f},{dec[i]:.6f},{REGION_ARCSEC}")' for i in survivors(findings)]
    return "\n".join(["fk5", *circles]) + "\n"


def _draw(findings: Findings, difference: Difference) -> dict[int, Path]:
    """Write a picture and a FITS cube of each survivor; return the pictures by detection."""
    folder, stem = difference.image.parent, difference.image.name.removesuffix(".fits")
    drawn: dict[int, Path] = {}
    for index in survivors(findings)[:PICTURES]:
        x, y = float(findings.found.x[index]), float(findings.found.y[index])
        triplet = stamps.cut(findings.planes, x, y, wcs=findings.wcs)
        title = f"{stem}.{index + 1}   S/N {findings.found.snr[index]:.1f}"
        drawn[index] = folder / "png_image" / f"{stem}.{index + 1}.png"
        products.write_bytes(drawn[index], stamps.picture(triplet, title=title))
        with products.staged(folder / "fits_image" / f"{stem}.{index + 1}.fits") as temporary:
            cube = fits.PrimaryHDU(triplet.planes.astype(np.float32))
            mask = fits.ImageHDU(triplet.mask.astype(np.uint8), name="MASK")
            fits.HDUList([cube, mask]).writeto(temporary, overwrite=True)
    return drawn
