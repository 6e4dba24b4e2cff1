"""GCN's text notices: the same event as its VOEvent, whichever came first."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from astropy.time import Time

from tasks.errors import UnusableData
from tasks.io.notices import parsing

# written here in the form of AMON's texts, with the facts of the VOEvent of 2019-07-30
NEUTRINO = """TITLE:            GCN/AMON NOTICE
NOTICE_DATE:      Tue 30 Jul 19 20:51:29 UT
NOTICE_TYPE:      ICECUBE Astrotrack Gold
STREAM:           24
RUN_NUM:          132910
EVENT_NUM:        57145925
SRC_RA:           225.7900d {+15h 03m 10s} (J2000),
                  226.0000d {+15h 04m 00s} (current),
SRC_DEC:          +10.4700d {+10d 28' 12"} (J2000),
SRC_ERROR:        24.00 [arcmin radius, stat-only, 90% containment]
SRC_ERROR50:      12.00 [arcmin radius, stat-only, 50% containment]
DISCOVERY_DATE:   18694 TJD;   211 DOY;   19/07/30 (yy/mm/dd)
DISCOVERY_TIME:   75041 SOD {20:50:41.31} UT
REVISION:         0
ENERGY:           2.9881e+02 [TeV]
SIGNALNESS:       6.7163e-01 [dn]
FAR:              0.6770 [yr^-1]
COMMENTS:         IceCube Gold event.
"""
FLIGHT = """TITLE:            GCN/FERMI NOTICE
NOTICE_DATE:      Sun 09 Oct 22 13:17:31 UT
NOTICE_TYPE:      Fermi-GBM Flight Position
RECORD_NUM:       44
TRIGGER_NUM:      687014224
GRB_RA:           290.900d {+19h 23m 36s} (J2000),
GRB_DEC:          +22.300d {+22d 18' 00"} (J2000),
GRB_ERROR:        2.00 [deg radius, statistical plus systematic]
DATA_SIGNIF:      35.30 [sigma]
GRB_DATE:         19861 TJD;   282 DOY;   22/10/09
GRB_TIME:         47819.98 SOD {13:16:59.98} UT
MOST_LIKELY:      96% GRB
2nd_MOST_LIKELY:  3% GENERIC_SGR
"""


def parsed(text: str, topic: str | None = None):
    return parsing.parse(text.encode(), topic=topic).notice


def test_a_neutrino_by_text_is_the_event_of_its_voevent(shared_data: Path) -> None:
    """Kind: one event by several roads."""
    by_text = parsed(NEUTRINO, "gcn.classic.text.ICECUBE_ASTROTRACK_GOLD")
    by_xml = parsing.parse((shared_data / "field" / "icecube_gold_rev0.xml").read_bytes()).notice
    same = ("mission", "event_id", "ids", "alert_type", "time", "kind", "test", "retraction", "instrument", "subtype")
    assert {name: getattr(by_text, name) for name in same} == {name: getattr(by_xml, name) for name in same}
    assert by_text.error_deg == pytest.approx(by_xml.error_deg)
    assert by_text.containment == by_xml.containment == 0.9
    assert by_text.far_hz == pytest.approx(by_xml.far_hz)
    assert (by_text.ra_deg, by_text.dec_deg) == (225.79, 10.47)
    assert float(by_text.details["signalness"]) == pytest.approx(float(by_xml.details["signalness"]), abs=1e-4)


def test_a_revision_by_text_is_an_update() -> None:
    revised = parsed(NEUTRINO.replace("REVISION:         0", "REVISION:         1"))
    assert (revised.alert_type, revised.event_id) == ("UPDATE", "132910_57145925")


def test_a_burst_by_text_has_its_class_position_and_time() -> None:
    notice = parsed(FLIGHT)
    assert (notice.mission, notice.event_id, notice.instrument, notice.subtype) == (
        "Fermi", "687014224", "GBM", "FLIGHT_POSITION",
    )  # fmt: skip
    assert notice.classification == {"GRB": 0.96, "GENERIC_SGR": 0.03}
    assert (notice.ra_deg, notice.dec_deg, notice.error_deg, notice.containment) == (290.9, 22.3, 2.0, 0.68)
    assert notice.time_created == datetime(2022, 10, 9, 13, 17, 31, tzinfo=UTC)
    # the truncated Julian day and the seconds of the day, by astropy
    by_day = Time(19861 + 2440000.5, 47819.98 / 86400, format="jd").to_datetime(UTC)
    assert abs((notice.time - by_day).total_seconds()) < 0.01


@pytest.mark.parametrize(
    ("old", "new", "field", "right"),
    [
        ("{13:16:59.98}", "", "time", datetime(2022, 10, 9, 13, 16, 59, 980000, tzinfo=UTC)),
        ("47819.98 SOD {13:16:59.98}", "9e300 SOD", "time", None),
        ("22/10/09", "22/13/09", "time", None),
        ("290.900d", "Undefined", "ra_deg", None),
        ("290.900d", "890.900d", "ra_deg", None),
        ("2.00 [deg", "120.0 [arcsec", "error_deg", 120 / 3600),
        ("2.00 [deg", "0.00 [deg", "error_deg", 1 / 3600),
        ("2.00 [deg", "2.00 [parsec", "error_deg", None),
        ("Flight Position", "Final Position", "subtype", "FINAL_POSITION"),
        ("Flight Position", "Flight Position (Test)", "test", True),
        ("96% GRB", "96% SOLAR_FLARE", "classification", {"SOLAR_FLARE": 0.96, "GENERIC_SGR": 0.03}),
        ("GCN/FERMI", "GCN/MAXI", "mission", "MAXI"),
    ],
)
def test_a_field_of_another_form_is_read_or_missing(old: str, new: str, field: str, right: object) -> None:
    found = getattr(parsed(FLIGHT.replace(old, new)), field)
    assert found == (pytest.approx(right) if isinstance(right, float) else right)


def test_a_position_of_nothing_is_none() -> None:
    """Fermi's alert has no position yet and writes 0, 0."""
    text = FLIGHT.replace("290.900d", "0.000d").replace("+22.300d", "+0.000d").replace("2.00 [deg", "0.00 [deg")
    notice = parsed(text)
    assert (notice.ra_deg, notice.dec_deg, notice.error_deg, notice.containment) == (None, None, None, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FLIGHT.replace("TRIGGER_NUM", "NUMBER"), "neither TRIGGER_NUM"),
        (FLIGHT.replace("687014224", "0"), "neither TRIGGER_NUM"),
        (FLIGHT.replace("NOTICE_TYPE", "TYPE"), "without NOTICE_TYPE"),
        (FLIGHT + "X" * 70_000, "at most 65536"),
    ],
)
def test_a_text_that_names_no_event_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UnusableData, match=reason):
        parsed(text)


def test_a_text_in_another_encoding_is_refused() -> None:
    with pytest.raises(UnusableData, match="UTF-8"):
        parsing.parse(FLIGHT.encode() + b"\xff")
