"""Parsing of real and unusual notices; malformed ones raise UnusableData and nothing else."""

from __future__ import annotations

import base64
import copy
import json
import re
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from support import hostile, skymap_files

from tasks.errors import UnusableData
from tasks.io.notices import parsing
from tasks.records import Kind, MapRole

GW = [
    "S241102br-preliminary", "S241102br-initial", "S241102br-update", "S250910b-earlywarning", "S241004ap-preliminary",
    "S241004ap-significant-edited", "S241126dm-retraction",
]  # fmt: skip
GRB = ["swift_bat_type61", "swift_xrt_type67", "svom_eclairs"]
SCHEMA = [
    "einstein_probe-wxt-alert", "fermi-gbm-trigger.alert", "fermi-gbm-trigger.final", "fermi-gbm-trigger.flight1",
    "fermi-gbm-trigger.ground1", "icecube-lvk_nu_track_search", "svom-eclairs-trigger.not-slewing",
    "svom-eclairs-trigger.slewing", "svom-eclairs-trigger.wakeup", "svom-grm-trigger", "swift-bat-Guano.Retraction",
    "swift-bat-Guano", "swift-bat-guano.loc_map",
]  # fmt: skip


def moment(text):
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else datetime.fromisoformat(text + "+00:00")


@pytest.fixture(scope="module")
def expected(shared_data):
    return json.loads((shared_data / "expected_notices.json").read_text())


@pytest.fixture(scope="module")
def retraction(shared_data):
    return json.loads((shared_data / "notices/S241126dm-retraction.json").read_text())


def superevent(**changes):
    """A small notice of a superevent, with a map."""
    event = {
        "significant": True,
        "time": "2024-11-02T12:40:58.799Z",
        "far": 1e-9,
        "instruments": ["H1", "L1"],
        "group": "CBC",
        "pipeline": "gstlal",
        "search": "AllSky",
        "properties": {"HasNS": 1.0, "HasRemnant": 0.5},
        "classification": {"BNS": 0.9, "NSBH": 0.05, "BBH": 0.0, "Terrestrial": 0.05},
        "duration": None,
        "central_frequency": None,
        "skymap": base64.b64encode(skymap_files.blob(order=2, sigma_deg=30)).decode(),
    }
    document = {
        "alert_type": "PRELIMINARY",
        "time_created": "2024-11-02T12:41:27Z",
        "superevent_id": "S241102br",
        "urls": {"gracedb": "https://gracedb.ligo.org/superevents/S241102br/view/"},
        "event": event,
        "external_coinc": None,
    }
    for name, value in changes.items():
        target = event if name in event else document
        target[name] = value
    return document


def parse(document, **options):
    return parsing.parse(json.dumps(document).encode(), **options)


# ---------------------------------------------------------------------------------------------------- real notices


@pytest.mark.parametrize("name", GW)
def test_a_real_superevent_says_what_is_expected(shared_data, expected, name):
    wanted = expected["gw"][f"{name}.json"]["parsed"]
    parsed = parsing.parse((shared_data / f"notices/{name}.json").read_bytes())
    notice = parsed.notice
    plain = (
        "event_id", "alert_type", "retraction", "test", "significant", "far_hz", "group", "pipeline", "search",
        "properties", "classification",
    )  # fmt: skip
    assert {key: getattr(notice, key) for key in plain} == {key: wanted[key] for key in plain}
    assert notice.kind is Kind(wanted["kind"])
    assert notice.instruments == (None if wanted["instruments"] is None else tuple(wanted["instruments"]))
    assert notice.time_created == moment(wanted["time_created"])
    assert notice.time == (None if wanted["time"] is None else moment(wanted["time"]))
    assert (notice.duration_s, notice.central_frequency_hz) == (wanted["duration"], wanted["central_frequency"])
    assert notice.coincidence is wanted["external_coinc"] is wanted["combined"] is None
    assert notice.urls["gracedb"] == wanted["gracedb"]
    assert sorted(notice.urls) == wanted["urls"]
    assert set(parsed.maps) == (set() if wanted["retraction"] else {MapRole.GW})
    assert notice.remarks == ()


@pytest.mark.parametrize("name", GRB)
def test_a_real_voevent_says_what_is_expected(shared_data, expected, name):
    wanted = expected["grb"][f"{name}.xml"]["ours"]
    notice = parsing.parse((shared_data / f"notices/{name}.xml").read_bytes()).notice
    plain = (
        "mission", "instrument", "event_id", "packet_type", "role", "test", "ivorn", "ra_deg", "dec_deg", "error_deg",
        "slew_status", "magnitude",
    )  # fmt: skip
    assert {key: getattr(notice, key) for key in plain} == {key: wanted[key] for key in plain}
    assert notice.kind is Kind(wanted["kind"])
    assert notice.time == moment(wanted["time"])
    assert notice.time_created == moment(wanted["notice_date"])
    details = {key: float(text) for key, text in notice.details.items() if key.endswith(("_deg", "_percent"))}
    names = {"sun_distance_deg": "sun_angle_deg", "moon_distance_deg": "moon_angle_deg"}
    assert details == {key: wanted[key if key in wanted else names[key]] for key in details}
    assert notice.remarks == ()


def test_a_swift_bat_notice_gives_its_flags_and_significance(shared_data, expected):
    wanted = expected["grb"]["swift_bat_type61.xml"]["ours"]
    notice = parsing.parse((shared_data / "notices/swift_bat_type61.xml").read_bytes()).notice
    assert list(notice.flags) == wanted["flags_true"]
    assert notice.details["misc_flags"].split(", ") == wanted["misc_flags_true"]
    assert (notice.rate_snr, notice.image_snr) == (wanted["rate_signif"], wanted["image_signif"])
    assert notice.duration_trigger_s == wanted["integration_s"]
    assert (notice.time_created - notice.time).total_seconds() == pytest.approx(wanted["notice_latency_s"], abs=0.1)
    assert set(details := notice.details) >= {"sun_distance_deg", "moon_distance_deg", "moon_illumination_percent"}, (
        details
    )


def test_an_svom_notice_gives_its_trigger(shared_data, expected):
    wanted = expected["grb"]["svom_eclairs.xml"]["ours"]
    notice = parsing.parse((shared_data / "notices/svom_eclairs.xml").read_bytes()).notice
    assert (notice.rate_snr, notice.image_snr) == (None, wanted["snr"])
    assert notice.duration_trigger_s == wanted["timescale_s"]
    assert list(notice.energy_kev) == wanted["energy_kev"]
    assert notice.details["trigger_type"] == wanted["trigger_type"]
    assert notice.details["notice_level"] == wanted["notice_level"]
    assert float(notice.details["sun_distance_deg"]) == wanted["sun_angle_deg"]
    assert float(notice.details["moon_distance_deg"]) == wanted["moon_angle_deg"]
    assert (notice.time_created - notice.time).total_seconds() == pytest.approx(wanted["notice_latency_s"], abs=0.1)
    assert notice.subtype == "eclairs-wakeup"


@pytest.mark.parametrize("name", GRB)
def test_what_the_seed_read_of_a_voevent_can_be_told_from_ours(shared_data, expected, name):
    wanted = expected["grb"][f"{name}.xml"]["seed"]
    notice = parsing.parse((shared_data / f"notices/{name}.xml").read_bytes()).notice
    told = notice.details.get("name", "").removeprefix("GRB ") or notice.time.strftime("%y%m%d")
    unit = "s" if notice.mission == "SVOM" else "sec"

    def shown(value, unit):
        return "NA" if value is None else f"{value:.1f} {unit}"

    assert {
        "trigger_id": notice.event_id,
        "packet_type": notice.packet_type,
        "ra": notice.ra_deg,
        "dec": notice.dec_deg,
        "ra_dec_error": notice.error_deg,
        "ra_dec_error_arcmin": pytest.approx(notice.error_deg * 60),
        "trigger_time": notice.time.isoformat(),
        "trigger_time_formatted": notice.time.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "grb_name": told,
        "slew_status": notice.slew_status,
        "rate_signif": shown(notice.rate_snr, "sigma"),
        "image_signif": shown(notice.image_snr, "sigma"),
        "trigger_dur": shown(notice.duration_trigger_s, unit),
        "burst_mag": notice.magnitude,
        "skyportal_link": f"https://skyportal-icare.ijclab.in2p3.fr/source/{notice.event_id}",
        "should_process": notice.packet_type in {61, 67, 81, 202, 204, 205, 209},
    } == wanted


@pytest.mark.parametrize("name", SCHEMA)
def test_an_example_of_the_unified_schema_says_what_is_expected(shared_data, expected, name):
    wanted = expected["gcn_schema"][f"{name}.json"]
    parsed = parsing.parse((shared_data / f"notices/gcn-schema/{name}.json").read_bytes())
    notice = parsed.notice
    same = (
        "mission", "instrument", "test", "retraction", "record_number", "subtype", "ra_deg", "dec_deg", "error_deg",
        "rate_snr", "image_snr", "classification", "far_hz", "follow_up_event", "slew_status", "alert_tense",
    )  # fmt: skip
    assert {key: getattr(notice, key) for key in same} == {key: wanted.get(key) for key in same}
    assert list(notice.ids) == wanted.get("ids", [])
    assert notice.event_id == wanted.get("ids", [wanted.get("follow_up_event")])[0]
    assert notice.alert_type.lower() == wanted["alert_type"]
    assert notice.time == moment(wanted["trigger_time"])
    assert notice.time_created == (moment(wanted["alert_datetime"]) if "alert_datetime" in wanted else None)
    assert notice.containment == wanted.get("containment_probability")
    assert notice.urls.get("healpix") == wanted.get("healpix_url")
    assert notice.details.get("duration_class") == wanted.get("duration_class")
    assert notice.details["$schema"].endswith(wanted["schema"])
    if "systematic_included" in wanted:
        assert notice.details["systematic_included"] == str(wanted["systematic_included"]).lower()


def test_a_placeholder_in_place_of_a_map_is_a_remark(shared_data):
    parsed = parsing.parse((shared_data / "notices/gcn-schema/swift-bat-guano.loc_map.json").read_bytes())
    assert parsed.maps == {}
    assert any("healpix_file" in remark for remark in parsed.notice.remarks)


def test_four_notices_of_one_gbm_trigger_have_one_event(shared_data, expected):
    files = sorted((shared_data / "notices/gcn-schema").glob("fermi-*.json"))
    found = [parsing.parse(path.read_bytes()).notice for path in files]
    assert {(notice.mission, notice.event_id) for notice in found} == {("Fermi", "745121685")}
    assert (
        sorted(notice.record_number for notice in found)
        == expected["gcn_schema_events"]["Fermi bn240812094 / 745121685"]["records"]
    )


# ----------------------------------------------------------------------------------- unusual notices are announced


@pytest.mark.parametrize("spelling", ["EARLYWARNING", "EARLY_WARNING", "earlywarning"])
def test_both_spellings_of_early_warning_are_one(spelling):
    assert parse(superevent(alert_type=spelling)).notice.alert_type == "EARLYWARNING"


@pytest.mark.parametrize(
    ("event_id", "test"),
    [("S241102br", False), ("MS241102br", True), ("TS241102br", True), ("M12345", True), ("T12345", True)],
)
def test_the_first_letters_tell_real_from_mock_and_test(event_id, test):
    assert parse(superevent(superevent_id=event_id)).notice.test is test


def test_a_combined_sky_map_is_kept_beside_the_events_own():
    combined = base64.b64encode(skymap_files.blob(order=3)).decode()
    coincidence = {
        "gcn_notice_id": 745121685,
        "ivorn": "ivo://nasa.gsfc.gcn/Fermi#GBM_Gnd_Pos_2024",
        "observatory": "Fermi",
        "search": "GRB",
        "time_difference": 1.7,
        "time_coincidence_far": 1e-7,
        "time_sky_position_coincidence_far": None,
        "combined_skymap": combined,
    }
    parsed = parse(superevent(external_coinc=coincidence))
    found = parsed.notice.coincidence
    assert (found.observatory, found.search, found.gcn_notice_id) == ("Fermi", "GRB", "745121685")
    assert (found.time_difference_s, found.time_coincidence_far_hz) == (1.7, 1e-7)
    assert found.time_sky_coincidence_far_hz is None
    assert parsed.maps[MapRole.COMBINED] == base64.b64decode(combined)
    assert set(parsed.maps) == {MapRole.GW, MapRole.COMBINED}


STRANGE = {
    "instrument K1": {"instruments": ["K1"]},
    "unknown instrument": {"instruments": ["H1", "Z9"]},
    "instruments as one text": {"instruments": "H1,L1"},
    "unknown type": {"alert_type": "NEWKIND"},
    "type absent": {"alert_type": None},
    "unknown group": {"group": "Lensed"},
    "unknown pipeline": {"pipeline": "Aframe"},
    "unknown search": {"search": "SSM"},
    "unknown class": {"classification": {"Axion": 1.0}},
    "partial classes": {"classification": {"BBH": 0.9}},
    "no classes": {"classification": {}},
    "classes null": {"classification": None},
    "classes of the wrong kind": {"classification": [1, 2]},
    "a class that is a text": {"classification": {"BBH": "high", "BNS": 0.1}},
    "properties null": {"properties": None},
    "no map": {"skymap": None},
    "map of the wrong kind": {"skymap": 7},
    "broken base64": {"skymap": "U0lNUExF====="},
    "base64 of no map": {"skymap": "aGVsbG8gd29ybGQ="},
    "urls missing": {"urls": None},
    "rate as a text": {"far": "1e-9"},
    "rate of the wrong kind": {"far": [1]},
    "time unreadable": {"time": "yesterday"},
    "year 1 with a zone": {"time": "0001-01-01T00:00:00+12:00"},
    "event null": {"event": None},
    "event of the wrong kind": {"event": "none"},
    "coincidence empty": {"external_coinc": {}},
    "coincidence of the wrong kind": {"external_coinc": 3},
    "unknown observatory": {"external_coinc": {"observatory": "LHAASO", "combined_skymap": "x"}},
    "lone surrogate": {"pipeline": "\ud800"},
    "NUL": {"pipeline": "a\0b", "superevent_id": "S1\0"},
    "hostile id": {"superevent_id": "S1/../../../../index.php"},
    "long id": {"superevent_id": "S" * 10_000},
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_superevent_is_understood_as_far_as_possible(name):
    notice = parse(superevent(**STRANGE[name])).notice
    assert notice.event_id.startswith("S")
    assert len(notice.event_id) <= 250
    json.dumps([notice.event_id, notice.pipeline, *notice.remarks], ensure_ascii=False).encode()
    assert "\0" not in notice.event_id


@pytest.mark.parametrize(
    "name",
    ["unknown type", "broken base64", "base64 of no map", "time unreadable", "rate of the wrong kind", "event null"],
)
def test_what_is_not_understood_becomes_a_remark(name):
    assert parse(superevent(**STRANGE[name])).notice.remarks


def test_every_field_may_be_absent_but_the_id():
    document = superevent()
    for section in (document, document["event"]):
        for name in list(section):
            if name != "superevent_id":
                rest = copy.deepcopy(document)
                del (rest if section is document else rest["event"])[name]
                assert parse(rest).notice.event_id == "S241102br"
    assert parse({"superevent_id": "S241102br"}).notice.significant is None


def test_a_retraction_knows_nothing_of_the_event(retraction):
    notice = parse(retraction).notice
    assert notice.retraction
    assert notice.significant is notice.classification is notice.time is None
    assert notice.remarks == ()


def test_an_unknown_mission_is_understood_from_its_schema_or_topic():
    document = {"$schema": "https://gcn.nasa.gov/schema/main/gcn/notices/star_lord/guard/alert.schema.json", "id": 17}
    assert parse(document).notice.mission == "Star Lord"
    assert (
        parse({"id": ["a"], "ra": 1, "dec": 2}, topic="gcn.notices.einstein_probe.wxt.alert").notice.mission
        == "Einstein Probe"
    )
    assert parse({"id": ["a"]}).notice.mission == "unknown"


@pytest.mark.parametrize(
    ("error", "radius"), [(0.5, 0.5), ([0.5], 0.5), ([0.2, 0.7], 0.7), ([0.7, 0.2, 80.0], 0.7), ("x", None), (-1, None)]
)
def test_an_error_may_be_a_circle_or_an_ellipse(error, radius):
    assert parse({"id": "a", "ra": 10, "dec": 20, "ra_dec_error": error}).notice.error_deg == radius


def test_half_a_position_is_none_and_a_wrong_one_too():
    assert parse({"id": "a", "ra": 10}).notice.ra_deg is None
    assert parse({"id": "a", "ra": 10, "dec": 95}).notice.dec_deg is None
    assert parse({"id": "a", "ra": -10, "dec": 0}).notice.ra_deg == 350


@pytest.mark.parametrize("document", [{"alert_tense": "test"}, {"alert_tense": "injection"}])
def test_a_tense_tells_tests(document):
    assert parse({"id": "a", **document}).notice.test


def test_a_topic_tells_tests_but_not_by_a_part_of_a_word():
    swift = b"<VOEvent ivorn='ivo://nasa.gsfc.gcn/SWIFT#BAT_GRB_Pos_1-1'/>"
    assert parsing.parse(swift, topic="gcn.classic.voevent.SWIFT_BAT_GRB_POS_TEST").notice.test
    assert not parsing.parse(swift, topic="gcn.latest.voevent.SWIFT_BAT_GRB_POS_ACK").notice.test


# ----------------------------------------------------------------------------------------------------- VOEvents


@pytest.fixture(scope="module")
def bat(shared_data):
    return (shared_data / "notices/swift_bat_type61.xml").read_text()


def test_a_position_without_error_stays(bat):
    notice = parsing.parse(bat.replace("<Error2Radius>0.0500</Error2Radius>", "").encode()).notice
    assert (notice.ra_deg, notice.dec_deg, notice.error_deg, notice.containment) == (330.2169, -9.167, None, None)


@pytest.mark.parametrize(
    ("packet", "instrument", "containment"),
    [
        # Swift and SVOM state 90 %, GBM one sigma without its systematic error: gcn.gsfc.nasa.gov/swift.html, /fermi.html
        (61, "BAT", 0.90), (67, "XRT", 0.90), (81, "UVOT", 0.90), (111, "GBM", 0.68), (112, "GBM", 0.68),
        (121, "LAT", 0.90), (202, "ECLAIRs", 0.90), (209, "MXT", 0.90), (201, "GRM", None),
    ],
)  # fmt: skip
def test_an_error_radius_holds_what_its_mission_says(bat, packet, instrument, containment):
    text = bat.replace('"Packet_Type"  value="61"', f'"Packet_Type" value="{packet}"')
    assert text != bat or packet == 61
    notice = parsing.parse(text.encode()).notice
    assert (notice.instrument, notice.error_deg, notice.containment) == (instrument, 0.05, containment)


def test_a_missing_position_is_none_and_not_zero(bat):
    text = re.sub(r"<Position2D.*?</Position2D>", "", bat, flags=re.DOTALL)
    assert parsing.parse(text.encode()).notice.ra_deg is None
    zero = bat.replace("330.2169</C1>", "0.0</C1>").replace("-9.1670</C2>", "0.0</C2>").replace(">0.0500<", ">0.0<")
    assert parsing.parse(zero.encode()).notice.dec_deg is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('role="observation"', 'role="test"'),
        ('"Test_Submission"          value="false"', '"Test_Submission" value="true"'),
    ],
)
def test_a_test_voevent_is_told(bat, old, new):
    assert old in bat
    assert parsing.parse(bat.replace(old, new).encode()).notice.test


def test_a_retraction_citation_makes_a_retraction(bat):
    citation = "<Citations><EventIVORN cite='retraction'>ivo://x#1</EventIVORN></Citations></voe:VOEvent>"
    notice = parsing.parse(bat.replace("</voe:VOEvent>", citation).encode()).notice
    assert notice.retraction
    assert notice.alert_type == "RETRACTION"


@pytest.mark.parametrize(("written", "magnitude"), [("1695", 16.95), ("16.95", 16.95), (None, None), ("bright", None)])
def test_a_uvot_notice_has_a_magnitude_or_none(bat, written, magnitude):
    param = "" if written is None else f'<Param name="Burst_Mag" value="{written}"/>'
    text = bat.replace('"Packet_Type"  value="61" />', f'"Packet_Type" value="81"/>{param}')
    notice = parsing.parse(text.encode()).notice
    assert (notice.instrument, notice.magnitude) == ("UVOT", magnitude)


def test_a_classic_gbm_voevent_is_a_gbm_notice():
    text = """<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" role="observation" version="2.0"
      ivorn="ivo://nasa.gsfc.gcn/Fermi#GBM_Flt_Pos_2024-08-24T02:14:40.43_745121685_57-430"><What>
      <Param name="Packet_Type" value="111"/><Param name="TrigID" value="745121685"/>
      <Param name="Data_Signif" value="6.1"/><Param name="Data_Timescale" value="2.048"/></What></voe:VOEvent>"""
    notice = parsing.parse(text.encode()).notice
    assert (notice.mission, notice.instrument, notice.subtype) == ("Fermi", "GBM", "FLIGHT_POSITION")
    assert (notice.event_id, notice.rate_snr, notice.duration_trigger_s) == ("745121685", 6.1, 2.048)


def test_xml_and_json_are_told_by_the_bytes_whatever_the_topic(bat):
    assert parsing.parse(bat.encode(), topic="igwn.gwalert").notice.mission == "Swift"
    swift = "gcn.classic.voevent.SWIFT_BAT_GRB_POS_ACK"
    assert parse(superevent(), topic=swift).notice.mission == "LVK"


# ------------------------------------------------------------------------------------------------- refused notices


def nested(depth):
    return b'{"superevent_id": "S1", "x": ' + b"[" * depth + b"]" * depth + b"}"


REFUSED = {
    "empty": b"",
    "white space": b" \n\t",
    "broker error": b"Subscribed topic not available: gcn.notices.x: Broker: Unknown topic or partition",
    "a list": b"[1, 2]",
    "a number": b"17",
    "binary": bytes(range(256)),
    "truncated": b'{"superevent_id": "S1", "event": {',
    "not UTF-8": b'{"superevent_id": "\xff\xfe"}',
    "NaN": b'{"superevent_id": "S1", "event": {"far": NaN}}',
    "Infinity": b'{"superevent_id": "S1", "event": {"far": -Infinity}}',
    "overflow": b'{"superevent_id": "S1", "event": {"far": 1e999}}',
    "5000 digits": b'{"superevent_id": "S1", "x": ' + b"9" * 5000 + b"}",
    "400 digits": b'{"superevent_id": "S1", "x": ' + b"9" * 400 + b"}",
    "65 levels": nested(64),
    "200,000 levels": nested(200_000),
    "above 4 MiB": b'{"superevent_id": "S1", "x": "' + b"a" * 2**22 + b'"}',
    "no id": b'{"alert_type": "INITIAL", "event": null}',
    "id null": b'{"superevent_id": null}',
    "id a number": b'{"superevent_id": 5}',
    "id empty": b'{"superevent_id": " "}',
    "an empty object": b"{}",
    "heartbeat": b'{"$schema": "https://gcn.nasa.gov/schema/main/gcn/heartbeat.schema.json", "alert_datetime": "2024-01-01T00:00:00Z"}',
    "heartbeat with a key more": b'{"$schema": "https://gcn.nasa.gov/schema/v6/gcn/heartbeat.schema.json", "x": 1}',
    "no event to tell": b'{"mission": "Swift"}',
    "html": b"<html><body>502 Bad Gateway</body></html>",
    "XML truncated": b"<VOEvent ivorn='ivo://x#1'><What>",
    "VOEvent without any id": b"<VOEvent><What/></VOEvent>",
    "UTF-16": "<VOEvent ivorn='ivo://x#1'/>".encode("utf-16"),
    "UTF-7": b"<?xml version='1.0' encoding='UTF-7'?><VOEvent ivorn='ivo://x#1'/>",
    "XML of 70 levels": b"<VOEvent ivorn='ivo://x#1'>" + b"<a>" * 70 + b"</a>" * 70 + b"</VOEvent>",
    "XML above 1 MiB": b"<VOEvent ivorn='ivo://x#1'>" + b" " * 2**20 + b"</VOEvent>",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_notice_is_refused_with_a_reason(name):
    with pytest.raises(UnusableData, match=r"\w+") as refusal:
        parsing.parse(REFUSED[name])
    assert len(str(refusal.value)) < 300


def test_63_levels_are_not_too_deep():
    assert parsing.parse(nested(63)).notice.event_id == "S1"


def test_a_heartbeat_is_called_one():
    for payload in (REFUSED["heartbeat"], REFUSED["heartbeat with a key more"]):
        with pytest.raises(UnusableData, match="heartbeat"):
            parsing.parse(payload)


@pytest.mark.parametrize("name", hostile.xml_attacks(Path("/canary")))
def test_an_attack_by_xml_reaches_neither_file_nor_network(name, tmp_path):
    canary = tmp_path / "canary"
    canary.write_text("secret")
    payload = hostile.xml_attacks(canary)[name].encode()
    start = time.thread_time()
    try:
        found = repr(parsing.parse(payload))
    except UnusableData as refusal:
        found = str(refusal)
    assert time.thread_time() - start < 0.05
    assert "secret" not in found
    if name != "inclusion":
        with pytest.raises(UnusableData):
            parsing.parse(payload)


# ------------------------------------------------------------------------------------------------------------ fuzz


def mutate(payload: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut, double, swap or replace bytes at random."""
    data = bytearray(payload)
    kind = rng.integers(6)
    where, size = int(rng.integers(len(data))), int(rng.integers(1, 40))
    if kind == 0:
        for place in rng.integers(len(data), size=rng.integers(1, 9)):
            data[place] = rng.integers(256)
    elif kind == 1:
        del data[where:]
    elif kind == 2:
        del data[where : where + size]
    elif kind == 3:
        data[where:where] = data[where : where + size]
    elif kind == 4:
        token = [b"null", b"[]", b"{}", b"-1", b"1e400", b'"\\ud800"', b"<a>", b"&x;", b"\x00", b"true"][
            rng.integers(10)
        ]
        data[where : where + size] = token
    else:
        other = int(rng.integers(len(data)))
        data[where : where + size], data[other : other + size] = data[other : other + size], data[where : where + size]
    return bytes(data)


def retype(document, rng):
    """Replace one random value by one of another type."""
    holders = [document]
    for holder in holders:
        holders += [value for value in holder.values() if isinstance(value, dict)]
    holder = holders[rng.integers(len(holders))]
    if holder:
        key = list(holder)[rng.integers(len(holder))]
        holder[key] = [None, [], {}, -1, 1e300, "x", True, "\ud800", [[1]], {"a": {"b": None}}][rng.integers(10)]
    return document


def survives(payload: bytes) -> bool:
    try:
        parsed = parsing.parse(payload)
    except UnusableData:
        return False
    return bool(parsed.notice.event_id)


def test_mutated_json_raises_nothing_else(rng):
    payloads = [
        json.dumps(superevent()).encode(),
        json.dumps(
            {
                "id": ["a"],
                "mission": "Fermi",
                "ra": 1,
                "dec": 2,
                "ra_dec_error": [1, 2, 3],
                "trigger_time": "2024-01-01T00:00:00",
                "classification": {"GRB": 1},
            }
        ).encode(),
    ]
    understood = sum(survives(mutate(payloads[i % 2], rng)) for i in range(600))
    understood += sum(survives(json.dumps(retype(copy.deepcopy(superevent()), rng)).encode()) for _ in range(300))
    assert understood > 200


def test_mutated_xml_raises_nothing_else(shared_data, rng):
    payloads = [(shared_data / f"notices/{name}.xml").read_bytes() for name in GRB]
    understood = sum(survives(mutate(payloads[i % 3], rng)) for i in range(600))
    assert understood > 20
