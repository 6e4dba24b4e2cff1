"""``siren notice``, ``siren skymap``, ``siren coverage`` called like a script."""

from __future__ import annotations

import json

import pytest
from support import skymap_files

from deployments import cli

KEYS = {
    "event_id", "kind", "mission", "alert_type", "time", "test", "significant", "retraction", "classification",
    "properties", "instruments", "far_hz", "group", "pipeline", "search", "area50_deg2", "area90_deg2", "distance_mpc",
    "distance_std_mpc", "combined", "ra_deg", "dec_deg", "error_deg", "score", "action", "reasons",
}  # fmt: skip
SUPEREVENTS = [
    "S241102br-preliminary", "S241102br-initial", "S241102br-update", "S250910b-earlywarning", "S241004ap-preliminary",
    "S241004ap-significant-edited", "S241126dm-retraction",
]  # fmt: skip


@pytest.fixture
def siren(capsys):
    """Run a verb with ``--json``; return its exit code and the object that it printed."""

    def run(*words):
        code = cli.run([*map(str, words), "--json"])
        captured = capsys.readouterr()
        assert captured.out.count("\n") == 1
        return code, json.loads(captured.out)

    return run


@pytest.fixture(scope="module")
def expected(shared_data):
    return json.loads((shared_data / "expected_notices.json").read_text())


@pytest.mark.parametrize("thresholds", ["A", "B"])
@pytest.mark.parametrize("name", SUPEREVENTS)
def test_notice_tells_parsed_fields_areas_and_score(siren, shared_data, expected, name, thresholds):
    wanted = expected["gw"][f"{name}.json"]
    code, found = siren(
        "notice", shared_data / f"notices/{name}.json", "--policy", "grandma", "--thresholds", thresholds
    )
    assert code == 0
    assert set(found) >= KEYS
    same = KEYS & set(wanted["parsed"]) - {"time", "combined"}
    assert {key: found[key] for key in same} == {key: wanted["parsed"][key] for key in same}
    assert (found["area50_deg2"], found["area90_deg2"]) == (
        pytest.approx(wanted["ours"]["area50_deg2"], rel=1e-6),
        pytest.approx(wanted["ours"]["area90_deg2"], rel=1e-6),
    ) if wanted["ours"]["area50_deg2"] else (None, None)  # fmt: skip
    assert found["distance_mpc"] == wanted["ours"]["distance_mpc"]
    assert found["distance_std_mpc"] == wanted["ours"]["distance_std_mpc"]
    assert found["combined"] is None
    if wanted["seed"]["score"]:
        assert found["score"] == wanted["seed"]["score"][thresholds]
        assert found["action"] == wanted["seed"]["action"][thresholds]
    if "far_inverse_days" in wanted["ours"]:
        assert found["far_inverse_days"] == pytest.approx(wanted["ours"]["far_inverse_days"], rel=1e-5)


@pytest.mark.parametrize(
    "name", ["swift_bat_type61.xml", "svom_eclairs.xml", "gcn-schema/fermi-gbm-trigger.final.json"]
)
def test_notice_tells_a_bursts_position_and_a_decision(siren, shared_data, name):
    code, found = siren("notice", shared_data / "notices" / name)
    assert code == 0
    assert set(found) >= KEYS
    assert found["kind"] == "grb"
    assert None not in {found["ra_deg"], found["dec_deg"], found["error_deg"], found["action"]}
    assert found["area90_deg2"] is found["combined"] is None
    assert {"rule", "condition", "value", "passed"} == set(found["reasons"][0])


def test_notice_tells_the_combined_map(siren, tmp_path):
    import base64

    def encoded(**options):
        return base64.b64encode(skymap_files.blob(**options)).decode()

    document = {
        "superevent_id": "S260101a",
        "alert_type": "PRELIMINARY",
        "event": {
            "significant": True,
            "classification": {"BNS": 1.0},
            "skymap": encoded(sigma_deg=20, distance_mpc=100),
        },
        "external_coinc": {"observatory": "Fermi", "combined_skymap": encoded(sigma_deg=5, distance_mpc=80)},
    }
    path = tmp_path / "coincidence.json"
    path.write_text(json.dumps(document))
    code, found = siren("notice", path)
    assert code == 0
    assert found["combined"]["area90_deg2"] < found["area90_deg2"] / 4
    assert found["combined"]["distance_mpc"] < found["distance_mpc"]
    assert {"area50_deg2", "area90_deg2", "distance_mpc", "distance_std_mpc"} <= set(found["combined"])


def test_notice_reads_for_a_person_too(capsys, shared_data):
    assert cli.run(["notice", str(shared_data / "notices/S250910b-earlywarning.json")]) == 0
    text = capsys.readouterr().out
    assert "one in 207.5 days" in text
    assert "9574.3 deg²" in text
    assert "WAIT" in text


def test_skymap_tells_areas_distance_and_a_position(siren, shared_data):
    path = shared_data / "skymaps/GW170817.fits.gz"
    code, found = siren("skymap", path, "--contours", "0.5,0.9", "--at", "197.450354,-23.381484")
    assert code == 0
    assert found["areas_deg2"] == {"0.5": pytest.approx(5.001, rel=2e-4), "0.9": pytest.approx(16.158, rel=2e-4)}
    assert (found["distance_mpc"], found["distance_std_mpc"]) == (
        pytest.approx(37.96, abs=0.01),
        pytest.approx(7.49, abs=0.01),
    )
    assert found["at"]["credible_level"] == pytest.approx(0.383, abs=0.01)
    assert found["at"]["distance_mpc"] == pytest.approx(36.2, abs=0.1)
    assert found["at"]["distance_std_mpc"] == pytest.approx(7.4, abs=0.1)


def test_skymap_works_without_distance_and_at_the_pole(siren, tmp_path):
    path = tmp_path / "map.fits"
    path.write_bytes(skymap_files.blob(0, 90, sigma_deg=10))
    code, found = siren("skymap", path, "--at=-0.5,90")
    assert (code, found["distance_mpc"], found["at"]["distance_mpc"]) == (0, None, None)
    assert found["at"]["credible_level"] < 0.1


def test_coverage_tells_area_and_probability_of_ztf(siren, shared_data):
    folder = shared_data / "coverage"
    code, found = siren(
        "coverage", shared_data / "skymaps/GW190425-bayestar.fits.gz", folder / "ZTF_GW190425_exposures.csv",
        "--fov", "7.3,7.3", "--fields", folder / "ZTF_fields.csv",
    )  # fmt: skip
    assert code == 0
    assert found["area_deg2"] == pytest.approx(8400, abs=100)
    assert found["probability"] == pytest.approx(0.53, abs=0.01)
    assert found["fields"] == 172


def test_coverage_takes_a_footprint_file(siren, tmp_path):
    (tmp_path / "map.fits").write_bytes(skymap_files.blob(10, 0, sigma_deg=5))
    (tmp_path / "list.csv").write_text("RA,DEC\n10,0\n10,0\n")
    (tmp_path / "camera.txt").write_text("-1 -1\n1 -1\n1 1\n-1 1\n")
    by_file = siren("coverage", tmp_path / "map.fits", tmp_path / "list.csv", "--footprint", tmp_path / "camera.txt")
    by_size = siren("coverage", tmp_path / "map.fits", tmp_path / "list.csv", "--fov", "2,2")
    assert by_file == by_size
    assert by_file[1]["fields"] == 1


@pytest.fixture
def files(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "text").write_text("hello")
    (tmp_path / "list.json").write_text("[1, 2]")
    good = skymap_files.blob(order=2, sigma_deg=30)
    (tmp_path / "map.fits").write_bytes(good)
    (tmp_path / "cut.fits").write_bytes(good[:7000])
    (tmp_path / "list.csv").write_text("ra,dec\n10,20\n")
    return tmp_path


BAD = [
    *(f"notice {{0}}/{name}" for name in ("missing", "", "empty", "binary", "text", "list.json", "map.fits")),
    "notice {0}/list.json --policy nobody",
    "notice {0}/list.json --policy grandma --thresholds C",
    "notice",
    "notice {0}/text --unknown-option",
    *(f"skymap {{0}}/{name}" for name in ("missing", "", "empty", "binary", "text", "list.json", "cut.fits")),
    *(f"skymap {{0}}/map.fits --at {at}" for at in ("10", "10,20,30", "a,b", "10,95", "nan,5", "500,5")),
    *(f"skymap {{0}}/map.fits --contours {levels}" for levels in ("0", "1.5", "x", ",", "nan")),
    "coverage {0}/map.fits {0}/list.csv",
    *(f"coverage {{0}}/map.fits {{0}}/list.csv --fov {fov}" for fov in ("0,1", "1,2,3", "x", "90,90", "nan")),
    "coverage {0}/text {0}/list.csv --fov 1,1",
    "coverage {0}/map.fits {0}/text --fov 1,1",
    "coverage {0}/map.fits {0}/missing --fov 1,1",
    "coverage {0}/map.fits {0}/list.csv --footprint {0}/binary",
    "coverage {0}/map.fits {0}/binary --fov 1,1",
]


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_exit_code_2_and_one_sentence(siren, files, capsys, line):
    before = sorted(path.name for path in files.iterdir())
    code, found = siren(*line.format(files).split())
    assert code == 2
    assert set(found) == {"rejected"}
    assert found["rejected"]
    assert "Traceback" not in found["rejected"]
    assert sorted(path.name for path in files.iterdir()) == before
