"""Notices in words that nobody has seen yet: every one is announced, with what was not understood said in it."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import hostile, kafka, notice_bytes, river, tally
from support.stages import Stage, staged

from tasks.registry import outbox

UNSEEN = "Zyzzyva"
TRIGGER = "1423875"
GONE = object()
# without these there is nothing to tell an event by: such a notice is a dead letter with its reason
IDENTITY = {("superevent_id",), ("id", 0), ("id",)}


def places_of(document: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value of a document, its containers included."""
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in inner:
        yield (*way, key)
        if isinstance(value, dict | list):
            yield from places_of(value, (*way, key))


def changed(document: dict[str, Any], way: tuple[Any, ...], value: object) -> dict[str, Any]:
    """Return a copy with one value replaced, or taken out."""
    made = copy.deepcopy(document)
    holder = made
    for key in way[:-1]:
        holder = holder[key]
    if value is GONE:
        del holder[way[-1]]
    else:
        holder[way[-1]] = value
    return made


def renamed(document: dict[str, Any], way: tuple[Any, ...]) -> dict[str, Any]:
    """Return a copy with a key replaced by one that nobody has seen: classes and properties are keys."""
    made = copy.deepcopy(document)
    holder = made
    for key in way[:-1]:
        holder = holder[key]
    holder[UNSEEN] = holder.pop(way[-1])
    return made


def full_event() -> dict[str, Any]:
    """A superevent with everything that the schema knows."""
    coincidence = {
        "gcn_notice_id": 18,
        "ivorn": "ivo://nasa.gsfc.gcn/Fermi#1",
        "observatory": "Fermi",
        "search": "GRB",
        "time_difference": -1.5,
        "time_coincidence_far": 1e-9,
        "time_sky_position_coincidence_far": 1e-10,
        "combined_skymap": notice_bytes.sky_map(2, 2),
    }
    document = json.loads(notice_bytes.gw(order=2, external_coinc=coincidence))
    document["event"] |= {"duration": 0.5, "central_frequency": 120.0}
    document["event"]["properties"]["HasSSM"] = 0.0
    document["urls"]["skymap"] = "https://gracedb.ligo.org/map.fits"
    return document


def full_burst() -> dict[str, Any]:
    """A burst with many of the unified schema's words."""
    extra = {
        "$schema": "https://gcn.nasa.gov/schema/v4.1.0/gcn/notices/fermi/gbm/alert.schema.json",
        "alert_type": "initial",
        "alert_tense": "current",
        "record_number": 1,
        "containment_probability": 0.68,
        "instrument": ["GBM"],
        "properties": {"hardness": 0.4},
        "far": 1e-8,
        "rate_duration": 1.024,
        "rate_energy_range": [50, 300],
        "healpix_file": notice_bytes.sky_map(3, 2),
        "healpix_url": "https://example.org/map.fits",
        "slew_status": "commanded",
        "subtype": "gnd",
        "follow_up_event": "S260115ab",
    }
    return json.loads(notice_bytes.mission(**extra))


def drifted(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a document with each of its values unseen, null or absent in turn, and with all words unseen at once."""
    ways = [way for way in places_of(document) if way not in IDENTITY]
    for way, value in itertools.product(ways, (UNSEEN, None, GONE, [], {}, -7)):
        yield changed(document, way, value)
    words = [way for way in ways if isinstance(value_at(document, way), str)]
    strange = document
    for way in words:
        strange = changed(strange, way, UNSEEN)
    yield strange
    yield from (renamed(document, way) for way in ways if isinstance(way[-1], str))


def value_at(document: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        document = document[key]
    return document


def drifted_xml() -> Iterator[str]:
    """Yield VOEvents with each attribute's value unseen, empty or absent, and each element taken out."""
    text = notice_bytes.burst(int(TRIGGER)).decode()
    for match in re.finditer(r' ([\w:]+)="([^"]*)"', text):
        if match[1].startswith("xmlns") or match[2] == TRIGGER:
            continue
        for made in (f' {match[1]}="{UNSEEN}"', f' {match[1]}=""', ""):
            yield text[: match.start()] + made + text[match.end() :]
    for match in re.finditer(r">([^<>\n]+)<", text):
        for made in (UNSEEN, ""):
            yield text[: match.start(1)] + made + text[match.end(1) :]
    for name in ("Who", "WhereWhen", "AstroCoords", "Position2D", "Error2Radius", "TimeInstant", "Value2", "C1"):
        yield re.sub(rf"<{name}[ >].*?</{name}>", "", text, flags=re.DOTALL)
    for number in range(200, 215):
        yield text.replace('value="61"', f'value="{number}"')


def numbered(number: int) -> tuple[bytes, str]:
    """Return the golden cases that once stopped a listener, and the name by which each is announced."""
    name = hostile.superevent(number)
    golden = {0: notice_bytes.gw(name, order=2), 1: notice_bytes.retraction(name)}
    document = json.loads(golden[number % 2])
    if document["event"]:
        document["event"]["instruments"] = ["K1"]
    return json.dumps(document).encode(), name


def notices(every: int) -> dict[bytes, str]:
    """Return notices, each of an event of its own, by the name that its announcement must hold."""
    made: dict[bytes, str] = {}
    for number, document in enumerate(list(drifted(full_event()))[::every]):
        name = hostile.superevent(number)
        made[json.dumps(document | {"superevent_id": name}).encode()] = name
    for number, document in enumerate(list(drifted(full_burst()))[::every]):
        name = f"drift{number:04d}"
        made[json.dumps(document | {"id": [name]}).encode()] = name
    for number, text in enumerate(list(drifted_xml())[::every]):
        name = str(3_000_000 + number)
        made[text.replace(TRIGGER, name).encode()] = name
    made.update(numbered(400_000 + number) for number in range(2))
    return made


def announced(broker: kafka.Broker, root: Path, *, every: int) -> None:
    wanted = notices(every)
    with staged(root / "drift", broker) as stage:
        processes = [river.start(part, stage.river) for part in (river.listen, river.respond_only)]
        broker.send(stage.river.topic, *wanted)
        river.until(
            lambda: (
                stage.rows()["notice"] == len(wanted)
                # in this order: a notice without a run has none yet
                and not stage.book.undispatched()
                and not list(stage.river.runs.glob("notice-*"))
            ),
            patience_s=60 + 0.25 * len(wanted),
            what=stage.rows,
        )
        assert [process.exitcode for process in processes] == [None, None]
        for process in processes:
            river.finish(process)
        sender = river.start(river.send_messages, stage.river)
        river.until(lambda: stage.unsent(outbox.MESSAGES) == 0, patience_s=60 + 0.1 * len(wanted), what="the messages")
        river.finish(sender)
        judge(stage, wanted, label=broker.kind)


def judge(stage: Stage, wanted: dict[bytes, str], *, label: str) -> None:
    letters = [path.read_text() for path in (stage.river.root / "dead-letter").glob("*.json")]
    assert letters == []
    tops = " ".join(str(each["blocks"]) + each["text"] for each in stage.slack.messages if each["thread_ts"] is None)
    silent = [name for name in wanted.values() if name not in tops]
    assert silent == []
    tally.count(
        f"R2 notices in unseen words ({label})",
        notices=len(wanted),
        dead_letters=0,
        announced=len(wanted) - len(silent),
    )


def test_some_notices_in_unseen_words_are_announced(broker: kafka.Broker, scratch: Path) -> None:
    announced(broker, scratch, every=40)


@pytest.mark.gate
@pytest.mark.timeout(1200)
def test_every_notice_in_unseen_words_is_announced(broker: kafka.Broker, scratch: Path) -> None:
    announced(broker, scratch, every=1)
