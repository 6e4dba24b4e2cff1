"""The event page: complete, self-contained, without scripts."""

from __future__ import annotations

import base64
import struct
import zlib
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support import alerts

from tasks.io.pages import event_page
from tasks.records import Audience, Kind, MapRole
from tasks.records.events import EventHistory, EventState, MessageEntry, NoticeEntry, PlanEntry, PlanState, Standing
from tasks.science.alerts import best_position


class Page(HTMLParser):
    """Reads a page; fails on tags left open."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += f"{data} "


def entry(alert, standing=Standing.FIRST, decision=None) -> NoticeEntry:
    return NoticeEntry(alert=alert, standing=standing, received=alerts.CREATED, decision=decision)


def history(*notices: NoticeEntry, **changes) -> EventHistory:
    values = {
        "slug": "S241102br",
        "kind": notices[-1].alert.notice.kind,
        "mission": "LVK",
        "name": "S241102br",
        "state": EventState.OPEN,
        "test": False,
        "time": alerts.T0,
        "notices": notices,
        "newest_sha256": notices[-1].alert.sha256,
    }
    return EventHistory(**{**values, **changes})


def png(path: Path) -> Path:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\x00\x00")) + chunk(b"IEND", b""))
    return path


def full() -> EventHistory:
    combined = alerts.sky_map(MapRole.COMBINED, area90_deg2=12.3, distance_mpc=41.0)
    first = entry(alerts.gw(), decision=alerts.decision("NO", score=1))
    update = entry(
        alerts.gw(alert_type="UPDATE", minutes=30, coincidence=alerts.coincidence(), combined=combined),
        Standing.UPDATE,
        alerts.decision(),
    )
    plans = tuple(
        PlanEntry(
            notice_sha256="0",
            telescopes=("7DT", "TCH"),
            state=state,
            created=alerts.CREATED + timedelta(minutes=31),
            plans=(alerts.plan(), alerts.plan("TCH", tiles=0, reason="the Sun is up")),
        )
        for state in PlanState
    )
    said = MessageEntry(
        kind="top", audience=Audience.GW, state="sent", created=alerts.CREATED, sent=alerts.CREATED, text="said"
    )
    return history(first, update, plans=plans, messages=(said,), linked=("Fermi_1",))


def test_the_page_of_a_merger_holds_all_that_is_known() -> None:
    page = Page(event_page.render(full()))
    for fact in (
        "S241102br",
        "12.3 deg²",
        "41 ± 8 Mpc",
        "12:40:58.799",
        "Fermi GRB",
        "1.74 s apart as given",
        "GO",
        "near-and-well-localised",
        "T01002",
        "the Sun is up",
        "decision NO (1) → GO (3)",
        "Announced to gw",
        "Linked with Fermi_1",
    ):
        assert fact in page.text, fact


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(tmp_path: Path) -> None:
    picture = png(tmp_path / "20241102T124127_PRELIMINARY" / "sky-map.png")
    page = Page(event_page.render(full(), pictures=[picture]))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "form"}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        if tag == "img":
            kind, content = attributes["src"].split(",", 1)
            assert (kind, base64.b64decode(content)) == ("data:image/png;base64", picture.read_bytes())
    assert ("viewport", "width=device-width, initial-scale=1") in [
        (attributes.get("name"), attributes.get("content")) for _, attributes in page.tags
    ]


def test_nothing_from_outside_becomes_markup() -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    alert = alerts.gw(
        evil,
        evil,
        classification={evil: 0.5},
        properties={evil: 0.5},
        instruments=(evil,),
        pipeline=evil,
        remarks=(evil,),
        urls={evil: "javascript:alert(1)", "good": f"https://x/{evil}"},
        sky_map=alerts.sky_map(creator=evil),
    )
    decided = alerts.decision(summary=evil, rule=evil)
    plan = PlanEntry(
        notice_sha256="0",
        telescopes=(evil,),
        state=PlanState.DONE,
        created=alerts.CREATED,
        plans=(alerts.plan(evil),),
        reason=evil,
    )
    page = Page(event_page.render(history(entry(alert, decision=decided), plans=(plan,), linked=(evil,))))
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert all(not attributes.get("href", "").startswith("javascript") for _, attributes in page.tags)
    assert evil in page.text


def test_a_retracted_event_says_so_and_keeps_its_facts() -> None:
    told = history(entry(alerts.gw()), entry(alerts.retraction(), Standing.RETRACTION), state=EventState.RETRACTED)
    page = Page(event_page.render(told))
    assert "Retracted" in page.text
    assert "465 ± 93 Mpc" in page.text


def test_a_retraction_alone_and_a_bare_notice_have_pages() -> None:
    bare = alerts.gw(
        maps=False, classification=None, properties=None, instruments=None, far_hz=None, time=None, urls={}
    )
    for told in (history(entry(alerts.retraction(), Standing.RETRACTION)), history(entry(bare), time=None)):
        page = Page(event_page.render(told))
        assert "None" not in page.text
        assert "no map yet" in page.text


@pytest.mark.parametrize("place", [True, False])
def test_a_burst_shows_its_position_or_that_there_is_none(place: bool) -> None:
    alert = alerts.grb() if place else alerts.grb("GBM", ra_deg=None, dec_deg=None, error_deg=None)
    told = history(entry(alert), slug="Swift_1423875", kind=Kind.GRB, mission="Swift", name="1423875")
    page = Page(event_page.render(told, burst=best_position.burst([alert])))
    assert ("22:00:52.06 \u221209:10:01.2" in page.text) is place
    assert ("none yet" in page.text) is not place


def test_a_picture_that_is_gone_or_endless_or_no_picture_is_left_out(tmp_path: Path) -> None:
    (endless := tmp_path / "endless.png").write_bytes(bytes(event_page.LARGEST_PICTURE + 1))
    (text := tmp_path / "notes.svg").write_text("<svg/>")
    page = Page(event_page.render(full(), pictures=[tmp_path / "gone.png", endless, text]))
    assert "img" not in {tag for tag, _ in page.tags}
