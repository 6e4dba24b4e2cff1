"""A coarse, undersampled 12-bit camera by its own TOML: real frames of MicroObservatory, calibrated, solved and measured.

Kind: constants of one camera in the code. The oracles are the Gaia positions of the field's catalogue and a star that does not
vary: HAT-P-32, whose transit of 2 % is smaller than the limit.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from deployments import cli

TELESCOPE = """
name = "Cecilia"
[site]
latitude_deg = 31.68
longitude_deg = -110.88
elevation_m = 1268
[field_of_view]
width_deg = 0.93
height_deg = 0.72
[mount]
slew_deg_per_s = 1
[exposure]
seconds = 60
filter = "Clear"
[camera]
readout_s = 5
pixel_scale_arcsec = 5.16
saturation_adu = 4000
bias_adu = 240
read_noise_e = 15
[camera.egain_e_per_adu]
any = 20.0
[camera.header.add]
IMAGETYP = "light"
[stack]
scale_arcsec = 5.16
[filters]
broad = ["Clear"]
"""
SCALE, SHAPE = 5.16, (500, 650)
# by seeing and trailing the worst and the best ones
FRAMES = ("0212", "0248", "0324", "0400", "0512")


def put(folder: Path, name: str, kind: str, exposure_s: float, level: float, noise: float, number: int) -> None:
    rng = np.random.default_rng(number)
    for count in range(number):
        header = fits.Header({"IMAGETYP": kind, "EXPTIME": exposure_s, "FILTER": "Clear", "CAMTEMP": 270.0})
        header["DATE-OBS"] = f"2017-12-19T23:{number:02d}:{count:02d}"
        counts = np.clip(np.rint(rng.normal(level, noise, SHAPE)), 0, 4095).astype(np.int16)
        fits.PrimaryHDU(counts, header).writeto(folder / f"{name}-{count:02d}.fits")


@pytest.fixture(scope="module")
def reduced(shared_data, tmp_path_factory):
    root, source = tmp_path_factory.mktemp("coarse"), shared_data / "raw" / "microobservatory"
    folder = root / "obsdata" / "CEC01" / "2017-12-19_gain0"
    folder.mkdir(parents=True)
    for path in source.glob("*.FITS"):
        if path.stem[-6:-2] in FRAMES:
            shutil.copy(path, folder)
    put(folder, "bias", "Bias", 0.0, 240, 1.5, 9)
    put(folder, "dark", "Dark", 60.0, 242, 1.6, 5)
    put(folder, "flat", "Flat", 2.0, 2200, 10, 8)
    (root / "catalogues").mkdir()
    shutil.copy(source / "astrometric.ldac.fits", root / "catalogues")
    stars = Table.read(source / "astro.tab.fits")
    nothing = np.zeros(len(stars))
    reference = Table({"ra": stars["X_WORLD"], "dec": stars["Y_WORLD"], "pmra": nothing, "pmdec": nothing})
    reference["mag_Clear"] = np.asarray(stars["MAG"], float)
    reference.write(root / "catalogues" / "photometric.fits")
    (root / "Cecilia.toml").write_text(TELESCOPE)
    words = [
        "reduce",
        str(root),
        "--out",
        str(root / "out"),
        "--until",
        "reduce",
        "--telescope",
        str(root / "Cecilia.toml"),
    ]
    return root / "out", reference, cli.run([*words, "--json"])


def test_all_frames_are_calibrated_and_solved(reduced, capsys) -> None:
    root, reference, code = reduced
    assert code == 0
    images = sorted(root.glob("processed*/*/CEC01/Clear/*_60.fits"))
    assert len(images) == len(FRAMES)
    catalogue = SkyCoord(reference["ra"], reference["dec"], unit="deg")
    for image in images:
        assert fits.getheader(image)["QAFLAG"] in (0, 32768)
        table = Table.read(
            image.parent / "phot" / image.name.replace(".fits", ".phot.cat"),
            format="ascii.basic",
            delimiter="\t",
            comment="#",
        )
        bright = table[(table["FLAGS"] <= 3) & (table["FLUX_AUTO"] > 30 * table["FLUXERR_AUTO"])]
        found = SkyCoord(bright["ALPHA_J2000"], bright["DELTA_J2000"], unit="deg")
        near, away, _ = found.match_to_catalog_sky(catalogue)
        close = away.arcsec < 7
        east, north = (np.median(part.arcsec[close]) for part in catalogue[near].spherical_offsets_to(found))
        assert close.sum() > 200
        assert np.hypot(east, north) / SCALE < 0.3


def test_a_star_is_quiet(reduced) -> None:
    """With every hit of the search for cosmic rays removed its rms is 1.2 mag."""
    root, _, _ = reduced
    place = SkyCoord(31.0428, 46.6878, unit="deg")
    magnitudes = []
    for catalogue in sorted(root.glob("processed*/*/CEC01/Clear/phot/*_60.phot.cat")):
        table = Table.read(catalogue, format="ascii.basic", delimiter="\t", comment="#")
        away = place.separation(SkyCoord(table["ALPHA_J2000"], table["DELTA_J2000"], unit="deg")).arcsec
        assert away.min() < 1.5 * SCALE
        magnitudes.append(float(table["MAG_APER_2_Clear"][away.argmin()]))
    assert len(magnitudes) == len(FRAMES)
    assert np.std(magnitudes) < 0.05
