"""Parse Slack's interaction payloads into a ``Press``; every field is checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.errors import UnusableData
from tasks.io.messages import buttons
from tasks.records.buttons import Button, Press

USER = re.compile(r"[UW][A-Z0-9]{1,20}")
CHANNEL = re.compile(r"[A-Z][A-Z0-9-]{1,30}")
TS = re.compile(r"\d{1,12}\.\d{1,12}")
TRIGGER = re.compile(r"[\x21-\x7e]{1,200}")
NAME_LENGTH = 80
MOST_TELESCOPES = 100
BUTTONS = {button.value: button for button in Button}


def read(payload: Mapping[str, Any]) -> Press | None:
    """Parse an interaction payload; return None for another element's press, such as a link.

    Raises
    ------
    UnusableData
        If a required field is missing or malformed; the message contains no value of the payload.
    """
    kind = payload.get("type")
    if kind == "block_actions":
        return _of_message(payload)
    if kind == "view_submission":
        return _of_window(payload)
    return None


def address(press: Press) -> str:
    """Return the message of a press as text; Slack returns it with the answer of a window."""
    return json.dumps({"channel": press.channel, "ts": press.ts})


def _of_message(payload: Mapping[str, Any]) -> Press | None:
    pressed = _mapping(_first(payload.get("actions")), "actions")
    button = BUTTONS.get(str(pressed.get("action_id")))
    if button is None:
        return None
    container = _mapping(payload.get("container") or {}, "container")
    channel = container.get("channel_id") or _mapping(payload.get("channel") or {}, "channel").get("id")
    ts = container.get("message_ts") or _mapping(payload.get("message") or {}, "message").get("ts")
    return _press(payload, button, channel=channel, ts=ts)


def _of_window(payload: Mapping[str, Any]) -> Press | None:
    view = _mapping(payload.get("view"), "view")
    if view.get("callback_id") != buttons.CHOICE:
        return None
    try:
        message = _mapping(json.loads(str(view.get("private_metadata"))), "private_metadata")
    except ValueError as error:
        raise UnusableData("private_metadata is not JSON") from error
    return _press(payload, Button.RUN, channel=message.get("channel"), ts=message.get("ts"), telescopes=_chosen(view))


def _chosen(view: Mapping[str, Any]) -> tuple[str, ...]:
    place = view
    for key in ("state", "values", buttons.CHOICE, buttons.CHOICE):
        place = _mapping(place.get(key), key)
    options = place.get("selected_options")
    if not isinstance(options, list) or not 0 < len(options) <= MOST_TELESCOPES:
        raise UnusableData(f"selected_options is not a list of 1 to {MOST_TELESCOPES} options")
    return tuple(str(_mapping(option, "option").get("value"))[:NAME_LENGTH] for option in options)


def _press(
    payload: Mapping[str, Any], button: Button, *, channel: object, ts: object, telescopes: tuple[str, ...] = ()
) -> Press:
    user = _mapping(payload.get("user"), "user")
    name = str(user.get("username") or user.get("name") or "")
    return Press(
        trigger=_matching(TRIGGER, payload.get("trigger_id"), "trigger_id"),
        user=_matching(USER, user.get("id"), "user.id"),
        user_name="".join(letter for letter in name if letter.isprintable())[:NAME_LENGTH],
        button=button,
        channel=_matching(CHANNEL, channel, "channel"),
        ts=_matching(TS, ts, "ts"),
        telescopes=telescopes,
    )


def _first(value: object) -> object:
    return value[0] if isinstance(value, Sequence) and not isinstance(value, str) and value else None


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UnusableData(f"{name} is not an object")
    return value


def _matching(pattern: re.Pattern[str], value: object, name: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise UnusableData(f"{name} is missing or does not match {pattern.pattern}")
    return value
