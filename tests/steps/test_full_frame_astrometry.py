"""Full frames with the camera's real distortion: the vote, SCAMP on the positions, and the verdict; no pixels."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from tasks import astrometry
from tasks.io import ldac
from tasks.options import ReduceOptions
from tasks.records import Calibrated, Frame, FrameType
from tasks.science import astrometry as science

pytestmark = [
    pytest.mark.binaries,
    pytest.mark.skipif(shutil.which("scamp") is None, reason="SCAMP is not installed"),
]
SHAPE = (6388, 9576)
NOISE_PX = 0.1
OPTIONS = ReduceOptions(program_timeout_s=60, position_error_arcmin=60)


@pytest.fixture
def wcs(shared_data):
    return science.wcs_of(science.solution_cards(ldac.read_header(shared_data / "sevendt" / "7dt01.ahead")))


@pytest.fixture
def stars(wcs, rng):
    """Reference stars of a field, brightest first."""
    ra, dec = science.frame_centre(wcs, SHAPE)
    y = dec + rng.uniform(-1.6, 1.6, 12000)
    x = ra + rng.uniform(-1.6, 1.6, 12000) / np.cos(np.radians(dec))
    mag = np.sort(rng.uniform(11, 18, 12000))
    return Table(
        {
            "X_WORLD": x,
            "Y_WORLD": y,
            "MAG": mag,
            "OBSDATE": np.full(12000, 2026.0),
            "ERRA_WORLD": np.full(12000, 1e-6),
            "ERRB_WORLD": np.full(12000, 1e-6),
            "MAGERR": np.full(12000, 0.01),
        }
    )


def job(number, wcs, stars, folder, rng, *, error_deg=0.0):
    """A frame as Source Extractor would leave it: its catalogue of positions."""
    x, y = wcs.all_world2pix(stars["X_WORLD"], stars["Y_WORLD"], 0)
    inside = (x > 5) & (x < SHAPE[1] - 5) & (y > 5) & (y < SHAPE[0] - 5) & (rng.random(len(x)) > 0.15)
    pixels = np.column_stack([x, y])[inside] + rng.normal(0, NOISE_PX, (inside.sum(), 2))
    home = folder / f"frame-{number}"
    home.mkdir()
    write_catalogue(home / "extract.cat", pixels, np.asarray(stars["MAG"])[inside])
    ra, dec = science.frame_centre(wcs, SHAPE)
    frame = Frame(
        path=Path(f"{number}.fits"), type=FrameType.LIGHT, unit="7DT01", date_obs=datetime(2026, 1, 1, tzinfo=UTC),
        exposure_s=100.0, filter="r", object="T00001", ra_deg=ra, dec_deg=dec + error_deg, shape=SHAPE,
    )  # fmt: skip
    path = Path(f"{number}.fits")
    light = Calibrated(frame=frame, image=path, variance=path, mask=path)
    return astrometry.Job(light=light, folder=home, shape=SHAPE, catalogue=home / "extract.cat", pixels=pixels)


def write_catalogue(path, pixels, mag):
    header = fits.Header({"NAXIS": 2, "NAXIS1": SHAPE[1], "NAXIS2": SHAPE[0], "EXPTIME": 100.0, "FILTER": "r"})
    n, flux = len(pixels), 10 ** (-0.4 * (mag - 28))
    columns = {
        "XWIN_IMAGE": pixels[:, 0] + 1, "YWIN_IMAGE": pixels[:, 1] + 1, "ERRAWIN_IMAGE": np.full(n, NOISE_PX),
        "ERRBWIN_IMAGE": np.full(n, NOISE_PX), "ERRTHETAWIN_IMAGE": np.zeros(n), "FLUX_AUTO": flux, "FLUXERR_AUTO": flux / 200,
        "MAG_AUTO": mag - 28, "FLUX_RADIUS": np.full(n, 2.5), "FWHM_IMAGE": np.full(n, 5.0), "ELLIPTICITY": np.full(n, 0.05),
        "ELONGATION": np.full(n, 1.05), "SNR_WIN": np.full(n, 200.0),
    }  # fmt: skip
    # SCAMP trusts the types of Source Extractor and crashes on others
    table = [
        fits.Column(name, "1D" if name[1:] == "WIN_IMAGE" else "1E", array=values) for name, values in columns.items()
    ]
    table.append(fits.Column("FLAGS", "1I", array=np.zeros(n, np.int16)))
    ldac.write(path, header, fits.BinTableHDU.from_columns(table, name=ldac.TABLE))


def worst_arcsec(solution, wcs):
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, SHAPE[1] - 1, 20), np.linspace(0, SHAPE[0] - 1, 14)))
    found, true = (np.array(each.all_pix2world(x, y, 0)) for each in (science.wcs_of(solution.cards), wcs))
    return np.hypot((found[0] - true[0]) * np.cos(np.radians(true[1])), found[1] - true[1]).max() * 3600


def test_frames_off_by_a_degree_are_solved_to_the_corners(wcs, stars, tmp_path, rng):
    jobs = [job(number, wcs, stars, tmp_path, rng, error_deg=error) for number, error in enumerate((0.0, 0.4, -1.0))]
    errors = {}
    solutions = astrometry._solutions(jobs, stars, tmp_path, OPTIONS, errors)

    assert not errors
    assert len(solutions) == 3
    assert max(worst_arcsec(solution, wcs) for solution in solutions) < 0.2
    assert all(solution.found.rms_ra_arcsec < 0.08 for solution in solutions)


def test_a_frame_that_fails_with_the_others_is_solved_alone(wcs, stars, tmp_path, rng, monkeypatch):
    jobs = [job(number, wcs, stars, tmp_path, rng) for number in range(2)]
    monkeypatch.setattr(astrometry, "_fit_together", lambda *_: [])
    solutions = astrometry._solutions(jobs, stars, tmp_path, replace(OPTIONS, slots=1), {})

    assert [solution.job.light.frame.path.name for solution in solutions] == ["0.fits", "1.fits"]
    assert max(worst_arcsec(solution, wcs) for solution in solutions) < 0.2
