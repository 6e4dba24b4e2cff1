"""Messages about an event: alerts, decisions and plans as Slack blocks, with a sentence for notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tasks.io.messages import blockkit, buttons, coincidence_text, notice_changes, number_words
from tasks.io.messages.blockkit import Block, Rendered, escape
from tasks.records import Alert, Decision, Kind, Notice, Plan, Reason, SkyMapSummary
from tasks.records.bursts import Burst
from tasks.records.buttons import ActionEntry
from tasks.records.events import Counterpart, EventState, PlanEntry, PlanState, Registered, Standing
from tasks.records.skymaps import Overlap

REASONS_SHOWN = 24
SIGMA = "\u03c3"
TILES_SHOWN = 12
PLAN_WORDS = {
    PlanState.RUNNING: "⏳ running",
    PlanState.DONE: "✅ ready",
    PlanState.EMPTY: "🌫️ nothing observable",
    PlanState.FAILED: "⚠️ failed",
    PlanState.CANCELLED: "🚫 cancelled",
    PlanState.SUPERSEDED: "♻️ superseded",
}
STANDING_WORDS = {
    Standing.PROMOTED: "now significant",
    Standing.CORRECTION: "correction",
    Standing.LATE: "late",
    Standing.REINSTATED: "after retraction",
}
GO_SYMBOLS = {True: "🚀", False: "🔭"}


@dataclass(frozen=True, kw_only=True)
class TopMessageFacts:
    """Facts that a top message shows: the newest alert, its decision, plans and button presses.

    ``burst`` combines all notices of a burst, ``instruments`` are those that reported; ``mention`` notifies the whole
    channel. ``slug`` names the event's folder: without it a message has no buttons. ``actions`` are presses of
    buttons, ``pending`` the plans of the newest notice.
    """

    alert: Alert
    state: EventState = EventState.OPEN
    decision: Decision | None = None
    burst: Burst | None = None
    linked: tuple[str, ...] = ()
    counterparts: tuple[Counterpart, ...] = ()
    instruments: tuple[str, ...] = ()
    plans: tuple[PlanEntry, ...] = ()
    notices: int = 1
    slug: str = ""
    pending: tuple[PlanEntry, ...] = ()
    actions: tuple[ActionEntry, ...] = ()
    muted: bool = False
    mention: bool = False
    links: Mapping[str, str] = field(default_factory=dict)


def top(event: TopMessageFacts) -> Rendered:
    """Return the message that opens an event's thread; later notices rewrite it."""
    notice = event.alert.notice
    facts = _gw_facts(event) if notice.kind is Kind.GW else _grb_facts(event)
    blocks = [
        blockkit.header(headline(event)),
        *([blockkit.section("<!channel>")] if event.mention else []),
        *_standing_line(event),
        *facts,
        *coincidence_text.blocks(event.alert, event.counterparts),
        *_linked(event),
        *_decision(event.decision),
        *_plan_lines(event.plans),
        *buttons.people(event.actions, muted=event.muted, retracted=_retracted(event)),
        *_buttons(event),
        *_links(notice, event.links),
        blockkit.context([_small_print(event)]),
    ]
    action = event.decision.action if event.decision else ""
    text = number_words.sentence(event.alert, action)
    return blockkit.rendered(f"RETRACTED: {text}" if _retracted(event) else text, blocks)


def update(
    alert: Alert, registered: Registered, decision: Decision | None, *, overlap: Overlap | None = None
) -> Rendered:
    """Return the thread's message on a later notice: its changes, or one line if no change is notable."""
    word = STANDING_WORDS.get(registered.standing, "")
    title = f"{_symbol(alert.notice)} {alert.notice.alert_type} · notice {registered.number}"
    lines = notice_changes.between(registered.previous, alert, registered.previous_decision, decision, overlap)
    text = f"{number_words.sentence(alert, decision.action if decision else '')} {'; '.join(lines) or 'No notable change.'}"
    head = f"*{escape(title)}*{f' · _{word}_' if word else ''}"
    if not lines:
        return blockkit.rendered(text, [blockkit.section(f"{head} · no notable change")])
    body = "\n".join(f"• {escape(line)}" for line in lines)
    return blockkit.rendered(text, [blockkit.section(head), blockkit.section(body), *_decision(decision)])


def late(alert: Alert) -> Rendered:
    """Return one line about a notice that is older than the newest known."""
    words = f"A late {alert.notice.alert_type}, created {number_words.moment(alert.notice.time_created)}: stored, not acted on."
    return blockkit.rendered(words, [blockkit.section(f"_{escape(words)}_")])


def retraction(alert: Alert, *, announced: bool) -> Rendered:
    """Return the message on a retraction; ``announced`` is False for an event without earlier messages."""
    who = number_words.name(alert.notice)
    words = f"{who} was retracted." if announced else f"{who} was retracted; it was never announced here."
    consequence = "Running plans are cancelled and queued tiles withdrawn." if announced else "Nothing to do."
    blocks = [blockkit.header(f"❌ {who} retracted"), blockkit.section(f"{escape(words)} {consequence}")]
    return blockkit.rendered(f"{words} {consequence}", blocks)


def why(decision: Decision) -> Rendered:
    """Return every condition tested, with its value and verdict."""
    shown = decision.reasons[:REASONS_SHOWN]
    left = len(decision.reasons) - len(shown)
    lines = [_reason(reason) for reason in shown] + ([f"… and {left} more"] if left else [])
    body = blockkit.section("\n".join(lines)) if lines else blockkit.section("No condition was tested.")
    head = blockkit.section(f"*Why {escape(decision.action)}* · policy {escape(decision.policy)}")
    return blockkit.rendered(f"Why {decision.action}: {decision.summary or decision.rule}", [head, body])


def plan_started(event: str, telescopes: Sequence[str], *, engine: str, asked_by: str = "") -> Rendered:
    """Return the message that planning has begun."""
    who = f", requested by {asked_by}" if asked_by else ""
    words = f"Planning {event} for {', '.join(telescopes)} with {engine}{who}."
    return blockkit.rendered(words, [blockkit.section(f"⏳ {escape(words)}")])


def plan_finished(event: str, plans: Sequence[Plan], *, links: Mapping[str, str] | None = None) -> Rendered:
    """Return the plans of one run: for each telescope a table of tiles, or the reason why there are none."""
    tiles = sum(len(plan.tiles) for plan in plans)
    words = [f"{plan.telescope} {_plan_numbers(plan)}" for plan in plans]
    symbol, title = ("✅", f"{event}: {tiles} tiles planned") if tiles else ("🌫️", f"{event}: nothing observable")
    blocks = [blockkit.header(f"{symbol} {title}")]
    for plan in plans:
        blocks.extend(_plan_blocks(plan))
    if links:
        blocks.append(blockkit.section(" · ".join(blockkit.link(url, label) for label, url in links.items())))
    return blockkit.rendered(f"{title}. {'; '.join(words)}.", blocks)


def plan_failed(event: str, telescopes: Sequence[str], *, reason: str) -> Rendered:
    """Return the message that a plan failed or was cancelled, with the reason."""
    words = f"The plan of {event} for {', '.join(telescopes)} failed: {reason}"
    return blockkit.rendered(
        words, [blockkit.section(f"⚠️ {escape(words)}"), blockkit.context(["It can be run again."])]
    )


def plan_cancelled(event: str, telescopes: Sequence[str], *, reason: str) -> Rendered:
    """Return the message that a newer notice cancelled the plans of an event, of some telescopes or, with none, of all."""
    whose = f" for {', '.join(telescopes)}" if telescopes else ""
    words = f"The plans of {event}{whose} are cancelled and their queued tiles withdrawn. A newer notice: {reason}"
    return blockkit.rendered(words, [blockkit.section(f"🛑 {escape(words)}")])


def linked(name: str, evidence: str) -> Rendered:
    """Return the message that another event may have the same source."""
    words = f"{name} may be the same source: {evidence}. The two events keep separate threads."
    return blockkit.rendered(words, [blockkit.section(f"🔗 {escape(words)}")])


def strange_page(slug: str, url: str) -> Rendered:
    """Return the operators' message on a BAT page that cannot be parsed."""
    words = f"The BAT page of {slug} cannot be parsed: its format may have changed."
    return blockkit.rendered(words, [blockkit.section(f"📭 {escape(words)} {blockkit.link(url, 'page')}")])


def missing_xrt(name: str, waited: str) -> Rendered:
    """Return the message that no XRT position has arrived."""
    words = f"{name}: no XRT position {waited} after the trigger; the BAT position is the best."
    return blockkit.rendered(words, [blockkit.section(f"⌛ {escape(words)}")])


def missing_map(slug: str, reason: str) -> Rendered:
    """Return the operators' message on a sky map that could not be had from its address."""
    words = f"{slug}: the sky map at the address in its notice could not be fetched, its circle stays in use. {reason}"
    return blockkit.rendered(words, [blockkit.section(f"🗺️ {escape(words)}")])


def unreadable(sha256: str, *, topic: str | None, reason: str) -> Rendered:
    """Return the operators' message on a notice that cannot be parsed."""
    words = f"A notice on {topic or 'no topic'} cannot be parsed: {reason}"
    return blockkit.rendered(
        words, [blockkit.section(f"📭 {escape(words)}"), blockkit.context([f"dead letter `{sha256}`"])]
    )


def headline(event: TopMessageFacts) -> str:
    """Return an event's headline: symbol, name, kind of notice, marks."""
    notice = event.alert.notice
    marks = ["🧪 TEST"] if notice.test else []
    if _retracted(event):
        marks.append("❌ RETRACTED")
    kind = notice.alert_type if notice.kind is Kind.GW else (notice.instrument or notice.alert_type)
    return " · ".join([f"{_symbol(notice)} {number_words.name(notice)}", kind, *marks])


def _standing_line(event: TopMessageFacts) -> list[Block]:
    if _retracted(event):
        return [blockkit.section("**This event was retracted.* The facts below are from before the retraction.")]
    if event.state is EventState.REINSTATED:
        return [blockkit.section("_This event was retracted and has been reinstated._")]
    if event.alert.notice.alert_type == "EARLYWARNING":
        return [blockkit.section("_Early warning: sent before or at the merger; areas shrink with the next notice._")]
    return []


def _gw_facts(event: TopMessageFacts) -> list[Block]:
    notice, best = event.alert.notice, event.alert.best_map
    pairs = [
        ("Event time", _time(notice)),
        ("Class", _classes(notice)),
        ("Source", _percentages(notice.properties)),
        ("Instruments", escape(number_words.sites(notice.instruments))),
        ("False-alarm rate", number_words.rate(notice.far_hz)),
        ("Area 90 % / 50 %", _areas(best)),
        ("Distance", _distance(best)),
        ("Search", escape(_search(notice))),
        ("Burst", _burst(notice)),
    ]
    return blockkit.fields(pairs)


def _grb_facts(event: TopMessageFacts) -> list[Block]:
    burst = event.burst or Burst(facts=event.alert.notice)
    facts, place = burst.facts, burst.position
    pairs = [
        ("Trigger time", _time(facts)),
        ("Position", _position(place) if place else "none yet"),
        ("Error", _error(place) if place else ""),
        ("Offset", escape(number_words.offset(place, burst.before)) if place and burst.before else ""),
        ("Galactic latitude", _latitude(place)),
        *((label, escape(words)) for label, words in number_words.outlook(burst.outlook)),
        ("Class", _classes(facts) if facts.classification else ""),
        ("Significance", _significance(facts)),
        ("Duration of trigger", f"{facts.duration_trigger_s:g} s" if facts.duration_trigger_s else ""),
        ("Magnitude", f"{facts.magnitude:.2f}" if facts.magnitude is not None else ""),
        ("Slew", escape(facts.slew_status or "")),
        ("Reported by", escape(", ".join(event.instruments))),
        ("Flags", escape(", ".join(facts.flags))),
    ]
    return blockkit.fields(pairs)


def _linked(event: TopMessageFacts) -> list[Block]:
    names = ", ".join(name.replace("_", " ") for name in event.linked)
    return [blockkit.section(f"**🔗 Possibly the same source as* {escape(names)}")] if names else []


def _decision(decision: Decision | None) -> list[Block]:
    if decision is None:
        return []
    score = "" if decision.score is None else f" · score {decision.score}"
    rule = f"rule {escape(decision.rule)} of policy {escape(decision.policy)}"
    summary = f"\n{escape(decision.summary)}" if decision.summary else ""
    symbol = GO_SYMBOLS[decision.action.upper().startswith("GO")]
    return [blockkit.section(f"*{symbol} {escape(decision.action)}*{score} · {rule}{summary}")]


def _plan_lines(plans: Sequence[PlanEntry]) -> list[Block]:
    lines = []
    for entry in plans:
        if entry.state is PlanState.SUPERSEDED:
            continue
        numbers = "; ".join(f"{plan.telescope} {_plan_numbers(plan)}" for plan in entry.plans)
        words = numbers or ", ".join(entry.telescopes) + (f": {entry.reason}" if entry.reason else "")
        lines.append(f"{PLAN_WORDS[entry.state]} · {escape(words)}")
    return [blockkit.section("*Plans*\n" + "\n".join(lines))] if lines else []


def _buttons(event: TopMessageFacts) -> list[Block]:
    if _retracted(event) or not event.slug:
        return []
    telescopes = event.decision.telescopes if event.decision else ()
    return buttons.row(
        event.alert.notice,
        event.slug,
        telescopes=telescopes,
        plans=event.pending,
        actions=event.actions,
        muted=event.muted,
    )


def _plan_blocks(plan: Plan) -> list[Block]:
    head = blockkit.section(f"*{escape(plan.telescope)}* · {escape(_plan_numbers(plan))} · {escape(plan.engine)}")
    if not plan.tiles:
        return [head]
    rows = [f"{'tile':<12} {'RA':>9} {'Dec':>9} {'start UTC':>12} {'filter':>6} {'P %':>6}"]
    for tile in plan.tiles[:TILES_SHOWN]:
        start = f"{tile.start:%d %H:%M:%S}" if tile.start else "-"
        place = f"{tile.ra_deg:9.4f} {tile.dec_deg:+9.4f}"
        rows.append(f"{tile.id[:12]:<12} {place} {start:>12} {tile.filter[:6]:>6} {100 * tile.probability:6.2f}")
    left = len(plan.tiles) - TILES_SHOWN
    more = [f"… and {left} more"] if left > 0 else []
    return [head, blockkit.section("```" + escape("\n".join([*rows, *more])).replace("```", "'''") + "```")]


def _plan_numbers(plan: Plan) -> str:
    if not plan.tiles:
        return f"no tiles: {plan.reason or 'no reason given'}"
    return f"{len(plan.tiles)} tiles, {100 * plan.probability:.1f} % over {number_words.area(plan.area_deg2)}"


def _links(notice: Notice, links: Mapping[str, str]) -> list[Block]:
    urls = {**{label: url for label, url in notice.urls.items() if label != "skymap"}, **links}
    words = [blockkit.link(url, label) for label, url in urls.items()]
    return [blockkit.section(" · ".join(words))] if words else []


def _small_print(event: TopMessageFacts) -> str:
    notice = event.alert.notice
    after = number_words.delay(notice.time_created, notice.time)
    created = f"created {number_words.moment(notice.time_created)}{f', {after}' if after else ''}"
    remarks = " · ".join(notice.remarks)
    return escape(f"notice {event.notices} · {created} · {event.alert.sha256[:12]}{f' · {remarks}' if remarks else ''}")


def _reason(reason: Reason) -> str:
    verdict = "✓" if reason.passed else "✗"
    return f"{verdict} {escape(reason.rule)}: {escape(reason.condition)} · got {escape(reason.value)}"


def _symbol(notice: Notice) -> str:
    if notice.kind is Kind.GRB and not notice.retraction:
        return "💥"
    return number_words.TYPE_SYMBOLS.get(notice.alert_type, "❓")


def _retracted(event: TopMessageFacts) -> bool:
    return event.state is EventState.RETRACTED


def _time(notice: Notice) -> str:
    if notice.time is None:
        return number_words.ABSENT
    after = number_words.delay(notice.time_created, notice.time)
    return f"{number_words.moment(notice.time)}{f'{chr(10)}notice {after}' if after else ''}"


def _classes(notice: Notice) -> str:
    classes = number_words.ranked(notice.classification)
    if not classes:
        return number_words.ABSENT
    first, chance = classes[0]
    symbol = number_words.CLASS_SYMBOLS.get(first, "")
    others = " · ".join(f"{escape(label)} {number_words.percent(value)}" for label, value in classes[1:])
    return f"*{escape(first)} {number_words.percent(chance)}* {symbol}".strip() + (f"\n{others}" if others else "")


def _percentages(values: Mapping[str, float] | None) -> str:
    return escape(" · ".join(f"{label} {number_words.percent(value)}" for label, value in (values or {}).items()))


def _areas(best: SkyMapSummary | None) -> str:
    return f"{number_words.area(best.area90_deg2)} / {number_words.area(best.area50_deg2)}" if best else "no map yet"


def _distance(best: SkyMapSummary | None) -> str:
    words, span = number_words.distance(best), number_words.interval(best)
    return f"{words}\n{span}" if span else words


def _search(notice: Notice) -> str:
    return " · ".join(word for word in (notice.group, notice.pipeline, notice.search) if word)


def _burst(notice: Notice) -> str:
    parts = []
    if notice.duration_s is not None:
        parts.append(f"{notice.duration_s:g} s")
    if notice.central_frequency_hz is not None:
        parts.append(f"{notice.central_frequency_hz:.0f} Hz")
    return " · ".join(parts)


def _position(place: Notice) -> str:
    return "\n".join(number_words.place(place.ra_deg or 0.0, place.dec_deg or 0.0))


def _error(place: Notice) -> str:
    return escape(f"{number_words.radius(place)}{f' ({place.instrument})' if place.instrument else ''}")


def _latitude(place: Notice | None) -> str:
    if place is None or place.ra_deg is None or place.dec_deg is None:
        return ""
    return f"{number_words.galactic_latitude_deg(place.ra_deg, place.dec_deg):+.1f}°".replace("-", number_words.MINUS)


def _significance(notice: Notice) -> str:
    pairs = (("rate", notice.rate_snr), ("image", notice.image_snr))
    return " · ".join(f"{label} {value:.1f} {SIGMA}" for label, value in pairs if value is not None)
