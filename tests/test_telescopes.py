"""Telescopes as TOML."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import telescopes
from tasks.errors import UnusableData
from tasks.science.simulation import camera, plan

GRANDMA = {
    "TCH", "TRE", "TCA", "FZU-CTA-N", "FZU-Auger", "UBAI-T60S", "KAO", "Colibri", "TRT-SBO", "TRT-SRO", "NOWT", "OPD-1.6",
    "Abastumani-T70",
}  # fmt: skip


def test_every_telescope_can_be_loaded() -> None:
    assert set(telescopes.names()) >= GRANDMA | {"7DT"}
    for name in telescopes.names():
        assert telescopes.load(name).name == name


def test_siding_spring_is_in_the_south() -> None:
    site = telescopes.load("TRT-SBO").site
    assert (site.latitude_deg, site.longitude_deg) == (-31.2733, 149.0644)


def test_no_field_is_a_typing_error() -> None:
    assert telescopes.load("FZU-Auger").field_of_view.width_deg == 1.0


def test_7dt_carries_what_the_night_needs() -> None:
    telescope = telescopes.load("7DT")
    assert [unit.name for unit in telescope.units] == [f"7DT{number:02d}" for number in range(1, 21)]
    assert telescope.units[0].filters == ("m400", "m425", "m675")
    assert telescope.camera.egain_e_per_adu["2750"] == 0.256190478801727
    assert telescope.stack is not None
    assert telescope.stack.scale_arcsec == 0.505
    assert len(telescope.filters["medium"]) == 20


def test_the_simulated_camera_is_that_of_7dt() -> None:
    known = telescopes.load("7DT").camera
    assert known.pixel_scale_arcsec == plan.SCALE_ARCSEC
    assert known.egain_e_per_adu[str(plan.GAIN_SETTING)] == camera.GAIN_E_PER_ADU
    assert (known.read_noise_e, known.bias_adu) == (camera.READ_NOISE_E, camera.BIAS_ADU)


def test_the_misspelt_name_in_circulation_finds_its_telescope() -> None:
    assert telescopes.load("Abastunami-T70").name == "Abastumani-T70"


def test_an_unknown_telescope_is_refused_with_the_known_names() -> None:
    with pytest.raises(UnusableData, match="TRE"):
        telescopes.load("../TRE")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (("latitude_deg = -31.2733", "latitude_deg = 131"), "site.latitude_deg"),
        (("readout_s = 0.04", "redout_s = 0.04"), "redout_s"),
        (('name = "TRT-SBO"', "name = "), "not TOML"),
        (("width_deg = 0.86", "width_deg = 1390"), "field_of_view.width_deg"),
        (('name = "TRT-SBO"', 'name = "Other"'), "file's name"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key(tmp_path: Path, change: tuple[str, str], word: str) -> None:
    text = (telescopes.FOLDER / "TRT-SBO.toml").read_text()
    assert change[0] in text
    (tmp_path / "TRT-SBO.toml").write_text(text.replace(*change))
    with pytest.raises(UnusableData, match=word):
        telescopes.load(str(tmp_path / "TRT-SBO.toml"))
