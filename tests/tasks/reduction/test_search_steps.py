"""The steps `subtract` and `search`: products on disk, with the truth of a simulated pair."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from support import pairs

from tasks import naming
from tasks.errors import AlgorithmError, MissingPart, UnusableData
from tasks.io.fits import fits_images, image_planes
from tasks.options import SearchOptions
from tasks.records import MaskBit, Photometry, Stack
from tasks.reduction import candidates, subtraction
from tasks.reduction.engines import subtraction_engines
from tasks.science.astrometry.field_grids import field_wcs

MOMENT = datetime(2026, 1, 16, 4, 34, 13, tzinfo=UTC)
ZERO_POINT = 27.5
APERTURES = ("AUTO", "0", "1", "2", "3", "4", "5")


def write(path: Path, image, variance, bits, cards):
    path.parent.mkdir(parents=True, exist_ok=True)
    fits_images.write_image(path, image.astype(np.float32), cards)
    fits_images.write_image(naming.variance_of(path), variance.astype(np.float32), {})
    fits_images.write_image(naming.mask_of(path), bits.astype(np.uint8), {})
    return path


def photometry(folder):
    same = dict.fromkeys(APERTURES, 0.01)
    return Photometry(
        catalogue=folder / "x.phot.cat",
        stars=100,
        seeing_arcsec=2.0,
        ellipticity=0.05,
        elongation=1.05,
        sky_adu=0.0,
        sky_sigma_adu=10.0,
        # apertures miss part of a star's light; that of all of it is TOT
        zero_point_mag={**dict.fromkeys(APERTURES, ZERO_POINT - 0.3), "TOT": ZERO_POINT},
        scatter_mag=same,
        error_mag=same,
        depth3_mag=same,
        depth5_mag=same,
    )


@pytest.fixture
def pair(rng):
    return pairs.make(rng, shape=(400, 500), stars=220, new=6, new_flux=(4000.0, 40000.0))


@pytest.fixture
def night(tmp_path, pair):
    """A stack and a folder of references: ours, an older one of another filter, and the stack's own data."""
    ny, nx = pair.science.shape
    cards = dict(field_wcs(110.0, -30.0, shape=(ny, nx), scale_arcsec=0.505).to_header())
    cards |= {"EGAIN": pairs.GAIN, "SATURATE": 60000.0, "FILTER": "r", "OBJECT": "T00001"}
    bits = np.zeros((ny, nx), dtype=np.uint8)
    bits[50, 60] = MaskBit.BAD
    root, references = tmp_path / "products", tmp_path / "references"
    folder = naming.NightTree(root=root).science("T00001", "7DT01", "r")
    image = write(
        folder / "calib_7DT01_T00001_20260116_043413_r_600.com.fits", pair.science, pair.science_variance, bits, cards
    )
    reference = references / "r" / "ref_7DT_T00001_20250206_031245_r_3000.fits"
    write(reference, pair.reference, pair.reference_variance, 0 * bits, cards)
    for other in ("r/ref_7DT_T00001_20260116_043413_r_600", "i/ref_7DT_T00001_20250206_031245_i_3000"):
        write(references / f"{other}.fits", pair.reference, pair.reference_variance, 0 * bits, cards)
    stack = Stack(
        object="T00001",
        unit="7DT01",
        filter="r",
        date_obs=MOMENT,
        exposure_s=600.0,
        image=image,
        variance=naming.variance_of(image),
        mask=naming.mask_of(image),
        inputs=(),
        photometry=photometry(folder),
    )
    return stack, references, root


def test_the_injected_stars_come_out_as_candidates_with_magnitude_and_stamp(night, pair):
    stack, references, root = night
    difference = subtraction.subtract.fn(stack, references, root, SearchOptions())
    assert difference.engine == "siren"
    assert difference.direction == "reference"
    assert difference.kernel_sum == pytest.approx(pair.kernel_sum, rel=0.02)
    assert difference.convolved.name == "ref_7DT_T00001_20260116_043413_r_3000.conv.fits"
    batch = candidates.search.fn(difference, root, SearchOptions())
    survivors = [each for each in batch.candidates if not each.flags]
    for x, y, flux in zip(pair.new_x, pair.new_y, pair.new_flux, strict=True):
        near = [each for each in survivors if np.hypot(each.x_px - x, each.y_px - y) < 1]
        assert len(near) == 1
        assert near[0].mag == pytest.approx(ZERO_POINT - 2.5 * np.log10(flux), abs=0.12)
        assert abs(near[0].mag - ZERO_POINT + 2.5 * np.log10(flux)) < 4 * np.hypot(near[0].mag_error, 0.01)
        assert near[0].stamp.read_bytes().startswith(b"\x89PNG")
        sky = image_planes.read(stack.image).wcs.all_pix2world(x, y, 0)
        assert np.hypot((near[0].ra_deg - sky[0]) * np.cos(np.radians(-30)), near[0].dec_deg - sky[1]) * 3600 < 0.5
    assert len(survivors) <= len(pair.new_x) + 2


def test_the_products_are_complete_and_say_how_they_were_made(night):
    stack, references, root = night
    difference = subtraction.subtract.fn(stack, references, root, SearchOptions())
    batch = candidates.search.fn(difference, root, SearchOptions())
    header = fits.getheader(difference.image)
    assert (header["SUBENG"], header["SUBCONV"]) == ("siren", "reference")
    assert header["KERSUM"] == pytest.approx(difference.kernel_sum)
    assert header["REFNAME"] == difference.reference.name
    assert fits.getdata(difference.mask)[50, 60] == MaskBit.BAD
    assert (fits.getdata(difference.variance) > 0).all()
    table = Table.read(batch.table, format="ascii.ecsv")
    assert len(table) == len(batch.candidates)
    assert {f"flag_{number}" for number in range(14)} < set(table.colnames)
    assert table["flag_0"].mask.all()
    assert table["flag_0"].description == "minor-planet: not checked"
    assert {each.not_checked for each in batch.candidates} == {("minor-planet",)}
    rejected = table[table["flag"]]
    assert all(str(reason) for reason in rejected["why_not"])
    folder = difference.image.parent
    assert folder.name == "transient"
    regions = next(folder.glob("*.transient.reg")).read_text().splitlines()
    assert regions[0] == "fk5"
    assert len(regions) - 1 == sum(not each.flags for each in batch.candidates)
    assert next(folder.glob("*.flag.summary.csv")).read_text().startswith("flag,n,ratio\nminor-planet,not checked,\n")
    cube = next((folder / "fits_image").glob("*.fits"))
    assert fits.getdata(cube).shape == (3, 63, 63)
    assert not list(folder.rglob(".*"))


def test_a_second_run_is_a_lookup(night):
    stack, references, root = night
    first = subtraction.subtract.fn(stack, references, root, SearchOptions())
    found = candidates.search.fn(first, root, SearchOptions())
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert subtraction.subtract.fn(stack, references, root, SearchOptions()) == first
    assert candidates.search.fn(first, root, SearchOptions()) == found
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == times


def test_the_reference_is_other_data_of_the_same_object_and_filter(night):
    stack, references, _ = night
    assert subtraction.choose(stack, references).name == "ref_7DT_T00001_20250206_031245_r_3000.fits"


def test_a_reference_of_our_own_comes_before_a_surveys_that_is_older(night):
    stack, references, _ = night
    for name in ("ref_PS1_T00001_20100101_000000_r_600.fits", "ref_sky_T00001_20300101_000000_r_600.fits"):
        (references / "r" / name).write_bytes(b"")
    assert subtraction.choose(stack, references).name == "ref_7DT_T00001_20250206_031245_r_3000.fits"

    for own in references.rglob("ref_7DT_*.fits"):
        own.unlink()
    assert subtraction.choose(stack, references).name == "ref_PS1_T00001_20100101_000000_r_600.fits"


@pytest.mark.parametrize("change", [{"object": "T00002"}, {"filter": "m650"}, {"object": "T0000"}])
def test_without_a_reference_the_reason_is_told(night, change):
    stack, references, root = night
    with pytest.raises(UnusableData, match="no reference of"):
        subtraction.subtract.fn(replace(stack, **change), references, root, SearchOptions())


def test_a_stack_is_not_subtracted_from_itself(night):
    stack, references, _ = night
    (references / "r" / "ref_7DT_T00001_20250206_031245_r_3000.fits").unlink()
    with pytest.raises(UnusableData, match="own data"):
        subtraction.choose(stack, references)


def test_an_engine_that_is_missing_is_followed_by_the_next(night, monkeypatch, tmp_path):
    stack, references, root = night
    monkeypatch.setenv("PATH", str(tmp_path))
    science, reference = (image_planes.read(path) for path in (stack.image, subtraction.choose(stack, references)))
    result = subtraction_engines.difference(science, reference, SearchOptions(engine="hotpants"))
    assert result.subtraction.engine == "siren"
    assert "hotpants" in result.failures[0]
    with pytest.raises(MissingPart, match="hotpants"):
        subtraction_engines.difference(science, reference, SearchOptions(engine="hotpants"), only=True)
    with pytest.raises(MissingPart, match="sfft"):
        subtraction_engines.difference(science, reference, SearchOptions(engine="sfft"), only=True)
    assert root.exists()


def test_when_all_engines_fail_the_first_one_speaks(night, monkeypatch):
    stack, references, _ = night

    def failing(*_arguments):
        raise AlgorithmError("no kernel: 3 stamps")

    monkeypatch.setattr(subtraction_engines, "ENGINES", {"siren": failing, "sfft": subtraction_engines.ENGINES["sfft"]})
    science, reference = (image_planes.read(path) for path in (stack.image, subtraction.choose(stack, references)))
    with pytest.raises(AlgorithmError, match=r"no kernel: 3 stamps.*sfft"):
        subtraction_engines.difference(science, reference, SearchOptions())


@pytest.mark.parametrize("unit", ["7DT01", "7DT"])
def test_a_reference_of_the_own_telescope_comes_before_an_older_one_of_a_survey(night, unit):
    stack, references, _ = night
    survey = references / "r" / "ref_PS1_T00001_20150206_031245_r_0.fits"
    survey.touch()
    own = "ref_7DT_T00001_20250206_031245_r_3000.fits"
    assert subtraction.choose(replace(stack, unit=unit), references).name == own
    assert subtraction.choose(replace(stack, unit="KAO01"), references).name == survey.name
