"""Records of Slack buttons: what a button asks for, who pressed it, and the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tasks.records.alerts import Audience


class Button(StrEnum):
    """What somebody can press under an event's message."""

    RUN = "run-plan"
    CHOOSE = "choose-telescopes"
    CANCEL = "cancel-plan"
    REVIEW = "under-review"
    MUTE = "mute"
    UNMUTE = "unmute"


@dataclass(frozen=True, kw_only=True)
class ActionEntry:
    """Somebody pressed a button: who, which, when, and what came of it.

    ``done`` is False where it was refused, or was a question only. ``waits_for`` names the telescopes that were asked
    to be planned while no plan of them has begun.
    """

    user: str
    user_name: str
    button: Button
    created: datetime
    outcome: str
    done: bool = True
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Press:
    """A press of a button, as Slack tells of it: ``trigger`` is new for each, ``channel`` and ``ts`` name the message.

    ``telescopes`` is the answer of the window that asks for them.
    """

    trigger: str
    user: str
    user_name: str
    button: Button
    channel: str
    ts: str
    telescopes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pressed:
    """A press on record; ``slug`` is empty where the message is none of ours."""

    id: int
    slug: str = ""
    audience: Audience = Audience.OPERATORS
