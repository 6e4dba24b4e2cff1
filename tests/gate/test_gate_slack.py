"""Slack's limits: whatever is said in one second arrives, in order, and nobody speaks while Slack asks for quiet.

Time is compressed twenty times: the stand-in takes one message each 0.05 s and channel, where Slack takes one a second.
Of senders side by side one may have a request on its way when another is told to be quiet; so they must keep one pace.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from slack_sdk import WebClient
from support import slack as stand_in
from support import tally

from tasks import registry
from tasks.io.messages import slack_sender
from tasks.records import Audience
from tasks.records.outbox import Claimed, Outgoing, Sent
from tasks.registry import Registry, delivery, outbox
from tasks.registry.store import now

PACE_S = 0.05
CHANNELS = {Audience.GW: "C-GW", Audience.GRB: "C-GRB"}
THREADS = 25


def enqueued(book: Registry, count: int) -> None:
    """Put messages of many threads in two channels into the outbox, all before the first is sent."""
    with book.begin() as session:
        for number in range(count):
            place, thread = divmod(number, THREADS)
            mode = "reply" if place else "top"
            message = Outgoing(
                subject=f"event:{thread}",
                kind=mode,
                key=f"{place}",
                audience=(Audience.GW, Audience.GRB)[thread % 2],
                mode=mode,
                text=f"{place}",
            )
            outbox.enqueue_message(session, message, now=now())


def sending(workspace: stand_in.Workspace) -> Callable[[Claimed], Sent]:
    client = WebClient(token=stand_in.TOKEN, base_url=workspace.url, timeout=5, retry_handlers=[])
    return slack_sender.SlackSender(client, CHANNELS).send


def said(root: Path, workspace: stand_in.Workspace, count: int, *, senders: int, impatient: bool) -> None:
    """Have senders say it all; an impatient one knows of no pace and is told to be quiet at every 50th request."""
    if impatient:
        workspace.faults = ([""] * 49 + ["429:1"]) * (count // 50)
    else:
        # each may be late with the one message that it has in hand
        workspace.pace_s, workspace.burst = PACE_S, senders + 1
    pace_s = 0.0 if impatient else 1.2 * PACE_S
    with closing(registry.open(f"sqlite:///{root}/registry.sqlite")) as book:
        enqueued(book, count)
        with ThreadPoolExecutor(senders) as pool:
            send = sending(workspace)
            ends = list(
                pool.map(lambda _: delivery.drain_messages(book, send, patience_s=240, pace_s=pace_s), range(senders))
            )
        with book.read() as session:
            assert outbox.counts(session, outbox.MESSAGES) == {"sent": count}
    order = [[each["text"] for each in workspace.thread(top["ts"])] for top in tops(workspace)]
    disorder = sum(texts != [str(place) for place in range(count // THREADS)] for texts in order)
    assert sum(end.sent for end in ends) == len(workspace.messages) == count
    assert (len(order), disorder, workspace.disobeyed) == (THREADS, 0, 0)
    assert bool(workspace.refused) == impatient
    tally.count(
        f"R20 messages at once, {senders} sender{'s' * (senders > 1)} {'without' if impatient else 'with'} pace",
        messages=count,
        lost=0,
        threads_out_of_order=disorder,
        answered_429=workspace.refused,
        requests_inside_a_Retry_After=workspace.disobeyed,
    )


def tops(workspace: stand_in.Workspace) -> list[dict[str, object]]:
    return [message for message in workspace.messages if message["thread_ts"] is None]


@pytest.mark.counted
def test_five_hundred_messages_keep_their_order_and_slacks_silence(
    scratch: Path, workspace: stand_in.Workspace
) -> None:
    said(scratch, workspace, 500, senders=1, impatient=True)


@pytest.mark.gate
def test_senders_side_by_side_keep_one_pace(scratch: Path, workspace: stand_in.Workspace) -> None:
    said(scratch, workspace, 500, senders=3, impatient=False)
