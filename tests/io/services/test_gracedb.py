"""GraceDB's interface, against a test server that follows its documentation."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from support import gracedb, notice_bytes

from tasks.errors import Unavailable, UnusableData
from tasks.io.notices import parsing
from tasks.io.services.gracedb import GraceDb, versions
from tasks.io.skymaps import sky_map_files
from tasks.records import MapRole
from tasks.records.backfills import Span
from tasks.science.skymaps import credible_regions as maps

JANUARY = Span(since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2026, 1, 31, tzinfo=UTC))


@pytest.fixture
def site():
    with gracedb.server() as held:
        yield held


def test_all_pages_of_a_span_are_listed_and_no_more(site):
    for day in range(1, 8):
        site.add(f"S2601{day:02d}a", created=f"2026-01-{day:02d} 04:00:00 UTC")
    site.add("S260301a", created="2026-03-01 04:00:00 UTC")

    found = [event.event_id for event in GraceDb(site.url).created(JANUARY)]

    assert found == [f"S2601{day:02d}a" for day in range(1, 8)]
    assert len(site.asked) == 3, "three events to a page"


def test_notices_come_as_sent_in_every_version(site):
    first, second = notice_bytes.gw(minutes=1), notice_bytes.gw(minutes=9)
    name = "S260115ab-preliminary.json"
    site.add(
        "S260115ab",
        created="2026-01-15 22:30:40 UTC",
        files={name: second, f"{name},0": first, f"{name},1": second, "em_bright.json": b"{}"},
    )
    [event] = GraceDb(site.url).created(JANUARY)
    assert list(GraceDb(site.url).notices(event)) == [first, second]


def test_names_of_notices_are_told_from_other_files():
    files = dict.fromkeys(
        ["S1a-update.json", "S1a-retraction.json,0", "p_astro.json", "S1a-1-Preliminary.xml", "S1ab-x.json"]
    )
    assert versions("S1a", files) == ("S1a-retraction.json,0", "S1a-update.json")


def test_an_event_without_notices_makes_one_of_its_map_and_record(site, shared_data):
    sent = json.loads((shared_data / "notices" / "S241102br-update.json").read_bytes())
    fits = base64.b64decode(sent["event"]["skymap"])
    site.add(
        "S241102br",
        created="2026-01-02 12:41:20 UTC",
        t_0=1414586476.788,  # 2024-11-02T12:40:58.788 by GPS, 18 leap seconds
        labels=["ADVOK", "GCN_PRELIM_SENT"],
        files={
            "bayestar.multiorder.fits": fits,
            "gstlal.p_astro.json": json.dumps(sent["event"]["classification"]).encode(),
            "em_bright.json": json.dumps(sent["event"]["properties"]).encode(),
        },
    )
    site.labels["S241102br"] = [{"name": "ADVOK", "created": "2026-01-02 14:00:00 UTC"}]
    server = GraceDb(site.url)
    [event] = server.created(JANUARY)
    [payload] = server.notices(event)

    made = parsing.parse(payload)
    assert made.notice.alert_type == "INITIAL"
    assert made.notice.time == datetime(2024, 11, 2, 12, 40, 58, 788000, tzinfo=UTC)
    assert made.notice.time_created == datetime(2026, 1, 2, 14, tzinfo=UTC)
    assert made.notice.significant
    assert made.notice.classification == sent["event"]["classification"]
    assert made.notice.instruments == ("H1", "L1")
    summary = maps.summary(sky_map_files.read(made.maps[MapRole.GW]), MapRole.GW)
    assert summary.area90_deg2 == pytest.approx(28.3709, rel=1e-5)
    assert list(server.notices(event)) == [payload], "the same files make the same bytes"


def test_an_event_that_was_withdrawn_makes_a_retraction_of_the_time_of_its_label(site):
    site.add("S260103c", created="2026-01-03 01:00:00 UTC", labels=["ADVNO"])
    site.labels["S260103c"] = [{"name": "ADVNO", "created": "2026-01-03 03:00:00 UTC"}, {"name": "X", "created": "?"}]
    server = GraceDb(site.url)
    [event] = server.created(JANUARY)
    [payload] = server.notices(event)
    made = parsing.parse(payload).notice
    assert made.retraction
    assert made.time_created == datetime(2026, 1, 3, 3, tzinfo=UTC)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again_later(site, status):
    site.faults = [status]
    with pytest.raises(Unavailable, match=str(status)):
        list(GraceDb(site.url).created(JANUARY))


def test_a_refusal_and_an_answer_that_is_no_listing_are_said(site):
    site.faults = [403]
    with pytest.raises(UnusableData, match="refuses: 403"):
        list(GraceDb(site.url).created(JANUARY))
    site.faults = [200]
    with pytest.raises(UnusableData, match="no JSON"):
        list(GraceDb(site.url).created(JANUARY))


def test_nobody_there_is_unavailable():
    with pytest.raises(Unavailable, match="does not answer"):
        list(GraceDb("http://127.0.0.1:9/api").created(JANUARY))
