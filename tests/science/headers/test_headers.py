"""Every rewrite of a raw header, and every reason to refuse one."""

from __future__ import annotations

import csv
import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest
from astropy.coordinates import Angle
from astropy.time import Time

from tasks import telescopes
from tasks.errors import UnusableData
from tasks.records import FrameType, QaBit
from tasks.science.astrometry import pointing_search
from tasks.science.headers import raw_headers

LIGHT = {
    "IMAGETYP": "LIGHT",
    "OBJECT": "T00001",
    "FILTER": "r",
    "EXPTIME": 100.0,
    "DATE-OBS": "2026-01-16T04:34:13.250",
    "RA": 110.0,
    "DEC": -30.0,
    "GAIN": 2750,
    "EGAIN": 0.256190478801727,
    "XBINNING": 1,
    "CCD-TEMP": -10.0,
}


def normalised(name="a.fits", table=(), **cards):
    return raw_headers.normalise({**LIGHT, **cards}, name=name, unit="7DT01", table=table)


def parsed(name="a.fits", without=(), **cards):
    raw = {key: value for key, value in {**LIGHT, **cards}.items() if key not in without}
    header, changes = raw_headers.normalise(raw, name=name, unit="7DT01")
    return raw_headers.parse(header, path=Path(name), unit="7DT01", shape=(4, 6), changes=changes)


TYPE_ROWS = [
    *[(word, FrameType.LIGHT) for word in ("Light", "LIGHT", "Light Frame", "OBJECT", "object")],
    *[(word, FrameType.BIAS) for word in ("Bias", "BIAS", "zero", "Bias Frame")],
    *[(word, FrameType.DARK) for word in ("Dark", "DARK", "Dark Frame")],
    *[(word, FrameType.FLAT) for word in ("Flat", "FLAT", "Flat Field", "FLAT ")],
]


@pytest.mark.parametrize(("word", "type_"), TYPE_ROWS)
def test_every_word_for_a_type_is_known(word, type_):
    assert parsed(IMAGETYP=word).type is type_


FILTER_ROWS = [
    *[(word, "U") for word in ("U101", "1", 1)],
    *[(word, "B") for word in ("B102", "2", 2)],
    *[(word, "V") for word in ("V103", "3", 3)],
    *[(word, "R") for word in ("R104", "4", 4, "0", 0)],
    *[(word, "I") for word in ("I105", "5", 5)],
    ("Y", "y"),
    ("Z", "z"),
    *[(f"sloan_{band}", band) for band in "griz"],
    *[(word, word.strip()) for word in ("r", "i", "m425", "m425w", "m875", "R", " g ")],
]


@pytest.mark.parametrize(("word", "name"), FILTER_ROWS)
def test_every_word_for_a_filter_is_known(word, name):
    assert parsed(FILTER=word).filter == name


def test_filter_zero_comes_with_a_warning():
    _, changes = normalised(FILTER=0)
    assert any("warning" in change for change in changes)
    _, changes = normalised(FILTER=4)
    assert not any("warning" in change for change in changes)


OBJECT_ROWS = [
    ("ngc337", "NGC0337"),
    ("NGC 5350", "NGC5350"),
    ("ngc0042", "NGC0042"),
    ("cosmos", "COSMOS"),
    ("COSMOS_1", "COSMOS_1"),
    ("S240422ed", "S240422ed"),
    ("MS230101a", "MS230101a"),
    ("SDSSJ1430", "SDSSJ1430+2303"),
    ("sdssj1430", "SDSSJ1430+2303"),
    ("T00001", "T00001"),
]


@pytest.mark.parametrize(("word", "name"), OBJECT_ROWS)
def test_objects_get_one_spelling(word, name):
    assert parsed(OBJECT=word).object == name


@pytest.mark.parametrize("key", ["TIME-OBS", "UT"])
def test_a_date_without_time_is_joined_with_it(key):
    frame = parsed(**{"DATE-OBS": "2013-08-03", key: "19:03:18.5"})
    assert frame.date_obs == datetime(2013, 8, 3, 19, 3, 18, 500000, tzinfo=UTC)


def test_julian_dates_are_those_of_astropy():
    header, _ = normalised()
    time = Time(LIGHT["DATE-OBS"], scale="utc")
    assert header["JD"] == pytest.approx(time.jd, abs=1e-8)
    assert header["MJD"] == pytest.approx(time.mjd, abs=1e-8)
    assert header["OBS"] == "7DT01"


def test_a_users_table_is_applied_last_and_to_exact_values_only():
    rows = [
        raw_headers.Rewrite(key="OBJECT", value="NGC0337", new="FIELD1"),
        raw_headers.Rewrite(key="FILTER", value="R", new="r"),
    ]
    header, changes = normalised(OBJECT="ngc337", FILTER="r ", table=rows)
    assert header["OBJECT"] == "FIELD1"
    assert header["FILTER"] == "r"
    assert "OBJECT: NGC0337 -> FIELD1" in changes


def test_changes_are_told_and_the_raw_cards_stay():
    raw = {**LIGHT, "EXPTIME": "6,4E-05"}
    before = dict(raw)
    _, changes = raw_headers.normalise(raw, name="a.fits", unit="7DT01")
    assert raw == before
    assert "EXPTIME: 6,4E-05 -> 6.4e-05" in changes
    assert "IMAGETYP: LIGHT -> object" in changes


def test_normalising_twice_changes_nothing_more():
    header, _ = normalised(OBJECT="ngc337", FILTER="sloan_r", EXPTIME="1,5")
    again, changes = raw_headers.normalise(header, name="a.fits", unit="7DT01")
    assert again == header
    assert changes == ()


def test_a_decimal_comma_is_a_point():
    assert parsed(EXPTIME="6,4E-05").exposure_s == 6.4e-05
    assert parsed(RA="110,5").ra_deg == 110.5


@pytest.mark.parametrize("name", ["bias_01.fits.gz", "Bias-0001.fits", "zero_1.fits"])
def test_without_imagetyp_the_name_tells_the_type(name):
    assert parsed(name, without=("IMAGETYP",)).type is FrameType.BIAS


@pytest.mark.parametrize("name", ["biased.fits", "T00001_dark.fits", "x.fits"])
def test_a_name_that_tells_nothing_leaves_the_type_unknown(name):
    with pytest.raises(UnusableData, match="IMAGETYP is missing"):
        parsed(name, without=("IMAGETYP",))


@pytest.mark.parametrize(
    ("cards", "without", "words"),
    [
        ({"IMAGETYP": "Tricolor"}, (), "IMAGETYP is 'Tricolor'"),
        ({}, ("FILTER",), "FILTER is missing"),
        ({"FILTER": "../r"}, (), "filter name '../r'"),
        ({}, ("EXPTIME",), "EXPTIME is 'missing'"),
        ({"EXPTIME": "long"}, (), "EXPTIME is 'long'"),
        ({"EXPTIME": -1.0}, (), "EXPTIME is -1.0"),
        ({"EXPTIME": 0.0}, (), "EXPTIME is 0.0"),
        ({"EXPTIME": 1e9}, (), "EXPTIME is 1000000000.0"),
        ({"EXPTIME": True}, (), "EXPTIME is True"),
        ({}, ("DATE-OBS",), "DATE-OBS is ''"),
        ({"DATE-OBS": "2026-01-16"}, (), "none of TIME-OBS, UT"),
        ({"DATE-OBS": "2026-13-16T00:00:00"}, (), "allowed: YYYY-MM-DD"),
        ({"DATE-OBS": "0001-01-01T00:00:00+20:00"}, (), "beyond the calendar"),
    ],
)
def test_what_cannot_be_known_is_refused_with_the_reason(cards, without, words):
    with pytest.raises(UnusableData, match=words):
        parsed(without=without, **cards)


def test_a_bias_needs_neither_filter_nor_exposure_nor_position():
    frame = parsed(IMAGETYP="BIAS", without=("FILTER", "EXPTIME", "RA", "DEC", "OBJECT"))
    assert (frame.filter, frame.exposure_s, frame.ra_deg, frame.object) == ("", 0.0, None, "")


@pytest.mark.parametrize("bad", ["", "unknown", float("nan"), float("inf"), 999.0, True])
def test_a_position_that_is_none_falls_back_on_the_sexagesimal_cards(bad):
    frame = parsed(RA=bad, DEC=bad, OBJCTRA="07 20 00.5", OBJCTDEC="-30 15 36.0")
    assert frame.ra_deg == pytest.approx(Angle("07h20m00.5s").deg)
    assert frame.dec_deg == pytest.approx(-30.26)


def test_text_positions_are_read():
    frame = parsed(RA="07:20:00.0", DEC="-00:30:00")
    assert frame.ra_deg == pytest.approx(110.0)
    assert frame.dec_deg == pytest.approx(-0.5)
    assert parsed(RA="110.25", DEC="-30.5").dec_deg == -30.5
    assert parsed(RA="07:61:00", DEC="nowhere").ra_deg is None


def test_gain_setting_and_gain_are_told_apart():
    frame = parsed()
    assert frame.gain_setting == 2750
    assert frame.egain == pytest.approx(0.25619, abs=1e-5)
    assert parsed(EGAIN=0.0).egain is None
    assert parsed(GAIN="high").gain_setting is None


def test_temperature_and_binning_have_their_fallbacks():
    assert parsed(without=("CCD-TEMP",), **{"SET-TEMP": -9.5}).temperature_c == -9.5
    assert parsed(without=("XBINNING",)).binning == 1
    assert parsed(XBINNING=2).binning == 2


def test_all_production_headers_are_understood(shared_data):
    with (shared_data / "sevendt" / "production_headers_500.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 500
    for row in rows:
        cards = {
            "OBJECT": row["object"],
            "FILTER": row["filter"],
            "DATE-OBS": row["date-obs"],
            "GAIN": int(row["gain"]),
        }
        frame = parsed(**cards, EXPTIME=float(row["exptime"]), EGAIN=float(row["egain"]))
        assert frame.filter == row["filter"]
        assert frame.object == row["object"].upper()
        if row["jd"]:
            assert raw_headers.julian_date(frame.date_obs) == pytest.approx(float(row["jd"]), abs=2e-6)


CAMERA = telescopes.load("7DT").camera
OPTICS = {"XPIXSZ": 3.76, "FOCALLEN": 1537.0}


@pytest.mark.parametrize(
    ("cards", "doubts"),
    [
        ({}, QaBit(0)),
        ({"EGAIN": 0.259}, QaBit(0)),
        ({"EGAIN": 0.78}, QaBit.GAIN_DISAGREES),
        ({"EGAIN": 0.779809474945068, "GAIN": 0}, QaBit(0)),
        ({"FOCALLEN": 1450.0}, QaBit.SCALE_DISAGREES),
        ({"XPIXSZ": 7.52}, QaBit.SCALE_DISAGREES),
        ({"XPIXSZ": 7.52, "XBINNING": 2}, QaBit(0)),
        ({"XPIXSZ": 3.76, "XBINNING": 2}, QaBit(0)),
        ({"FOCALLEN": "long", "EGAIN": "much"}, QaBit(0)),
    ],
)
def test_a_header_that_disagrees_with_the_camera_by_more_than_2_percent_is_doubted(cards, doubts):
    frame = raw_headers.compared(parsed(**cards), {**OPTICS, **cards}, CAMERA)
    assert QaBit(frame.qa) == doubts
    assert len(frame.doubts) == doubts.bit_count()


@pytest.mark.parametrize("binning", [1, 2])
def test_a_frame_has_the_pixel_scale_of_its_telescopes_file(binning):
    camera = dataclasses.replace(CAMERA, pixel_scale_arcsec=0.7)
    frame = raw_headers.compared(parsed(XBINNING=binning), {}, camera)
    assert pointing_search.scale_of(frame) == pytest.approx(0.7 * binning)


def test_a_frame_of_a_camera_without_pixel_scale_is_refused():
    frame = raw_headers.compared(parsed(), {}, dataclasses.replace(CAMERA, pixel_scale_arcsec=None))
    with pytest.raises(UnusableData, match="pixel_scale_arcsec"):
        pointing_search.scale_of(frame)


def test_a_gain_that_the_header_lacks_is_the_cameras_at_its_setting():
    assert raw_headers.compared(parsed(without=("EGAIN",)), {}, CAMERA).egain == pytest.approx(0.25619, abs=1e-5)
    assert raw_headers.compared(parsed(without=("EGAIN",), GAIN=0), {}, CAMERA).egain == pytest.approx(
        0.77981, abs=1e-5
    )
    assert raw_headers.compared(parsed(without=("EGAIN", "GAIN")), {}, CAMERA).egain is None


def test_a_filter_that_the_telescope_does_not_have_is_refused_by_name():
    known = telescopes.load("7DT").filter_names
    raw_headers.check_filter(parsed(FILTER="m425w"), known)
    with pytest.raises(UnusableData, match=r"FILTER is 'm426' \(allowed: g, i, m375w"):
        raw_headers.check_filter(parsed(FILTER="m426"), known)
    raw_headers.check_filter(parsed(FILTER="m426"), ())
    raw_headers.check_filter(parsed(IMAGETYP="BIAS", FILTER="m426"), known)
