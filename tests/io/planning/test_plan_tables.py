"""Plans as text."""

from __future__ import annotations

import csv
import json

from support import plans

from tasks.io.planning import plan_tables


def test_the_text_table_has_the_columns_and_widths_observers_know() -> None:
    lines = plan_tables.text_table(plans.plan()).splitlines()
    assert lines[0] == "# 7DT"
    assert lines[1] == "rank_id tile_id RA DEC Prob Timeobs"
    assert lines[2] == "1    T00012   57.2958    -90.0000   0.1234   2026-01-15 23:59:59.123"


def test_a_plan_without_tiles_says_so_and_why() -> None:
    text = plan_tables.text_table(plans.plan(tiles=(), reason="Sun: up"))
    assert "# No tiles to observe" in text
    assert "# Sun: up" in text


def test_all_holds_every_telescope() -> None:
    text = plan_tables.all_tables([plans.plan(), plans.plan(telescope="TRE"), plans.plan(telescope="KAO", tiles=())])
    assert [line for line in text.splitlines() if line in {"# 7DT", "# TRE", "# KAO"}] == ["# 7DT", "# TRE", "# KAO"]
    assert text.count("\n\n") == 2


def test_the_csv_can_be_read_back() -> None:
    (row,) = csv.DictReader(plan_tables.csv_table(plans.plan()).splitlines())
    assert row["id"] == "T00012"
    assert row["start"] == "2026-01-15T23:59:59.123Z"
    assert float(row["airmass"]) == 1.235
    assert float(row["cumulative"]) == 0.12344


def test_the_json_names_telescopes_and_what_they_cover_together() -> None:
    told = json.loads(plan_tables.json_text([plans.plan(not_taken={"Moon": 3})], probability=0.12, area_deg2=1.2))
    telescope = told["telescopes"]["7DT"]
    assert told["probability"] == 0.12
    assert set(telescope["tiles"][0]) >= {"id", "ra_deg", "dec_deg", "start", "exposure_s", "filter", "probability"}
    assert telescope["not_taken"] == {"Moon": 3}
    assert telescope["reason"] == ""
