"""Which messages a notice or a plan calls for: what goes to the channel, what into the thread, what is rewritten."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.io.messages import blockkit, buttons, event_text, plan_change_text
from tasks.io.messages.blockkit import Rendered
from tasks.io.messages.event_text import Knowledge
from tasks.records import Alert, Audience, Decision, Kind, Plan, PlanMode
from tasks.records.bursts import Burst
from tasks.records.events import EventHistory, PlanChange, PlanEntry, Registered, Standing
from tasks.records.outbox import SKY_MAP, Outgoing
from tasks.records.skymaps import Overlap

TOP = "top"


def knowledge(
    history: EventHistory,
    *,
    burst: Burst,
    links: Mapping[str, str],
) -> Knowledge:
    """Gather what a top message may show from all that is known of an event; ``burst`` counts for bursts alone."""
    shown = history.shown
    told = [entry for entry in history.notices if not entry.alert.notice.retraction]
    heard = [entry.alert.notice.instrument for entry in told if entry.alert.notice.instrument]
    return Knowledge(
        alert=shown.alert,
        state=history.state,
        decision=shown.decision,
        burst=burst,
        linked=history.linked,
        counterparts=history.counterparts,
        instruments=tuple(dict.fromkeys(heard)),
        plans=history.plans,
        notices=sum(entry.standing is not Standing.DUPLICATE for entry in history.notices),
        slug=history.slug,
        pending=_pending(history),
        actions=history.actions,
        muted=history.muted,
        links=links,
    )


def _pending(history: EventHistory) -> tuple[PlanEntry, ...]:
    """Return the plans of the newest notice; those that stand, where its decision lets them."""
    newest = history.newest
    kept = newest.decision is not None and newest.decision.plan is PlanMode.KEEP
    return tuple(
        entry
        for entry in history.plans
        if entry.notice_sha256 == history.newest_sha256 or (kept and entry.state in buttons.STANDING)
    )


def of_notice(
    alert: Alert,
    decision: Decision | None,
    registered: Registered,
    *,
    known: Knowledge,
    opened: frozenset[Audience],
    overlap: Overlap | None = None,
) -> tuple[Outgoing, ...]:
    """Return the messages that a notice calls for, in their order.

    Parameters
    ----------
    alert, decision, registered
        The notice, what was decided on it, and what it is to its event.
    known
        All that is known of the event, this notice included.
    opened
        Audiences that have a thread on the event.
    overlap
        What the new map keeps of the one before.
    """
    audience = _audience(decision, registered)
    standing = _standing(alert, registered)
    silent = audience is Audience.NOBODY
    say = _Speaker(registered.slug, alert.sha256, min(opened) if silent and opened else audience)
    if standing is Standing.DUPLICATE:
        return ()
    if silent and standing is not Standing.RETRACTION:
        # a thread that is there stays true, without a word more
        return (say.edit("notice", event_text.top(known)),) if opened else ()
    if standing is Standing.LATE:
        return (say.reply("late", event_text.late(alert)),) if opened and not known.muted else ()
    if standing is Standing.RETRACTION:
        return _retraction(alert, registered, say, known=known, opened=opened)
    if audience not in opened:
        mention = bool(decision and decision.mention) and audience in (Audience.GW, Audience.GRB)
        top = event_text.top(dataclasses.replace(known, mention=mention))
        why = (say.reply("why", event_text.why(decision)),) if decision and decision.reasons else ()
        return (say.top(top), *why)
    if known.muted:
        return (say.edit("notice", event_text.top(known)),)
    words = event_text.update(alert, _with_believed(alert, registered, known), decision, overlap=overlap)
    broadcast = standing is Standing.REINSTATED or _newly_go(registered.previous_decision, decision)
    return (say.reply("update", words, broadcast=broadcast), say.edit("notice", event_text.top(known)))


def of_picture(
    alert: Alert, decision: Decision | None, registered: Registered, picture: Path, *, known: Knowledge
) -> tuple[Outgoing, ...]:
    """Return the messages that show a notice's sky map: in its thread, then small in the top message.

    None where the notice changes nothing.
    """
    silent = (Standing.DUPLICATE, Standing.LATE, Standing.RETRACTION)
    if known.muted or _standing(alert, registered) in silent:
        return ()
    say = _Speaker(registered.slug, alert.sha256, _audience(decision, registered))
    return (say.file(picture), say.edit(SKY_MAP, event_text.top(known)))


def of_started_plan(
    alert: Alert,
    registered: Registered,
    telescopes: Sequence[str],
    *,
    engine: str,
    asked_by: str,
    known: Knowledge,
    audience: Audience,
    key: str,
) -> tuple[Outgoing, ...]:
    """Return the messages that the begin of planning calls for: who, what, and a top message that says so."""
    say = _Speaker(registered.slug, key, _tested(audience, registered))
    words = event_text.plan_started(alert.notice.event_id, telescopes, engine=engine, asked_by=asked_by)
    return (say.reply("plan-started", words), say.edit("plan-started", event_text.top(known)))


def of_plans(
    alert: Alert,
    registered: Registered,
    plans: Sequence[Plan],
    *,
    known: Knowledge,
    audience: Audience,
    key: str,
    changed: Sequence[PlanChange] = (),
    picture: Path | None = None,
) -> tuple[Outgoing, ...]:
    """Return the messages that finished plans call for: a table and a picture in the thread, what is new, the top message."""
    say = _Speaker(registered.slug, key, _tested(audience, registered))
    done = event_text.plan_finished(alert.notice.event_id, plans, links=known.links)
    news = (say.reply("plan-changes", plan_change_text.message(alert.notice.event_id, changed)),) if changed else ()
    shown = (say.file(picture, kind="coverage", text="Coverage"),) if picture else ()
    return (say.reply("plans", done), *news, *shown, say.edit("plans", event_text.top(known)))


def of_failed_plan(
    alert: Alert,
    registered: Registered,
    telescopes: Sequence[str],
    reason: str,
    *,
    known: Knowledge,
    audience: Audience,
    key: str,
) -> tuple[Outgoing, ...]:
    """Return the messages that a failed plan calls for: why, and a top message that offers to run it again."""
    words = event_text.plan_failed(alert.notice.event_id, telescopes, reason=reason)
    if audience is Audience.NOBODY:
        # a failure is never silent
        return (_Speaker(registered.slug, key, Audience.OPERATORS).reply("plan-failed", words),)
    say = _Speaker(registered.slug, key, _tested(audience, registered))
    return (say.reply("plan-failed", words), say.edit("plan-failed", event_text.top(known)))


def of_press(
    slug: str, words: Rendered | None, *, known: Knowledge, audience: Audience, key: str
) -> tuple[Outgoing, ...]:
    """Return the messages that a pressed button calls for: what happens now, where that is worth saying, and the state."""
    say = _Speaker(slug, key, audience)
    said = (say.reply("press", words),) if words else ()
    return (*said, say.edit("press", event_text.top(known)))


def of_link(slug: str, other: str, evidence: str, *, audience: Audience) -> Outgoing:
    """Return the message that a link to another event calls for in an event's thread."""
    words = event_text.linked(other.replace("_", " "), evidence)
    return _Speaker(slug, f"link:{other}", audience).reply("link", words)


def of_refresh(slug: str, *, known: Knowledge, audience: Audience, key: str) -> Outgoing:
    """Return a top message that shows what came to be known by another way than a notice."""
    return _Speaker(slug, key, audience).edit("refresh", event_text.top(known))


def of_bat_page(slug: str, words: Rendered, *, first: bool, audience: Audience, key: str) -> Outgoing:
    """Return the message on a burst's BAT page: new in the thread, or the one that is there with new content."""
    return _Speaker(slug, key, audience).own("bat-page", words, first=first)


def of_strange_page(slug: str, url: str) -> Outgoing:
    """Return the operators' message about a BAT page on which nothing is recognised."""
    words = event_text.strange_page(slug, url)
    return _to_operators(words, subject="bat-page", kind="strange-page", key=slug)


def of_missing_xrt(slug: str, name: str, waited: str, *, audience: Audience) -> Outgoing:
    """Return the message that XRT has not come in the time that it usually takes."""
    return _Speaker(slug, "once", audience).reply("no-xrt", event_text.missing_xrt(name, waited))


def of_dead_letter(sha256: str, *, topic: str | None, reason: str) -> Outgoing:
    """Return the operators' message about a notice that cannot be understood."""
    words = event_text.unreadable(sha256, topic=topic, reason=reason)
    return _to_operators(words, subject=f"notice:{sha256}", kind="dead-letter", key=sha256)


def of_silence(listener: str, reason: str, *, key: str) -> Outgoing:
    """Return the operators' message about a listener that hears nothing of its broker."""
    text = f"The listener {listener} hears no broker: {reason}"
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


class _Speaker:
    """Makes messages of one event that tell of one cause."""

    def __init__(self, slug: str, key: str, audience: Audience) -> None:
        self.subject = f"event:{slug}"
        self.key = key
        self.audience = audience

    def top(self, words: Rendered, *, kind: str = TOP) -> Outgoing:
        # one thread for each event and audience, whatever opens it
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
    alert: Alert, registered: Registered, say: _Speaker, *, known: Knowledge, opened: frozenset[Audience]
) -> tuple[Outgoing, ...]:
    if not opened:
        if registered.previous_decision is not None and registered.previous_decision.audience is Audience.NOBODY:
            return ()
        quiet = Audience.TEST if registered.test else Audience.OPERATORS
        words = event_text.retraction(alert, known=registered.previous is not None)
        return (_Speaker(registered.slug, alert.sha256, quiet).top(words, kind="retraction"),)
    words = event_text.retraction(alert, known=True)
    return (say.reply("retraction", words, broadcast=True), say.edit("notice", event_text.top(known)))


def _with_believed(alert: Alert, registered: Registered, known: Knowledge) -> Registered:
    """Put the position that others give in the place of the previous notice's, which may have had none."""
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
    """Keep tests and mocks in their own channel, whatever a policy says."""
    return Audience.TEST if registered.test and audience is not Audience.NOBODY else audience


def _standing(alert: Alert, registered: Registered) -> Standing:
    """Of a burst every position counts, also one that comes late: the smallest error wins, not the newest notice."""
    late_burst = registered.standing is Standing.LATE and alert.notice.kind is Kind.GRB and not alert.notice.retraction
    return Standing.UPDATE if late_burst else registered.standing


def _newly_go(before: Decision | None, now: Decision | None) -> bool:
    return bool(now and now.action.upper() == "GO" and (before is None or before.action.upper() != "GO"))
