"""Slack blocks within Slack's limits, and text escaped for its markup."""

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
    """A message for Slack: fallback text, and blocks as JSON."""

    text: str
    blocks: str


def rendered(text: str, blocks: Sequence[Block]) -> Rendered:
    """Assemble a message; a line with their number replaces blocks beyond the limit."""
    shown = list(blocks)
    if len(shown) > BLOCKS:
        left = len(shown) - BLOCKS + 1
        shown = [*shown[: BLOCKS - 1], context([f"… and {left} more blocks: see the event page"])]
    return Rendered(text=cut(escape(text), FALLBACK_LENGTH), blocks=json.dumps(shown, ensure_ascii=True))


def header(text: str) -> Block:
    """Return a headline block in plain text, without markup."""
    return {"type": "header", "text": {"type": "plain_text", "text": cut(text, HEADER_LENGTH) or "·", "emoji": True}}


def section(text: str) -> Block:
    """Return a paragraph in Slack's markup."""
    return {"type": "section", "text": _markup(text, SECTION_LENGTH)}


def fields(pairs: Iterable[tuple[str, str]]) -> list[Block]:
    """Return blocks of label-and-value fields, ten per block; pairs without value are left out."""
    texts = [_markup(f"*{escape(label)}*\n{value}", FIELD_LENGTH) for label, value in pairs if value]
    return [{"type": "section", "fields": texts[start : start + FIELDS]} for start in range(0, len(texts), FIELDS)]


def with_thumbnail(blocks: Sequence[Block], file: str, text: str) -> list[Block]:
    """Add a small picture, uploaded to Slack before, beside the first fields; ``text`` describes it."""
    # https://docs.slack.dev/reference/block-kit/block-elements/image-element
    image = {"type": "image", "slack_file": {"id": file}, "alt_text": text}
    place = next((number for number, block in enumerate(blocks) if "fields" in block), None)
    if place is None:
        return [*blocks]
    return [*blocks[:place], {**blocks[place], "accessory": image}, *blocks[place + 1 :]]


def context(lines: Sequence[str]) -> Block:
    """Return a block of small print."""
    shown = list(lines)
    if len(shown) > CONTEXT_ELEMENTS:
        shown = [*shown[: CONTEXT_ELEMENTS - 1], "\n".join(shown[CONTEXT_ELEMENTS - 1 :])]
    return {"type": "context", "elements": [_markup(line, FIELD_LENGTH) for line in shown]}


def actions(buttons: Sequence[Block]) -> Block:
    """Return a row of buttons."""
    return {"type": "actions", "elements": list(buttons[:BUTTONS])}


def button(label: str, *, action: str, value: str, style: str = "", confirm: Block | None = None) -> Block:
    """Return a button: ``action`` is its action id, ``value`` the event's slug; ``style`` is primary or danger."""
    if len(value) > VALUE_LENGTH:
        raise UnusableData(f"a button's value has {len(value)} characters; Slack allows {VALUE_LENGTH}")
    block: Block = {"type": "button", "text": _plain(label, BUTTON_LENGTH), "action_id": action, "value": value}
    return {**block, **({"style": style} if style else {}), **({"confirm": confirm} if confirm else {})}


def confirm(title: str, text: str, *, yes: str, no: str = "Not now") -> Block:
    """Return the question that Slack asks before it sends a press of the button."""
    return {
        "title": _plain(title, CONFIRM_TITLE_LENGTH),
        "text": _plain(text, CONFIRM_TEXT_LENGTH),
        "confirm": _plain(yes, CONFIRM_BUTTON_LENGTH),
        "deny": _plain(no, CONFIRM_BUTTON_LENGTH),
    }


def mention(user: str) -> str:
    """Return a mention of a person; anything but a user id becomes plain text."""
    return f"<@{user}>" if USER_ID.fullmatch(user) else escape(user)


def divider() -> Block:
    """Return a horizontal line."""
    return {"type": "divider"}


def link(url: str, text: str) -> str:
    """Return a link; anything but http(s) becomes plain text."""
    if not url.startswith(("https://", "http://")) or any(sign in url for sign in "|<> \n"):
        return escape(text)
    return f"<{escape(url)}|{escape(text)}>"


def escape(text: str) -> str:
    """Escape Slack's control characters, so that text from outside cannot make a mention or a link."""
    clean = text.encode("utf-8", "replace").decode().replace("\x00", "")
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, length: int) -> str:
    """Shorten a text to a length, with an ellipsis at its end."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _plain(text: str, length: int) -> Block:
    return {"type": "plain_text", "text": cut(text, length) or "·"}


def _markup(text: str, length: int) -> Block:
    return {"type": "mrkdwn", "text": cut(text, length) or "·"}
