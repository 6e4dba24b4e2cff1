"""Discovery: what is left on a difference, each with a magnitude and every reason to doubt it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.io.fits import fits_images, image_planes
from tasks.options import SearchOptions
from tasks.records import Candidate, CandidateBatch, Difference
from tasks.science import arrays
from tasks.science.candidates import findings, matched_filter, stamps
from tasks.science.candidates.findings import Findings
from tasks.science.candidates.matched_filter import Planes

log = logging.getLogger(__name__)

TOOLS = {"numpy": np.__version__}
# survivors with a picture; a bad difference has thousands
PICTURES = 50


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
    judged = findings.find(_planes(difference), image_planes.read(difference.stack.image).wcs, options)
    drawn = _draw(judged, difference)
    batch = CandidateBatch(difference=difference, candidates=_candidates(judged, difference, drawn), table=table)
    outputs = [*_write_tables(judged, batch), *drawn.values()]
    batch = replace(batch, seconds=round(time.monotonic() - started, 3))
    products.remember(recipe, outputs, batch)
    log.info(
        "%s: %d detections, %d without a flag, %.1f s",
        difference.image.name, len(judged.found), len(findings.survivors(judged)), batch.seconds,
    )  # fmt: skip
    return batch


def _planes(difference: Difference) -> Planes:
    """Read a difference and what belongs to it, onto the device."""
    xp = arrays.device()
    image, header = fits_images.read_image(difference.image)
    others = (difference.convolved, difference.variance, difference.mask, difference.stack.image)
    convolved, variance, bits, science = (xp.asarray(fits_images.read_image(path)[0]) for path in others)
    psf, _ = fits_images.read_image(naming.psf_of(difference.image))
    widths = (image_planes.number(header, key) or 1.0 for key in ("FWHMSCI", "FWHMREF"))
    return matched_filter.planes(
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


def _candidates(judged: Findings, difference: Difference, drawn: dict[int, Path]) -> tuple[Candidate, ...]:
    stack, found = difference.stack, judged.found
    ra, dec = judged.sky()
    mag, mag_error = findings.magnitudes(found, findings.total_zero_point(stack))
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
            flags=judged.reasons(index),
            not_checked=judged.not_checked,
            stamp=drawn.get(index),
        )
        for index in range(len(found))
    )


def _write_tables(judged: Findings, batch: CandidateBatch) -> list[Path]:
    """Write catalogue, regions of the survivors and the count of each flag."""
    zero_point = findings.total_zero_point(batch.difference.stack)
    table = findings.table_of(judged, zero_point_mag=zero_point)
    write_table(batch.table, table)
    regions = batch.table.with_suffix(".reg")
    products.write_text(regions, findings.region_text(judged))
    summary = batch.table.with_name(batch.table.name.replace(".transient.cat", ".flag.summary.csv"))
    products.write_text(summary, findings.flag_summary(judged))
    return [batch.table, regions, summary]


def write_table(path: Path, table: Table) -> None:
    """Write a table as ECSV: text that keeps types and descriptions."""
    with products.staged(path) as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)


def _draw(judged: Findings, difference: Difference) -> dict[int, Path]:
    """Write a picture and a FITS cube of each survivor; return the pictures by detection."""
    folder, stem = difference.image.parent, difference.image.name.removesuffix(".fits")
    drawn: dict[int, Path] = {}
    for index in findings.survivors(judged)[:PICTURES]:
        x, y = float(judged.found.x[index]), float(judged.found.y[index])
        triplet = stamps.cut(judged.planes, x, y, wcs=judged.wcs)
        title = f"{stem}.{index + 1}   S/N {judged.found.snr[index]:.1f}"
        drawn[index] = folder / "png_image" / f"{stem}.{index + 1}.png"
        products.write_bytes(drawn[index], stamps.picture(triplet, title=title))
        with products.staged(folder / "fits_image" / f"{stem}.{index + 1}.fits") as temporary:
            cube = fits.PrimaryHDU(triplet.planes.astype(np.float32))
            mask = fits.ImageHDU(triplet.mask.astype(np.uint8), name="MASK")
            fits.HDUList([cube, mask]).writeto(temporary, overwrite=True)
    return drawn
