"""The BAT team's page: complete and partial pages, the message, and a page with a changed format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.slack import block_trouble

from tasks.errors import UnusableData
from tasks.io.services import bat_page
from tasks.records.bursts import BatPage, Fluence, Measurement

PAGES = Path(__file__).parent / "bat_pages"
COMPLETE = (PAGES / "bat_complete.html").read_bytes()
EARLY = (PAGES / "bat_early.html").read_bytes()


def test_a_complete_page_gives_durations_hardness_and_each_models_fluence() -> None:
    page = bat_page.parse(COMPLETE)
    assert page == BatPage(
        t90_s=Measurement(value=0.31, error=0.04),
        t90_hard_s=Measurement(value=0.27, error=0.05),
        hardness=Measurement(value=1.83, error=0.21),
        fluences=(
            Fluence(span="whole burst", model="power law", energy=Measurement(value=1.41e-7, error=1.2e-8)),
            Fluence(span="whole burst", model="cutoff power law", energy=Measurement(value=1.35e-7, error=1.3e-8)),
            Fluence(span="1-s peak", model="power law", energy=Measurement(value=1.38e-7, error=1.4e-8)),
            Fluence(span="1-s peak", model="blackbody", energy=Measurement(value=1.22e-7, error=1.5e-8)),
        ),
    )
    assert page.complete


def test_markup_inside_a_name_and_cells_without_space_are_read() -> None:
    dense = b"<h2>1-s peak</h2><p>T<sub>90</sub> (15-150 keV): 2.5</p><table><tr><td>15-150</td><td>1.5e-07</td></tr></table>"
    page = bat_page.parse(dense)
    assert page.t90_s == Measurement(value=2.5)
    assert page.fluences == (Fluence(span="1-s peak", model="model not named", energy=Measurement(value=1.5e-7)),)


def test_an_early_page_gives_what_it_has() -> None:
    page = bat_page.parse(EARLY)
    assert page == BatPage(t90_s=Measurement(value=0.29, error=0.06))
    assert not page.complete


def test_a_page_of_another_form_is_empty_and_nothing_is_unusable() -> None:
    assert bat_page.parse(b"<html><body><p>The page has moved.</p></body></html>").empty
    with pytest.raises(UnusableData, match="no HTML"):
        bat_page.parse(b"")


def test_the_message_names_span_and_model_and_fits_slack() -> None:
    message = bat_page.message("Swift 1423875", bat_page.parse(COMPLETE), "https://swift.example/1423875")
    text = json.dumps(json.loads(message.blocks), ensure_ascii=False)
    for fact in ("0.31 ± 0.04 s", "1.83 ± 0.21", "Flux of the 1-s peak, blackbody", "1.220e-07 ± 1.5e-08 erg/cm²/s"):
        assert fact in text
    assert "1.410e-07 ± 1.2e-08 erg/cm²" in text
    assert block_trouble(message.blocks) == ""


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, len(COMPLETE) - 1), length=st.integers(0, 400), filler=st.binary(max_size=8))
def test_a_spoiled_page_raises_nothing_else(place: int, length: int, filler: bytes) -> None:
    page = bat_page.parse(COMPLETE[:place] + filler + COMPLETE[place + length :])
    assert block_trouble(bat_page.message("x", page, "https://x").blocks) == ""
