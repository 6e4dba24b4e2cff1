"""Handle presses of Slack buttons, which arrive over HTTP or Socket Mode.

``ButtonHandler.take`` reads a press, checks the permission, and leaves the work to a thread, so that Slack gets its answer
at once. The work is one transaction of the registry with the event locked, then the outbox. The second of two
simultaneous presses therefore sees the result of the first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from deployments.slack import payloads
from tasks import telescopes
from tasks.errors import SirenError
from tasks.io.messages import blockkit, buttons, event_announcements, number_words
from tasks.io.messages.blockkit import Rendered
from tasks.io.messages.event_text import TopMessageFacts
from tasks.records import Alert
from tasks.records.buttons import Button, Press, Pressed
from tasks.records.events import EventHistory, EventState
from tasks.records.outbox import Claimed, Sent
from tasks.registry import Registry, Session, actions, delivery, history, outbox
from tasks.registry.store import now
from tasks.science.alerts import best_position
from tasks.science.planning import observability

log = logging.getLogger(__name__)

PLANNING = frozenset({Button.RUN, Button.CHOOSE, Button.CANCEL})
QUIET_S = 60.0
"""Shortest time between two refusals sent to a person without permission, in s."""


class Planner(Protocol):
    """Creates and cancels runs of ``plan``."""

    def start(self, slug: str, telescopes: tuple[str, ...], *, key: str, asked_by: str) -> str:
        """Create a run, or return the one with the same key; raise ``Unavailable`` if a later attempt may succeed."""
        ...

    def stop(self, slug: str) -> int:
        """Cancel the runs of an event; return their number."""
        ...


class DirectMessages(Protocol):
    """Sends messages to one person in Slack; a failure is only logged."""

    def send(self, user: str, text: str) -> None:
        """Send a direct message."""
        ...

    def open_window(self, trigger: str, view: Mapping[str, Any]) -> None:
        """Open a window."""
        ...


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """User ids of those who may press the buttons."""

    planners: frozenset[str]
    reviewers: frozenset[str]

    def may(self, press: Press) -> bool:
        """Return whether a person may press a button."""
        return press.user in (self.planners if press.button in PLANNING else self.reviewers)


@dataclass(kw_only=True)
class ButtonHandler:
    """Handles presses of buttons.

    Parameters
    ----------
    registry
        The registry of events, messages and presses.
    permissions
        Who may press which buttons.
    planner, direct_messages
        Prefect server and Slack; replaced in tests.
    send
        Sends one message of the outbox.
    links
        Returns an alert's public links.
    """

    registry: Registry
    permissions: Permissions
    planner: Planner
    direct_messages: DirectMessages
    send: Callable[[Claimed], Sent]
    links: Callable[[Alert], Mapping[str, str]] = field(default=lambda _: {})
    pace_s: float = 0.0
    refused_at: dict[str, float] = field(default_factory=dict)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, thread_name_prefix="slack"))

    def take(self, payload: Mapping[str, Any]) -> bool:
        """Accept a press without waiting; return whether it will be handled.

        Raises
        ------
        UnusableData
            If the payload is not a press of a button.
        """
        press = payloads.read(payload)
        if press is None:
            return False
        if not self.permissions.may(press):
            log.warning("%s may not press %s", press.user, press.button)
            self._later(self._refuse_person, press)
            return False
        self._later(self._handle, press)
        return True

    def close(self) -> None:
        """Finish the accepted presses."""
        self.pool.shutdown()

    def _later(self, work: Callable[[Press], None], press: Press) -> None:
        self.pool.submit(work, press).add_done_callback(_log_failure)

    def _refuse_person(self, press: Press) -> None:
        if time.monotonic() - self.refused_at.get(press.user, -QUIET_S) >= QUIET_S:
            self.refused_at[press.user] = time.monotonic()
            self.direct_messages.send(press.user, "You are not on the list of people who may press this button.")

    def _handle(self, press: Press) -> None:
        try:
            self._do(press)
        except SirenError as error:
            log.warning("%s of %s: %s", press.button, press.user, error)
            self.direct_messages.send(press.user, f"Your press of the button had no effect: {error}")
        delivery.drain_messages(self.registry, self.send, pace_s=self.pace_s)

    def _do(self, press: Press) -> None:
        with self.registry.begin() as session:
            pressed = actions.record(session, press, now=now())
            if pressed is None:
                log.info("one press of %s was received twice", press.button)
                return
            if not pressed.slug:
                actions.settle(session, pressed, "refused: unknown message")
                reply = "This message is not on record here: its buttons do nothing."
            else:
                reply = self._act(session, press, pressed)
        if reply:
            self.direct_messages.send(press.user, reply)
        else:
            self._act_outside(press, pressed)

    def _act(self, session: Session, press: Press, pressed: Pressed) -> str:
        """Change the registry; return "", or the refusal to send to the person."""
        event = history.of_event(session, pressed.slug)
        name = number_words.name(event.newest.alert.notice)
        if event.state is EventState.RETRACTED:
            return self._refuse(session, pressed, press, f"{name} was retracted")
        if press.button is Button.RUN:
            return self._ask(session, press, pressed, event)
        if press.button is Button.CANCEL:
            if not actions.cancel(session, pressed, by=press.user_name or press.user):
                return self._refuse(session, pressed, press, f"{name} has no plan to cancel")
            return self._say(session, press, pressed, "🚫 The plans were cancelled by")
        if press.button is Button.CHOOSE:
            actions.settle(session, pressed, "asked which telescopes")
            return ""
        return self._mark(session, press, pressed, name)

    def _ask(self, session: Session, press: Press, pressed: Pressed, event: EventHistory) -> str:
        name, chosen = number_words.name(event.newest.alert.notice), chosen_telescopes(press, event)
        if not chosen:
            return self._refuse(session, pressed, press, f"no telescopes are chosen for {name}")
        if reason := actions.ask(session, pressed, chosen, now=now()):
            return self._refuse(session, pressed, press, f"{name} {reason} for {', '.join(chosen)}")
        return self._say(session, press, pressed, f"⏳ Planning {name} for {', '.join(chosen)}, requested by")

    def _mark(self, session: Session, press: Press, pressed: Pressed, name: str) -> str:
        if press.button is Button.REVIEW:
            return self._say(session, press, pressed, "👀 Under review by")
        muted = press.button is Button.MUTE
        if not actions.mute(session, pressed, muted=muted):
            return self._refuse(session, pressed, press, f"{name} is {'muted' if muted else 'not muted'} already")
        return self._say(session, press, pressed, "🔕 Muted by" if muted else "🔔 Unmuted by")

    def _say(self, session: Session, press: Press, pressed: Pressed, words: str) -> str:
        """Announce in the thread who did what, and update the top message."""
        if press.button is not Button.RUN:
            actions.settle(session, pressed, actions.DONE)
        text = f"{words} {blockkit.mention(press.user)}"
        line = Rendered(
            text=f"{words} {press.user_name or press.user}",
            blocks=blockkit.rendered("", [blockkit.section(text)]).blocks,
        )
        self._publish(session, pressed, line, key=f"action:{pressed.id}")
        return ""

    def _publish(self, session: Session, pressed: Pressed, words: Rendered, *, key: str) -> None:
        known = self._knowledge(history.of_event(session, pressed.slug))
        messages = event_announcements.of_press(pressed.slug, words, known=known, audience=pressed.audience, key=key)
        for message in messages:
            outbox.enqueue_message(session, message, now=now())

    def _knowledge(self, event: EventHistory) -> TopMessageFacts:
        position = best_position.burst([entry.alert for entry in event.notices])
        burst = observability.added(position, telescopes.known(event.telescopes))
        return event_announcements.top_message_facts(event, burst=burst, links=self.links(event.newest.alert))

    def _refuse(self, session: Session, pressed: Pressed, press: Press, reason: str) -> str:
        actions.settle(session, pressed, f"refused: {reason}")
        return f"{reason[0].upper()}{reason[1:]}: {permalink(press)}"

    def _act_outside(self, press: Press, pressed: Pressed) -> None:
        """Do the work outside the registry, after its transaction."""
        if press.button is Button.CANCEL:
            cancelled = self.planner.stop(pressed.slug)
            log.info("%s: %d runs of plan cancelled", pressed.slug, cancelled)
        elif press.button is Button.CHOOSE:
            self._open_window(press, pressed)
        elif press.button is Button.RUN:
            self._start(press, pressed)

    def _start(self, press: Press, pressed: Pressed) -> None:
        with self.registry.read() as session:
            chosen = chosen_telescopes(press, history.of_event(session, pressed.slug))
        try:
            run = self.planner.start(
                pressed.slug, chosen, key=f"press:{pressed.id}", asked_by=press.user_name or press.user
            )
        except SirenError as error:
            with self.registry.begin() as session:
                actions.settle(session, pressed, f"failed: {error}")
                words = f"The plan could not be started: {error}. It can be run again."
                line = blockkit.rendered(words, [blockkit.section(f"⚠️ {blockkit.escape(words)}")])
                self._publish(session, pressed, line, key=f"action:{pressed.id}:failed")
            raise
        log.info("%s: run %s for %s", pressed.slug, run, press.user)

    def _open_window(self, press: Press, pressed: Pressed) -> None:
        with self.registry.read() as session:
            event = history.of_event(session, pressed.slug)
        view = buttons.window(
            pressed.slug,
            number_words.name(event.newest.alert.notice),
            known=telescopes.names(),
            chosen=chosen_telescopes(press, event),
            message=payloads.address(press),
        )
        self.direct_messages.open_window(press.trigger, view)


def chosen_telescopes(press: Press, event: EventHistory) -> tuple[str, ...]:
    """Return the existing telescopes chosen in a window, else those of the event's decision."""
    if press.telescopes:
        return tuple(name for name in press.telescopes if name in telescopes.names())
    decision = event.newest.decision
    return decision.telescopes if decision else ()


def permalink(press: Press) -> str:
    """Return the address of the message under which a button was pressed."""
    return f"https://slack.com/archives/{press.channel}/p{press.ts.replace('.', '')}"


def _log_failure(done: Future[None]) -> None:
    """Log the error of a press; no caller waits for it."""
    if error := done.exception():
        log.error("a press of a button failed: %s", type(error).__name__, exc_info=error)
