"""Files of a search: the planes it reads; the catalogue, regions, flag counts and stamps it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from tasks import naming, products
from tasks.io.fits import fits_images, image_planes
from tasks.records import CandidateBatch, Difference
from tasks.science import arrays
from tasks.science.candidates import candidate_table, findings, matched_filter, stamps
from tasks.science.candidates.findings import Findings
from tasks.science.candidates.matched_filter import SearchPlanes

# survivors that get a picture; a bad difference has thousands
PICTURES = 50


def read_planes(difference: Difference) -> SearchPlanes:
    """Read a difference and its other planes onto the device."""
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


def write_tables(judged: Findings, batch: CandidateBatch) -> list[Path]:
    """Write catalogue, regions of the survivors and the count of each flag."""
    zero_point = candidate_table.total_zero_point(batch.difference.stack)
    write_table(batch.table, candidate_table.table_of(judged, zero_point_mag=zero_point))
    regions = batch.table.with_suffix(".reg")
    products.write_text(regions, findings.region_text(judged))
    summary = batch.table.with_name(batch.table.name.replace(".transient.cat", ".flag.summary.csv"))
    products.write_text(summary, candidate_table.flag_summary(judged))
    return [batch.table, regions, summary]


def write_table(path: Path, table: Table) -> None:
    """Write a table as ECSV: text that keeps types, units and descriptions."""
    with products.staged(path) as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)


def write_stamps(judged: Findings, difference: Difference) -> dict[int, Path]:
    """Write a picture and a FITS cube of each survivor; return the pictures by detection."""
    folder, stem = difference.image.parent, difference.image.name.removesuffix(".fits")
    pictures: dict[int, Path] = {}
    for index in findings.survivors(judged)[:PICTURES]:
        x, y = float(judged.found.x[index]), float(judged.found.y[index])
        triplet = stamps.cut(judged.planes, x, y, wcs=judged.wcs)
        title = f"{stem}.{index + 1}   S/N {judged.found.snr[index]:.1f}"
        pictures[index] = folder / "png_image" / f"{stem}.{index + 1}.png"
        products.write_bytes(pictures[index], stamps.picture(triplet, title=title))
        with products.staged(folder / "fits_image" / f"{stem}.{index + 1}.fits") as temporary:
            cube = fits.PrimaryHDU(triplet.planes.astype(np.float32))
            mask = fits.ImageHDU(triplet.mask.astype(np.uint8), name="MASK")
            fits.HDUList([cube, mask]).writeto(temporary, overwrite=True)
    return pictures
