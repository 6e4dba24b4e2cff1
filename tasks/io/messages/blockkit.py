"""Slack's blocks, made within Slack's limits, and text made safe for its markup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.errors import UnusableData

# https://api.slack.com/reference/block-kit/blocks
HEADER_LENGTH = 150
SECTION_LENGTH = 3000
FIELD_LENGTH = 2000
FIELDS = 10
CONTEXT_ELEMENTS = 10
BLOCKS = 50
# https://docs.slack.dev/reference/block-kit/block-elements/button-element, .../composition-objects/confirmation-dialog-object
BUTTON_LENGTH = 75
VALUE_LENGTH = 2000
CONFIRM_TITLE_LENGTH = 100
CONFIRM_TEXT_LENGTH = 300
CONFIRM_BUTTON_LENGTH = 30
BUTTONS = 25
# the text beside blocks, for notifications: Slack advises 4000
FALLBACK_LENGTH = 4000

USER_ID = re.compile(r"[UW][A-Z0-9]{1,20}")

Block = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A message as Slack takes it: fallback text and blocks as JSON."""

    text: str
    blocks: str


def rendered(text: str, blocks: Sequence[Block]) -> Rendered:
    """Put a message together; blocks beyond the limit give way to a line that says so."""
    kept = list(blocks)
    if len(kept) > BLOCKS:
        left = len(kept) - BLOCKS + 1
        kept = [*kept[: BLOCKS - 1], context([f"… and {left} more blocks: see the event page"])]
    return Rendered(text=cut(escape(text), FALLBACK_LENGTH), blocks=json.dumps(kept, ensure_ascii=True))


def header(text: str) -> Block:
    """Make a headline; plain text, so nothing in it is markup."""
    return {"type": "header", "text": {"type": "plain_text", "text": cut(text, HEADER_LENGTH) or "·", "emoji": True}}


def section(text: str) -> Block:
    """Make a paragraph of Slack's markup."""
    return {"type": "section", "text": _markup(text, SECTION_LENGTH)}


def fields(pairs: Iterable[tuple[str, str]]) -> list[Block]:
    """Make label-and-value fields, ten to a block; pairs without value are left out."""
    made = [_markup(f"*{escape(label)}*\n{value}", FIELD_LENGTH) for label, value in pairs if value]
    return [{"type": "section", "fields": made[start : start + FIELDS]} for start in range(0, len(made), FIELDS)]


def with_thumbnail(blocks: Sequence[Block], file: str, text: str) -> list[Block]:
    """Put a picture that Slack has, small, beside the first fields; ``text`` says what it shows."""
    # https://docs.slack.dev/reference/block-kit/block-elements/image-element
    image = {"type": "image", "slack_file": {"id": file}, "alt_text": text}
    place = next((number for number, block in enumerate(blocks) if "fields" in block), None)
    if place is None:
        return [*blocks]
    return [*blocks[:place], {**blocks[place], "accessory": image}, *blocks[place + 1 :]]


def context(lines: Sequence[str]) -> Block:
    """Make small print."""
    kept = list(lines)
    if len(kept) > CONTEXT_ELEMENTS:
        kept = [*kept[: CONTEXT_ELEMENTS - 1], "\n".join(kept[CONTEXT_ELEMENTS - 1 :])]
    return {"type": "context", "elements": [_markup(line, FIELD_LENGTH) for line in kept]}


def actions(buttons: Sequence[Block]) -> Block:
    """Make a row of buttons."""
    return {"type": "actions", "elements": list(buttons[:BUTTONS])}


def button(label: str, *, action: str, value: str, style: str = "", confirm: Block | None = None) -> Block:
    """Make a button: ``action`` names what it does, ``value`` what it is about; ``style`` is primary or danger."""
    if len(value) > VALUE_LENGTH:
        raise UnusableData(f"a button's value of {len(value)} characters; Slack takes {VALUE_LENGTH}")
    made: Block = {"type": "button", "text": _plain(label, BUTTON_LENGTH), "action_id": action, "value": value}
    return {**made, **({"style": style} if style else {}), **({"confirm": confirm} if confirm else {})}


def confirm(title: str, text: str, *, yes: str, no: str = "Not now") -> Block:
    """Make the question that Slack asks before a button counts."""
    return {
        "title": _plain(title, CONFIRM_TITLE_LENGTH),
        "text": _plain(text, CONFIRM_TEXT_LENGTH),
        "confirm": _plain(yes, CONFIRM_BUTTON_LENGTH),
        "deny": _plain(no, CONFIRM_BUTTON_LENGTH),
    }


def mention(user: str) -> str:
    """Name a person so that Slack shows the name; anything but a user id becomes plain text."""
    return f"<@{user}>" if USER_ID.fullmatch(user) else escape(user)


def divider() -> Block:
    """Make a line."""
    return {"type": "divider"}


def link(url: str, text: str) -> str:
    """Write a link; anything but http(s) becomes plain text."""
    if not url.startswith(("https://", "http://")) or any(sign in url for sign in "|<> \n"):
        return escape(text)
    return f"<{escape(url)}|{escape(text)}>"


def escape(text: str) -> str:
    """Take the power out of Slack's control characters: no mention, no link comes from outside."""
    clean = text.encode("utf-8", "replace").decode().replace("\x00", "")
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, length: int) -> str:
    """Shorten a text to a length, with an ellipsis at its end."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _plain(text: str, length: int) -> Block:
    return {"type": "plain_text", "text": cut(text, length) or "·"}


def _markup(text: str, length: int) -> Block:
    return {"type": "mrkdwn", "text": cut(text, length) or "·"}
