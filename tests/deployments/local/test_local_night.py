"""Find the night to reduce from the arguments of ``siren reduce``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from blocks import Observatory
from deployments.local import night
from tasks.errors import UnusableData
from tasks.records import Rejected, Stage


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "night" / "obsdata" / "7DT01" / "2026-01-15_gain2750").mkdir(parents=True)
    (tmp_path / "night" / "catalogues").mkdir()
    for name in ("astrometric.ldac.fits", "photometric.fits"):
        (tmp_path / "night" / "catalogues" / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("folder", ["night", "night/obsdata", "night/obsdata/7DT01"])
def test_relative_paths_are_those_of_the_terminal(home, folder):
    place = night.locate(Path(folder), out=Path("products"), catalogues=Path("night/catalogues"))
    places = vars(place.places)
    assert all(path.is_absolute() for path in places.values() if isinstance(path, Path))
    assert place.places.product_root == home / "products"
    assert place.places.raw_root == home / "night" / "obsdata"


def test_calibration_alone_asks_for_no_catalogue(home):
    """Kind: inputs demanded before the stage that needs them."""
    for path in (home / "night" / "catalogues").iterdir():
        path.unlink()
    assert night.locate(Path("night"), out=Path("products"), until=Stage.CALIBRATE).units == ()
    with pytest.raises(UnusableData, match="astrometric"):
        night.locate(Path("night"), out=Path("products"), until=Stage.REDUCE)


def test_a_folder_with_a_name_like_a_units_is_no_unit(home):
    (home / "night").rename(home / "night01")
    place = night.locate(Path("night01"), out=Path("products"))
    assert (place.units, place.places.raw_root) == ((), home / "night01" / "obsdata")


@pytest.mark.parametrize(("ok", "rejected", "nothing"), [(0, 2, True), (1, 2, False), (0, 0, False)])
def test_a_night_of_which_nothing_could_be_used_is_no_success(ok, rejected, nothing):
    losses = tuple(Rejected(name=f"{n}.fits", stage="reduce", reason="x") for n in range(rejected))
    report = SimpleNamespace(frames_ok=ok, rejected=losses)
    assert night.nothing_reduced(report) is nothing


def test_several_nights_are_named(home):
    (home / "night" / "obsdata" / "7DT01" / "2026-01-16_gain2750").mkdir()
    with pytest.raises(UnusableData, match="2026-01-15, 2026-01-16"):
        night.locate(Path("night"), out=Path("products"))


def test_relative_places_of_a_block_are_made_absolute_once(home):
    paths = Observatory(raw_root="raw", product_root="~/products").paths()
    assert paths["raw_root"] == home / "raw"
    assert all(path.is_absolute() for path in paths.values())
