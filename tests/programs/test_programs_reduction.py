"""Source Extractor, SCAMP, MissFITS, SWarp, solve-field: commands, known log lines, and output files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from support import simulated_reduction

from tasks.errors import AlgorithmError, MissingPart, ProgramError, UnusableData
from tasks.io.catalogues import ldac
from tasks.io.fits import fits_images
from tasks.programs import missfits, outputs, scamp, solve_field, source_extractor, swarp

GRID = swarp.OutputGrid(ra_deg=110.0, dec_deg=-30.0, scale_arcsec=0.505, shape=(80, 100))
DEADLINE_S = 0.5


@pytest.fixture
def image(tmp_path, rng):
    path = tmp_path / "in.fits"
    fits_images.write_image(path, rng.normal(100, 5, (80, 100)).astype(np.float32), {"EGAIN": 1.0, "SATURATE": 6e4})
    return path


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH with nothing on it but the shell's tools and the fakes made by the fixture's value."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")

    def make(script):
        for name in ("source-extractor", "scamp", "missfits", "SWarp", "solve-field"):
            simulated_reduction.fake(folder, name, script)

    return make


def calls(image, folder):
    """One run of each program, in a folder of its own."""
    for name in ("extract", "scamp", "missfits", "swarp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    weight = folder / "weight.fits"
    shutil.copy(image, weight)
    catalogue = folder / "scamp" / "one.cat"
    catalogue.write_bytes(b"x")
    return {
        "source-extractor": lambda: source_extractor.extract(
            image, folder / "extract", source_extractor.Options(scale_arcsec=0.505, timeout_s=DEADLINE_S)
        ),
        "scamp": lambda: scamp.solve([catalogue], image, folder / "scamp", scamp.Options(timeout_s=DEADLINE_S)),
        "missfits": lambda: missfits.apply(
            image, "END\n", folder / "missfits", shape=(80, 100), options=missfits.Options(timeout_s=DEADLINE_S)
        ),
        "swarp": lambda: swarp.combine(
            [swarp.Input(image=image, weight=weight, flux_scale=1.0, egain=1.0)],
            GRID,
            folder / "swarp",
            swarp.Options(timeout_s=DEADLINE_S),
        ),
    }


NAMES = ["source-extractor", "scamp", "missfits", "swarp"]


@pytest.mark.parametrize("name", NAMES)
def test_a_program_that_is_not_installed_is_a_missing_part(name, image, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(MissingPart):
        calls(image, tmp_path / "work")[name]()


def test_source_extractor_takes_the_gain_from_egain_and_no_file_from_elsewhere(tmp_path):
    wanted = source_extractor.Options(scale_arcsec=0.505, diameters_px=(1.0, 2.5), flags=tmp_path / "mask.fits")
    text = source_extractor.configuration(tmp_path, wanted)
    settings = dict(line.split(maxsplit=1) for line in text.splitlines())

    assert settings["GAIN_KEY"] == "EGAIN"
    assert settings["SATUR_KEY"] == "SATURATE"
    assert settings["PHOT_APERTURES"] == "1,2.5"
    assert settings["FLAG_IMAGE"] == str(tmp_path / "mask.fits")
    assert "IMAFLAGS_ISO" in source_extractor.columns(wanted)
    assert "/usr/share" not in text
    assert "CLASS_STAR" not in source_extractor.columns(wanted)


def test_the_star_classifier_is_that_of_the_package_beside_the_program(tmp_path, monkeypatch):
    program, weights = tmp_path / "bin" / "source-extractor", tmp_path / "share" / "sextractor" / "default.nnw"
    for path in (program, weights):
        path.parent.mkdir(parents=True)
        path.write_text("NNW\n", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    wanted = source_extractor.Options(scale_arcsec=0.505, classifier=source_extractor.classifier())
    source_extractor.configure(tmp_path, wanted)

    assert wanted.classifier == weights
    assert source_extractor.columns(wanted)[-1] == "CLASS_STAR"
    assert (tmp_path / "extract.nnw").read_text(encoding="ascii") == "NNW\n"
    assert f"{tmp_path}/extract.nnw" in (tmp_path / "extract.conf").read_text(encoding="utf-8")
    weights.unlink()
    assert source_extractor.classifier() is None


def test_source_extractors_sky_is_read_from_its_log():
    log = "\x1b[1M> Setting up background maps\n(M+D) Background: 252.1      RMS: 43.302     / Threshold: 129.9\n"

    assert source_extractor.read_background(log) == (252.1, 43.302)


def test_scamp_has_a_local_reference_and_no_network_plots_or_xml(tmp_path):
    text = scamp.configuration(tmp_path / "ref.cat", scamp.Options(match=False, distortion_degree=2, threads=3))
    settings = dict(line.split(maxsplit=1) for line in text.splitlines())

    assert settings["ASTREF_CATALOG"] == "FILE"
    assert settings["ASTREFCAT_NAME"] == str(tmp_path / "ref.cat")
    assert (settings["MATCH"], settings["DISTORT_DEGREES"], settings["NTHREADS"]) == ("N", "2", "3")
    assert (settings["CHECKPLOT_TYPE"], settings["WRITE_XML"]) == ("NONE", "N")


def test_a_known_line_of_scamps_log_becomes_a_named_error(image, tmp_path, programs):
    programs("echo 'WARNING: Not enough matched detections in exposure'; exit 0")
    with pytest.raises(AlgorithmError, match="too few detections match"):
        calls(image, tmp_path / "work")["scamp"]()


def test_swarp_clips_only_where_there_are_three_frames(tmp_path):
    for number, expected in ((1, "WEIGHTED"), (2, "WEIGHTED"), (3, "CLIPPED")):
        text = swarp.configuration(tmp_path, GRID, swarp.Options(), number=number)
        settings = dict(line.split(maxsplit=1) for line in text.splitlines())
        assert settings["COMBINE_TYPE"] == expected
    assert settings["CENTER"] == "110.0000000000,-30.0000000000"
    assert settings["IMAGE_SIZE"] == "100,80"
    assert settings["FSCALE_KEYWORD"] == "FLXSCALE"


def test_swarp_without_frames_is_refused(tmp_path):
    with pytest.raises(UnusableData, match="at least one frame"):
        swarp.combine([], GRID, tmp_path, swarp.Options())


def test_solve_field_is_used_only_with_index_files(tmp_path, image, programs):
    programs("exit 0")
    assert not solve_field.installed(tmp_path)
    (tmp_path / "index-4107.fits").touch()
    assert solve_field.installed(tmp_path)
    wanted = solve_field.Options(scale_arcsec=0.505, index_folder=tmp_path)
    words = solve_field.command(image, tmp_path, shape=(80, 100), centre=(1.0, 2.0), options=wanted)

    assert words[words.index("--width") + 1] == "100"
    assert float(words[words.index("--scale-low") + 1]) < 0.505 < float(words[words.index("--scale-high") + 1])
    with pytest.raises(AlgorithmError, match="no solution"):
        solve_field.solve(image, tmp_path, shape=(80, 100), centre=(1.0, 2.0), options=wanted)


def test_an_image_of_another_shape_is_refused(image):
    outputs.require_image(image, program="x", shape=(80, 100))
    with pytest.raises(ProgramError, match="expected 10 x 9 px"):
        outputs.require_image(image, program="x", shape=(9, 10))


def test_a_header_that_lies_about_its_axes_is_refused(image):
    content = image.read_bytes().replace(b"NAXIS1  =                  100", b"NAXIS1  =            100000000")
    image.write_bytes(content)
    with pytest.raises(ProgramError, match="truncated or not FITS"):
        outputs.require_image(image, program="x")


def test_scratch_is_removed_on_success_and_keeps_the_log_on_failure(tmp_path):
    with outputs.scratch(tmp_path, "good") as folder:
        (folder / "x.fits").touch()
    assert not folder.exists()

    def fail():
        with outputs.scratch(tmp_path, "bad") as folder:
            for name in ("x.fits", "x.log"):
                (folder / name).touch()
            raise ProgramError("no")

    with pytest.raises(ProgramError):
        fail()
    [kept] = tmp_path.iterdir()
    assert [path.name for path in kept.iterdir()] == ["x.log"]


@pytest.mark.binaries
@pytest.mark.skipif(shutil.which("missfits") is None, reason="MissFITS is not installed")
def test_missfits_writes_the_cards_and_keeps_the_pixels(image, tmp_path):
    head = "".join(
        f"{card:<80}\n" for card in ("CRVAL1  =      1.2345678901E+02", "ASTNMAT =                  321", "END")
    )
    result = missfits.apply(image, head, tmp_path / "m", shape=(80, 100), options=missfits.Options())
    data, header = fits_images.read_image(result.image)

    np.testing.assert_array_equal(data, fits_images.read_image(image)[0])
    assert (header["CRVAL1"], header["ASTNMAT"], header["EGAIN"]) == (123.45678901, 321, 1.0)


@pytest.mark.binaries
@pytest.mark.skipif(shutil.which("source-extractor") is None, reason="Source Extractor is not installed")
def test_source_extractor_finds_a_star_where_it_is(image, tmp_path):
    data, header = fits_images.read_image(image)
    y, x = np.mgrid[:80, :100]
    data += (5000 * np.exp(-((x - 40.3) ** 2 + (y - 30.6) ** 2) / (2 * 1.8**2))).astype(np.float32)
    fits_images.write_image(image, data, header)
    wanted = source_extractor.Options(scale_arcsec=0.505, columns=source_extractor.ASTROMETRY_COLUMNS)
    result = source_extractor.extract(image, tmp_path / "s", wanted)
    table = ldac.read(result.catalogue)

    assert result.rows == len(table) == 1
    assert (table["XWIN_IMAGE"][0] - 1, table["YWIN_IMAGE"][0] - 1) == pytest.approx((40.3, 30.6), abs=0.02)
    assert result.sky_adu == pytest.approx(100, abs=1)
    assert result.sky_sigma_adu == pytest.approx(5, rel=0.1)


@pytest.mark.binaries
@pytest.mark.skipif(shutil.which("source-extractor") is None, reason="Source Extractor is not installed")
def test_source_extractor_tells_shapes_without_apertures_as_with_them(image, tmp_path, rng):
    data, header = fits_images.read_image(image)
    y, x = np.mgrid[:80, :100]
    for at_x, at_y in ((20.2, 15.7), (70.9, 22.4), (45.5, 55.1), (80.3, 60.8)):
        sigma = rng.uniform(1.5, 2.5)
        data += (5000 * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * sigma**2))).astype(np.float32)
    fits_images.write_image(image, data, header)
    quick, whole = (
        source_extractor.of_pass(
            source_extractor.Options(scale_arcsec=0.505), seeing_arcsec=2.0, diameters_px=diameters
        )
        for diameters in ((), (5.0, 20.0))
    )
    quick, whole = (
        ldac.read(source_extractor.extract(image, tmp_path / str(number), options).catalogue)
        for number, options in enumerate((quick, whole))
    )

    assert len(quick) == len(whole) == 4
    for name in source_extractor.SEEING_COLUMNS:
        np.testing.assert_array_equal(quick[name], whole[name])


@pytest.mark.binaries
@pytest.mark.skipif(shutil.which("source-extractor") is None, reason="Source Extractor is not installed")
def test_source_extractor_refuses_what_is_no_image(tmp_path):
    bad = tmp_path / "bad.fits"
    bad.write_text("no image")
    with pytest.raises(UnusableData, match="not FITS"):
        source_extractor.extract(bad, tmp_path / "s", source_extractor.Options(scale_arcsec=0.505))
