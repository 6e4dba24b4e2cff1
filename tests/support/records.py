"""Small, complete records for tests of other subjects."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from tasks.records import (
    Astrometry,
    Calibrated,
    Candidate,
    Difference,
    Frame,
    FrameType,
    Inventory,
    Photometry,
    Reduced,
    Stack,
)

NIGHT = date(2026, 1, 15)
START = datetime(2026, 1, 16, 4, 34, 13, tzinfo=UTC)
APERTURES = ("AUTO", "0", "1", "2", "3", "4", "5")


def frame(name: str = "a.fits", **changes) -> Frame:
    made = Frame(
        path=Path("/raw") / name,
        type=FrameType.LIGHT,
        unit="7DT01",
        date_obs=START,
        exposure_s=100.0,
        filter="r",
        object="T00001",
        ra_deg=110.0,
        dec_deg=-30.0,
        shape=(1597, 2394),
        scale_arcsec=0.505,
    )
    return replace(made, **changes)


def inventory(*frames: Frame, unit: str = "7DT01", **changes) -> Inventory:
    return Inventory(night=NIGHT, unit=unit, folder=Path("/raw"), frames=frames, **changes)


def calibrated(of: Frame) -> Calibrated:
    return Calibrated(frame=of, image=Path("/p/i.fits"), variance=Path("/p/v.fits"), mask=Path("/p/m.fits"))


def astrometry() -> Astrometry:
    return Astrometry(
        matched=300,
        rms_ra_arcsec=0.08,
        rms_dec_arcsec=0.07,
        offset_arcsec=0.01,
        scale_arcsec=0.505,
        ra_deg=110.0,
        dec_deg=-30.0,
    )


def photometry(catalogue: Path = Path("/p/c.cat")) -> Photometry:
    return Photometry(
        catalogue=catalogue,
        stars=250,
        seeing_arcsec=2.4,
        ellipticity=0.08,
        elongation=1.09,
        sky_adu=436.0,
        sky_sigma_adu=45.0,
        zero_point_mag=dict.fromkeys(APERTURES, 28.29),
        scatter_mag=dict.fromkeys(APERTURES, 0.012),
        error_mag=dict.fromkeys(APERTURES, 0.001),
        depth3_mag=dict.fromkeys(APERTURES, 20.05),
        depth5_mag=dict.fromkeys(APERTURES, 19.52),
    )


def reduced(of: Frame) -> Reduced:
    planes = calibrated(of)
    return Reduced(
        frame=of,
        image=planes.image,
        variance=planes.variance,
        mask=planes.mask,
        astrometry=astrometry(),
        photometry=photometry(),
    )


def stack(image: Path = Path("/p/s.com.fits"), **changes) -> Stack:
    made = Stack(
        object="T00001",
        unit="7DT01",
        filter="r",
        date_obs=START,
        exposure_s=600.0,
        image=image,
        variance=image.with_name("v.fits"),
        mask=image.with_name("m.fits"),
        inputs=(Path("/p/i.fits"),),
        photometry=photometry(),
    )
    return replace(made, **changes)


def difference(of: Stack | None = None) -> Difference:
    return Difference(
        stack=of or stack(),
        reference=Path("/ref/r.fits"),
        image=Path("/p/d.fits"),
        convolved=Path("/p/c.fits"),
        variance=Path("/p/dv.fits"),
        mask=Path("/p/dm.fits"),
        direction="reference",
        engine="siren",
        kernel_sum=1.0,
        chi2=1.0,
        substamps=200,
    )


def candidate(**changes) -> Candidate:
    made = Candidate(
        id="T00001-r-7DT01-1",
        object="T00001",
        unit="7DT01",
        filter="r",
        date_obs=START,
        x_px=100.0,
        y_px=200.0,
        ra_deg=110.01,
        dec_deg=-30.02,
        snr=25.0,
        flux_adu=1000.0,
        mag=19.1,
        mag_error=0.04,
        sign=1,
    )
    return replace(made, **changes)
