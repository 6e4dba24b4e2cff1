"""The HTTP endpoint for Slack: which requests are accepted."""

from __future__ import annotations

import pytest
from support import clicks

from deployments.slack import http_endpoint, payloads
from tasks.errors import MissingPart, UnusableData


def test_a_request_may_be_five_minutes_old_and_a_forgotten_signature_is_stale(clock) -> None:
    check = http_endpoint.SignatureCheck(clicks.SECRET, clock)
    content = b"payload={}"
    headers = clicks.signed(content, clock.time)
    given = {"timestamp": headers["x-slack-request-timestamp"], "signature": headers["x-slack-signature"]}
    clock.time += 299
    assert check.verify(content, **given) == "payload={}"
    for later in (0, 100, 400, 10_000):
        clock.time += later
        with pytest.raises(http_endpoint.Refused):
            check.verify(content, **given)
    fresh = clicks.signed(content, clock.time)
    check.verify(content, timestamp=fresh["x-slack-request-timestamp"], signature=fresh["x-slack-signature"])
    assert len(check.seen) == 1


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"payload=", 400),
        (b"payload=%5B1%5D", 400),
        (b"payload=" + b"%5B" * 100_000, 400),
        (b"payload=%7B%22type%22%3A%22block_actions%22%7D", 400),
        (b"&".join(b"x=1" for _ in range(50)), 400),
        (b"x" * (http_endpoint.BODY_LIMIT + 1), 413),
    ],
)
def test_a_signed_request_without_use_is_refused_in_one_word(app, clock, content: bytes, status: int) -> None:
    [answer] = clicks.requests(app, [(content, clicks.signed(content, clock.time))])
    assert answer == (status, b"refused")


def test_another_kind_of_body_is_refused_before_it_is_read(app, clock) -> None:
    headers = clicks.signed(b"{}", clock.time) | {"content-type": "application/json"}
    assert clicks.requests(app, [(b"{}", headers)])[0][0] == 415


def test_without_a_secret_there_is_no_door() -> None:
    for empty in ("", "  \n"):
        with pytest.raises(MissingPart, match="SIREN_SLACK_SIGNING_SECRET"):
            http_endpoint.SignatureCheck(empty)


@pytest.mark.parametrize("spoil", ["trigger_id", "user", "container", "actions"])
def test_a_payload_that_lacks_a_part_is_unusable(spoil: str) -> None:
    payload = clicks.press("run-plan", {"ts": "1.2", "channel": "C1", "text": ""}) | {"channel": {}, "message": {}}
    assert payloads.read(payload) is not None
    for value in (None, [], {}, "x\x00", 7, [{}], {"id": "../../etc"}):
        with pytest.raises(UnusableData):
            if payloads.read(payload | {spoil: value}) is None:
                # an unknown action belongs to another app: ignored like a refused one
                raise UnusableData
