"""Records of Slack buttons: actions, who pressed them, and the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tasks.records.alerts import Audience


class Button(StrEnum):
    """The buttons under an event's message."""

    RUN = "run-plan"
    CHOOSE = "choose-telescopes"
    CANCEL = "cancel-plan"
    REVIEW = "under-review"
    MUTE = "mute"
    UNMUTE = "unmute"


@dataclass(frozen=True, kw_only=True)
class ActionEntry:
    """A press of a button: user, button, time and outcome.

    ``done`` is False if it was refused, or only opened a window. ``waits_for`` names requested telescopes whose plan has
    not begun.
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
    """A press of a button as received from Slack: ``trigger`` is its unique id, ``channel`` and ``ts`` name the message.

    ``telescopes`` is the choice in the window.
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
    """A recorded press; ``slug`` is empty if the message is not ours."""

    id: int
    slug: str = ""
    audience: Audience = Audience.OPERATORS
