"""``siren plan``."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from support import field_probability

from deployments import cli


def siren(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict]:
    """Run the verb with ``--json``; return its exit code and the object that it printed."""
    capsys.readouterr()
    code = cli.run(["plan", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_plan_names_tiles_probability_area_and_files(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = shared_data / "notices" / "S241102br-update.json", tmp_path / "out"
    words = ["--telescope", "TCA", "--telescope", "TCH", "--start", "2024-11-02T17:00:00", "--tiles", "5"]
    code, told = siren(str(source), *words, "--engine", "siren", "--out", str(out), capsys=capsys)
    plan = told["telescopes"]["TCA"]
    assert code == 0
    assert told["event_id"] == "S241102br"
    assert len({tile["id"] for tile in plan["tiles"]}) == 5
    assert 0 < plan["probability"] <= told["probability"] <= 1
    assert plan["area_deg2"] > 0
    assert plan["seconds"] > 0
    assert all(Path(path).is_file() for path in told["files"])


@pytest.mark.parametrize("name", ["TCA", "TCH"])
def test_a_tile_holds_the_probability_that_the_map_has_at_its_centre(
    name: str, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared_data / "notices" / "S241102br-update.json"
    words = ["--telescope", name, "--start", "2024-11-02T17:00:00", "--tiles", "5", "--engine", "siren"]
    _, told = siren(str(source), *words, "--out", str(tmp_path), capsys=capsys)
    tiles = told["telescopes"][name]["tiles"]
    file = tmp_path / "map.fits"
    file.write_bytes(base64.b64decode(json.loads(source.read_text())["event"]["skymap"]))
    sky = field_probability.Sky(file)
    truth, moved = (sky.of_tiles(tiles, name, north_deg=north_deg) for north_deg in (0.0, 1.0))

    assert len(tiles) >= 3
    assert [tile["probability"] for tile in tiles] == pytest.approx(truth, rel=0.02)
    assert np.abs(moved / truth - 1).max() > 0.1, "a tile moved by a degree would be seen"


def test_a_sky_map_can_be_planned_without_a_notice(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared_data / "skymaps" / "GW170817.fits.gz"
    words = ["--telescope", "7DT", "--start", "2017-08-18", "--hours", "30", "--tiles", "4", "--engine", "siren"]
    code, told = siren(str(source), *words, "--out", str(tmp_path), capsys=capsys)
    assert code == 0
    assert len(told["telescopes"]["7DT"]["tiles"]) == 4


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["{notice}", "--telescope", "Nowhere"], "unknown"),
        (["{notice}", "--telescope", "TCH", "--start", "yesterday"], "ISO"),
        (["{notice}", "--telescope", "TCH", "--tiles", "0"], "--tiles"),
        (["{notice}"], "--telescope"),
        (["{truncated}", "--telescope", "TCH"], "JSON"),
        (["{folder}", "--telescope", "TCH"], "cannot be read"),
        (["{missing}", "--telescope", "TCH"], "cannot be read"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_and_nothing_is_written(
    words: list[str], word: str, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notice = shared_data / "notices" / "S241102br-update.json"
    truncated = tmp_path / "truncated.json"
    truncated.write_bytes(notice.read_bytes()[:3000])
    places = {"notice": notice, "truncated": truncated, "folder": tmp_path, "missing": tmp_path / "none"}
    out = tmp_path / "out"
    code, told = siren(*[text.format(**places) for text in words], "--out", str(out), capsys=capsys)
    assert code == 2
    assert word in told["rejected"]
    assert not out.exists()


def test_people_read_one_line_per_telescope(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(shared_data / "notices" / "svom_eclairs.xml")
    words = ["plan", source, "--telescope", "7DT", "--telescope", "KAO", "--start", "2025-12-08T17:00"]
    assert cli.run([*words, "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:3] == ["7DT", "1", "tiles,"] for line in lines)
    assert any("KAO" in line and "no tiles" in line for line in lines)
