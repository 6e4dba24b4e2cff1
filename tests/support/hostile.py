"""Hostile input: XML attacks, malformed sky maps, ids that leave their folder, mutations."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from support import notice_bytes, skymap_files


def xml_attacks(canary: Path) -> dict[str, str]:
    """Return XML with which a careless parser would read a file, use the network or exhaust memory."""
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    body = "<VOEvent ivorn='ivo://x#1'><What><Param name='TrigID' value='1'/><Param name='Instrument'><Value>{}</Value></Param></What></VOEvent>"
    uri = canary.as_uri()
    return {
        "entity to a file": f"<!DOCTYPE x [<!ENTITY e SYSTEM '{uri}'>]>" + body.format("&e;"),
        "entity to the web": "<!DOCTYPE x [<!ENTITY e SYSTEM 'http://127.0.0.1:9/e'>]>" + body.format("&e;"),
        "parameter entity": f"<!DOCTYPE x [<!ENTITY % e SYSTEM '{uri}'> %e;]>" + body.format("x"),
        "remote document type": "<!DOCTYPE VOEvent SYSTEM 'http://127.0.0.1:9/x.dtd'>" + body.format("x"),
        "document type in a file": f"<!DOCTYPE VOEvent SYSTEM '{uri}'>" + body.format("x"),
        "public document type": f"<!DOCTYPE VOEvent PUBLIC '-//X//Y' '{uri}'>" + body.format("x"),
        "laughs": f'<!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]>' + body.format("&a9;"),
        "quadratic": f'<!DOCTYPE x [<!ENTITY a "{"a" * 50_000}">]>' + body.format("&a;" * 5_000),
        "entity in an attribute": '<!DOCTYPE x [<!ENTITY a "1">]>' + body.format("x").replace("'TrigID'", "'&a;'"),
        "harmless document type": "<!DOCTYPE VOEvent>" + body.format("x"),
        "undefined entity": body.format("&e;"),
        "inclusion": body.format(f"<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' parse='text' href='{uri}'/>"),
    }


def card(content: bytes, key: str, value: str) -> bytes:
    """Replace a header card's value."""
    where = content.index(f"{key:<8}= ".encode())
    return content[:where] + f"{key:<8}= {value:>20}".ljust(80).encode() + content[where + 80 :]


def sky_maps() -> dict[str, bytes]:
    """Return maps with false headers, overflows, overlaps or excessive size."""
    good = skymap_files.blob(order=2, sigma_deg=30)
    uniq, density = np.arange(4, 16), np.full(12, 1 / (4 * np.pi))
    make = skymap_files.multiorder
    huge = card(card(skymap_files.flat(np.full(12, 1 / 12)), "NAXIS2", "12582912"), "NSIDE", "1024")
    return {
        "empty": b"",
        "text": b"hello",
        "zeros": bytes(100_000),
        "only a primary header": good[:2880],
        "truncated header": good[:4000],
        "truncated table": good[:-3000],
        "rows announced": card(good, "NAXIS2", "3999999"),
        "too many rows": card(good, "NAXIS2", "999999999999"),
        "negative rows": card(good, "NAXIS2", "-1"),
        "rows as a text": card(good, "NAXIS2", "'many'"),
        "rows of 20 digits": card(good, "NAXIS2", "99999999999999999999"),
        "wide rows": card(good, "NAXIS1", "160000000"),
        "no columns": card(good, "TFIELDS", "0"),
        "many columns": card(good, "TFIELDS", "999"),
        "a format unknown": card(good, "TFORM1", "'PQ(3)'"),
        "a format absent": good.replace(b"TFORM1", b"XFORM1"),
        "an image first": card(card(good, "NAXIS", "2"), "BITPIX", "64"),
        "999 axes": card(good, "NAXIS", "999"),
        "no end": good.replace(b"END" + b" " * 77, b" " * 80),
        "no bintable": good.replace(b"'BINTABLE'", b"'IMAGE   '"),
        "compressed image": good.replace(b"PIXTYPE ", b"ZTABLE  "),
        "scaled": make(uniq, density, header={"TSCAL2": 2.0}),
        "UNIQ of nothing": make([0, *uniq[1:]], density),
        "UNIQ negative": make([-5, *uniq[1:]], density),
        "UNIQ of order 30": make([4 * 4**30, *uniq[1:]], density),
        "UNIQ largest": make([2**63 - 1, *uniq[1:]], density),
        "UNIQ twice": make([5, *uniq[1:]], density),
        "overlap": make([*uniq, 16], [*density[:-1], density[-1] / 2, density[-1] / 2]),
        "overlap of fine in coarse": make([*uniq, 4 * 4**29 + 7], [*density, 0.0]),
        "UNIQ as floats": skymap_files.table({"UNIQ": uniq.astype(float), "PROBDENSITY": density}, {}),
        "no rows": make([], []),
        "sum of a half": make(uniq, density / 2),
        "sum of two": make(uniq, density * 2),
        "negative": make(uniq, [*(density[:-2]), 2 * density[0] + 1, -1]),
        "NaN": make(uniq, [*density[:-1], np.nan]),
        "infinite": make(uniq, [*density[:-1], np.inf]),
        "all zero": make(uniq, density * 0),
        "density as text": skymap_files.table({"UNIQ": uniq, "PROBDENSITY": np.full(12, b"a")}, {}),
        "no density": skymap_files.table({"UNIQ": uniq}, {}),
        "other table": skymap_files.table({"FLUX": density}, {}),
        "flat of 13 pixels": skymap_files.flat(np.full(12, 1 / 12)).replace(b"NAXIS2  =                   12", b"NAXIS2  =                   11"),
        "flat with a wrong NSIDE": card(skymap_files.flat(np.full(12, 1 / 12)), "NSIDE", "2"),
        "flat of unknown ordering": skymap_files.flat(np.full(12, 1 / 12)).replace(b"'NESTED  '", b"'SPIRAL  '"),
        "flat announced large": huge,
        "flat announced too large": card(card(huge, "NAXIS2", "201326592"), "NSIDE", "4096"),
        "ring announced large": huge.replace(b"'NESTED  '", b"'RING    '"),
        "flat explicit": skymap_files.flat(np.full(12, 1 / 12), header={"INDXSCHM": "EXPLICIT"}),
        "galactic": make(uniq, density, header={"COORDSYS": "G"}),
        "gzip of nothing": gzip.compress(b""),
        "gzip truncated": gzip.compress(good)[:-2000],
        "gzip damaged": gzip.compress(good)[:200] + b"\xff" * 50 + gzip.compress(good)[250:],
        "gzip bomb in the header": gzip.compress(good[:2880] + bytes(2**26), 9),
        "gzip bomb in the rows": gzip.compress(card(good, "NAXIS2", "4000000")[: good.index(b"END" + b" " * 77, 2881)], 9)
        + gzip.compress(bytes(2**26), 9),
        "gzip bomb in a flat map": gzip.compress(huge[:5760] + bytes(2**26), 9),
    }  # fmt: skip


def mutated_maps(count: int, rng: np.random.Generator) -> Iterator[bytes]:
    """Yield maps with bytes replaced, in the header and in the rows, or cut."""
    originals = [
        skymap_files.blob(order=1, sigma_deg=40, distance_mpc=100),
        skymap_files.flat(np.full(192, 1 / 192), ordering="RING"),
        gzip.compress(skymap_files.flat(np.full(192, 1 / 192), per_row=16)),
    ]
    for number in range(count):
        content = bytearray(originals[number % 3])
        header = 5760 if number % 3 < 2 else len(content)
        for place in rng.integers(0, header if number % 2 else len(content), size=rng.integers(1, 6)):
            content[place] = rng.integers(256) if number % 4 else rng.choice(list(b"0123456789' =-+.DETF"))
        yield bytes(content[: rng.integers(len(content))] if number % 7 == 0 else content)


# --------------------------------------------------------------------------------------------------------- mutations

TOKENS = (b"null", b"[]", b"{}", b"-1", b"1e400", b"NaN", b'"\\ud800"', b"<a>", b"&x;", b"\x00", b"\xff\xfe", b"true")
STRANGE = (None, [], {}, -1, 1e300, 10**400, "x", "", True, "\ud800", "K1", [[1]], {"a": {"b": None}}, "..", 0)


def mutated(payload: bytes, chance: random.Random) -> bytes:
    """Flip, cut, remove, double, replace or swap bytes."""
    data = bytearray(payload)
    where, size = chance.randrange(len(data)), chance.randint(1, 40)
    kind = chance.randrange(6)
    if kind == 0:
        for _ in range(chance.randint(1, 9)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif kind == 1:
        del data[where:]
    elif kind == 2:
        del data[where : where + size]
    elif kind == 3:
        data[where:where] = data[where : where + size]
    elif kind == 4:
        data[where : where + size] = chance.choice(TOKENS)
    else:
        other = chance.randrange(len(data))
        data[where : where + size], data[other : other + size] = data[other : other + size], data[where : where + size]
    return bytes(data)


def retyped(document: dict[str, Any], chance: random.Random) -> bytes:
    """Replace or drop one value, somewhere in a document."""
    document = copy.deepcopy(document)
    holders: list[Any] = [document]
    for holder in holders:
        holders += [value for value in holder.values() if isinstance(value, dict)]
    holder = chance.choice([each for each in holders if each])
    key = chance.choice(list(holder))
    if chance.random() < 0.3:
        del holder[key]
    else:
        holder[key] = chance.choice(STRANGE)
    return json.dumps(document).encode()


def json_notices(count: int, chance: random.Random) -> Iterator[bytes]:
    """Yield corrupt notices, each of a different event, with one or two mutations."""
    for number in range(count):
        if number % 3 == 2:
            document = json.loads(notice_bytes.mission(f"fuzz{number}"))
        else:
            document = json.loads(notice_bytes.gw(superevent(number), order=1))
        payload = retyped(document, chance) if number % 2 else json.dumps(document).encode()
        yield payload if number % 4 == 3 else mutated(payload, chance)


def xml_notices(count: int, chance: random.Random) -> Iterator[bytes]:
    for number in range(count):
        packet = (61, 67)[number % 2]
        yield mutated(notice_bytes.burst(2_000_000 + number, packet=packet), chance)


def superevent(number: int) -> str:
    """Return the superevent id of a number, in LVK's form."""
    letters = ""
    for _ in range(4):
        number, rest = divmod(number, 26)
        letters = chr(97 + rest) + letters
    return f"S260115{letters}"


# --------------------------------------------------------------------------------------------------------------- ids

ESCAPES = (
    "S1/../../../../../../{}",
    "../../../../../../../../{}",
    "..\\..\\{}",
    "/tmp/{}",
    "%2e%2e%2f%2e%2e%2f{}",
    "..%2f..%2f{}",
    "....//....//{}",
    "S260115ab/../../{}",
    "S260115ab\x00/../{}",
    "S260115ab\r\nDestination: /{}",
    "~/{}",
    "file:///tmp/{}",
    "..",
    ".",
    " ",
    "-rf {}",
    "$(touch {})",
    "`touch {}`",
    "{};touch x",
    "|touch {}",
    "CON {}",
    "\u202e{}",
    "\uff0e\uff0e\uff0f{}",
    "\u2025\u2215{}",
    "{}\u0000",
    "é{}",
    "{}" + "a" * 10_000,
    "a/" * 500 + "{}",
    "\ud800{}",
    "<{}>",
)


def event_ids(count: int) -> Iterator[str]:
    """Yield different ids that would leave their folder, each with its own token or one level further up."""
    for number in range(count):
        turn, which = divmod(number, len(ESCAPES))
        escape = ESCAPES[which]
        yield escape.format(f"hostile{number}") if "{}" in escape else "/".join([escape] * (turn + 1))


def notices_with(hostile: str, number: int) -> bytes:
    """Return a notice with a hostile text as its id, or as another part of a path."""
    forms = (
        lambda: notice_bytes.gw(hostile, event=None),
        lambda: notice_bytes.gw(superevent(number), hostile, event=None),
        lambda: notice_bytes.mission(hostile),
        lambda: notice_bytes.mission(f"m{number}", mission=hostile, alert_type=hostile),
        lambda: notice_bytes.mission(f"e{number}", id=None, event_name=hostile, instrument=hostile),
    )
    return forms[(number + number // len(ESCAPES)) % len(forms)]()
