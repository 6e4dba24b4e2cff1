"""Files of a subtraction: difference, variance, mask, convolved image, PSF, and the list of substamps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tasks import naming, products
from tasks.io.fits import fits_images
from tasks.io.fits.image_planes import ImagePlanes
from tasks.reduction.engines.subtraction_engines import SubtractionResult
from tasks.science import arrays
from tasks.science.subtraction import difference_cards


def write(output: Path, convolved: Path, result: SubtractionResult, *, science: ImagePlanes, reference: str) -> None:
    """Write the planes of a subtraction; their headers describe how they were made."""
    subtraction = result.subtraction
    cards = difference_cards.cards(science.header, subtraction, science=science.path.name, reference=reference)
    planes = {
        output: subtraction.difference,
        naming.variance_of(output): subtraction.variance,
        naming.mask_of(output): result.bits,
        convolved: subtraction.convolved,
        naming.psf_of(output): subtraction.psf.astype(np.float32),
    }
    for path, plane in planes.items():
        own = cards if path != naming.psf_of(output) else {}
        with products.staged(path) as temporary:
            fits_images.write_image(temporary, arrays.to_host(plane), own)


def write_substamps(output: Path, result: SubtractionResult) -> None:
    """Write the positions of the substamps beside a difference."""
    place = output.with_name(output.name.replace(".subt.fits", ".ssf.txt"))
    products.write_text(place, difference_cards.substamp_positions(result.subtraction))
