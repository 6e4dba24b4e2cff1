"""Messages for a notice, plan or button press: top messages, replies in the thread, and rewrites."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.io.messages import blockkit, buttons, event_text, plan_change_text
from tasks.io.messages.blockkit import Rendered
from tasks.io.messages.event_text import TopMessageFacts
from tasks.records import Alert, Audience, Decision, Kind, Plan, PlanMode
from tasks.records.bursts import Burst
from tasks.records.events import EventHistory, PlanChange, PlanEntry, Registered, Standing
from tasks.records.outbox import SKY_MAP, Outgoing
from tasks.records.skymaps import Overlap

TOP = "top"


def top_message_facts(
    history: EventHistory,
    *,
    burst: Burst,
    links: Mapping[str, str],
) -> TopMessageFacts:
    """Collect the facts that a top message shows from an event's history; ``burst`` is used for bursts only."""
    shown = history.shown
    notices = [entry.alert.notice for entry in history.notices if not entry.alert.notice.retraction]
    instruments = [notice.instrument for notice in notices if notice.instrument]
    return TopMessageFacts(
        alert=shown.alert,
        state=history.state,
        decision=shown.decision,
        burst=burst,
        linked=history.linked,
        counterparts=history.counterparts,
        instruments=tuple(dict.fromkeys(instruments)),
        plans=history.plans,
        notices=sum(entry.standing is not Standing.DUPLICATE for entry in history.notices),
        slug=history.slug,
        pending=_pending(history),
        actions=history.actions,
        muted=history.muted,
        links=links,
    )


def _pending(history: EventHistory) -> tuple[PlanEntry, ...]:
    """Return the plans of the newest notice, and those in force if its decision keeps them."""
    newest = history.newest
    keeps = newest.decision is not None and newest.decision.plan is PlanMode.KEEP
    return tuple(
        entry
        for entry in history.plans
        if entry.notice_sha256 == history.newest_sha256 or (keeps and entry.state in buttons.STANDING)
    )


def of_notice(
    alert: Alert,
    decision: Decision | None,
    registered: Registered,
    *,
    known: TopMessageFacts,
    opened: frozenset[Audience],
    overlap: Overlap | None = None,
) -> tuple[Outgoing, ...]:
    """Return the messages for a notice, in order.

    Parameters
    ----------
    alert, decision, registered
        The notice, the decision on it, and its place in the event's history.
    known
        Facts of the event, this notice included.
    opened
        Audiences that have a thread on the event.
    overlap
        Overlap of the new map with the one before.
    """
    audience = _audience(decision, registered)
    standing = _standing(alert, registered)
    silent = audience is Audience.NOBODY
    messages = _EventMessages(registered.slug, alert.sha256, min(opened) if silent and opened else audience)
    if standing is Standing.DUPLICATE:
        return ()
    if silent and standing is not Standing.RETRACTION:
        # an existing thread is updated without a new message
        return (messages.edit("notice", event_text.top(known)),) if opened else ()
    if standing is Standing.LATE:
        return (messages.reply("late", event_text.late(alert)),) if opened and not known.muted else ()
    if standing is Standing.RETRACTION:
        return _retraction(alert, registered, messages, known=known, opened=opened)
    if audience not in opened:
        mention = bool(decision and decision.mention) and audience in (Audience.GW, Audience.GRB)
        top = event_text.top(dataclasses.replace(known, mention=mention))
        why = (messages.reply("why", event_text.why(decision)),) if decision and decision.reasons else ()
        return (messages.top(top), *why)
    if known.muted:
        return (messages.edit("notice", event_text.top(known)),)
    words = event_text.update(alert, _with_believed(alert, registered, known), decision, overlap=overlap)
    broadcast = standing is Standing.REINSTATED or _newly_go(registered.previous_decision, decision)
    return (messages.reply("update", words, broadcast=broadcast), messages.edit("notice", event_text.top(known)))


def of_picture(
    alert: Alert, decision: Decision | None, registered: Registered, picture: Path, *, known: TopMessageFacts
) -> tuple[Outgoing, ...]:
    """Return the messages that show a notice's sky map: in the thread, then small in the top message.

    None for a duplicate, late or retracting notice, or if the event is muted.
    """
    silent = (Standing.DUPLICATE, Standing.LATE, Standing.RETRACTION)
    if known.muted or _standing(alert, registered) in silent:
        return ()
    messages = _EventMessages(registered.slug, alert.sha256, _audience(decision, registered))
    return (messages.file(picture), messages.edit(SKY_MAP, event_text.top(known)))


def of_started_plan(
    alert: Alert,
    registered: Registered,
    telescopes: Sequence[str],
    *,
    engine: str,
    asked_by: str,
    known: TopMessageFacts,
    audience: Audience,
    key: str,
) -> tuple[Outgoing, ...]:
    """Return the messages for a plan that has begun: a reply, and the updated top message."""
    messages = _EventMessages(registered.slug, key, _tested(audience, registered))
    words = event_text.plan_started(alert.notice.event_id, telescopes, engine=engine, asked_by=asked_by)
    return (messages.reply("plan-started", words), messages.edit("plan-started", event_text.top(known)))


def of_plans(
    alert: Alert,
    registered: Registered,
    plans: Sequence[Plan],
    *,
    known: TopMessageFacts,
    audience: Audience,
    key: str,
    changed: Sequence[PlanChange] = (),
    picture: Path | None = None,
) -> tuple[Outgoing, ...]:
    """Return the messages for finished plans: table, changes and picture in the thread, and the updated top message."""
    messages = _EventMessages(registered.slug, key, _tested(audience, registered))
    done = event_text.plan_finished(alert.notice.event_id, plans, links=known.links)
    news = (
        (messages.reply("plan-changes", plan_change_text.message(alert.notice.event_id, changed)),) if changed else ()
    )
    shown = (messages.file(picture, kind="coverage", text="Coverage"),) if picture else ()
    return (messages.reply("plans", done), *news, *shown, messages.edit("plans", event_text.top(known)))


def of_failed_plan(
    alert: Alert,
    registered: Registered,
    telescopes: Sequence[str],
    reason: str,
    *,
    known: TopMessageFacts,
    audience: Audience,
    key: str,
) -> tuple[Outgoing, ...]:
    """Return the messages for a failed plan: the reason, and a top message with the button to run it again."""
    words = event_text.plan_failed(alert.notice.event_id, telescopes, reason=reason)
    if audience is Audience.NOBODY:
        # a failure is always reported
        return (_EventMessages(registered.slug, key, Audience.OPERATORS).reply("plan-failed", words),)
    messages = _EventMessages(registered.slug, key, _tested(audience, registered))
    return (messages.reply("plan-failed", words), messages.edit("plan-failed", event_text.top(known)))


def of_cancelled_plan(
    alert: Alert,
    decision: Decision,
    registered: Registered,
    *,
    telescopes: Sequence[str],
    known: TopMessageFacts,
    audience: Audience,
) -> tuple[Outgoing, ...]:
    """Return the messages that a newer notice cancelled the event's plans: to the whole channel, and the updated top.

    ``telescopes`` are those whose plans were cancelled; none means all.
    """
    messages = _EventMessages(registered.slug, alert.sha256, audience)
    words = event_text.plan_cancelled(alert.notice.event_id, telescopes, reason=decision.summary)
    reply = messages.reply("plan-cancelled", words, broadcast=True)
    return (reply, messages.edit("plan-cancelled", event_text.top(known)))


def of_press(
    slug: str, words: Rendered | None, *, known: TopMessageFacts, audience: Audience, key: str
) -> tuple[Outgoing, ...]:
    """Return the messages for a pressed button: a reply with ``words``, if any, and the updated top message."""
    messages = _EventMessages(slug, key, audience)
    replies = (messages.reply("press", words),) if words else ()
    return (*replies, messages.edit("press", event_text.top(known)))


def of_link(slug: str, other: str, evidence: str, *, audience: Audience) -> Outgoing:
    """Return the message in an event's thread that it is linked with another event."""
    words = event_text.linked(other.replace("_", " "), evidence)
    return _EventMessages(slug, f"link:{other}", audience).reply("link", words)


def of_refresh(slug: str, *, known: TopMessageFacts, audience: Audience, key: str) -> Outgoing:
    """Return the updated top message after a change without a notice."""
    return _EventMessages(slug, key, audience).edit("refresh", event_text.top(known))


def of_bat_page(slug: str, words: Rendered, *, first: bool, audience: Audience, key: str) -> Outgoing:
    """Return the message on a burst's BAT page: a new reply, or the rewritten earlier one."""
    return _EventMessages(slug, key, audience).own("bat-page", words, first=first)


def of_strange_page(slug: str, url: str) -> Outgoing:
    """Return the operators' message about a BAT page that cannot be parsed."""
    words = event_text.strange_page(slug, url)
    return _to_operators(words, subject="bat-page", kind="strange-page", key=slug)


def of_missing_xrt(slug: str, name: str, waited: str, *, audience: Audience) -> Outgoing:
    """Return the message that no XRT position has arrived in the usual time."""
    return _EventMessages(slug, "once", audience).reply("no-xrt", event_text.missing_xrt(name, waited))


def of_missing_map(slug: str, alert: Alert, reason: str) -> Outgoing:
    """Return the operators' message about a sky map that could not be had from its address, one for each notice."""
    return _to_operators(event_text.missing_map(slug, reason), subject="sky-map", kind="missing-map", key=alert.sha256)


def of_dead_letter(sha256: str, *, topic: str | None, reason: str) -> Outgoing:
    """Return the operators' message about a notice that cannot be parsed."""
    words = event_text.unreadable(sha256, topic=topic, reason=reason)
    return _to_operators(words, subject=f"notice:{sha256}", kind="dead-letter", key=sha256)


def of_silence(listener: str, reason: str, *, key: str) -> Outgoing:
    """Return the operators' message about a listener that has lost its broker."""
    text = f"The listener {listener} receives nothing from its broker: {reason}"
    words = blockkit.rendered(text, [blockkit.section(f"🔇 {blockkit.escape(text)}")])
    return _to_operators(words, subject=f"listener:{listener}", kind="silence", key=key)


def _to_operators(words: Rendered, *, subject: str, kind: str, key: str) -> Outgoing:
    return Outgoing(
        subject=subject,
        kind=kind,
        key=key,
        audience=Audience.OPERATORS,
        mode=TOP,
        text=words.text,
        blocks=words.blocks,
    )


class _EventMessages:
    """Builds the messages of one event and one cause."""

    def __init__(self, slug: str, key: str, audience: Audience) -> None:
        self.subject = f"event:{slug}"
        self.key = key
        self.audience = audience

    def top(self, words: Rendered, *, kind: str = TOP) -> Outgoing:
        # one thread for each event and audience
        return self._make(kind, TOP, words, key=self.audience.value)

    def reply(self, kind: str, words: Rendered, *, broadcast: bool = False) -> Outgoing:
        return self._make(kind, "reply", words, broadcast=broadcast)

    def edit(self, kind: str, words: Rendered) -> Outgoing:
        return self._make(f"edit-{kind}", "edit", words)

    def own(self, kind: str, words: Rendered, *, first: bool) -> Outgoing:
        return self._make(kind, "reply" if first else "amend", words)

    def file(self, path: Path, *, kind: str = SKY_MAP, text: str = "Sky map") -> Outgoing:
        return self._make(kind, "file", Rendered(text=text, blocks="[]"), attachment=path)

    def _make(
        self,
        kind: str,
        mode: str,
        words: Rendered,
        *,
        key: str = "",
        broadcast: bool = False,
        attachment: Path | None = None,
    ) -> Outgoing:
        return Outgoing(
            subject=self.subject,
            kind=kind,
            key=key or self.key,
            audience=self.audience,
            mode=mode,
            text=words.text,
            blocks=words.blocks,
            broadcast=broadcast,
            attachment=attachment,
        )


def _retraction(
    alert: Alert,
    registered: Registered,
    messages: _EventMessages,
    *,
    known: TopMessageFacts,
    opened: frozenset[Audience],
) -> tuple[Outgoing, ...]:
    if not opened:
        if registered.previous_decision is not None and registered.previous_decision.audience is Audience.NOBODY:
            return ()
        quiet = Audience.TEST if registered.test else Audience.OPERATORS
        words = event_text.retraction(alert, announced=registered.previous is not None)
        return (_EventMessages(registered.slug, alert.sha256, quiet).top(words, kind="retraction"),)
    words = event_text.retraction(alert, announced=True)
    return (messages.reply("retraction", words, broadcast=True), messages.edit("notice", event_text.top(known)))


def _with_believed(alert: Alert, registered: Registered, known: TopMessageFacts) -> Registered:
    """Replace the previous notice's position by the best known before this notice; a notice may have none."""
    burst = known.burst
    believed = (burst.before if burst.position == alert.notice else burst.position) if burst else None
    if registered.previous is None or believed is None or registered.previous.notice.kind is not Kind.GRB:
        return registered
    notice = dataclasses.replace(
        registered.previous.notice,
        ra_deg=believed.ra_deg,
        dec_deg=believed.dec_deg,
        error_deg=believed.error_deg,
        instrument=believed.instrument,
    )
    return dataclasses.replace(registered, previous=dataclasses.replace(registered.previous, notice=notice))


def _audience(decision: Decision | None, registered: Registered) -> Audience:
    return _tested(decision.audience if decision else Audience.OPERATORS, registered)


def _tested(audience: Audience, registered: Registered) -> Audience:
    """Return the audience; tests and mocks always go to the test channel."""
    return Audience.TEST if registered.test and audience is not Audience.NOBODY else audience


def _standing(alert: Alert, registered: Registered) -> Standing:
    """Treat a burst's late notice as an update: the position with the smallest error wins, not the newest."""
    late_burst = registered.standing is Standing.LATE and alert.notice.kind is Kind.GRB and not alert.notice.retraction
    return Standing.UPDATE if late_burst else registered.standing


def _newly_go(before: Decision | None, now: Decision | None) -> bool:
    return bool(now and now.action.upper() == "GO" and (before is None or before.action.upper() != "GO"))
