"""Frames chosen for deep stacks, held against the production's headers and simple arithmetic."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks import naming
from tasks.errors import UnusableData
from tasks.io.nights import deep_stack_tables
from tasks.options import DeepOptions
from tasks.records import Rejected
from tasks.science.stacking import deep_selection


def typed(text):
    try:
        return float(text)
    except ValueError:
        return text


@pytest.fixture(scope="module")
def production(shared_data):
    """The headers of 500 real frames, by file name."""
    with (shared_data / "sevendt" / "production_headers_500.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {row["file"]: {key.upper(): typed(value) for key, value in row.items() if value} for row in rows}


def read(headers):
    usable, bad = [], []
    for name, cards in headers.items():
        try:
            usable.append(deep_selection.frame_of(cards, Path(name), unit=naming.parse_image(name).unit))
        except UnusableData as error:
            bad.append(Rejected(name=name, stage="stack", reason=str(error)))
    return usable, bad


def test_frames_without_zero_point_are_left_out_by_name(production):
    usable, bad = read(production)
    assert len(usable) == 480
    assert {each.name for each in bad} == {name for name, cards in production.items() if "ZP_AUTO" not in cards}
    assert {each.reason for each in bad} == {"no ZP_AUTO in its header"}


@pytest.mark.parametrize(("select", "sigmas"), [("median", 1.0), ("nsigma", 1.0), ("nsigma", 2.5), ("all", 1.0)])
def test_the_cuts_are_those_of_seeing_and_depth(production, select, sigmas):
    usable, bad = read(production)
    group = [item for item in usable if item.frame.filter == "r"]
    chosen = deep_selection.select(group, bad, DeepOptions(select=select, sigmas=sigmas))
    cards = [production[item.image.name] for item in group]
    seeing, depth = (np.array([each[key] for each in cards]) for key in ("SEEING", "UL5_1"))
    factor = {"median": 0.0, "nsigma": sigmas, "all": np.inf}[select]
    use = (seeing < np.median(seeing) + factor * np.std(seeing)) & (depth > np.median(depth) - factor * np.std(depth))
    assert {item.image.name for item in chosen.frames} == {
        item.image.name for item, each in zip(group, use, strict=True) if each
    }
    assert chosen.figures["n_all"] == len(group) + len(bad)
    assert chosen.figures["n_image"] == use.sum() > 0
    assert chosen.figures["seeing_max"] == pytest.approx(seeing.max())
    assert len(chosen.frames) + len(chosen.rejected) == chosen.figures["n_all"]


def test_a_list_of_names_is_obeyed(production):
    usable, _ = read(production)
    group = deep_selection.fields(usable)[0]
    wanted = group[-1].image.name
    chosen = deep_selection.select(group, (), DeepOptions(names=(wanted,)))
    assert [item.image.name for item in chosen.frames] == [wanted]
    assert {each.reason for each in chosen.rejected} <= {"not on the list"}


def test_alike_frames_are_neither_sharper_nor_deeper_than_their_median(production):
    usable, _ = read(production)
    twins = [replace(usable[0], image=Path(f"{i}.fits")) for i in range(4)]
    assert deep_selection.select(twins, (), DeepOptions()).frames == ()
    assert len(deep_selection.select(twins, (), DeepOptions(select="all")).frames) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"CTYPE1": "", "CTYPE2": ""}, "no WCS"),
        ({"ZP_AUTO": float("nan")}, "no ZP_AUTO"),
        ({"SEEING": "wide"}, "no SEEING"),
        ({"DATE-OBS": "yesterday"}, "DATE-OBS 'yesterday' is no time"),
        ({"FILTER": "../r"}, "filter name"),
    ],
)
def test_a_header_that_lacks_something_says_what(production, change, words):
    [(name, cards)] = list(production.items())[:1]
    with pytest.raises(UnusableData, match=words):
        deep_selection.frame_of({**cards, **change}, Path(name), unit="7DT01")


def test_lists_and_tables_tell_all(production):
    usable, bad = read(production)
    group = max(deep_selection.fields(usable), key=len)
    chosen = deep_selection.select(group, bad[:1], DeepOptions())
    lines = deep_stack_tables.selection_list(chosen).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [item.image.name for item in chosen.frames]
    assert f"# SEEING < {chosen.seeing_limit_arcsec:.4f}" in lines
    assert bad[0].name in deep_stack_tables.statistics(chosen)
    assert deep_stack_tables.plot(chosen, group)[:4] == b"\x89PNG"
    rows = list(csv.DictReader(deep_stack_tables.header_table(production.items()).splitlines()))
    assert len(rows) == 500
    assert rows[0]["ul5_1"] == str(production[rows[0]["file"]]["UL5_1"])
    fields = list(csv.DictReader(deep_stack_tables.tile_table(deep_selection.fields(usable)).splitlines()))
    assert sum(int(row["frames"]) for row in fields) == 480
