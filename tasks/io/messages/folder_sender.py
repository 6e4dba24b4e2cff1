"""Messages without Slack: readable files with the same blocks, one folder per audience."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from tasks.io.messages.slack_sender import attachment_name, fingerprint
from tasks.records.outbox import Claimed, Sent

log = logging.getLogger(__name__)

RULE = "─" * 72


class FolderSender:
    """Writes each message as ``<audience>/<number>-<kind>.md``, with its blocks in a ``.json`` file beside it.

    Idempotent: a message sent twice writes the same file.
    """

    pace_s = 0.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def send(self, claimed: Claimed) -> Sent:
        """Write one message; its timestamp is derived from its key."""
        message = claimed.message
        place = self.folder / message.audience.value
        place.mkdir(parents=True, exist_ok=True)
        stem = place / f"{claimed.id:06d}-{message.kind}"
        stem.with_suffix(".json").write_text(json.dumps(json.loads(message.blocks), indent=1) + "\n")
        stem.with_suffix(".md").write_text(as_text(claimed), encoding="utf-8")
        if message.attachment is not None and message.attachment.is_file():
            shutil.copyfile(message.attachment, place / attachment_name(message, message.attachment))
        log.info("%s: %s", message.audience.value, message.text)
        ts = None if message.mode in ("edit", "amend", "file") else f"folder.{claimed.id}.{fingerprint(message)[:8]}"
        return Sent(channel=message.audience.value, ts=ts)


def as_text(claimed: Claimed) -> str:
    """Return a message as text, as it looks in Slack."""
    message = claimed.message
    where = {
        "top": "",
        "reply": "(in the thread)",
        "edit": "(rewrites the top message)",
        "amend": "(rewrites an earlier message)",
        "file": "(picture)",
    }
    head = f"{message.subject} · {message.kind} {where.get(message.mode, '')}".strip()
    parts = [head, RULE, message.text, RULE]
    parts += [_block_text(block) for block in json.loads(message.blocks)]
    return "\n".join(part for part in parts if part) + "\n"


def _block_text(block: dict[str, Any]) -> str:
    if block.get("type") == "actions":
        return " ".join(f"[{element['text']['text']}]" for element in block["elements"])
    texts = [block.get("text"), *_listed(block.get("fields")), *_listed(block.get("elements"))]
    lines = [str(text["text"]) for text in texts if isinstance(text, dict)]
    body = "\n".join(lines) or RULE
    mark = "# " if block.get("type") == "header" else ""
    return f"{mark}{body}".replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []
