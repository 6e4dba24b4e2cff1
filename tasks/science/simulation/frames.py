"""Frames of a simulated night: conditions of each exposure, raw image and header."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from astropy.io.fits import Header
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray

from tasks.errors import UnusableData
from tasks.records import FrameType
from tasks.science.simulation import bands, camera, optics, plan, responses, sky
from tasks.science.simulation.camera import Rays, SimulatedCamera
from tasks.science.simulation.optics import Image, Optics, Psf
from tasks.science.simulation.plan import Request, Shot
from tasks.science.simulation.responses import UnitResponse

# El Sauce, Chile (MPC code X08)
SITE_LATITUDE_DEG, SITE_LONGITUDE_DEG, SITE_ALTITUDE_M = -30.4725, -70.7631, 1570.0
# Chilean summer time, which DATE-LOC holds
LOCAL_TIME = timedelta(hours=-3)
# from the published median of 7DT to that of the production frames of 2024
SEEING_ARCSEC = (2.0, 2.8)
# the middle of that range
NOMINAL_SEEING_ARCSEC = 2.4
# 20 to 40 px: bad pixels fall on other places of the sky in each frame
DITHER_ARCSEC = (10.0, 20.0)
# units of an array do not point alike
UNIT_OFFSET_ARCSEC = 8.0
# room for the stamp of a source
EDGE_ARCSEC = 15.0
# too large for a match by position: the pointing must be searched for
HEADER_ERROR_ARCMIN = (2.0, 3.0)
# 40 to 60 % of the saturation at 60,000 ADU
FLAT_ADU = (24000.0, 36000.0)
# together 0.045 mag: half of the production frames in r lie within 0.05 mag of their median
UNIT_SPREAD_MAG, FRAME_SPREAD_MAG = 0.04, 0.02
# along each axis: corners, centre and between
CHECK_POINTS = 5
EVEN = UnitResponse()
# airmass 3.8
LOWEST_ALTITUDE_DEG = 15.0
# default number of a request's lights: a transient's S/N is that of their stack
STACK_FRAMES = 6
IMAGE_TYPES = {FrameType.BIAS: "BIAS", FrameType.DARK: "DARK", FrameType.FLAT: "FLAT", FrameType.LIGHT: "LIGHT"}


@dataclass(frozen=True, kw_only=True)
class SimulatedField:
    """Stars, galaxies and transients of a night's field."""

    stars: sky.SimulatedStars
    galaxies: sky.SimulatedGalaxies
    transients: sky.Transients


@dataclass(frozen=True, kw_only=True)
class SimulatedUnit:
    """One telescope with its camera; ``response_mag`` is added to every zero point, ``response`` to that of a star."""

    name: str
    optics: Optics
    camera: SimulatedCamera
    response_mag: float
    response: UnitResponse
    offset_arcsec: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The truth about one light: pointing, mapping, point spread function, zero point and sky of the exposure."""

    ra_deg: float
    dec_deg: float
    header_ra_deg: float
    header_dec_deg: float
    wcs: WCS
    psf: Psf
    seeing_arcsec: float
    zero_point_mag: float
    sky_adu: float
    altitude_deg: float
    azimuth_deg: float
    airmass: float


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """A raw frame with its header, and the truth about it; ``conditions`` only for a light."""

    header: Header
    raw: NDArray[np.uint16]
    rays: Rays
    conditions: Conditions | None = None


def check_observable(request: Request) -> None:
    """Raise ``UnusableData`` if the field is lower than 15 deg during the night's lights."""
    shots = [shot for shot in plan.shots(request, request.units[0]) if shot.type is FrameType.LIGHT]
    for shot in (shots[0], shots[-1]):
        altitude, _ = horizontal(request.ra_deg, request.dec_deg, shot.start)
        if altitude < LOWEST_ALTITUDE_DEG:
            raise UnusableData(
                f"the field at {request.ra_deg:g}, {request.dec_deg:g} stands at {altitude:.0f} deg at "
                f"{shot.start:%Y-%m-%d %H:%M} UTC: at least {LOWEST_ALTITUDE_DEG:g} deg are wanted"
            )


def draw_field(request: Request) -> SimulatedField:
    """Draw the stars, galaxies and transients of a night."""
    size, centre = request.size, (request.ra_deg, request.dec_deg)
    half = half_size_deg(size.shape)
    stars = sky.draw_stars(centre, half, plan.stream(request.seed, "stars"))
    galaxies = sky.draw_galaxies(centre, half, size.galaxies, plan.stream(request.seed, "galaxies"))
    transients = sky.draw_transients(
        centre,
        _always_seen_deg(size.shape),
        size.transients,
        stars=stars,
        galaxies=galaxies,
        rng=plan.stream(request.seed, "transients"),
    )
    return SimulatedField(stars=stars, galaxies=galaxies, transients=transients)


def draw_unit(request: Request, name: str) -> SimulatedUnit:
    """Draw one unit."""
    shape, rng = request.size.shape, plan.stream(request.seed, "unit", name)
    offset = rng.uniform(-UNIT_OFFSET_ARCSEC, UNIT_OFFSET_ARCSEC, 2) / np.sqrt(2)
    return SimulatedUnit(
        name=name,
        optics=optics.draw_optics(shape, rng),
        camera=camera.draw_camera(shape, plan.stream(request.seed, "camera", name)),
        response_mag=float(rng.normal(0, UNIT_SPREAD_MAG)),
        response=responses.draw_response(request, name),
        offset_arcsec=(float(offset[0]), float(offset[1])),
    )


def half_size_deg(shape: tuple[int, int]) -> tuple[float, float]:
    """Return half the width and height on the sky of a frame of ``shape``."""
    return shape[1] * plan.SCALE_ARCSEC / 7200, shape[0] * plan.SCALE_ARCSEC / 7200


def transient_mags(transients: sky.Transients, filter_: str, exposure_s: float) -> NDArray[np.float64]:
    """Return the magnitudes that give each transient its signal to noise in a stack of six frames of one unit.

    S/N = F / sqrt(F + N_eff (sky + read noise²)), all in e- of the six frames, for a fit of the point spread function;
    N_eff = pi alpha² (2 beta - 1) / (beta - 1)² pixels is a Moffat profile's noise-equivalent area.
    """
    band, beta = bands.band(filter_), optics.MOFFAT_BETA
    alpha = optics.FWHM_TO_ALPHA * NOMINAL_SEEING_ARCSEC / plan.SCALE_ARCSEC
    area = np.pi * alpha**2 * (2 * beta - 1) / (beta - 1) ** 2
    noise2 = STACK_FRAMES * area * (band.sky(exposure_s) * camera.GAIN_E_PER_ADU + camera.READ_NOISE_E**2)
    snr2 = transients.snr**2
    flux_e = (snr2 + np.sqrt(snr2**2 + 4 * snr2 * noise2)) / 2 / STACK_FRAMES
    mags: NDArray[np.float64] = band.zero_point(exposure_s) - 2.5 * np.log10(flux_e / camera.GAIN_E_PER_ADU)
    return mags


def expose(request: Request, field: SimulatedField, unit: SimulatedUnit, shot: Shot) -> Exposed:
    """Make one frame of the night."""
    rng = plan.stream(request.seed, "frame", unit.name, shot.name)
    rays = camera.draw_rays(request.size.shape, shot.exposure_s, rng)
    if shot.type is FrameType.LIGHT:
        conditions = draw_conditions(request, unit, shot)
        light_e: Image | float = light_of(field, conditions, shot, request.size.shape, unit.response)
        raw = camera.read_out(unit.camera, light_e, shot.exposure_s, rays=rays, rng=rng)
        header = light_header(request, shot, conditions)
        return Exposed(header=header, raw=raw, rays=rays, conditions=conditions)
    level = rng.uniform(*FLAT_ADU) * camera.GAIN_E_PER_ADU if shot.type is FrameType.FLAT else 0.0
    raw = camera.read_out(unit.camera, float(level), shot.exposure_s, rays=rays, rng=rng)
    return Exposed(header=base_header(shot), raw=raw, rays=rays)


def draw_conditions(request: Request, unit: SimulatedUnit, shot: Shot) -> Conditions:
    """Draw the true pointing, the atmosphere, and the mount's reported pointing of an exposure."""
    rng, shape = plan.stream(request.seed, "conditions", unit.name, shot.name), request.size.shape
    centre = (request.ra_deg, request.dec_deg)
    dither = rng.uniform(*DITHER_ARCSEC)
    turn = 2.4 * shot.number + rng.uniform(-0.3, 0.3)  # radians; 2.4 is the golden angle: the dithers never repeat
    east, north = unit.offset_arcsec[0] + dither * np.cos(turn), unit.offset_arcsec[1] + dither * np.sin(turn)
    ra, dec = _offset(centre, east, north)
    error, angle = rng.uniform(*HEADER_ERROR_ARCMIN) * 60, rng.uniform(0, 2 * np.pi)
    header_ra, header_dec = _offset((ra, dec), error * np.cos(angle), error * np.sin(angle))
    altitude, azimuth = horizontal(ra, dec, shot.start)
    airmass = 1 / np.sin(np.radians(altitude + 244 / (165 + 47 * altitude**1.1)))
    seeing = float(rng.uniform(*SEEING_ARCSEC))
    band = bands.band(shot.true_filter)
    # extinction is counted from airmass 1: the production zero points are those of the nights as they were
    transparency = unit.response_mag - band.extinction_mag * (airmass - 1) - abs(rng.normal(0, FRAME_SPREAD_MAG))
    return Conditions(
        ra_deg=ra,
        dec_deg=dec,
        header_ra_deg=header_ra,
        header_dec_deg=header_dec,
        wcs=_centred_wcs(unit.optics, (ra, dec), shape),
        psf=optics.draw_psf(seeing, shape, rng),
        seeing_arcsec=seeing,
        zero_point_mag=float(band.zero_point(shot.exposure_s) + transparency),
        sky_adu=float(band.sky(shot.exposure_s) * rng.normal(1.0, 0.03) * airmass**0.5),
        altitude_deg=altitude,
        azimuth_deg=azimuth,
        airmass=float(airmass),
    )


def light_of(
    field: SimulatedField, conditions: Conditions, shot: Shot, shape: tuple[int, int], response: UnitResponse = EVEN
) -> Image:
    """Return the mean number of electrons per pixel of an exposure, through a camera with even pixels."""
    ny, nx = shape
    slope = (
        1 + 0.01 * np.linspace(-1, 1, nx, dtype=np.float32) + np.linspace(-0.01, 0.01, ny, dtype=np.float32)[:, None]
    )
    image: Image = np.float32(conditions.sky_adu * camera.GAIN_E_PER_ADU) * slope
    year = float(Time(shot.start).jyear)
    add_sources(
        image,
        field,
        conditions.wcs,
        conditions.psf,
        filter_=shot.true_filter,
        year=year,
        response=response,
        zero_point_e=(conditions.zero_point_mag + 2.5 * float(np.log10(camera.GAIN_E_PER_ADU))),
    )
    transients = field.transients
    mags = transient_mags(transients, shot.true_filter, shot.exposure_s)
    x, y = conditions.wcs.all_world2pix(transients.ra_deg, transients.dec_deg, 0)
    flux = 10 ** (0.4 * (conditions.zero_point_mag - mags)) * camera.GAIN_E_PER_ADU
    optics.add_stars(image, x, y, flux, conditions.psf)
    return image


def add_sources(
    image: Image,
    field: SimulatedField,
    wcs: WCS,
    psf: Psf,
    *,
    filter_: str,
    year: float,
    zero_point_e: float,
    response: UnitResponse = EVEN,
) -> None:
    """Add the stars and galaxies of a field to ``image``, in place; the zero point is that of total flux in e-."""
    x, y = wcs.all_world2pix(*field.stars.positions(year), 0)
    mags = bands.star_mags(field.stars.g_mag, field.stars.bp_rp, filter_)
    mags = mags - response.of_colour(field.stars.bp_rp, filter_) - response.of_place(x, y, image.shape)
    optics.add_stars(image, x, y, 10 ** (0.4 * (zero_point_e - mags)), psf)
    galaxies = field.galaxies
    x, y = wcs.all_world2pix(galaxies.ra_deg, galaxies.dec_deg, 0)
    shapes = optics.disc_matrices(wcs, galaxies.radius_arcsec, galaxies.axis_ratio, galaxies.angle_rad)
    flux = 10 ** (0.4 * (zero_point_e - sky.galaxy_mags(galaxies, filter_)))
    optics.add_galaxies(image, x, y, flux, shapes, psf)


def check_points(wcs: WCS, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return rows of x, y (0-based px), RA, Dec (degrees) on a grid over the frame."""
    y, x = np.meshgrid(np.linspace(0, shape[0] - 1, CHECK_POINTS), np.linspace(0, shape[1] - 1, CHECK_POINTS))
    ra, dec = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    return np.column_stack([x.ravel(), y.ravel(), ra, dec])


def horizontal(ra_deg: float, dec_deg: float, moment: datetime) -> tuple[float, float]:
    """Return altitude and azimuth (north over east) in degrees, to about an arcminute, without Earth rotation tables.

    Greenwich mean sidereal time after Meeus, Astronomical Algorithms, equation 12.4; precession of m = 46.1" and
    n = 20.04" a year; nutation, aberration and refraction are left out.
    """
    days = Time(moment).jd - 2451545.0
    years, ra, dec = days / 365.25, np.radians(ra_deg), np.radians(dec_deg)
    turned = (46.1 + 20.04 * np.sin(ra) * np.tan(dec)) * years / 3600
    hour_angle = np.radians(280.46061837 + 360.98564736629 * days + SITE_LONGITUDE_DEG - ra_deg - turned)
    dec, latitude = dec + np.radians(20.04 * np.cos(ra) * years / 3600), np.radians(SITE_LATITUDE_DEG)
    sine = np.sin(dec) * np.sin(latitude) + np.cos(dec) * np.cos(latitude) * np.cos(hour_angle)
    west = np.cos(dec) * np.sin(hour_angle)
    north = np.sin(dec) * np.cos(latitude) - np.cos(dec) * np.sin(latitude) * np.cos(hour_angle)
    return float(np.degrees(np.arcsin(sine))), float(np.degrees(np.arctan2(-west, north)) % 360)


def base_header(shot: Shot) -> Header:
    """Return the cards that every frame of the camera has."""
    header = Header()
    header["IMAGETYP"] = (IMAGE_TYPES[shot.type], "type of frame")
    header["EXPTIME"] = (shot.exposure_s, "exposure in s")
    header["DATE-OBS"] = (_stamp(shot.start), "start of exposure, UTC")
    header["DATE-LOC"] = (_stamp(shot.start + LOCAL_TIME), "start of exposure, local time")
    header["INSTRUME"] = ("Moravian C3-61000", "camera")
    header["TELESCOP"] = (shot.unit, "unit of the telescope")
    header["GAIN"] = (plan.GAIN_SETTING, "setting of the camera")
    header["EGAIN"] = (camera.GAIN_E_PER_ADU, "e- per ADU")
    header["XBINNING"], header["YBINNING"] = 1, 1
    header["SET-TEMP"], header["CCD-TEMP"] = (-10.0, "degC"), (-10.0, "degC")
    header["XPIXSZ"], header["YPIXSZ"] = (3.76, "um"), (3.76, "um")
    header["FOCALLEN"], header["FOCRATIO"] = (1537.0, "mm"), 3.0
    header["SITELAT"], header["SITELONG"], header["SITEELEV"] = SITE_LATITUDE_DEG, SITE_LONGITUDE_DEG, SITE_ALTITUDE_M
    header["ROWORDER"] = ("TOP-DOWN", "the first row is the top of the image")
    header["SWCREATE"] = "brightsiren simulator"
    if shot.filter:
        header["FILTER"] = shot.filter
    return header


def light_header(request: Request, shot: Shot, conditions: Conditions) -> Header:
    """Return a light's header; RA and DEC are the mount's reported pointing."""
    header = base_header(shot)
    header["OBJECT"] = request.object
    header["RA"] = (round(conditions.header_ra_deg, 6), "deg, of the mount")
    header["DEC"] = (round(conditions.header_dec_deg, 6), "deg, of the mount")
    header["OBJCTRA"] = (sexagesimal(request.ra_deg / 15), "field centre, h m s")
    header["OBJCTDEC"] = (sexagesimal(request.dec_deg, sign=True), "field centre, d m s")
    header["CENTALT"], header["CENTAZ"] = round(conditions.altitude_deg, 6), round(conditions.azimuth_deg, 6)
    header["AIRMASS"] = round(conditions.airmass, 6)
    return header


def sexagesimal(value: float, *, sign: bool = False) -> str:
    """Write an angle as ``HH MM SS.ss``, with a sign if ``sign``."""
    hundredths = round(abs(value) * 360_000)
    minutes, rest = divmod(hundredths, 6000)
    mark = ("-" if value < 0 else "+") if sign else ""
    return f"{mark}{minutes // 60:02d} {minutes % 60:02d} {rest / 100:05.2f}"


def _stamp(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds")


def _offset(centre: tuple[float, float], east_arcsec: float, north_arcsec: float) -> tuple[float, float]:
    ra, dec = sky.from_tangent(np.array([east_arcsec / 3600]), np.array([north_arcsec / 3600]), centre)
    return float(ra[0]), float(dec[0])


def _centred_wcs(unit: Optics, centre: tuple[float, float], shape: tuple[int, int]) -> WCS:
    """Return the mapping with the frame's centre, not its optical axis, at ``centre``."""
    axis = np.array(centre)
    for _ in range(3):
        wcs = optics.true_wcs(unit, axis[0] % 360, axis[1], shape=shape)
        there = wcs.all_pix2world((shape[1] - 1) / 2, (shape[0] - 1) / 2, 0)
        difference = np.array(centre) - np.array(there, dtype=float)
        axis = axis + np.array([(difference[0] + 180) % 360 - 180, difference[1]])
    return optics.true_wcs(unit, axis[0] % 360, axis[1], shape=shape)


def _always_seen_deg(shape: tuple[int, int]) -> tuple[float, float]:
    """Return the half sizes of the area well inside every frame, for any dither and rotation."""
    half_x, half_y = half_size_deg(shape)
    margin = (DITHER_ARCSEC[1] + UNIT_OFFSET_ARCSEC + EDGE_ARCSEC) / 3600
    turned = np.sin(np.radians(1.3))
    return half_x - margin - turned * half_y, half_y - margin - turned * half_x
