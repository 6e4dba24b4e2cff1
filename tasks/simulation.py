"""Simulate a night or an alert with known truth, and write its files and truth tables.

These are plain functions for the command line, the rehearsal and the tests.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.fits import Header

from tasks import constants, naming
from tasks.io import simulated_files
from tasks.io.skymaps import compact_maps
from tasks.records import FrameType
from tasks.science.simulation import alerts, bands, camera, frames, optics, plan, references, responses, sky
from tasks.science.simulation.alerts import AlertRequest, MultiOrderMap, SimulatedAlert
from tasks.science.simulation.frames import Conditions, Exposed, SimulatedField, SimulatedUnit
from tasks.science.simulation.plan import Request, Shot

log = logging.getLogger(__name__)

MADE_BY = "brightsiren simulator"
SKY_UNITS = {"ra": "deg", "dec": "deg", "parallax": "mas", "pmra": "mas/yr", "pmdec": "mas/yr"}
LDAC_UNITS = {"X_WORLD": "deg", "Y_WORLD": "deg", "ERRA_WORLD": "deg", "ERRB_WORLD": "deg", "OBSDATE": "yr"}
POSITION_ERROR_DEG = 0.0005 / 3600
TRUTH_YEAR_DIGITS = 6
RESPONSE_POINTS = 5


def make_night(out: Path, request: Request) -> Path:
    """Simulate a night under ``out``; return the path of its truth.

    Raises
    ------
    UnusableData
        If the request is invalid, or ``out`` holds anything but an earlier simulated night.
    """
    frames.check_observable(plan.checked(request))
    filters = [bands.band(name) for name in request.filters]
    simulated_files.claim(out, "night")
    field = frames.draw_field(request)
    _write_catalogues(out, request, field)
    for band in filters:
        _write_reference(out, request, field, band.name)
    lights: list[dict[str, Any]] = []
    corrupt: list[dict[str, str]] = []
    for name in request.units:
        unit = frames.draw_unit(request, name)
        lights += _write_unit(out, request, field, unit)
        corrupt += _write_corrupt(out, request, field, unit) if name == request.units[0] else []
    truth = out / "truth.json"
    simulated_files.write_json(truth, _truth(request, field, lights, corrupt))
    log.info("simulated a night of %d lights in %s", len(lights), out)
    return truth


def make_alert(out: Path, request: AlertRequest) -> Path:
    """Simulate a notice with its sky maps under ``out``; return the path of the truth.

    Raises
    ------
    UnusableData
        If the request is invalid, or ``out`` holds anything but an earlier simulated alert.
    """
    alerts.checked(request)
    simulated_files.claim(out, "alert")
    alert = alerts.make_alert(request)
    maps = {
        name: compact_maps.multiorder_bytes(_map_columns(sky_map), sky_map.header)
        for name, sky_map in (("skymap", alert.sky_map), ("combined", alert.combined))
        if sky_map is not None
    }
    for name, content in maps.items():
        (out / f"{name}.multiorder.fits").write_bytes(content)
    text = {name: base64.b64encode(content).decode("ascii") for name, content in maps.items()}
    simulated_files.write_json(
        out / "notice.json", alerts.notice(request, alert, text.get("skymap"), text.get("combined"))
    )
    truth = out / "truth.json"
    simulated_files.write_json(truth, _alert_truth(request, alert, maps))
    log.info("simulated %s of %s in %s", request.alert_type, alert.event_id, out)
    return truth


def _map_columns(sky_map: MultiOrderMap) -> dict[str, np.ndarray[Any, Any]]:
    names = ("UNIQ", "PROBDENSITY", "DISTMU", "DISTSIGMA", "DISTNORM")
    return {name: getattr(sky_map, name.lower()) for name in names}


def _alert_truth(request: AlertRequest, alert: SimulatedAlert, maps: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the true parameters of the event."""
    return {
        "made_by": MADE_BY,
        "seed": request.seed,
        "event_id": alert.event_id,
        "alert_type": request.alert_type,
        "time": request.time.isoformat(),
        "time_created": alert.created.isoformat(),
        "ra_deg": alert.ra_deg,
        "dec_deg": alert.dec_deg,
        "distance_mpc": alert.distance_mpc,
        "notice": "notice.json",
        "maps": {name: f"{name}.multiorder.fits" for name in maps},
    }


def _write_unit(out: Path, request: Request, field: SimulatedField, unit: SimulatedUnit) -> list[dict[str, Any]]:
    """Write a unit's frames and truth images; return the truth of its lights."""
    simulated_files.write_image(out / "truth" / f"bad-{unit.name}.fits", unit.camera.bad)
    simulated_files.write_image(out / "truth" / f"transmission-{unit.name}.fits", unit.camera.transmission)
    folder = out / "obsdata" / unit.name / request.folder
    lights = []
    for shot in plan.shots(request, unit.name):
        exposed = frames.expose(request, field, unit, shot)
        simulated_files.write_image(folder / shot.name, exposed.raw, exposed.header)
        if shot.type is FrameType.LIGHT and exposed.conditions is not None:
            lights.append(_write_light_truth(out, request, shot, exposed, exposed.conditions))
    return lights


def _write_light_truth(
    out: Path, request: Request, shot: Shot, exposed: Exposed, conditions: Conditions
) -> dict[str, Any]:
    """Write a light's true WCS and cosmic rays; return the rest of its truth."""
    stem = shot.name.removesuffix(".fits")
    rays = exposed.rays
    simulated_files.write_header(out / "truth" / f"{stem}.hdr", _wcs_header(conditions, request.size.shape))
    simulated_files.write_table(
        out / "truth" / f"{stem}.cosmics.fits",
        {"x": rays.x, "y": rays.y, "charge_e": rays.charge_e},
        {"x": "pixel", "y": "pixel", "charge_e": "electron"},
    )
    psf = conditions.psf
    return {
        "file": f"obsdata/{shot.unit}/{request.folder}/{shot.name}",
        "unit": shot.unit,
        "filter": shot.filter,
        "true_filter": shot.true_filter,
        "date_obs": shot.start.isoformat(),
        "exposure_s": shot.exposure_s,
        "ra_deg": conditions.ra_deg,
        "dec_deg": conditions.dec_deg,
        "header_ra_deg": conditions.header_ra_deg,
        "header_dec_deg": conditions.header_dec_deg,
        "zero_point_mag": conditions.zero_point_mag,
        "seeing_arcsec": conditions.seeing_arcsec,
        "ellipticity": float(2 * np.hypot(psf.e1, psf.e2)),
        "sky_adu": conditions.sky_adu,
        "airmass": conditions.airmass,
        "wcs": f"truth/{stem}.hdr",
        "cosmics": f"truth/{stem}.cosmics.fits",
        "check_points": frames.check_points(conditions.wcs, request.size.shape).tolist(),
    }


def _wcs_header(conditions: Conditions, shape: tuple[int, int]) -> Header:
    """Return the true WCS as cards, with TPV terms in the convention of Astropy and SCAMP."""
    header = conditions.wcs.to_header()
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, shape[1], shape[0]
    return header


def _write_corrupt(out: Path, request: Request, field: SimulatedField, unit: SimulatedUnit) -> list[dict[str, str]]:
    """Write extra frames of one unit and corrupt each; return names and kinds of corruption."""
    spoilt = []
    for number, shot in enumerate(plan.corrupt_shots(request, unit.name)):
        file = Path("obsdata") / unit.name / request.folder / shot.name
        exposed = frames.expose(request, field, unit, shot)
        simulated_files.write_image(out / file, exposed.raw, exposed.header)
        spoilt.append({"file": str(file), "unit": unit.name, "how": simulated_files.spoil(out / file, number)})
    return spoilt


def _write_reference(out: Path, request: Request, field: SimulatedField, filter_: str) -> None:
    reference = references.make_reference(request, field, filter_)
    path = out / "references" / filter_ / reference.name
    simulated_files.write_image(path, reference.image, reference.header)
    simulated_files.write_image(naming.variance_of(path), reference.variance, reference.header)
    simulated_files.write_image(naming.mask_of(path), reference.mask, reference.header)


def _write_catalogues(out: Path, request: Request, field: SimulatedField) -> None:
    """Write the astrometric and photometric catalogues, and the stars at the epoch of the night."""
    stars, known = field.stars, field.stars.g_mag < sky.CATALOGUE_LIMIT_MAG
    mags = {f"mag_{name}": bands.star_mags(stars.g_mag, stars.bp_rp, name) for name in request.filters}
    gaia = {
        "source_id": stars.source_id,
        "ra": stars.ra_deg,
        "dec": stars.dec_deg,
        "parallax": stars.parallax_mas,
        "pmra": stars.pmra_mas,
        "pmdec": stars.pmdec_mas,
        "phot_g_mean_mag": stars.g_mag,
        "bp_rp": stars.bp_rp,
        **mags,
    }
    photometric = {name: column[known] for name, column in gaia.items()}
    simulated_files.write_table(out / "catalogues" / "photometric.fits", photometric, SKY_UNITS)
    simulated_files.write_ldac(out / "catalogues" / "astrometric.ldac.fits", _astrometric(photometric), LDAC_UNITS)
    ra, dec = stars.positions(night_year(request))
    simulated_files.write_table(out / "truth" / "stars.fits", {**gaia, "ra": ra, "dec": dec}, SKY_UNITS)


def _astrometric(gaia: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the columns that SCAMP reads, with positions at epoch J2016."""
    n = len(gaia["ra"])
    return {
        "X_WORLD": gaia["ra"],
        "Y_WORLD": gaia["dec"],
        "ERRA_WORLD": np.full(n, POSITION_ERROR_DEG, np.float32),
        "ERRB_WORLD": np.full(n, POSITION_ERROR_DEG, np.float32),
        "ERRTHETA_WORLD": np.zeros(n, np.float32),
        "MAG": gaia["phot_g_mean_mag"].astype(np.float32),
        "MAGERR": np.full(n, 0.005, np.float32),
        "OBSDATE": np.full(n, constants.GAIA_EPOCH_YEAR),
        "pmRA": gaia["pmra"].astype(np.float32),
        "pmDE": gaia["pmdec"].astype(np.float32),
    }


def night_year(request: Request) -> float:
    """Return the Julian year of the night's lights, to an hour."""
    days = request.night.toordinal() - 730120.5 + 1.2  # J2000.0 is the noon of ordinal 730120
    return round(2000.0 + days / 365.25, TRUTH_YEAR_DIGITS)


def _truth(
    request: Request, field: SimulatedField, lights: Sequence[dict[str, Any]], corrupt: Sequence[dict[str, str]]
) -> dict[str, Any]:
    """Return the true parameters of the night."""
    return {
        "made_by": MADE_BY,
        "seed": request.seed,
        "scale": request.scale,
        "night": request.night.isoformat(),
        "object": request.object,
        "centre": {"ra_deg": request.ra_deg, "dec_deg": request.dec_deg},
        "frame_shape": list(request.size.shape),
        "scale_arcsec": plan.SCALE_ARCSEC,
        "exposure_s": request.exposure_s,
        "filters": list(request.filters),
        "units": list(request.units),
        "folders": {name: f"obsdata/{name}/{request.folder}" for name in request.units},
        "gain": camera.GAIN_E_PER_ADU,
        "read_noise_e": camera.READ_NOISE_E,
        "bias_adu": camera.BIAS_ADU,
        "dark_e_per_s": camera.DARK_E_PER_S,
        "saturation_adu": camera.SATURATION_ADU,
        "moffat_beta": optics.MOFFAT_BETA,
        "catalogues": {
            "astrometric": "catalogues/astrometric.ldac.fits",
            "photometric": "catalogues/photometric.fits",
        },
        "references": "references",
        "stars": "truth/stars.fits",
        "bad_pixels": {name: f"truth/bad-{name}.fits" for name in request.units},
        "transmission": {name: f"truth/transmission-{name}.fits" for name in request.units},
        "zero_point": _zero_points(request, lights),
        "responses": {name: _response(request, name) for name in request.units},
        "transients": _transients(request, field),
        "lights": list(lights),
        "corrupt": list(corrupt),
    }


def _zero_points(request: Request, lights: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the median zero point of each unit and filter."""
    return {
        unit: {
            name: float(
                np.median([row["zero_point_mag"] for row in lights if row["unit"] == unit and row["filter"] == name])
            )
            for name in request.filters
        }
        for unit in request.units
    }


def _response(request: Request, unit: str) -> dict[str, Any]:
    """Return a unit's colour terms and the zero point's change at points of its frames: rows of x, y (0-based px), mag."""
    response = responses.draw_response(request, unit)
    ny, nx = request.size.shape
    x, y = (
        axis.ravel()
        for axis in np.meshgrid(np.linspace(0, nx - 1, RESPONSE_POINTS), np.linspace(0, ny - 1, RESPONSE_POINTS))
    )
    places = np.column_stack([x, y, response.of_place(x, y, request.size.shape)])
    return {"colour_term_mag": dict(response.colour_mag), "pivot_mag": responses.PIVOT_MAG, "surface": places.tolist()}


def _transients(request: Request, field: SimulatedField) -> list[dict[str, Any]]:
    new = field.transients
    mags = {name: frames.transient_mags(new, name, request.exposure_s) for name in request.filters}
    return [
        {
            "id": f"sim{i + 1:02d}",
            "ra_deg": float(new.ra_deg[i]),
            "dec_deg": float(new.dec_deg[i]),
            "in_galaxy": bool(new.host[i] >= 0),
            "snr_stack": float(new.snr[i]),
            "mag": {name: float(column[i]) for name, column in mags.items()},
        }
        for i in range(len(new.ra_deg))
    ]
