"""``siren simulate`` called like a script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployments import cli

QUICK = ["--scale", "tiny", "--lights", "1", "--filters", "r"]


def siren(capsys, *words):
    code = cli.run(["simulate", *(str(word) for word in words)])
    return code, capsys.readouterr().out


def test_a_night_is_made_and_its_truth_named(capsys, tmp_path):
    code, out = siren(capsys, "night", "--out", tmp_path / "night", *QUICK, "--json")
    result = json.loads(out)
    truth = json.loads(Path(result["truth"]).read_bytes())
    assert code == 0
    assert truth["night"] == "2026-01-15"
    assert len(truth["transients"]) == 5
    assert [Path(folder).is_dir() for folder in result["folders"]] == [True]


def test_uneven_units_and_lying_frames_are_in_the_truth(capsys, tmp_path):
    words = ["--scale", "tiny", "--lights", "2", "--filters", "r,i", "--mislabelled", "1", "--colour-term", "0.05"]
    code, out = siren(capsys, "night", "--out", tmp_path / "night", *words, "--spatial", "0.03", "--json")
    truth = json.loads(Path(json.loads(out)["truth"]).read_bytes())
    assert code == 0
    seen = [(row["filter"], row["true_filter"]) for row in truth["lights"]]
    assert seen == [("r", "r"), ("r", "i"), ("i", "i"), ("i", "i")]
    response = truth["responses"]["7DT01"]
    assert all(0.025 <= abs(term) <= 0.05 for term in response["colour_term_mag"].values())
    assert max(abs(mag) for _, _, mag in response["surface"]) > 0.02


@pytest.mark.parametrize("words", [["--mislabelled", "2"], ["--colour-term", "-0.1"], ["--spatial", "3"]])
def test_impossible_responses_are_refused(capsys, tmp_path, words):
    code, out = siren(capsys, "night", "--out", tmp_path / "night", *QUICK, *words, "--json")
    assert code == 2
    assert "rejected" in json.loads(out)


def test_an_alert_is_made_and_its_truth_named(capsys, tmp_path):
    words = ["--ra", 110, "--dec", -30, "--time", "2026-01-15T22:00:00", "--id", "S260115zz", "--json"]
    code, out = siren(capsys, "alert", "--out", tmp_path / "alert", *words)
    truth = json.loads(Path(json.loads(out)["truth"]).read_bytes())
    assert code == 0
    assert truth["event_id"] == "S260115zz"
    assert (truth["ra_deg"], truth["dec_deg"]) == (110, -30)


def test_a_hostile_object_name_stays_inside_the_folder(capsys, tmp_path):
    words = ["--ra", 70.0, "--object", "../NGC 7/x", "--json"]
    code, out = siren(capsys, "night", "--out", tmp_path / "night", *QUICK, *words)
    assert code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["night"]
    assert json.loads(Path(json.loads(out)["truth"]).read_bytes())["object"] == "../NGC 7/x"


def test_without_json_the_paths_are_printed(capsys, tmp_path):
    code, out = siren(capsys, "alert", "--out", tmp_path / "alert")
    assert code == 0
    assert str(tmp_path / "alert" / "truth.json") in out


def test_an_earlier_simulation_is_replaced_whole(capsys, tmp_path):
    siren(capsys, "night", "--out", tmp_path / "night", *QUICK)
    code, _ = siren(capsys, "night", "--out", tmp_path / "night", *QUICK, "--seed", 2)
    assert code == 0
    assert json.loads((tmp_path / "night" / "truth.json").read_bytes())["seed"] == 2


@pytest.mark.parametrize("kind", ["night", "alert"])
def test_a_folder_of_somebody_else_is_left_alone(capsys, tmp_path, kind):
    (tmp_path / "thesis.tex").write_text("precious")
    code, out = siren(capsys, kind, "--out", tmp_path, "--json")
    assert code == 2
    assert "not empty" in json.loads(out)["rejected"]
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_alert_does_not_replace_a_night(capsys, tmp_path):
    siren(capsys, "alert", "--out", tmp_path / "alert")
    code, _ = siren(capsys, "night", "--out", tmp_path / "alert", *QUICK)
    assert code == 2
    assert (tmp_path / "alert" / "notice.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["night", "--scale", "huge"],
        ["night", "--units", "0"],
        ["night", "--units", "99"],
        ["night", "--units", "many"],
        ["night", "--filters", "r,x"],
        ["night", "--filters", ","],
        ["night", "--filters", "r,r"],
        ["night", "--lights", "0"],
        ["night", "--corrupt", "-1"],
        ["night", "--seed", "-1"],
        ["night", "--ra", "nan"],
        ["night", "--dec", "95"],
        ["night", "--ra", "290"],
        ["night", "--dec", "80"],
        ["night", "--object", "naïve"],
        ["night", "--object", ""],
        ["alert", "--type", "PARTY"],
        ["alert", "--time", "yesterday"],
        ["alert", "--seed", "-1"],
        ["alert", "--area", "nan"],
        ["alert", "--ra", "5"],
        ["moon"],
    ],
)
def test_a_bad_value_exits_with_2_and_writes_nothing(capsys, tmp_path, words):
    code, out = siren(capsys, *words, "--out", tmp_path / "out", "--json")
    assert code == 2
    assert json.loads(out)["rejected"]
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("x")
    assert siren(capsys, "alert", "--out", tmp_path / "file")[0] == 2
    assert siren(capsys, "alert", "--out", tmp_path / "file" / "below")[0] == 2


def test_help_names_both_subcommands(capsys):
    code, out = siren(capsys, "--help")
    assert code == 0
    assert "night" in out
    assert "alert" in out
