"""The page of one event, complete in one HTML file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tasks.io.messages import buttons, coincidence_text, event_text, notice_changes, number_words, plan_change_text
from tasks.io.pages import templating
from tasks.records import Alert, Decision, Kind, MapRole, Notice, Plan, Reason, SkyMapSummary, Tile
from tasks.records.bursts import Burst
from tasks.records.buttons import Button
from tasks.records.events import EventHistory, EventState, NoticeEntry, PlanChange, PlanEntry, PlanState, Standing
from tasks.records.skymaps import Overlap

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
LARGEST_PICTURE = 4_000_000
TILES_SHOWN = 60
TEXT_SHOWN = 80
STATE_WORDS = {EventState.RETRACTED: "Retracted", EventState.REINSTATED: "Reinstated after a retraction"}
PLAN_WORDS = {
    PlanState.RUNNING: "Running",
    PlanState.DONE: "Ready",
    PlanState.EMPTY: "Nothing observable",
    PlanState.FAILED: "Failed",
    PlanState.CANCELLED: "Cancelled",
    PlanState.SUPERSEDED: "Superseded",
}
ACTION_WORDS = {
    Button.RUN: "Plan requested",
    Button.CHOOSE: "Telescopes requested",
    Button.CANCEL: "Plans cancelled",
    Button.REVIEW: "Under review",
    Button.MUTE: "Muted",
    Button.UNMUTE: "Unmuted",
}
MAP_WORDS = {MapRole.GW: "gravitational waves", MapRole.COMBINED: "combined", MapRole.HEALPIX: "mission's map"}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One number of the headline: label, value, small print."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One line of the timeline."""

    time: str
    after: str
    what: str
    details: tuple[str, ...]
    mark: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture embedded in the page."""

    caption: str
    data: str


def render(
    history: EventHistory,
    *,
    burst: Burst | None = None,
    pictures: Sequence[Path] = (),
    links: Mapping[str, str] | None = None,
    changed: Sequence[PlanChange] = (),
    overlaps: Mapping[str, Overlap] | None = None,
) -> str:
    """Return an event's page as HTML.

    Parameters
    ----------
    history
        The event's history in the registry.
    burst
        Facts of a burst combined from all its notices.
    pictures
        PNG or JPEG files, each in the folder of its notice; they are embedded in the page, the newest first.
    links
        URLs by label, in addition to those of the notices.
    changed
        Changes of the newest plans against those before.
    overlaps
        Overlap of each notice's sky map with the one before, by the notice's hash.
    """
    newest = history.shown
    notice = newest.alert.notice
    return templating.render(
        "event.html",
        history=history,
        notice=notice,
        name=number_words.name(notice),
        badges=_badges(history, notice),
        sentence=number_words.sentence(newest.alert, newest.decision.action if newest.decision else ""),
        facts=_facts(history, newest.alert, burst),
        classes=number_words.ranked(notice.classification),
        properties=sorted((notice.properties or {}).items()),
        maps=_maps(newest.alert),
        coincidence=_coincidence(notice, history),
        decision=newest.decision,
        plans=tuple(_plan(entry) for entry in reversed(history.plans)),
        changed=changed,
        change_kinds=plan_change_text.KINDS,
        tiles_of=plan_change_text.tiles_of,
        named=plan_change_text.named,
        timeline=_timeline(history, overlaps or {}),
        pictures=_pictures(pictures, history, overlaps or {}),
        links=_links(notice, links or {}),
        words=number_words,
        tried=_tried(newest.decision),
        losses=_losses(history),
    )


def _losses(history: EventHistory) -> list[tuple[str, str]]:
    """Return what was given up of the event's files and messages, each with its reason."""
    files = [(upload.remote, upload.given_up) for upload in history.uploads if upload.given_up]
    messages = [
        (f"message to {message.audience.value}: {message.text[:TEXT_SHOWN]}", message.given_up)
        for message in history.messages
        if message.given_up
    ]
    return files + messages


def _badges(history: EventHistory, notice: Notice) -> list[tuple[str, str]]:
    badges = [(notice.alert_type.title(), "plain")]
    if history.test:
        badges.append(("Test", "warn"))
    if history.state in STATE_WORDS:
        badges.append((STATE_WORDS[history.state], "bad" if history.state is EventState.RETRACTED else "warn"))
    if notice.significant is False:
        badges.append(("Low significance", "warn"))
    if reviewers := ", ".join(entry.user_name or entry.user for entry in buttons.reviewers(history.actions)):
        badges.append((f"Under review by {reviewers}", "plain"))
    if history.muted:
        badges.append(("Muted", "plain"))
    badges += [(f"Linked with {slug}", "plain") for slug in history.linked]
    return badges


def _facts(history: EventHistory, alert: Alert, burst: Burst | None) -> list[Fact]:
    own = _gw_facts(alert) if history.kind is Kind.GW else _grb_facts(history, burst or Burst(facts=alert.notice))
    links = zip(history.linked, history.evidence, strict=True) if history.evidence else ()
    return own + [Fact(label="Linked", value=slug.replace("_", " "), note=why) for slug, why in links]


def _gw_facts(alert: Alert) -> list[Fact]:
    notice, best = alert.notice, alert.best_map
    latency = number_words.delay(notice.time_created, notice.time)
    return [
        Fact(label="Class", value=number_words.top_class(notice), note=_search(notice)),
        Fact(
            label="90 % area",
            value=number_words.area(best.area90_deg2) if best else "no map yet",
            note=f"50 % in {number_words.area(best.area50_deg2)}" if best else "",
        ),
        Fact(label="Distance", value=number_words.distance(best), note=number_words.interval(best)),
        Fact(label="False alarms", value=number_words.rate(notice.far_hz), note=", ".join(notice.instruments or ())),
        _when("Event time", notice, note=f"notice {latency}" if latency else ""),
    ]


def _grb_facts(history: EventHistory, burst: Burst) -> list[Fact]:
    first, position = burst.facts, burst.position
    instruments = dict.fromkeys(entry.alert.notice.instrument for entry in history.notices)
    facts = [_when("Trigger", first, note=", ".join(name for name in instruments if name))]
    if position is not None and position.ra_deg is not None and position.dec_deg is not None:
        ra, dec = position.ra_deg, position.dec_deg
        latitude = f"b = {number_words.galactic_latitude_deg(ra, dec):+.1f}°".replace("-", number_words.MINUS)
        place = f"{number_words.right_ascension(ra)} {number_words.declination(dec)}"
        facts.append(Fact(label="Position", value=place, note=f"{number_words.degrees(ra, dec)}, {latitude}"))
        away = number_words.offset(position, burst.before) if burst.before else ""
        whose = ", ".join(word for word in (position.instrument, away) if word)
        facts.append(Fact(label="Error", value=number_words.radius(position), note=whose))
    else:
        facts.append(Fact(label="Position", value="none yet"))
    facts += [Fact(label=label, value=words) for label, words in number_words.outlook(burst.outlook) if words]
    if first.image_snr is not None or first.rate_snr is not None:
        best = max(snr for snr in (first.image_snr, first.rate_snr) if snr is not None)
        facts.append(Fact(label="Significance", value=f"{best:.1f} {event_text.SIGMA}"))
    if first.magnitude is not None:
        facts.append(Fact(label="Magnitude", value=f"{first.magnitude:.2f}"))
    return facts


def _when(label: str, notice: Notice, *, note: str) -> Fact:
    """Return a time as a fact: time of day as value, date in small print."""
    if notice.time is None:
        return Fact(label=label, value=number_words.ABSENT, note=note)
    day, clock = number_words.moment(notice.time).removesuffix(" UTC").split(" ", 1)
    return Fact(label=f"{label}, UTC", value=clock, note=f"{day}, {note}" if note else day)


def _tried(decision: Decision | None) -> tuple[list[Reason], list[Reason]]:
    """Return the conditions of the rule that decided, and those of the rules tested before it."""
    reasons = decision.reasons if decision else ()
    rule = decision.rule if decision else ""
    return [one for one in reasons if one.rule == rule], [one for one in reasons if one.rule != rule]


def _maps(alert: Alert) -> list[tuple[str, SkyMapSummary]]:
    return [(MAP_WORDS[summary.role], summary) for summary in (alert.sky_map, alert.combined) if summary is not None]


def _coincidence(notice: Notice, history: EventHistory) -> list[tuple[str, str]]:
    if notice.coincidence is None:
        return []
    pairs = [
        ("Observatory", coincidence_text.who(notice)),
        ("Time difference", coincidence_text.apart(coincidence_text.delay(notice, history.counterparts))),
        *((f"Chance, {compared}", rate) for compared, rate in coincidence_text.rates(notice).items()),
    ]
    return [(label, value) for label, value in pairs if value]


def _plan(entry: PlanEntry) -> dict[str, object]:
    tiles = [
        {"telescope": plan.telescope, "tile": tile, "start": _clock(tile)}
        for plan in entry.plans
        for tile in plan.tiles
    ]
    return {
        "telescopes": ", ".join(entry.telescopes),
        "state": entry.state,
        "words": PLAN_WORDS[entry.state],
        "reason": entry.reason,
        "created": number_words.moment(entry.created.replace(microsecond=0)),
        "plans": entry.plans,
        "tiles": tiles[:TILES_SHOWN],
        "left": max(0, len(tiles) - TILES_SHOWN),
        "asked_by": entry.asked_by,
        "remarks": tuple(dict.fromkeys(words for plan in entry.plans for words in plan.remarks)),
        "standing": entry.state in (PlanState.DONE, PlanState.RUNNING, PlanState.EMPTY),
    }


def _tiles(plan: Plan) -> str:
    return f"{len(plan.tiles)} tiles, {100 * plan.probability:.1f} % of the probability"


def _clock(tile: Tile) -> str:
    return f"{tile.start:%m-%d %H:%M:%S}" if tile.start else ""


def _timeline(history: EventHistory, overlaps: Mapping[str, Overlap]) -> list[Moment]:
    """Return the event's history, newest first: notices, decisions, plans, button presses, announcements."""
    moments: list[tuple[datetime, Moment]] = []
    previous: NoticeEntry | None = None
    for entry in history.notices:
        moment = entry.alert.notice.time_created or entry.received
        moments.append((moment, _notice_moment(history, entry, previous, moment, overlaps.get(entry.alert.sha256))))
        previous = entry if entry.standing not in (Standing.LATE, Standing.DUPLICATE) else previous
    for plan in history.plans:
        who = f", requested by {plan.asked_by}" if plan.asked_by else ""
        what = f"Plan for {', '.join(plan.telescopes)}: {PLAN_WORDS[plan.state].lower()}{who}"
        why: tuple[str, ...] = (
            (plan.reason,) if plan.reason and plan.state not in (PlanState.DONE, PlanState.SUPERSEDED) else ()
        )
        why += tuple(f"{one.telescope}: {_tiles(one)}" for one in plan.plans if one.tiles)
        moments.append((plan.created, _moment(history, plan.created, what, why, "plan")))
    for action in history.actions:
        if action.done:
            what = f"{ACTION_WORDS[action.button]} by {action.user_name or action.user}"
            moments.append((action.created, _moment(history, action.created, what, (), "message")))
    for message in history.messages:
        if message.sent is not None and message.kind == "top":
            what = f"Announced to {message.audience.value}"
            moments.append((message.sent, _moment(history, message.sent, what, (), "message")))
    return [moment for _, moment in sorted(moments, key=lambda item: item[0], reverse=True)]


def _notice_moment(
    history: EventHistory,
    entry: NoticeEntry,
    previous: NoticeEntry | None,
    moment: datetime,
    overlap: Overlap | None,
) -> Moment:
    notice = entry.alert.notice
    lines = [number_words.sentence(entry.alert)]
    if previous is not None:
        lines = notice_changes.between(previous.alert, entry.alert, previous.decision, entry.decision, overlap)
    if entry.decision is not None and not any(line.startswith("decision") for line in lines):
        lines = [*lines, f"decision {_verdict(entry.decision)}: {entry.decision.summary or entry.decision.rule}"]
    source = f" from {notice.instrument}" if notice.instrument else ""
    word = "" if entry.standing in (Standing.FIRST, Standing.UPDATE) else f" ({entry.standing.value})"
    return _moment(history, moment, f"{notice.alert_type.title()}{source}{word}", tuple(lines), "notice")


def _moment(history: EventHistory, time: datetime, what: str, details: tuple[str, ...], mark: str) -> Moment:
    return Moment(
        time=number_words.moment(time.replace(microsecond=0)),
        after=number_words.delay(time, history.time),
        what=what,
        details=details,
        mark=mark,
    )


def _verdict(decision: Decision) -> str:
    return decision.action if decision.score is None else f"{decision.action} (score {decision.score})"


def _search(notice: Notice) -> str:
    return ", ".join(word for word in (notice.group, notice.pipeline, notice.search) if word)


def _links(notice: Notice, links: Mapping[str, str]) -> list[tuple[str, str]]:
    urls = {**notice.urls, **links}
    return [(label, url) for label, url in urls.items() if url.startswith(("https://", "http://"))]


def _pictures(paths: Sequence[Path], history: EventHistory, overlaps: Mapping[str, Overlap]) -> tuple[Picture, ...]:
    """Return the pictures, the newest notice's first; of a notice, the plans before the sky map."""
    visits = {entry.alert.sha256[:8]: entry for entry in history.notices}
    embedded = []
    for path in paths:
        folder = path.parent if path.parent.name != "plans" else path.parent.parent
        entry = visits.get(folder.name.rpartition("_")[2])
        picture = _picture(path, entry, overlaps)
        embedded += [(folder.name, path.parent.name == "plans", picture)] if picture else []
    return tuple(picture for *_, picture in sorted(embedded, key=lambda item: item[:2], reverse=True))


def _picture(path: Path, entry: NoticeEntry | None, overlaps: Mapping[str, Overlap]) -> Picture | None:
    """Embed a picture; None if the file is missing, too large or not a picture."""
    kind = TYPES.get(path.suffix.lower())
    if kind is None or not path.is_file() or path.stat().st_size > LARGEST_PICTURE:
        return None
    content = base64.b64encode(path.read_bytes()).decode()
    return Picture(caption=_caption(path, entry, overlaps), data=f"data:{kind};base64,{content}")


def _caption(path: Path, entry: NoticeEntry | None, overlaps: Mapping[str, Overlap]) -> str:
    """Return a picture's caption: notice, area, distance, and overlap with the map before."""
    if entry is None:
        return f"{path.parent.name}: {path.stem}".replace("-", " ").replace("_", " ")
    notice, best, overlap = entry.alert.notice, entry.alert.best_map, overlaps.get(entry.alert.sha256)
    who = f"{notice.alert_type.title()} of {number_words.moment(notice.time_created or entry.received)}"
    if path.parent.name == "plans":
        return f"Planned on the {who}"
    numbers = [f"90 % in {number_words.area(best.area90_deg2)}", number_words.distance(best)] if best else []
    shared = [f"{100 * overlap.held:.0f} % of it lies in the previous region"] if overlap else []
    return "; ".join([who, *numbers, *shared])
