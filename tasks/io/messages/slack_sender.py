"""The Slack sender: sends each message exactly once, also after unclear answers.

Slack has no idempotency key. Every message carries ours in its metadata; if an earlier attempt may have succeeded,
the sender first searches the channel or the thread for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from tasks.errors import AlgorithmError, Refused, Unavailable, UnusableData
from tasks.io.messages import blockkit
from tasks.records import Audience
from tasks.records.outbox import Claimed, Outgoing, Sent

log = logging.getLogger(__name__)

METADATA_TYPE = "brightsiren_message"
LOOK_BACK = 200
# Slack processes an upload for some time after it confirms it, and meanwhile refuses blocks that show the picture
PICTURE_TRIES = 3
DEFAULT_WAIT_S = 30.0
# errors with status 200 that are temporary (https://api.slack.com/methods/chat.postMessage#errors)
LATER = {"fatal_error", "internal_error", "request_timeout", "service_unavailable", "team_added_to_org"}
# errors of the token, which an operator can renew
TOKEN = {"account_inactive", "invalid_auth", "missing_scope", "not_authed", "token_expired", "token_revoked"}
THROTTLED = {"ratelimited", "rate_limited", "message_limit_exceeded"}


class Throttled(Unavailable):
    """Slack limits the rate: nothing was sent, and nothing may be sent for ``wait_s`` seconds."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message, wait_s)
        self.wait_s = wait_s

    def __str__(self) -> str:
        return str(self.args[0])


class RefusedBlocks(AlgorithmError):
    """Slack rejects a message's blocks, or has not yet processed the picture in one of them."""


class SlackSender:
    """Sends messages of the outbox.

    Parameters
    ----------
    client
        A client without retry handlers: its own retries could send a message twice.
    channels
        Channel of each audience, by id or name.
    interactive
        Whether presses of buttons are received; if not, messages have no buttons.
    """

    # Slack allows about one message a second and channel
    pace_s = 1.0

    def __init__(self, client: WebClient, channels: Mapping[Audience, str], *, interactive: bool = True) -> None:
        self.client = client
        self.channels = channels
        self.interactive = interactive

    def send(self, claimed: Claimed) -> Sent:
        """Send one message.

        Raises
        ------
        Throttled
            If Slack limits the rate.
        Unavailable
            If Slack does not answer or has an error; the message may have been sent nevertheless.
        AlgorithmError
            If Slack refuses the message: a retry fails until the cause is removed.
        UnusableData
            If no channel is configured for the audience.
        """
        message = claimed.message
        if message.mode in ("edit", "amend"):
            return self._edit(claimed)
        if message.mode == "file":
            return self._upload(claimed)
        channel = claimed.channel or self._channel(message.audience)
        if claimed.uncertain and (sent := self._find(claimed, channel)) is not None:
            log.info("%s of %s was sent already", message.kind, message.subject)
            return sent
        return self._post(claimed, channel)

    def _post(self, claimed: Claimed, channel: str) -> Sent:
        message = claimed.message
        extra: dict[str, Any] = {}
        if claimed.thread is not None:
            extra = {"thread_ts": claimed.thread, "reply_broadcast": message.broadcast}
        with _translated("chat.postMessage"):
            answer = self.client.chat_postMessage(
                channel=channel,
                text=message.text,
                blocks=self._blocks(message),
                metadata={"event_type": METADATA_TYPE, "event_payload": {"key": fingerprint(message)}},
                unfurl_links=False,
                **extra,
            )
        return Sent(channel=str(answer["channel"]), ts=str(answer["ts"]))

    def _edit(self, claimed: Claimed) -> Sent:
        if claimed.thread is None or claimed.channel is None:
            raise AlgorithmError(f"{claimed.message.subject} has no message to rewrite: sending it was given up")
        plain = self._blocks(claimed.message)
        shown = blockkit.with_thumbnail(plain, claimed.picture, "Sky map") if claimed.picture else plain
        try:
            self._update(claimed.channel, claimed.thread, claimed.message.text, shown)
        except RefusedBlocks as error:
            if shown == plain:
                raise
            if claimed.attempt < PICTURE_TRIES:
                raise Unavailable(
                    f"Slack has not yet processed the picture of {claimed.message.subject}: {error}"
                ) from error
            log.warning("the top message of %s is sent without its picture: %s", claimed.message.subject, error)
            self._update(claimed.channel, claimed.thread, claimed.message.text, plain)
        return Sent(channel=claimed.channel, ts=None)

    def _update(self, channel: str, ts: str, text: str, blocks: list[dict[str, Any]]) -> None:
        with _translated("chat.update"):
            self.client.chat_update(channel=channel, ts=ts, text=text, blocks=blocks)

    def _upload(self, claimed: Claimed) -> Sent:
        """Upload a picture to the thread; its file name carries our key, since files have no metadata."""
        message, path = claimed.message, claimed.message.attachment
        if claimed.thread is None or claimed.channel is None:
            raise AlgorithmError(f"{message.subject} has no thread for {path}: its top message was given up")
        if path is None or not path.is_file():
            raise AlgorithmError(f"the picture {path} of {message.subject} no longer exists")
        name = attachment_name(message, path)
        if claimed.uncertain and (uploaded := self._file_of(claimed, name)) is not None:
            return Sent(channel=claimed.channel, ts=None, file=uploaded)
        with _translated("files.upload"):
            answer = self.client.files_upload_v2(
                channel=claimed.channel,
                thread_ts=claimed.thread,
                content=path.read_bytes(),
                filename=name,
                title=message.text,
            )
        return Sent(channel=claimed.channel, ts=None, file=str(answer["files"][0]["id"]))

    def _blocks(self, message: Outgoing) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = json.loads(message.blocks)
        return [block for block in blocks if self.interactive or block["type"] != "actions"]

    def _find(self, claimed: Claimed, channel: str) -> Sent | None:
        """Search for a message that an earlier attempt may have sent."""
        key = fingerprint(claimed.message)
        for message in self._recent(claimed, channel):
            if (message.get("metadata") or {}).get("event_payload", {}).get("key") == key:
                return Sent(channel=channel, ts=str(message["ts"]))
        return None

    def _file_of(self, claimed: Claimed, name: str) -> str | None:
        """Search for a picture that an earlier attempt may have uploaded; return its id in Slack."""
        messages = self._recent(claimed, claimed.channel or "")
        files = (file for message in messages for file in message.get("files", []) if file.get("name") == name)
        return next((str(file["id"]) for file in files), None)

    def _recent(self, claimed: Claimed, channel: str) -> list[dict[str, Any]]:
        with _translated("conversations"):
            if claimed.thread is None:
                answer = self.client.conversations_history(channel=channel, limit=LOOK_BACK, include_all_metadata=True)
            else:
                answer = self.client.conversations_replies(
                    channel=channel, ts=claimed.thread, limit=LOOK_BACK, include_all_metadata=True
                )
        return list(answer.get("messages") or [])

    def _channel(self, audience: Audience) -> str:
        channel = self.channels.get(audience, "")
        if not channel:
            raise UnusableData(f"no Slack channel is configured for the audience {audience.value!r}")
        return channel


def fingerprint(message: Outgoing) -> str:
    """Return the permanent key of a message: a hash of its subject, kind and key."""
    return hashlib.sha256(f"{message.subject}\n{message.kind}\n{message.key}".encode()).hexdigest()


def attachment_name(message: Outgoing, path: Path) -> str:
    """Return a picture's file name in Slack, with the message's key in it."""
    return f"{path.stem}-{fingerprint(message)[:8]}{path.suffix}"


@contextlib.contextmanager
def _translated(method: str) -> Iterator[None]:
    """Translate Slack's errors into ours, which are named by what must happen next."""
    try:
        yield
    except SlackApiError as error:
        raise _meaning(method, error) from error
    except (OSError, http.client.HTTPException) as error:
        # URLError is an OSError, and so is a time-out
        raise Unavailable(f"Slack does not answer {method}: {error}") from error


def _meaning(method: str, error: SlackApiError) -> Exception:
    response = error.response
    status = int(getattr(response, "status_code", 200))
    code = str(response.get("error", "")) if hasattr(response, "get") else ""
    if status == http.HTTPStatus.TOO_MANY_REQUESTS or code in THROTTLED:
        wait_s = _retry_after(getattr(response, "headers", {}))
        return Throttled(f"Slack limits the rate: wait {wait_s:g} s", wait_s)
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or code in LATER:
        return Unavailable(f"Slack failed at {method}: status {status}, {code[:200]}")
    if code in TOKEN:
        return Refused(f"Slack refuses the token: {code}")
    kind = RefusedBlocks if code == "invalid_blocks" else AlgorithmError
    return kind(f"Slack refuses {method}: {code[:200] or f'status {status}'}")


def _retry_after(headers: Mapping[str, Any]) -> float:
    for name, value in headers.items():
        if name.lower() == "retry-after":
            text = value[0] if isinstance(value, list) else value
            with contextlib.suppress(TypeError, ValueError):
                return max(1.0, float(text))
    return DEFAULT_WAIT_S
