"""Headers of other cameras and software: each fact by the names that they give it.

Kind: a fact that stands in another card, unit or form. Real headers where they are at hand, others as their software writes them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from astropy.io import fits

from tasks.errors import UnusableData
from tasks.records import Camera, ComputedCard, FrameType, HeaderRules
from tasks.science.headers import dialects, raw_headers

CAMERA = Camera(readout_s=1)


def parsed(header, *, name="a.fits", folder="2026-01-15_gain0", rules=raw_headers.NO_RULES, camera=CAMERA):
    cards, changes = raw_headers.normalise(header, name=name, unit="CAM01", rules=rules, folder=folder)
    frame = raw_headers.parse(cards, path=Path(folder) / name, unit="CAM01", shape=(10, 10), changes=changes)
    return raw_headers.compared(frame, cards, camera)


def real(path: Path) -> dict:
    return {card.keyword: card.value for card in fits.getheader(path).cards if card.keyword}


def test_a_real_header_of_saao(shared_data) -> None:
    frame = parsed(real(shared_data / "raw" / "ccdproc" / "a8280271.fits"))
    assert frame.type is FrameType.LIGHT
    assert (frame.filter, frame.exposure_s, frame.egain, frame.gain_setting) == ("W48", 150.04, 1.9, None)
    assert frame.date_obs == datetime(2013, 7, 13, 0, 57, 33, tzinfo=UTC)
    assert frame.temperature_c == pytest.approx(180.2 - 273.15)
    assert (frame.ra_deg, frame.dec_deg) == (pytest.approx(331.0333, abs=1e-3), pytest.approx(-0.9253, abs=1e-3))


def test_real_headers_of_asiimg_have_their_type_by_name_or_folder(shared_data) -> None:
    flat, dark = (real(shared_data / "raw" / "asi" / f"{name}.fits.gz") for name in ("flat_01", "dark_100s_01"))
    flat["FILTER"] = "L"
    assert parsed(flat, name="flat_01.fits.gz").type is FrameType.FLAT
    assert parsed(dark, name="0001.fits", folder="darks").type is FrameType.DARK
    assert parsed(dark, name="dark_100s_01.fits.gz").exposure_s == 100
    with pytest.raises(UnusableData, match=r"looked at IMAGETYP, IMAGETYPE, .*, the file's name and its folder"):
        parsed(dark, name="0001.fits")


def test_a_real_header_of_microobservatory_by_rules_of_its_telescope(shared_data) -> None:
    header = real(shared_data / "raw" / "microobservatory" / "HATP-32171220013612.FITS")
    rules = HeaderRules(add={"IMAGETYP": "light"}, map_values={"FILTER": {"Clear": "clear"}})
    frame = parsed(
        header, name="HATP-32171220013612.FITS", rules=rules, camera=Camera(readout_s=1, egain_e_per_adu={"any": 20})
    )
    assert (frame.type, frame.filter, frame.exposure_s, frame.egain) == (FrameType.LIGHT, "clear", 60, 20)
    assert frame.date_obs == datetime(2017, 12, 20, 1, 36, 12, 404000, tzinfo=UTC)
    assert frame.temperature_c == pytest.approx(272 - 273.15)


BASE = {"DATE-OBS": "2026-01-15T01:02:03", "EXPTIME": 30.0, "IMAGETYP": "Light Frame", "FILTER": "r"}


@pytest.mark.parametrize(
    ("changes", "field", "right"),
    [
        # NINA and ASCOM
        ({"IMAGETYP": "LIGHT", "OBJCTRA": "10 20 30", "OBJCTDEC": "-30 15 00"}, "ra_deg", 155.125),
        ({"IMAGETYP": "DARKFLAT"}, "type", FrameType.DARK),
        ({"IMAGETYP": "Flat Field", "EXPTIME": None, "EXPOSURE": 1.5}, "exposure_s", 1.5),
        ({"SET-TEMP": -20.0}, "temperature_c", -20.0),
        # INDI
        ({"IMAGETYP": None, "FRAME": "Flat"}, "type", FrameType.FLAT),
        ({"IMAGETYP": None, "FRAMETYP": "Bias"}, "type", FrameType.BIAS),
        # LCO
        ({"IMAGETYP": None, "OBSTYPE": "EXPOSE", "ORIGIN": "LCOGT", "GAIN": 1.0}, "egain", 1.0),
        ({"IMAGETYP": None, "OBSTYPE": "SKYFLAT"}, "type", FrameType.FLAT),
        ({"CCDATEMP": -100.0}, "temperature_c", -100.0),
        # SAAO
        ({"GAIN": "1.9 / e-/ADU"}, "egain", 1.9),
        ({"GAIN": 1.9}, "gain_setting", None),
        ({"GAIN": 2750, "EGAIN": 0.26}, "gain_setting", 2750),
        ({"GAIN": 0}, "egain", None),
        # two wheels
        ({"FILTER": None, "FILTER1": "Open", "FILTER2": "V"}, "filter", "V"),
        ({"FILTER": None, "FILTER1": "V", "FILTER2": "air"}, "filter", "V"),
        ({"FILTER": None, "FILTERS": 58}, "filter", "W58"),
        # units and forms
        ({"CCD-TEMP": 258.15}, "temperature_c", -15.0),
        ({"CCD-TEMP": -15.0}, "temperature_c", -15.0),
        ({"RA": "10:20:30"}, "ra_deg", 155.125),
        ({"RA": "155:07:30"}, "ra_deg", 155.125),
        ({"RA": 155.125}, "ra_deg", 155.125),
        ({"DEC": "-30:15:00"}, "dec_deg", -30.25),
        ({"DATE-OBS": "2026-01-15T24:00:00"}, "date_obs", datetime(2026, 1, 16, tzinfo=UTC)),
        ({"DATE-OBS": "2026-12-31", "UT": "24:00:00"}, "date_obs", datetime(2027, 1, 1, tzinfo=UTC)),
        ({"DATE-OBS": "2016-12-31T23:59:60.5"}, "date_obs", datetime(2017, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)),
        ({"DATE-OBS": "2026-01-15", "UT-OBS": "01:02:03"}, "date_obs", datetime(2026, 1, 15, 1, 2, 3, tzinfo=UTC)),
        ({"DATE-OBS": "2017-12-19T18:36:12-0700"}, "date_obs", datetime(2017, 12, 20, 1, 36, 12, tzinfo=UTC)),
        ({"XBINNING": None, "CCDXBIN": 2}, "binning", 2),
    ],
)
def test_a_fact_is_read_by_the_names_of_its_software(changes, field, right) -> None:
    header = {key: value for key, value in {**BASE, **changes}.items() if value is not None}
    found = getattr(parsed(header), field)
    assert found == (pytest.approx(right) if isinstance(right, float) else right)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"FILTER": None}, "FILTER is missing .*looked at FILTER, FILTERS, FILTER1"),
        ({"DATE-OBS": None}, "looked at DATE-OBS, DATE_OBS"),
        ({"IMAGETYP": "FOCUS"}, "IMAGETYP is 'FOCUS'"),
        ({"EXPTIME": "long"}, "EXPTIME is 'long'"),
        ({"DATE-OBS": "2026-01-15T25:00:00"}, "DATE-OBS is"),
        ({"DATE-OBS": "9999-12-31T24:00:00"}, "DATE-OBS is"),
    ],
)
def test_what_is_not_understood_is_refused_by_the_fact_and_the_cards_looked_at(changes, missing) -> None:
    header = {key: value for key, value in {**BASE, **changes}.items() if value is not None}
    with pytest.raises(UnusableData, match=missing):
        parsed(header)


def test_a_telescope_s_rules_copy_compute_add_and_map_in_this_order() -> None:
    rules = HeaderRules(
        copy_cards={"FILTER": ("WHEEL", "SLOT")},
        compute={
            "EXPTIME": ComputedCard(card="EXP_US", factor=1e-6),
            "CCD-TEMP": ComputedCard(card="TEMP10", factor=0.1, offset=-5),
        },
        add={"IMAGETYP": "dark", "OBJECT": "nothing"},
        map_values={"FILTER": {"3": "m425"}, "IMAGETYP": {"dark": "flat"}},
    )
    header = {"DATE-OBS": "2026-01-15T01:02:03", "SLOT": 3, "EXP_US": 2_500_000, "TEMP10": -100}
    frame = parsed(header, rules=rules)
    assert (frame.type, frame.filter, frame.exposure_s, frame.temperature_c) == (FrameType.FLAT, "m425", 2.5, -15.0)
    assert any("FILTER" in change for change in frame.changes)
    given = parsed({**header, "IMAGETYP": "light", "FILTER": "g"}, rules=rules)
    assert (given.type, given.filter) == (FrameType.LIGHT, "g")


def test_every_alias_is_another_card() -> None:
    for card, others in dialects.ALIASES.items():
        assert card not in others
        assert len(set(others)) == len(others)
