"""The Slack sender with the real client, against a test server that checks requests as Slack does."""

from __future__ import annotations

import dataclasses
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from slack_sdk import WebClient
from support import slack as stand_in

from tasks.errors import AlgorithmError, Unavailable, UnusableData
from tasks.io.messages import blockkit, folder_sender, slack_sender
from tasks.records import Audience
from tasks.records.outbox import Claimed, Outgoing


@pytest.fixture
def workspace() -> Iterator[stand_in.Workspace]:
    with stand_in.workspace() as state:
        yield state


@pytest.fixture
def sender(workspace: stand_in.Workspace) -> slack_sender.SlackSender:
    client = WebClient(token=stand_in.TOKEN, base_url=workspace.url, timeout=5, retry_handlers=[])
    return slack_sender.SlackSender(client, {Audience.GW: "C-GW", Audience.TEST: "C-TEST"})


def claimed(text: str = "A real sentence.", **changes: object) -> Claimed:
    claim = {key: changes.pop(key) for key in ("channel", "thread", "uncertain") if key in changes}
    values = {
        "subject": "event:S241102br",
        "kind": "top",
        "key": text,
        "audience": Audience.GW,
        "mode": "top",
        "text": text,
        "blocks": blockkit.rendered(text, [blockkit.section(text)]).blocks,
    }
    return Claimed(id=1, attempt=1, message=Outgoing(**{**values, **changes}), **claim)


def test_a_message_a_reply_and_an_edit_find_their_places(sender, workspace) -> None:
    top = sender.send(claimed("first"))
    sender.send(claimed("reply", mode="reply", broadcast=True, channel=top.channel, thread=top.ts))
    edit = sender.send(claimed("second", mode="edit", channel=top.channel, thread=top.ts))
    assert edit.ts is None
    assert workspace.texts() == ["second", "reply"]
    assert [m["text"] for m in workspace.thread(top.ts)] == ["second", "reply"]
    assert [m["broadcast"] for m in workspace.messages] == [False, True]


def test_a_picture_goes_into_the_thread(sender, workspace, tmp_path: Path) -> None:
    (picture := tmp_path / "map.png").write_bytes(b"\x89PNG" + bytes(5000))
    top = sender.send(claimed("first"))
    sender.send(claimed("the sky map", mode="file", attachment=picture, channel=top.channel, thread=top.ts))
    (file,) = workspace.files.values()
    assert file["content"] == picture.read_bytes()
    assert [m["text"] for m in workspace.thread(top.ts)] == ["first", "the sky map"]


@pytest.fixture
def thread(sender, workspace, tmp_path: Path) -> tuple[dict[str, str | None], str]:
    """Return the location of a top message with a picture in its thread, and the picture's id in Slack."""
    (picture := tmp_path / "map.png").write_bytes(b"\x89PNG" + bytes(5000))
    top = sender.send(claimed("first"))
    place = {"channel": top.channel, "thread": top.ts}
    sent = sender.send(claimed("the sky map", mode="file", attachment=picture, **place))
    assert sent.file in workspace.files
    return place, sent.file


def with_fields(place: dict[str, str | None], **changes: object) -> Claimed:
    words = blockkit.rendered("now", [blockkit.header("S241102br"), *blockkit.fields([("Area", "50 deg²")])])
    return dataclasses.replace(claimed("now", mode="edit", blocks=words.blocks, **place), **changes)


def test_the_top_message_shows_the_picture_small(sender, workspace, thread) -> None:
    place, picture = thread
    sender.send(with_fields(place, picture=picture))
    accessories = [block.get("accessory") for block in workspace.messages[0]["blocks"]]
    assert accessories == [None, {"type": "image", "slack_file": {"id": picture}, "alt_text": "Sky map"}]


def test_a_picture_that_slack_has_not_taken_in_is_waited_for_and_at_last_left_out(sender, workspace, thread) -> None:
    place, picture = thread
    workspace.slow_pictures = 99
    for attempt in range(1, slack_sender.PICTURE_TRIES):
        with pytest.raises(Unavailable, match="has not yet processed the picture"):
            sender.send(with_fields(place, picture=picture, attempt=attempt))
    assert workspace.texts()[0] == "first"
    sender.send(with_fields(place, picture=picture, attempt=slack_sender.PICTURE_TRIES))
    assert workspace.texts()[0] == "now"
    assert not any("accessory" in block for block in workspace.messages[0]["blocks"])


def test_other_refused_blocks_are_no_matter_of_waiting(sender, workspace, thread) -> None:
    place, _ = thread
    workspace.faults = ["error:invalid_blocks"]
    with pytest.raises(slack_sender.RefusedBlocks, match="invalid_blocks"):
        sender.send(with_fields(place))


def test_too_many_requests_say_how_long_to_wait(sender, workspace) -> None:
    workspace.faults = ["429:7"]
    with pytest.raises(slack_sender.Throttled, match="7 s") as caught:
        sender.send(claimed())
    assert caught.value.wait_s == 7
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.wait_s, str(copy)) == (7, str(caught.value))


@pytest.mark.parametrize("fault", ["500", "html", "drop", "error:internal_error"])
def test_trouble_at_slack_is_unavailable_and_sends_nothing(sender, workspace, fault: str) -> None:
    workspace.faults = [fault]
    with pytest.raises(Unavailable):
        sender.send(claimed())
    assert workspace.texts() == []
    assert workspace.calls == ["chat.postMessage"]


def test_no_slack_at_all_is_unavailable(sender) -> None:
    sender.client.base_url = "http://127.0.0.1:1/api/"
    with pytest.raises(Unavailable):
        sender.send(claimed())


def test_what_slack_refuses_is_an_error_in_its_words(sender) -> None:
    with pytest.raises(AlgorithmError, match="channel_not_found"):
        sender.send(claimed(channel="C-NOWHERE", mode="reply"))
    with pytest.raises(UnusableData, match="low-significance"):
        sender.send(claimed(audience=Audience.LOW_SIGNIFICANCE))
    with pytest.raises(AlgorithmError, match="no message to rewrite"):
        sender.send(claimed(mode="edit"))


@pytest.mark.parametrize("mode", ["top", "reply"])
def test_a_lost_answer_is_resolved_by_looking_first(sender, workspace, mode: str) -> None:
    place = {}
    if mode == "reply":
        top = sender.send(claimed("top"))
        place = {"channel": top.channel, "thread": top.ts}
    workspace.faults = ["lost"]
    with pytest.raises(Unavailable):
        sender.send(claimed("told once", mode=mode, **place))
    found = sender.send(claimed("told once", mode=mode, uncertain=True, **place))
    assert workspace.texts().count("told once") == 1
    assert found.ts == workspace.messages[-1]["ts"]


def test_an_uncertain_message_that_is_not_there_is_sent(sender, workspace) -> None:
    sender.send(claimed("another"))
    sender.send(claimed("told once", uncertain=True))
    assert workspace.texts() == ["another", "told once"]


def test_a_picture_is_not_put_twice_after_a_lost_answer(sender, workspace, tmp_path: Path) -> None:
    (picture := tmp_path / "map.png").write_bytes(b"\x89PNG")
    top = sender.send(claimed("first"))
    again = {"mode": "file", "attachment": picture, "channel": top.channel, "thread": top.ts}
    sent = [sender.send(claimed("the sky map", uncertain=uncertain, **again)) for uncertain in (False, True)]
    assert sent[0] == sent[1]
    assert sent[0].file in workspace.files
    assert len(workspace.thread(top.ts)) == 2


def test_the_token_is_in_no_error_and_no_log(sender, workspace, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    for fault in ("500", "drop", "429:1", "error:invalid_auth"):
        workspace.faults = [fault]
        with pytest.raises((Unavailable, AlgorithmError)) as caught:
            sender.send(claimed())
        assert stand_in.TOKEN not in repr(caught.value)
    assert stand_in.TOKEN not in caplog.text


def test_without_a_workspace_messages_are_files_and_sending_twice_is_sending_once(tmp_path: Path) -> None:
    sender = folder_sender.FolderSender(tmp_path)
    first = sender.send(claimed("told once"))
    assert sender.send(claimed("told once")) == first
    assert sorted(path.name for path in (tmp_path / "gw").iterdir()) == ["000001-top.json", "000001-top.md"]
    assert "told once" in (tmp_path / "gw" / "000001-top.md").read_text()
