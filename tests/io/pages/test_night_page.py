"""A night's page, plots, logs and messages agree with its report."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from support import records as make

from tasks.io.fits import fits_images
from tasks.io.messages import night_text
from tasks.io.nights import night_logs, report_rows
from tasks.io.pages import night_page, night_plots
from tasks.nights import night_logs as archiving
from tasks.records import MasterQuality, QaBit, Rejected, Stage, StageResult, ZeroPointTerms
from tasks.science.nights import frame_accounting, stage_timings

SVG = "{http://www.w3.org/2000/svg}"


def borrowed():
    return MasterQuality(
        unit="7DT01",
        kind="flat",
        label="r",
        file=Path("/m/20260110-nr.fits"),
        status="borrowed",
        age_days=5,
        figures={"QASIGMA": 0.05},
        faults=("flat noise 0.050 (allowed: 0.04)",),
    )


@pytest.fixture
def results(tmp_path):
    """Three lights of two bands, one with a borrowed flat; a fourth lost to <clouds>."""
    made = []
    for number, band in enumerate("rri"):
        moment = make.START + timedelta(minutes=number)
        light = make.frame(f"{number}.fits", filter=band, date_obs=moment)
        image = tmp_path / "T00001" / band / f"calib_{number}.fits"
        image.parent.mkdir(parents=True, exist_ok=True)
        fits_images.write_image(image, np.ones((4, 5), np.float32), {"OBJECT": "T00001", "QAFLAG": number})
        made.append(replace(make.reduced(light), image=image, seconds=float(number + 1)))
    lights = tuple(
        replace(make.calibrated(each.frame), qa=QaBit.FLAT_BORROWED if n == 0 else 0) for n, each in enumerate(made)
    )
    stack = replace(
        make.stack(), image=tmp_path / "T00001" / "r" / "stack.com.fits", inputs=(made[0].image, made[1].image)
    )
    fits_images.write_image(stack.image, np.ones((4, 5), np.float32), {})
    lost = Rejected(name="lost.fits", stage="calibrate", reason="<clouds>", unit="7DT01")
    common = {"unit": "7DT01", "night": make.NIGHT, "seconds": 4.0}
    return (
        StageResult(stage=Stage.CALIBRATE, calibrated=lights, rejected=(lost,), masters=(borrowed(),), **common),
        StageResult(
            stage=Stage.REDUCE,
            reduced=tuple(made),
            solved_s={"0.fits": 0.5, "1.fits": 1.0, "2.fits": 1.5},
            **common,
        ),
        StageResult(stage=Stage.STACK, stacks=(stack,), **common),
    )


@pytest.fixture
def report(results, tmp_path):
    return replace(frame_accounting.summarise(make.NIGHT, results, seconds=60.0), page=tmp_path / "page" / "index.html")


def test_timings_have_quantiles_per_item(report):
    [reduce] = [each for each in report.timings if each.stage == "reduce"]
    assert (reduce.p50_s, reduce.p95_s) == (2.0, 3.0)


def test_plots_show_each_frame_once_by_unit_and_band_and_are_well_formed(report):
    plots = night_plots.night_plots(report)
    assert len(plots) == 3
    for plot in plots:
        root = ET.fromstring(plot)
        titles = [each.text for each in root.iter(f"{SVG}title")]
        assert [re.sub(r" \(.*?\)", "", each.rsplit(" ", 1)[0]) for each in titles] == [
            "7DT01 i 04:36:13",
            "7DT01 r 04:34:13",
            "7DT01 r 04:35:13",
        ]
    marks = [each.get("transform") for each in ET.fromstring(plots[0]).iter(f"{SVG}path") if len(each)]
    places = [float(each.removeprefix("translate(").split(",")[0]) for each in marks]
    assert places[0] > places[2] > places[1]


def test_a_night_without_frames_has_no_plots(report):
    assert night_plots.night_plots(replace(report, reduced=())) == ()


def test_the_page_names_losses_borrowed_masters_and_flags_and_escapes_them(report, tmp_path):
    picture = tmp_path / "p.png"
    night_page.draw_preview(report.stacks[0].image, picture)
    page = night_page.render(report, {stack.image: picture for stack in report.stacks})
    assert "&lt;clouds&gt;" in page
    assert "<clouds>" not in page
    assert "20260110-nr.fits" in page
    assert "reduced; flat borrowed" in page
    assert page.count("<svg") == 3


def test_the_page_tells_which_flags_were_not_checked(report, tmp_path):
    picture = tmp_path / "p.png"
    night_page.draw_preview(report.stacks[0].image, picture)
    pictures = {stack.image: picture for stack in report.stacks}
    unchecked = replace(report, candidates=(make.candidate(not_checked=("minor-planet",)),))
    assert "Flags not checked: minor-planet." in night_page.render(unchecked, pictures)
    assert "not checked" not in night_page.render(replace(report, candidates=(make.candidate(),)), pictures)


def test_every_light_has_a_row_that_tells_how_far_it_came(results):
    rows = list(csv.DictReader(night_logs.frames_log(results).splitlines()))
    ways = {row["image"]: (row["data_reduction"], row["photometry"], row["stack"], row["subtraction"]) for row in rows}
    assert ways == {
        "0.fits": ("True", "True", "True", "False"),
        "1.fits": ("True", "True", "True", "False"),
        "2.fits": ("True", "True", "False", "False"),
        "lost.fits": ("False", "False", "False", "False"),
    }
    assert rows[0]["qaflag"] == str(QaBit.FLAT_BORROWED.value)
    assert rows[-1]["reason"] == "<clouds>"


def test_the_log_has_every_process_that_ran_and_times_each_once(report):
    rows = list(csv.DictReader(night_logs.summary_log(report, filed_s=0.5, filed=8).splitlines()))
    names = [row["process"] for row in rows]
    assert names == [*stage_timings.NAMES[:13], "data_transfer", "total"]
    row = dict(zip(names, rows, strict=True))
    assert [row["data_reduction"][key] for key in ("status", "done", "failed")] == ["False", "3", "1"]
    assert [row["master_frame_flat"][key] for key in ("status", "done", "failed")] == ["False", "0", "1"]
    assert [row["astrometry_scamp"][key] for key in ("done", "time [s]", "p95 [s]")] == ["3", "3.000", "1.500"]
    assert [row["photometry"][key] for key in ("status", "time [s]", "p50 [s]")] == ["True", "3.000", "1.000"]
    assert [row["missfits"][key] for key in ("done", "time [s]", "within")] == ["3", "", "astrometry_scamp"]
    assert [row["total"][key] for key in ("time [s]", "done", "failed")] == ["60.000", "3", "1"]


def test_candidates_at_one_place_are_one_sighting():
    one = make.candidate(ra_deg=359.9999, dec_deg=60.0, snr=-20.0)
    same = replace(one, ra_deg=0.0002, snr=9.0, unit="7DT02")
    other = replace(one, dec_deg=60.001, snr=30.0)
    found = report_rows.sightings([same, one, other])
    assert [[each.snr for each in sighting.candidates] for sighting in found] == [[30.0], [-20.0, 9.0]]


def test_units_and_filters_have_their_medians(report):
    rows = report_rows.band_rows(report)
    assert [(row["unit"], row["filter"], row["frames"], row["flagged"], row["lost of unit"]) for row in rows] == [
        ("7DT01", "i", 1, 0, 1),
        ("7DT01", "r", 2, 1, 1),
    ]


def test_a_reason_does_not_repeat_the_name_of_its_frame():
    lost = [Rejected(name=name, stage="calibrate", reason=f"{name} is truncated") for name in ("a.fits", "b.fits")]
    [loss] = report_rows.losses(lost)
    assert (loss.reason, loss.names) == ("is truncated", ("a.fits", "b.fits"))


def test_headers_are_dumped_and_products_indexed_and_a_second_time_nothing_is_written(report, results):
    assert archiving.file_night.fn(report, results) == 7
    assert archiving.file_night.fn(report, results) == 0
    first = report.reduced[0].image
    cards = (first.parent / "header" / "calib_0.head").read_text().splitlines()
    assert "QAFLAG  =                    0" in cards
    assert cards[-1] == "END"
    index = json.loads((first.parent / "index" / "2026-01-15.json").read_text())
    assert [each["raw"] for each in index["singles"]] == ["0.fits", "1.fits"]
    assert index["stacks"][0]["inputs"] == ["calib_0.fits", "calib_1.fits"]


def test_messages_tell_what_matters_and_mention_nobody(report):
    done = night_text.finished(report)
    assert done.text.startswith("7DT01: 3 frames reduced, 1 left out, 1 stacks")
    blocks = json.dumps(json.loads(done.blocks))
    assert "flat r: borrowed, 5 d old" in blocks
    assert "&lt;clouds&gt;" in blocks
    assert "<!channel>" not in night_text.failed(["7DT01"], "<!channel> broke").blocks
    assert "target of opportunity: 7DT02" in night_text.started(["7DT01", "7DT02"], 12, ["7DT02"]).text


def test_units_and_filters_have_colour_terms_and_wrong_filters_are_told(report):
    def seen(each, filter_, term):
        terms = ZeroPointTerms(
            stars=300,
            before_mag=0.04,
            after_mag=0.01,
            spatial_rms_mag=0.03,
            colour_mag=term,
            colour_error_mag=0.002,
            pivot_mag=1.0,
        )
        found = replace(each.photometry, terms=terms, seen_filter=filter_, empty5_mag={"1": 19.31})
        return replace(each, photometry=found)

    first, second, third = report.reduced
    changed = replace(report, reduced=(seen(first, "r", 0.05), seen(second, "i", 0.054), third))
    rows = report_rows.band_rows(changed)
    assert [(row["unit"], row["filter"], row["frames"], row["other_filter"]) for row in rows] == [
        ("7DT01", "i", 1, 0),
        ("7DT01", "r", 2, 1),
    ]
    assert (rows[1]["colour_term"], rows[1]["colour_error"], rows[1]["spatial_mag"]) == (0.052, 0.0014, 0.03)
    assert rows[0]["colour_term"] is None
    page = night_page.render(replace(changed, stacks=()), {})
    assert "<td>0.052</td>" in page
    assert "<td>19.31</td><td>0.03</td><td>i</td>" in page
    frame = report_rows.frame_rows(changed)[1]
    assert (frame["empty5_mag"], frame["spatial_mag"], frame["seen_filter"]) == (19.31, 0.03, "r")


def test_a_light_through_another_filter_is_doubtful(results):
    light = results[1].reduced[1]
    false = replace(light, qa=QaBit.FILTER_DOUBTFUL.value)
    changed = (results[0], replace(results[1], reduced=(results[1].reduced[0], false)))
    told = frame_accounting.summarise(make.NIGHT, changed, seconds=1.0)

    assert told.qa == {"0.fits": QaBit.FLAT_BORROWED, "1.fits": QaBit.FILTER_DOUBTFUL}
    assert "filter doubtful" in report_rows.words_of(told.qa["1.fits"])
    rows = list(csv.DictReader(night_logs.frames_log(changed).splitlines()))
    assert [row["qaflag"] for row in rows if row["qaflag"]] == ["32", "8192", "0"]


def test_a_stack_of_doubtful_frames_says_so(report):
    doubtful = replace(report.stacks[0], qa=QaBit.FLAT_BORROWED | QaBit.FILTER_DOUBTFUL)
    told = replace(report, stacks=(*report.stacks, doubtful))

    assert [row["quality"] for row in report_rows.stack_rows(told)] == ["good", "flat borrowed, filter doubtful"]
