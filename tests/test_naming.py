"""Untrusted names never give unsafe paths."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import naming
from tasks.errors import UnusableData
from tasks.records import Alert, Kind, Notice

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
HOSTILE = ["..", "../x", "S1/../../../x", "%2f..", "a\0b", "a\r\nb", "x" * 10_000, "Ω", "", "-rf", "CON", "a|b", "[1]"]


def gw(event_id: str) -> Notice:
    return Notice(kind=Kind.GW, mission="LVK", event_id=event_id, alert_type="INITIAL")


@pytest.mark.parametrize("event_id", ["S241102br", "MS260115ab", "TS260115a", "S250910b"])
def test_an_event_of_the_network_keeps_its_name(event_id):
    assert naming.event_slug(gw(event_id)) == event_id


@pytest.mark.parametrize("event_id", HOSTILE)
def test_a_hostile_event_becomes_a_hash(event_id):
    assert re.fullmatch(r"gw-[0-9a-f]{16}", naming.event_slug(gw(event_id)))


@given(st.text(max_size=200), st.text(max_size=50))
def test_any_burst_gives_a_folder_inside_the_root(event_id, mission):
    notice = Notice(kind=Kind.GRB, mission=mission, event_id=event_id, alert_type="INITIAL")
    folder = naming.AlertTree(root=Path("/root-of-events")).event(notice)

    assert folder.resolve().parent == Path("/root-of-events/events")
    assert SAFE.fullmatch(folder.name)


@given(st.text(max_size=200))
def test_any_alert_type_gives_a_visit_inside_its_event(alert_type):
    notice = Notice(kind=Kind.GW, mission="LVK", event_id="S241102br", alert_type=alert_type)
    tree = naming.AlertTree(root=Path("/root-of-events"))

    visit = tree.visit(Alert(notice=notice, sha256="0" * 64)).resolve()

    assert visit.parent == tree.event(notice)


@given(st.text(max_size=200))
def test_any_object_becomes_a_strict_slug(text):
    name = naming.slug(text)

    assert re.fullmatch(r"[A-Za-z0-9+.-]{1,40}", name)
    assert name not in {".", ".."}
    assert not name.startswith(("-", "."))


def test_two_events_do_not_share_a_hash():
    assert naming.event_slug(gw("../a")) != naming.event_slug(gw("../b"))


@pytest.mark.parametrize("name", ["7DT", "7DT1", "7dt/01", "..", "7DT001x"])
def test_a_wrong_unit_is_refused(name):
    with pytest.raises(UnusableData, match="7DT01"):
        naming.unit(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2026-01-15_gain2750", (date(2026, 1, 15), False, 2750)),
        ("2026-01-15_ToO_gain2750", (date(2026, 1, 15), True, 2750)),
        ("2026-01-15_gain0", (date(2026, 1, 15), False, 0)),
    ],
)
def test_a_night_folder_is_read_and_written_alike(name, expected):
    night, too, gain = naming.parse_night_folder(name)

    assert (night, too, gain) == expected
    assert naming.night_folder(night, gain_setting=gain, too=too) == name


@pytest.mark.parametrize("name", ["2026-13-40_gain2750", "2026-01-15", "x", "2026-01-15_gain2750/..", ""])
def test_another_folder_is_no_night(name):
    with pytest.raises(UnusableData, match="not a night"):
        naming.parse_night_folder(name)


@pytest.mark.parametrize(("exposure", "text"), [(100.0, "100"), (7.5, "7.5"), (0.0, "0")])
def test_an_exposure_is_written_as_an_observer_would(exposure, text):
    assert naming.exposure_text(exposure) == text


@pytest.mark.parametrize(
    ("moment", "night"),
    [
        ("2026-01-15T14:59:59", date(2026, 1, 14)),
        ("2026-01-15T15:00:00", date(2026, 1, 15)),
        ("2026-01-15T21:00:00", date(2026, 1, 15)),
        ("2026-01-16T04:34:13", date(2026, 1, 15)),
        ("2026-01-16T11:30:00", date(2026, 1, 15)),
        ("2026-01-16T14:30:00", date(2026, 1, 15)),
    ],
)
def test_a_night_lasts_from_15_h_to_15_h_utc(moment, night):
    """As the observers of 7DT label their folders: 12 h in Chile in summer, the calibrations of the noon before."""
    assert naming.night_of(datetime.fromisoformat(moment).replace(tzinfo=UTC)) == night


def test_a_night_is_that_of_the_moment_in_whatever_zone_it_is_told():
    chile = timezone(timedelta(hours=-3))

    assert naming.night_of(datetime(2026, 1, 15, 11, 59, tzinfo=chile)) == date(2026, 1, 14)
    assert naming.night_of(datetime(2026, 1, 15, 12, 1, tzinfo=chile)) == date(2026, 1, 15)


def test_a_calibrated_image_has_the_name_of_the_tree():
    name = naming.image_stem("T08147", "7DT02", "m650", datetime(2025, 11, 26, 4, 34, 13, 900_000, tzinfo=UTC), 100.0)

    assert name == "calib_7DT02_T08147_20251126_043413_m650_100"


def test_several_units_share_their_name_without_number() -> None:
    assert naming.joint_unit(["7DT02", "7DT01", "7DT02"]) == "7DT"
    assert naming.joint_unit(["7DT02"]) == "7DT02"
    assert naming.joint_unit(["7DT02"], always=True) == "7DT"
    twenty = naming.unit_list(f"7DT{number:02d}" for number in range(1, 21))
    assert twenty.startswith("7DT01,02,03")
    assert len(twenty) <= 68


@pytest.mark.parametrize("object_name", ["T00123", "COSMOS_1", "NGC-7"])
def test_the_name_of_a_calibrated_image_is_read_back(object_name: str) -> None:
    moment = datetime(2026, 1, 16, 4, 34, 13, tzinfo=UTC)
    parsed = naming.parse_image(f"calib_7DT01_{object_name}_20260116_043413_m650_7.5.fits")
    assert (parsed.unit, parsed.object, parsed.filter, parsed.date_obs) == ("7DT01", object_name, "m650", moment)


@pytest.mark.parametrize(
    "name",
    [
        "calib_7DT01_T00123_20260116_043413_r_300.com.fits",
        "calib_7DT01_T00123_20260116_043413_r_100.var.fits",
        "calib_7DT01_T00123_20261316_043413_r_100.fits",
        "fdz.fits",
    ],
)
def test_what_is_no_calibrated_image_has_no_such_name(name: str) -> None:
    with pytest.raises(UnusableData):
        naming.parse_image(name)


def test_a_stack_with_its_sky_or_elsewhere_has_a_name_of_its_own() -> None:
    assert naming.stack_variant(with_sky=False, centre_deg=None) == ""
    assert naming.stack_variant(with_sky=True, centre_deg=(110.25, -30.5)) == ".at110.2500-30.5000.sky"


# ------------------------------------------------------------------------------- the tree that 7DT's archive has

SINGLE = Path("/p/T00123/7DT01/r/calib_7DT01_T00123_20260116_043413_r_100.fits")
STACK = SINGLE.with_name("calib_7DT01_T00123_20260116_043413_r_600.com.fits")
NIGHT = date(2026, 1, 15)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (naming.variance_of(SINGLE), "calib_7DT01_T00123_20260116_043413_r_100.var.fits"),
        (naming.mask_of(STACK), "calib_7DT01_T00123_20260116_043413_r_600.com.mask.fits"),
        (naming.detections_of(SINGLE), "calib_7DT01_T00123_20260116_043413_r_100.detections.fits"),
        (naming.weight_of(STACK), "calib_7DT01_T00123_20260116_043413_r_600.com.weight.fits"),
        (naming.number_of(STACK), "calib_7DT01_T00123_20260116_043413_r_600.com.number.fits"),
        (naming.psf_of(STACK), "calib_7DT01_T00123_20260116_043413_r_600.com.psf.fits"),
        (naming.difference_of(STACK), "calib_7DT01_T00123_20260116_043413_r_600.com.subt.fits"),
        (
            naming.transients_of(naming.difference_of(STACK)),
            "calib_7DT01_T00123_20260116_043413_r_600.com.subt.transient.cat",
        ),
        (naming.photometry_of(STACK), "phot/calib_7DT01_T00123_20260116_043413_r_600.com.phot.cat"),
        (naming.zero_point_plot(STACK, "APER_1"), "phot/calib_7DT01_T00123_20260116_043413_r_600.com.MAG_APER_1.png"),
    ],
)
def test_what_is_beside_an_image_has_its_name_and_a_suffix(made, name):
    assert made == SINGLE.parent / name


@pytest.mark.parametrize(
    ("made", "path"),
    [
        (lambda tree: tree.masters("7DT01", NIGHT), "masters/7DT01/2026-01-15"),
        (lambda tree: tree.archive("7DT01", "zero"), "master_frame_1x1_gain2750/7DT01/zero"),
        (lambda tree: tree.archive("7DT01", "dark", binning=2, gain_setting=0), "master_frame_2x2_gain0/7DT01/dark"),
        (
            lambda tree: tree.fringe_frame("7DT01", "z", binning=1, gain_setting=None),
            "master_frame_1x1_gain2750/7DT01/fringe/z-fringe.fits",
        ),
        (lambda tree: tree.scratch("7DT01", NIGHT), "work/7DT01/2026-01-15"),
        (lambda tree: tree.solved("7DT01", NIGHT), "work/7DT01/2026-01-15/solved"),
        (lambda tree: tree.science("T00123", "7DT01", "r"), "processed_1x1_gain2750/T00123/7DT01/r"),
        (lambda tree: tree.survey(), "survey"),
        (lambda tree: tree.stage("7DT01", NIGHT, "search"), "nights/2026-01-15/7DT01/search.json"),
        (lambda tree: tree.stage("7DT", NIGHT, "stack"), "nights/2026-01-15/7DT/stack.json"),
        (lambda tree: tree.batches("7DT01", NIGHT), "nights/2026-01-15/7DT01/batches.json"),
        (lambda tree: tree.journal("7DT01", NIGHT), "nights/2026-01-15/7DT01/journal.json"),
        (lambda tree: tree.log("7DT01"), "log/7DT01.log"),
        (lambda tree: tree.report(NIGHT), "nights/2026-01-15"),
    ],
)
def test_a_night_keeps_its_products_where_the_archive_has_them(made, path):
    assert made(naming.NightTree(root=Path("/root"))) == Path("/root") / path


def test_masters_references_and_units_have_their_names():
    assert naming.archived_bias(NIGHT) == "20260115-zero.fits"
    assert naming.archived_dark(NIGHT, 7.5) == "7.5-20260115-dark.fits"
    assert naming.archived_flat(NIGHT, "m650") == "20260115-nm650.fits"
    reference = "ref_7DT_T00123_20250206_031245_r_3000.fits"
    assert naming.reference_pattern("T00123", "r").fullmatch(reference)
    assert not naming.reference_pattern("T00124", "r").fullmatch(reference)
    assert not naming.reference_pattern("T00123", "i").fullmatch(reference)
    assert naming.reference_date(reference) == date(2025, 2, 6)
    convolved = naming.convolved_name(Path(reference), datetime(2026, 1, 16, 4, 34, 13, tzinfo=UTC))
    assert convolved == "ref_7DT_T00123_20260116_043413_r_3000.conv.fits"
    assert naming.night_folder(NIGHT) == "2026-01-15_gain2750"
    assert naming.cell_file(42) == "gaia-dr3-5-00042.ldac.fits"
    with pytest.raises(UnusableData, match="no date"):
        naming.reference_date("ref_7DT_T00123_r.fits")


def test_what_lies_in_the_tree_is_found_and_nothing_else(tmp_path):
    tree = naming.NightTree(root=tmp_path)
    names = {("T00123", "7DT01", "r"), ("T00123", "7DT02", "r"), ("T00124", "7DT01", "i")}
    for object_, unit, band in names:
        folder = tree.science(object_, unit, band)
        folder.mkdir(parents=True)
        (folder / f"calib_{unit}_{object_}_20260116_043413_{band}_100.fits").touch()
        (folder / f"calib_{unit}_{object_}_20260116_043413_{band}_600.com.fits").touch()
    tree.archive("7DT01", "zero").mkdir(parents=True)
    tree.scratch("7DT02", NIGHT).mkdir(parents=True)
    (note := tree.masters("7DT01", NIGHT) / "zero.fits.json").parent.mkdir(parents=True)
    note.touch()

    def found(*choice):
        return {path.name.split("_20260116")[0] for path in tree.singles(*choice)}

    assert found((), (), ()) == {f"calib_{unit}_{object_}" for object_, unit, _ in names}
    assert found(("123",), (), ("7DT01",)) == {"calib_7DT01_T00123"}
    assert found((), ("i",), ()) == {"calib_7DT01_T00124"}
    assert tree.lasting("7DT02") == [tmp_path / "processed_1x1_gain2750" / "T00123" / "7DT02"]
    assert len(tree.lasting("7DT01")) == 3
    assert tree.begun(NIGHT) == ["7DT02"]
    assert tree.notes("7DT01", NIGHT, "calibrate") == [note]
    assert tree.notes("7DT01", NIGHT, "reduce") == tree.notes("7DT01", NIGHT, "stack") == []


def test_an_alert_has_its_places_by_time_type_and_hash():
    moment = datetime(2024, 11, 2, 12, 41, 27, tzinfo=UTC)
    notice = Notice(kind=Kind.GW, mission="LVK", event_id="S241102br", alert_type="INITIAL", time_created=moment)
    alert, tree = Alert(notice=notice, sha256="0123456789abcdef" * 4), naming.AlertTree(root=Path("/a"))
    visit = Path("/a/events/S241102br/20241102T124127_INITIAL_01234567")

    assert tree.visit(alert) == visit
    assert tree.notice_copy(alert) == visit / "notice"
    assert tree.sky_map(alert, "gw") == visit / "skymap-gw.fits"
    assert tree.plans(alert) == visit / "plans"
    assert tree.page(notice) == Path("/a/events/S241102br/index.html")
    assert tree.notice("ab", NIGHT) == Path("/a/notices/2026-01-15/ab")
    assert tree.dead_letter("ab") == Path("/a/dead-letter/ab")
    store = "Candidates/GW/S241102br"
    assert naming.StoreTree.visit(alert) == f"{store}/GWEMOPT/20241102T124127_INITIAL"
    assert naming.StoreTree.notice(alert, ".json") == f"{store}/VOEVENTS/20241102T124127_INITIAL_01234567.json"
    assert naming.StoreTree.page(notice) == f"{store}/index.html"
    burst = Notice(kind=Kind.GRB, mission="Swift", event_id="1423875", alert_type="INITIAL", time=moment, test=True)
    assert naming.StoreTree.event(burst) == "Test/GRB/Swift_1423875"
    assert (
        naming.AlertTree(root=Path("/a"))
        .visit(Alert(notice=burst, sha256="f" * 64))
        .name.startswith("20241102T124127_")
    )


@pytest.mark.parametrize(
    ("raw", "product"),
    [
        ("7DT01_20260115_034512_T00001_r_100s.fits", "fdz7DT01_20260115_034512_T00001_r_100s.fits"),
        ("light.FITS.fz", "fdzlight.fits"),
        ("light.fit.gz", "fdzlight.fits"),
    ],
)
def test_the_product_of_a_plain_name_keeps_it(raw, product):
    assert naming.is_raw(raw)
    assert naming.raw_product(raw) == product


@pytest.mark.parametrize("stem", ["M 31_Light_r", "a,b", "a;b", "x (1)", "a[1]", "-x", "Ünï", "x" * 200, "a@b", "a\nb"])
def test_the_product_of_any_name_is_one_that_every_program_takes(stem):
    """Kind: file names are data: commas are lists to Source Extractor, brackets extensions, a dash an option."""
    names = {naming.raw_product(f"{stem}.fits"), naming.raw_product(f"{stem}.fits.fz")}
    [name] = names
    assert re.fullmatch(r"fdz[A-Za-z0-9+.-]{1,60}\.fits", name)
    assert naming.raw_product(f"{stem}x.fits") not in names
