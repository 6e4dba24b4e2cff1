"""Sources and aperture fluxes against the stars that were drawn, and against Source Extractor."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from scipy.spatial import cKDTree
from support import starfields

from tasks.errors import AlgorithmError
from tasks.io.catalogues import ldac
from tasks.io.fits import fits_images
from tasks.programs import source_extractor
from tasks.programs.run import run
from tasks.science.sources import apertures

SHAPE = (600, 800)
DIAMETERS = (5.0, 8.4, 12.0, 16.0, 24.0)


@pytest.fixture
def field(rng):
    stars = starfields.sky_of(180, SHAPE, rng)
    wcs = starfields.wcs_of(SHAPE, turn_deg=0.3, shift_px=(2.2, 1.7))
    return starfields.draw(SHAPE, stars, wcs, rng), np.array(wcs.all_world2pix(stars[0], stars[1], 0)), stars[2]


def matched(sources, where):
    distance, index = cKDTree(where.T).query(np.stack([sources.x_win, sources.y_win], axis=1))
    apart = cKDTree(where.T).query(where.T, k=2)[0][:, 1] > 40
    use = (distance < 1) & apart[index]
    return use, index[use], distance[use]


def test_lone_stars_are_found_where_they_are_with_the_flux_they_have(field):
    shot, where, flux = field
    sources = apertures.extract(shot.image, diameters_px=DIAMETERS, gain=0.2562)
    use, index, distance = matched(sources, where)
    bright = flux[index] > 2e4
    assert bright.sum() > 10
    assert np.median(distance[bright]) < 0.05
    assert sources.flux[use][bright, -1] == pytest.approx(flux[index][bright], rel=0.06)
    assert np.median(sources.flux_auto[use][bright] / flux[index][bright]) == pytest.approx(1, abs=0.02)
    assert sources.sky == pytest.approx(250, abs=1)
    assert sources.sky_sigma == pytest.approx(starfields.NOISE_ADU, rel=0.03)


def test_errors_are_those_of_sky_and_photons(field):
    shot, _, _ = field
    sources = apertures.extract(shot.image, diameters_px=(12.0,), gain=0.2562)
    area = np.pi * 36
    expected = np.sqrt(area * sources.sky_sigma**2 + np.maximum(sources.flux[:, 0], 0) / 0.2562)
    assert sources.error[:, 0] == pytest.approx(expected, rel=0.02)


def test_the_variance_moves_the_threshold_and_masked_pixels_hold_no_source(field):
    shot, _, _ = field
    variance = np.full(SHAPE, starfields.NOISE_ADU**2, np.float32)
    variance[:, 400:] *= 1e6
    mask = np.zeros(SHAPE, bool)
    mask[:300] = True
    sources = apertures.extract(shot.image, diameters_px=(8.0,), variance=variance, mask=mask)
    assert len(sources) > 10
    assert (sources.x < 402).all()
    assert (sources.y > 298).all()


def test_an_empty_image_has_no_sources(rng):
    noise = rng.normal(0, 1, (200, 200)).astype(np.float32)
    sources = apertures.extract(noise, diameters_px=DIAMETERS, how=apertures.Extraction(threshold_sigma=8))
    assert len(sources) == 0
    assert sources.flux.shape == (0, len(DIAMETERS))


def test_an_image_above_threshold_everywhere_is_refused(rng, monkeypatch):
    monkeypatch.setattr(apertures, "PIXEL_STACK", 1000)
    image = rng.normal(0, 1, (300, 300)).astype(np.float32)
    with pytest.raises(AlgorithmError, match="the sources cannot be separated"):
        apertures.extract(image, diameters_px=(5.0,), how=apertures.Extraction(threshold_sigma=0.01))


@pytest.mark.binaries
@pytest.mark.skipif(shutil.which("source-extractor") is None, reason="Source Extractor is not installed")
def test_sources_and_fluxes_are_those_of_source_extractor(field, tmp_path):
    shot, _, _ = field
    ours = apertures.extract(shot.image, diameters_px=DIAMETERS, gain=0.2562)
    theirs = by_source_extractor(shot, tmp_path)
    place = np.stack([theirs["X_IMAGE"] - 1, theirs["Y_IMAGE"] - 1], axis=1)
    distance, index = cKDTree(place).query(np.stack([ours.x, ours.y], axis=1))
    same = distance < 0.5
    assert same.mean() > 0.995
    assert abs(len(ours) - len(theirs)) <= 0.005 * len(theirs) + 1
    # the other side makes up the pixels of neighbours
    alone = cKDTree(place).query(place, k=2)[0][index[same], 1] > 40
    flux, error = np.asarray(theirs["FLUX_APER"])[index[same]], np.asarray(theirs["FLUXERR_APER"])[index[same]]
    for number in range(len(DIAMETERS)):
        good = alone & (flux[:, number] > 20 * error[:, number])
        difference = 2.5 * np.log10(ours.flux[same][good, number] / flux[good, number])
        assert good.sum() > 10
        assert np.quantile(np.abs(difference), 0.99) < 1e-3
        assert ours.error[same][good, number] == pytest.approx(error[good, number], rel=0.02)


def by_source_extractor(shot, folder):
    image = folder / "image.fits"
    fits_images.write_image(image, shot.image, dict(shot.header))
    options = source_extractor.Options(
        scale_arcsec=0.505,
        columns=("NUMBER", "X_IMAGE", "Y_IMAGE", "FLUX_APER(5)", "FLUXERR_APER(5)", "FLUX_AUTO", "FLAGS"),
        diameters_px=DIAMETERS,
    )
    source_extractor.configure(folder, options)
    # ours has no ring around each source: the mesh's background alone, on both sides
    settings = (folder / "extract.conf").read_text().replace("LOCAL", "GLOBAL")
    (folder / "extract.conf").write_text(settings)
    run(source_extractor.command(image, folder, options), folder=folder, timeout_s=60)
    return ldac.read(folder / "extract.cat")
