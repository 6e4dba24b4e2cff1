"""Notices that failed in real use: what they say, and what each policy makes of them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from support import alerts as made_up

from tasks import constants, policies
from tasks.io.notices import parsing
from tasks.io.skymaps import sky_map_files
from tasks.records import Audience, Kind, PlanMode, missions
from tasks.science.alerts import assembly
from tasks.science.alerts.decisions import decide


@pytest.fixture
def field(shared_data):
    return shared_data / "field"


def understood(payload: bytes):
    digest = hashlib.sha256(payload).hexdigest()
    return assembly.assemble(parsing.parse(payload), sha256=digest, read=sky_map_files.read)


def read(field, name):
    return understood((field / name).read_bytes()).notice


def test_the_revisions_of_a_neutrino_are_one_event(field):
    """Kind: ids taken from the end of an ivorn, which holds the revision."""
    first, second = (read(field, f"icecube_gold_rev{number}.xml") for number in (0, 1))

    assert first.mission == second.mission == "IceCube"
    assert first.event_id == second.event_id == "132910_57145925"
    assert [first.alert_type, second.alert_type] == ["INITIAL", "UPDATE"]
    assert (first.ra_deg, first.dec_deg, first.error_deg, first.containment) == (226.14, 10.77, 0.4, 0.9)
    assert (second.ra_deg, second.dec_deg, second.error_deg) == (225.7899, 10.47, 1.185)
    assert first.far_hz == pytest.approx(0.6770 / constants.JULIAN_YEAR_S)
    assert first.details["signalness"] == "0.6716"


def test_a_retraction_by_parameter_is_one_and_an_internal_test_a_test(field):
    payload = (field / "icecube_gold_rev1.xml").read_bytes()
    retracted = payload.replace(b'"Retraction"     value="false"', b'"Retraction"     value="true"')
    test = payload.replace(b'"InternalTest"   value="false"', b'"InternalTest"   value="true"')

    assert retracted != payload != test
    assert understood(retracted).notice.alert_type == "RETRACTION"
    assert understood(retracted).notice.retraction
    assert understood(test).notice.test


@pytest.mark.parametrize(("given", "event_id"), [(b"0", "GBM_Flt_Pos_2019-12-14T16:14:31.55_598032876_45-508")])
def test_an_id_of_zero_is_none(field, given, event_id):
    payload = (field / "gbm_tgf_noise.xml").read_bytes()
    zero = payload.replace(b'"TrigID"         value="598032876"', b'"TrigID"         value="' + given + b'"')
    assert zero != payload
    assert understood(zero).notice.event_id == event_id
    unnamed = (
        b'{"mission": "Fermi", "id": ["0", ""], "event_name": "GRB 260101A", "trigger_time": "2026-01-01T00:00:00Z"}'
    )
    assert understood(unnamed).notice.event_id == "GRB 260101A"


def test_voevents_of_gravitational_waves_are_those_of_their_graceid(field):
    initial = read(field, "lvc_voevent_S190425z_initial.xml")

    assert (initial.kind, initial.mission, initial.event_id) == (Kind.GW, "LVK", "S190425z")
    assert (initial.alert_type, initial.significant, initial.test) == ("INITIAL", True, False)
    assert initial.classification["BNS"] == pytest.approx(0.999402567114)
    assert initial.properties == {"HasNS": 1.0, "HasRemnant": 1.0}
    assert initial.instruments == ("L1", "V1")
    assert (initial.group, initial.pipeline, initial.search) == ("CBC", "gstlal", "AllSky")
    assert initial.far_hz == pytest.approx(4.53764787126e-13)
    assert initial.time == datetime(2019, 4, 25, 8, 18, 5, 17147, tzinfo=UTC)
    assert initial.urls["gracedb"] == "https://gracedb.ligo.org/superevents/S190425z/view/"


def test_a_voevent_and_its_retraction_are_of_one_event(field):
    first, last = (read(field, f"lvc_voevent_MS181101ab_{part}.xml") for part in ("prelim", "retraction"))

    assert first.event_id == last.event_id == "MS181101ab"
    assert first.test and last.test  # noqa: PT018 - one fact of both
    assert [first.retraction, last.retraction] == [False, True]
    assert [first.kind, last.kind] == [Kind.GW, Kind.GW]


@pytest.mark.parametrize("policy", policies.names())
@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("gbm_tgf_noise.xml", {"TGF": 1.0}),
        ("gbm_solar_flare_small_error.xml", {"SOLAR_FLARE": 0.96}),
        ("gbm_json_solar_flare.json", {"SOLAR_FLARE": 0.96, "GRB": 0.02}),
        ("gbm_json_tgf.json", {"TGF": 1.0}),
        ("swift_bat_not_a_grb.xml", None),
    ],
)
def test_what_the_mission_takes_for_no_burst_is_announced_as_none(field, name, classes, policy):
    """Kind: fields by which a sender says what it thinks it is."""
    alert = understood((field / name).read_bytes())
    found = decide(alert, policies.load(policy))

    assert alert.notice.classification == classes
    assert (found.action, found.plan, found.audience) == ("NO", PlanMode.NO, Audience.LOW_SIGNIFICANCE)


def test_a_class_of_burst_is_still_a_burst(field):
    payload = (field / "gbm_solar_flare_small_error.xml").read_bytes()
    burst = payload.replace(b'"Most_Likely_Index"     value="8"', b'"Most_Likely_Index"     value="4"')
    found = decide(understood(burst), policies.load("sevendt"))

    assert understood(burst).notice.classification == {"GRB": 0.96}
    assert (found.plan, found.audience) == (PlanMode.BUTTON, Audience.GRB)


@pytest.mark.parametrize("policy", policies.names())
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dsa110_frb.subsequent.json", "frb"),
        ("dsa110_frb.detection.json", "frb"),
        ("chime_frb.subsequent.json", "frb"),
        ("boom_alert.json", "optical"),
    ],
)
def test_only_kinds_that_a_policy_names_start_telescopes(field, name, kind, policy):
    """Kind: a small error circle was enough, whatever it is about."""
    alert = understood((field / name).read_bytes())
    found = decide(alert, policies.load(policy))

    assert missions.transient_of(alert.notice) == kind
    assert (found.action, found.mention) == ("NO", False)
    assert found.plan is not PlanMode.AUTOMATIC


@pytest.mark.parametrize(
    ("ivorn", "mission", "kind"),
    [
        ("ivo://gaia.cam.uk/alerts#Gaia19abc", "Gaia", "optical"),
        ("ivo://org.moa/microlensing#MOA-2019-BLG-1", "MOA", "optical"),
        ("ivo://nasa.gsfc.gcn/SNEWS#Event1", "SNEWS", "supernova neutrino"),
        ("ivo://some.observatory/transients#1", "transients", "unknown"),
    ],
)
def test_other_voevents_start_no_telescope_however_small_their_error(field, ivorn, mission, kind):
    payload = (field / "swift_bat_not_a_grb.xml").read_bytes()
    other = payload.replace(b"ivo://nasa.gsfc.gcn/SWIFT#BAT_GRB_Pos_1123129-023", ivorn.encode())
    other = other.replace(b'"Def_NOT_a_GRB"            value="true"', b'"Def_NOT_a_GRB"            value="false"')
    alert = understood(other)
    found = decide(alert, policies.load("sevendt"))

    assert (alert.notice.mission, missions.transient_of(alert.notice)) == (mission, kind)
    assert alert.notice.error_deg == 0.05
    assert found.plan is PlanMode.BUTTON
    assert found.action != "GO"


def test_an_archival_notice_starts_nothing(field):
    """Kind: the time since the event, not since the notice; tenses other than the present."""
    alert = understood((field / "ep_archival_six_months_later.json").read_bytes())
    for policy in policies.names():
        found = decide(alert, policies.load(policy), now=alert.notice.time_created)
        assert (found.action, found.mention) == ("NO", False)
        assert found.plan is not PlanMode.AUTOMATIC


@pytest.mark.parametrize("clock", [True, False])
def test_an_update_two_months_after_the_event_starts_nothing_by_itself(clock):
    late = made_up.gw(
        alert_type="UPDATE", minutes=60 * 24 * 60, sky_map=made_up.sky_map(area90_deg2=50, distance_mpc=80)
    )
    now = late.notice.time_created + timedelta(minutes=1) if clock else None
    found = decide(late, policies.load("sevendt"), now=now)

    assert (found.plan, found.mention) == (PlanMode.BUTTON, False)
    assert "old" in found.summary
    assert "168" in found.reasons[-1 - clock].condition


def test_a_search_on_another_event_that_finds_nothing_is_not_announced_as_a_burst(field):
    payload = (field / "icecube_lvk_for_S260115cx.json").read_bytes()
    nothing = payload.replace(b'"pval_generic": 0.0004', b'"pval_generic": 0.4')
    chances = [decide(understood(each), policies.load("sevendt")) for each in (payload, nothing)]

    assert [each.audience for each in chances] == [Audience.GRB, Audience.LOW_SIGNIFICANCE]
    assert understood(payload).notice.event_id == "S260115cx"


def test_an_error_box_becomes_the_circle_through_its_farthest_corner(field):
    """The oracle is the formula of the great circle on unit vectors; the code uses astropy's."""
    found = read(field, "maxi_gsc.unknown.rectangle.json")
    corners = np.radians([[345.72, 19.547], [345.464, 19.29], [347.309, 17.634], [347.566, 17.889]])
    ra, dec = np.radians([found.ra_deg, found.dec_deg])

    def vector(a, d):
        return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)

    apart = np.degrees(np.arccos(vector(*corners.T) @ vector(ra, dec)))
    assert found.error_deg == pytest.approx(apart.max(), abs=1e-6)
    assert found.containment == 0.9


def test_an_error_of_zero_is_taken_as_one_arcsec_and_said(field):
    payload = (field / "ep_archival_six_months_later.json").read_bytes()
    zero = understood(payload.replace(b'"ra_dec_error": 0.02', b'"ra_dec_error": 0')).notice
    assert zero.error_deg == pytest.approx(1 / 3600)
    assert any("1 arcsec" in remark for remark in zero.remarks)
