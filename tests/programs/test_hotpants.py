"""HOTPANTS: the command for images of known seeing, and a run if it is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support import pairs

from tasks.errors import MissingPart
from tasks.io.fits import fits_images
from tasks.programs import hotpants
from tasks.programs.hotpants import Inputs, Options

FILES = Inputs(
    science=Path("sci.fits"),
    reference=Path("ref.fits"),
    science_noise=Path("sci-noise.fits"),
    reference_noise=Path("ref-noise.fits"),
    science_mask=Path("sci-mask.fits"),
    reference_mask=Path("ref-mask.fits"),
)


def options(science=5.0, reference=4.0, stars=500):
    return Options(
        fwhm_science_px=science,
        fwhm_reference_px=reference,
        lowest_science_adu=-50.0,
        highest_science_adu=57000.0,
        lowest_reference_adu=-40.0,
        highest_reference_adu=58000.0,
        stars=stars,
    )


@pytest.fixture
def words(monkeypatch, tmp_path):
    program = tmp_path / "hotpants"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    def command(**changes):
        found = hotpants.command(FILES, Path("/scratch"), options(**changes))
        return {found[i]: found[i + 1] for i in range(1, len(found) - 1) if found[i].startswith("-")}, found

    return command


def test_the_command_follows_the_seeing(words):
    by_name, found = words()
    assert by_name["-c"] == "t"
    assert by_name["-n"] == "i"
    assert by_name["-r"] == "12"
    assert by_name["-rss"] == "30"
    sigma = np.sqrt(5.0**2 - 4.0**2) / 2.3548
    start = found.index("-ng")
    gaussians = [float(word) for word in found[start + 1 : start + 8]]
    assert gaussians == pytest.approx([3, 6, 0.5 * sigma, 4, sigma, 2, 2 * sigma], abs=1e-4)
    assert (by_name["-nrx"], by_name["-nry"], by_name["-ko"]) == ("3", "2", "2")
    assert (by_name["-il"], by_name["-iu"], by_name["-tu"]) == ("-50", "57000", "58000")


@pytest.mark.parametrize(("science", "reference", "convolved"), [(4.0, 5.0, "i"), (5.0, 5.1, "t"), (5.0, 5.4, "i")])
def test_the_sharper_image_is_convolved(words, science, reference, convolved):
    assert words(science=science, reference=reference)[0]["-c"] == convolved


def test_equal_seeing_leaves_a_kernel_of_half_a_pixel(words):
    _, found = words(science=4.0, reference=4.0)
    assert float(found[found.index("-ng") + 5]) == 0.5


def test_few_stars_make_a_simple_kernel(words):
    by_name, _ = words(stars=15)
    assert (by_name["-nrx"], by_name["-nry"], by_name["-ko"]) == ("1", "1", "1")


def test_a_missing_program_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPart, match="hotpants"):
        hotpants.command(FILES, tmp_path, options())


@pytest.mark.hotpants
@pytest.mark.skipif(shutil.which("hotpants") is None, reason="hotpants is not installed")
def test_the_program_subtracts(tmp_path, rng):
    pair = pairs.make(rng, new=0)
    planes = {
        "sci": pair.science,
        "ref": pair.reference,
        "sci-noise": np.sqrt(pair.science_variance),
        "ref-noise": np.sqrt(pair.reference_variance),
        "sci-mask": np.zeros(pair.science.shape, dtype=np.uint8),
        "ref-mask": np.zeros(pair.science.shape, dtype=np.uint8),
    }
    for name, plane in planes.items():
        fits_images.write_image(tmp_path / f"{name}.fits", plane, {})
    inputs = Inputs(
        **{field: tmp_path / getattr(FILES, field).name for field in FILES.__dataclass_fields__ if field != "stamps"}
    )
    result = hotpants.subtract(inputs, tmp_path, options(4.4, 3.4), shape=pair.science.shape)
    assert result.kernel_sum == pytest.approx(pair.kernel_sum, rel=0.05)
