"""Buttons under an event's message, the window to choose telescopes, and lines on earlier presses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.io.messages import blockkit, number_words
from tasks.io.messages.blockkit import Block
from tasks.records import Notice
from tasks.records.buttons import ActionEntry, Button
from tasks.records.events import PlanEntry, PlanState

STANDING = (PlanState.RUNNING, PlanState.DONE, PlanState.EMPTY)
CHOICE = "telescopes"
"""Id of the window and of its only question."""

# Slack takes 100 options of 75 characters
OPTIONS = 100


def row(
    notice: Notice,
    slug: str,
    *,
    telescopes: Sequence[str],
    plans: Sequence[PlanEntry],
    actions: Sequence[ActionEntry],
    muted: bool,
) -> list[Block]:
    """Return the row of buttons for an event in its present state.

    Parameters
    ----------
    notice, slug
        The event's newest notice, and the name of its folder: the buttons' value.
    telescopes
        Telescopes of the button "Run plan"; if there are none, only "Choose telescopes…" is offered.
    plans, actions
        The plans of the newest notice, and earlier presses of buttons.
    muted
        Whether the event is muted.
    """
    name = number_words.name(notice)
    buttons = _planning(name, slug, telescopes) if not _busy(plans, actions) else []
    if any(entry.state in STANDING for entry in plans) or waiting(actions):
        buttons.append(_cancelling(name, slug))
    if not reviewers(actions):
        buttons.append(blockkit.button("👀 Mark as under review", action=Button.REVIEW, value=slug))
    buttons.append(_muting(name, slug, muted=muted))
    return [blockkit.actions(buttons)]


def people(actions: Sequence[ActionEntry], *, muted: bool, retracted: bool = False) -> list[Block]:
    """Return lines on reviewers, on requested plans that have not begun, and on muting."""
    lines = [
        f"👀 under review by {blockkit.mention(entry.user)} since {entry.created:%H:%M} UTC"
        for entry in reviewers(actions)
    ]
    lines += [
        f"⏳ {blockkit.escape(', '.join(entry.waits_for))} requested by {blockkit.mention(entry.user)}"
        for entry in waiting(actions)
        if not retracted
    ]
    lines += ["🔕 muted: only a retraction will be posted in the thread"] if muted else []
    return [blockkit.section("\n".join(lines))] if lines else []


def reviewers(actions: Sequence[ActionEntry]) -> tuple[ActionEntry, ...]:
    """Return the presses of "Mark as under review", the first of each person."""
    first: dict[str, ActionEntry] = {}
    for entry in actions:
        if entry.done and entry.button is Button.REVIEW:
            first.setdefault(entry.user, entry)
    return tuple(first.values())


def waiting(actions: Sequence[ActionEntry]) -> tuple[ActionEntry, ...]:
    """Return requests for plans that have not begun."""
    return tuple(entry for entry in actions if entry.waits_for)


def window(slug: str, name: str, *, known: Sequence[str], chosen: Sequence[str], message: str) -> dict[str, Any]:
    """Return the window to choose telescopes; Slack returns ``message`` with the answer."""
    offered = [_option(telescope) for telescope in known[:OPTIONS]]
    picked = [_option(telescope) for telescope in known[:OPTIONS] if telescope in chosen]
    element: Block = {"type": "multi_static_select", "action_id": CHOICE, "options": offered}
    question: Block = {
        "type": "input",
        "block_id": CHOICE,
        "label": {"type": "plain_text", "text": "Telescopes"},
        "element": element | ({"initial_options": picked} if picked else {}),
    }
    return {
        "type": "modal",
        "callback_id": CHOICE,
        "private_metadata": message,
        # Slack allows a title 24 characters
        "title": {"type": "plain_text", "text": blockkit.cut(f"Plan {name or slug}", 24)},
        "submit": {"type": "plain_text", "text": "Run plan"},
        "close": {"type": "plain_text", "text": "Not now"},
        "blocks": [question],
    }


def _planning(name: str, slug: str, telescopes: Sequence[str]) -> list[Block]:
    choose = blockkit.button("Choose telescopes…", action=Button.CHOOSE, value=slug)
    if not telescopes:
        return [choose]
    question = blockkit.confirm(
        f"Plan {name}?", f"{', '.join(telescopes)} will be planned from the newest notice.", yes="Run plan"
    )
    run = blockkit.button("🔭 Run plan", action=Button.RUN, value=slug, style="primary", confirm=question)
    return [run, choose]


def _cancelling(name: str, slug: str) -> Block:
    question = blockkit.confirm(
        f"Cancel the plans of {name}?",
        "Running plans stop and all tiles not yet observed are withdrawn. Plans can be run again.",
        yes="Cancel plans",
        no="Keep them",
    )
    return blockkit.button("Cancel plan", action=Button.CANCEL, value=slug, style="danger", confirm=question)


def _muting(name: str, slug: str, *, muted: bool) -> Block:
    if muted:
        return blockkit.button("🔔 Unmute", action=Button.UNMUTE, value=slug)
    question = blockkit.confirm(
        f"Mute {name}?", "This message stays up to date; only a retraction will be posted in the thread.", yes="Mute"
    )
    return blockkit.button("🔕 Mute", action=Button.MUTE, value=slug, confirm=question)


def _busy(plans: Sequence[PlanEntry], actions: Sequence[ActionEntry]) -> bool:
    return any(entry.state is PlanState.RUNNING for entry in plans) or bool(waiting(actions))


def _option(name: str) -> Block:
    return {"text": {"type": "plain_text", "text": blockkit.cut(name, 75)}, "value": blockkit.cut(name, 75)}
