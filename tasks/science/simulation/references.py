"""Deep references of a simulated field, on the grid of its stacks, taken long before the transients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from tasks import naming
from tasks.records import MaskBit
from tasks.science.astrometry import field_grids
from tasks.science.simulation import bands, camera, frames, optics, plan
from tasks.science.simulation.frames import SimulatedField
from tasks.science.simulation.optics import Image
from tasks.science.simulation.plan import Request

# 0.9 mag deeper than the stack of six lights
FRAMES = 30
# default exposure of a request
EXPOSURE_S = 100.0
# not wider than any light
SEEING_ARCSEC = (1.8, 2.0)
# of the date below
YEAR = 2025.1
DATE_OBS = "2025-02-06T03:12:45"
# of frames of 7DT, bias removed and flat peak divided out
SATURATION_ADU = 60000.0


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A reference image in ADU of one exposure, its variance and its mask bits."""

    name: str
    header: Header
    image: Image
    variance: Image
    mask: NDArray[np.uint8]


def make_reference(request: Request, field: SimulatedField, filter_: str) -> Reference:
    """Make the mean of 30 frames of 100 s, sky subtracted, with the matching noise in every pixel."""
    rng = plan.stream(request.seed, "reference", filter_)
    shape = field_grids.stack_shape(request.size.shape)
    wcs = field_grids.field_wcs(request.ra_deg, request.dec_deg, shape=shape, scale_arcsec=plan.SCALE_ARCSEC)
    band, gain = bands.band(filter_), camera.GAIN_E_PER_ADU
    seeing, zero_point = float(rng.uniform(*SEEING_ARCSEC)), band.zero_point(EXPOSURE_S)
    image = np.zeros(shape, dtype=np.float32)
    frames.add_sources(
        image,
        field,
        wcs,
        optics.round_psf(seeing, shape),
        filter_=filter_,
        year=YEAR,
        zero_point_e=zero_point + 2.5 * float(np.log10(gain)),
    )
    background_e = band.sky(EXPOSURE_S) * gain + camera.READ_NOISE_E**2
    variance = (image + np.float32(background_e)) / np.float32(FRAMES * gain**2)
    image /= np.float32(gain)
    image += np.sqrt(variance) * rng.standard_normal(shape, dtype=np.float32)
    mask = np.where(image >= SATURATION_ADU, np.uint8(MaskBit.SATURATED.value), np.uint8(0))
    header = wcs.to_header()
    _describe(
        header,
        request,
        filter_=filter_,
        seeing=seeing,
        zero_point=zero_point,
        sky_sigma=(float(np.sqrt(background_e / FRAMES) / gain)),
    )
    moment = DATE_OBS.replace("-", "").replace(":", "").replace("T", "_")
    exposure = f"{FRAMES * EXPOSURE_S:g}"
    return Reference(
        name=f"ref_7DT_{naming.slug(request.object)}_{moment}_{filter_}_{exposure}.fits",
        header=header,
        image=np.minimum(image, np.float32(SATURATION_ADU)),
        variance=variance,
        mask=mask,
    )


def _describe(
    header: Header, request: Request, *, filter_: str, seeing: float, zero_point: float, sky_sigma: float
) -> None:
    """Add the cards that a subtraction needs to a reference's header, in place."""
    header["OBJECT"], header["FILTER"] = request.object, filter_
    header["DATE-OBS"] = DATE_OBS
    header["EXPTIME"] = (FRAMES * EXPOSURE_S, "total exposure in s; ADU are of 100 s")
    header["ZP_AUTO"] = (zero_point, "mag, for total flux in ADU")
    header["SEEING"] = (seeing, "FWHM in arcsec")
    header["EGAIN"] = (FRAMES * camera.GAIN_E_PER_ADU, "effective, e- per ADU")
    header["SATURATE"] = (SATURATION_ADU, "ADU")
    header["SKYSIG"], header["SKYVAL"] = (sky_sigma, "ADU"), (0.0, "ADU, subtracted")
    header["NINPUT"], header["BUNIT"] = FRAMES, "adu"
