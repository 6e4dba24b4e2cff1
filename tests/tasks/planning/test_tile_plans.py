"""Planning as a task: sources, engines, galaxies, files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.errors import ProgramError, UnusableData
from tasks.options import PlanOptions
from tasks.planning import sky_pictures, tile_plans
from tasks.programs import gwemopt

NATIVE = PlanOptions(engine="siren", tiles=8)
EVENING = datetime(2024, 11, 2, 17, tzinfo=UTC)


@pytest.fixture
def update(shared_data: Path) -> Path:
    return shared_data / "notices" / "S241102br-update.json"


def test_gwemopt_plans_a_real_notice_and_our_science_fills_in_the_rest(update: Path) -> None:
    plans = tile_plans.make_plans.fn(update, ("TCA", "FZU-CTA-N"), PlanOptions(tiles=8), "S241102br", EVENING)
    assert [plan.engine for plan in plans] == ["gwemopt", "gwemopt"]
    for plan in plans:
        assert len({tile.id for tile in plan.tiles}) == 8
        assert 0 < plan.probability <= sum(tile.probability for tile in plan.tiles) <= 1.5
        assert all(1 <= tile.airmass < 4 for tile in plan.tiles)
        assert plan.seconds > 0


def test_a_planner_that_fails_is_replaced_and_the_plan_says_so(update: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*words: object, **more: object) -> None:
        raise ProgramError("gwemopt ran past its deadline")

    monkeypatch.setattr(gwemopt, "plan", fail)
    (plan,) = tile_plans.make_plans.fn(update, ("TCA",), PlanOptions(tiles=3), "S241102br", EVENING)
    assert plan.engine == "siren"
    assert len(plan.tiles) == 3
    assert "deadline" in plan.remarks[0]


def test_a_burst_with_a_small_error_gets_one_centred_tile(shared_data: Path) -> None:
    source = shared_data / "notices" / "svom_eclairs.xml"
    start = datetime(2025, 12, 8, 17, tzinfo=UTC)
    seven, reunion = tile_plans.make_plans.fn(source, ("7DT", "TRE"), PlanOptions(), "sb25120806", start)
    for plan in (seven, reunion):
        (tile,) = plan.tiles
        assert (tile.ra_deg, tile.dec_deg) == pytest.approx((337.5347, -0.3918), abs=1e-4)
        assert tile.probability > 0.9


def test_a_map_without_distance_is_planned_by_tiles_and_refused_by_galaxies(shared_data: Path) -> None:
    source = shared_data / "notices" / "S241004ap-preliminary.json"
    start = datetime(2024, 10, 4, 21, tzinfo=UTC)
    (plan,) = tile_plans.make_plans.fn(source, ("TRE",), NATIVE, "S241004ap", start)
    assert len(plan.tiles) == 8
    catalogue = shared_data / "planning" / "catalog_glade_S190814bv.csv"
    with pytest.raises(UnusableData, match="no distances"):
        tile_plans.make_plans.fn(source, ("TRE",), NATIVE, "S241004ap", start, catalogue)


def test_likely_host_galaxies_become_targets(shared_data: Path) -> None:
    source = shared_data / "skymaps" / "S190814bv_5_LALInference.v1.fits.gz"
    catalogue = shared_data / "planning" / "catalog_glade_S190814bv.csv"
    start = datetime(2019, 8, 14, 21, tzinfo=UTC)
    (plan,) = tile_plans.make_plans.fn(source, ("OPD-1.6",), NATIVE, "S190814bv", start, catalogue)
    assert len({tile.id for tile in plan.tiles}) == 8
    assert any(tile.id.startswith("ESO") for tile in plan.tiles)


def test_a_catalogue_without_a_likely_host_says_so_and_tiles_are_planned(shared_data: Path) -> None:
    """Kind: reasons of empty results that name the wrong cause ("no tile of the grid meets it")."""
    source = shared_data / "skymaps" / "S190814bv_5_LALInference.v1.fits.gz"
    elsewhere = shared_data / "field" / "galaxies_gw170817.csv"
    start = datetime(2019, 8, 14, 21, tzinfo=UTC)
    (plan,) = tile_plans.make_plans.fn(source, ("TRE",), NATIVE, "S190814bv", start, elsewhere)
    (tiles,) = tile_plans.make_plans.fn(source, ("TRE",), NATIVE, "S190814bv", start)
    assert plan.tiles == tiles.tiles
    assert plan.tiles
    [remark] = plan.remarks
    assert "0 of its 301 galaxies lie in the 99% region" in remark


def test_nothing_to_observe_is_a_plan_with_a_reason(update: Path) -> None:
    noon = datetime(2024, 11, 2, 12, tzinfo=UTC)
    options = PlanOptions(hours=3)
    (plan,) = tile_plans.make_plans.fn(update, ("TCH",), options, "S241102br", noon)
    assert plan.tiles == ()
    assert plan.reason.startswith("Sun")


def test_a_retraction_gives_nothing_to_plan(shared_data: Path) -> None:
    with pytest.raises(UnusableData, match="retraction"):
        tile_plans.make_plans.fn(shared_data / "notices" / "S241126dm-retraction.json", ("7DT",), NATIVE, "S241126dm")


def test_plans_are_written_as_tables_and_a_picture(update: Path, tmp_path: Path) -> None:
    plans = tile_plans.make_plans.fn(update, ("TCA", "TRE", "TRT-SBO"), NATIVE, "S241102br", EVENING)
    files = tile_plans.write_plans.fn(plans, update, tmp_path / "plans")
    assert {path.name for path in files} >= {
        "plan.json",
        "ALL.txt",
        "tiles_TRT-SBO.txt",
        "tiles_TCA.csv",
        "coverage.png",
    }
    assert all(path.is_file() for path in files)
    told = json.loads((tmp_path / "plans" / "plan.json").read_text())
    assert told["probability"] >= max(plan.probability for plan in plans)
    text = (tmp_path / "plans" / "ALL.txt").read_text()
    assert all(f"# {plan.telescope}" in text for plan in plans)


def test_the_picture_of_a_map_is_written(update: Path, tmp_path: Path) -> None:
    drawn = sky_pictures.draw_sky_map.fn(update, tmp_path / "skymap.png", "S241102br", "words")
    assert drawn.read_bytes().startswith(b"\x89PNG")


def test_a_field_smaller_than_the_error_gets_tiles_and_a_larger_one_a_single_field(shared_data: Path) -> None:
    source = shared_data / "notices" / "svom_eclairs.xml"
    start = datetime(2025, 12, 8, 17, tzinfo=UTC)
    small, large = tile_plans.make_plans.fn(source, ("UBAI-T60S", "TRE"), NATIVE, "sb25120806", start)
    assert small.telescope == "UBAI-T60S", "plans come in the order of the telescopes"
    assert len({tile.id for tile in small.tiles}) == NATIVE.tiles
    assert [tile.id for tile in large.tiles] == ["CENTRE"]
