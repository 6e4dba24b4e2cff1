"""The listener: messages from the broker become files and rows, and only then are their offsets committed.

The poll loop does no more than that, so nothing slow can cost it its place in the group. It takes what the broker has
brought at once: all files are synced together, all rows are one transaction, one commit of offsets ends it. Runs are made
from the rows by ``dispatch``. A crash between two steps repeats steps that change nothing the second time: a file's name
is the hash of its bytes, a row's key is that hash.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Message, TopicPartition

from tasks import naming, products
from tasks.errors import Unavailable
from tasks.records.events import StoredNotice
from tasks.registry import Registry

log = logging.getLogger(__name__)

HEARTBEAT_TOPIC = "gcn.heartbeat"
"""GCN sends one message a second on it: silence means a dead connection, not a quiet sky."""

POLL_S = 0.5
STUCK_S = 60.0
"""A poll loop that has not turned for so long is stuck: on a disk, on the database."""

RETRY_S = 1.0
LAG_S = 20.0
"""Time between two looks at how far behind the broker we are."""

REWIND_S = 10.0
"""Longest wait for the broker's answer to which message is the first since a time."""

BATCH = 500
"""Most messages that are made durable together; the client library holds 64 MiB of them at most."""

# messages on GCN reach 4 MiB; librdkafka asks for 1 MiB at a time unless told otherwise
CONSUMER = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    # a listener that was killed keeps its partitions for this long: a new one waits for it
    "session.timeout.ms": 10_000,
    "fetch.message.max.bytes": 8 * 1024 * 1024,
    # once its 64 MiB are full, some 30 sky maps, the library would wait for a second before it asks for more
    "fetch.queue.backoff.ms": 20,
}


@dataclass(frozen=True, kw_only=True)
class ListenOptions:
    """What to listen to and when to worry."""

    topics: tuple[str, ...]
    configuration: Mapping[str, Any] = field(repr=False)
    """Settings of the Kafka consumer: servers, group, credentials; never shown, for the secret among them."""

    silence_s: float = 25.0
    """Silence of the heartbeat topic after which the connection is opened anew; only where it is listened to."""

    since: datetime | None = None
    """Begin with the messages of this time, whatever was heard before; None: where the group left off."""


@dataclass
class Watchdog:
    """Knows how long nothing was heard."""

    silence_s: float
    clock: Callable[[], float] = time.monotonic
    heard_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.heard()

    def heard(self) -> None:
        """Note that something was heard now."""
        self.heard_at = self.clock()

    def is_silent(self) -> bool:
        """Tell whether it has been silent for too long."""
        return self.clock() - self.heard_at >= self.silence_s

    def barks(self) -> bool:
        """Tell whether it has been silent for too long; then count anew."""
        if not self.is_silent():
            return False
        self.heard()
        return True


class Archive:
    """Where notices become durable: the file first, then the row.

    Parameters
    ----------
    root
        Root of the alert river's files.
    registry
        Our record of notices.
    """

    def __init__(self, *, root: Path, registry: Registry) -> None:
        self.tree = naming.AlertTree(root=root)
        self.registry = registry

    def keep(self, *messages: Message) -> int:
        """Make messages durable, all of them; return how many have bytes that are new."""
        contents: dict[Path, bytes] = {}
        stored = []
        for message in messages:
            payload = message.value() or b""
            notice = self._notice(message, payload)
            if not notice.path.exists() or notice.path.stat().st_size != len(payload):
                contents[notice.path] = payload
            stored.append(notice)
        products.write_all(contents)
        return len(self.registry.record_notices(stored))

    def _notice(self, message: Message, payload: bytes) -> StoredNotice:
        sha256 = hashlib.sha256(payload).hexdigest()
        received = _received(message)
        return StoredNotice(
            sha256=sha256,
            path=self.tree.notice(sha256, received.date()),
            received=received,
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
        )


class Listener:
    """Polls the broker until told to stop.

    Parameters
    ----------
    options
        What to listen to.
    archive
        Where notices become durable.
    arrived
        Set once notices are durable: wakes the dispatcher.
    alarm
        Called with a sentence when the connection has fallen silent.
    """

    def __init__(
        self, options: ListenOptions, *, archive: Archive, arrived: threading.Event, alarm: Callable[[str], None]
    ) -> None:
        self.options = options
        self.archive = archive
        self.arrived = arrived
        self.alarm = alarm
        self.watchdog = Watchdog(silence_s=options.silence_s)
        self.turning = Watchdog(silence_s=STUCK_S)
        self.lagging = Watchdog(silence_s=LAG_S)
        self.lag: dict[str, int] = {}
        self.rewound: set[tuple[str, int]] = set()

    def is_turning(self) -> bool:
        """Tell whether the poll loop has turned lately."""
        return not self.turning.is_silent()

    def run(self, stop: threading.Event) -> None:
        """Listen; open the connection anew whenever it has fallen silent.

        Raises
        ------
        Unavailable
            On an error that the client library calls fatal.
        """
        while not stop.is_set():
            consumer = Consumer({**CONSUMER, "on_commit": _committed, **self.options.configuration})
            try:
                consumer.subscribe(list(self.options.topics), on_assign=self._begin_at)
                log.info("listening to %s", ", ".join(self.options.topics))
                self.watchdog.heard()
                self._poll(consumer, stop)
            finally:
                _part_from(consumer, wait=stop.is_set())

    def _begin_at(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        """Go back to the time that is asked for, once in each partition: a rebalance is no reason to hear all again."""
        since = self.options.since
        if since is None:
            return
        asked = [
            TopicPartition(each.topic, each.partition, int(since.timestamp() * 1000))
            for each in assigned
            if each.topic != HEARTBEAT_TOPIC and _place(each) not in self.rewound
        ]
        if not asked:
            return
        try:
            first = consumer.offsets_for_times(asked, REWIND_S)
            heard = {_place(each): each.offset for each in consumer.committed(asked, REWIND_S)}
        except KafkaException as error:
            log.warning("cannot go back to %s, going on where the group left off: %s", since.isoformat(), error)
            return
        self.rewound.update(map(_place, asked))
        # what the group has not heard yet is never skipped, however late the time
        back = {
            _place(each): each for each in first if heard[_place(each)] < 0 or each.offset in range(heard[_place(each)])
        }
        consumer.assign([back.get(_place(each), each) for each in assigned])
        log.info(
            "back to %s: %s", since.isoformat(), ", ".join(f"{topic}[{part}]" for topic, part in back) or "nothing"
        )

    def _poll(self, consumer: Consumer, stop: threading.Event) -> None:
        while not stop.is_set():
            self.turning.heard()
            if not self._take(consumer, _what_came(consumer), stop):
                return
            if self.lagging.barks():
                self._measure_lag(consumer)
            if HEARTBEAT_TOPIC in self.options.topics and self.watchdog.barks():
                self.alarm(f"nothing heard for {self.options.silence_s:g} s: opening the connection anew")
                return

    def _measure_lag(self, consumer: Consumer) -> None:
        """Note how many messages the broker has beyond those that came, by partition; where none came it is not known."""
        found = {}
        try:
            for place in consumer.position(consumer.assignment()):
                _, end = consumer.get_watermark_offsets(place, cached=True)
                if place.topic != HEARTBEAT_TOPIC and place.offset >= 0 and end >= 0:
                    found[f"{place.topic}[{place.partition}]"] = max(end - place.offset, 0)
        except KafkaException as error:
            # a partition that has just been taken away: what is not known is not told
            log.debug("lag not known: %s", error)
        self.lag = found
        if behind := {where: number for where, number in found.items() if number}:
            log.info("behind the broker: %s", ", ".join(f"{where} by {number}" for where, number in behind.items()))

    def _take(self, consumer: Consumer, came: Sequence[Message], stop: threading.Event) -> bool:
        """Make what came durable; return whether this connection can go on."""
        messages = [message for message in came if not _is_complaint(message)]
        if messages:
            self.watchdog.heard()
        notices = [message for message in messages if message.topic() != HEARTBEAT_TOPIC]
        if not notices:
            return True
        try:
            return self._keep(consumer, notices, stop)
        finally:
            # a slow disk is no silence of the broker's
            self.watchdog.heard()

    def _keep(self, consumer: Consumer, notices: Sequence[Message], stop: threading.Event) -> bool:
        try:
            new = self.archive.keep(*notices)
        except Unavailable as trouble:
            return self._again(consumer, notices, trouble, stop)
        except OSError as trouble:
            return (
                self._one_by_one(consumer, notices, stop)
                if len(notices) > 1
                else self._again(consumer, notices, trouble, stop)
            )
        _commit(consumer, notices)
        log.info("%s: %d new", _places(notices), new)
        self.arrived.set()
        return True

    def _one_by_one(self, consumer: Consumer, notices: Sequence[Message], stop: threading.Event) -> bool:
        """Make durable what can be, one file of several being in trouble; return whether this connection can go on.

        The rest of its partition waits behind it: an offset that is committed covers all before it.
        """
        waiting: set[tuple[str, int]] = set()
        for message in notices:
            if (place := _partition(message)) in waiting:
                continue
            try:
                self.archive.keep(message)
            except (OSError, Unavailable) as trouble:
                waiting.add(place)
                if not self._again(consumer, [message], trouble, stop):
                    return False
            else:
                _commit(consumer, [message])
                self.arrived.set()
        return True

    def _again(self, consumer: Consumer, notices: Sequence[Message], trouble: Exception, stop: threading.Event) -> bool:
        """Go back, a while later, to messages that could not be made durable: their offsets are not committed.

        False where that cannot be done, as after a rebalance: a later message's commit would cover these, so that the
        connection must begin anew at what was committed.
        """
        log.error("%s: not durable yet: %s", _places(notices), trouble)
        stop.wait(RETRY_S)
        try:
            for (topic, partition), offset in _offsets(notices, min).items():
                consumer.seek(TopicPartition(topic, partition, offset))
        except KafkaException as error:
            log.warning("cannot go back to them, opening the connection anew: %s", error)
            return False
        return True


def _what_came(consumer: Consumer) -> list[Message]:
    """Wait for a message; return it with all that came with it."""
    first = consumer.poll(POLL_S)
    return [] if first is None else [first, *consumer.consume(BATCH - 1, 0)]


def _is_complaint(message: Message) -> bool:
    """Tell whether these are the broker's words about itself, which come in the place of a message.

    Raises
    ------
    Unavailable
        Where the client library calls the error fatal.
    """
    if (error := message.error()) is None:
        return False
    log.warning("broker: %s", error.str())
    if error.fatal():
        raise Unavailable(f"the Kafka client gave up: {error.str()}")
    return True


def _part_from(consumer: Consumer, *, wait: bool) -> None:
    """Close a connection; without waiting where it has gone silent: a good-bye over a dead line takes a minute."""
    if wait:
        consumer.close()
    else:
        threading.Thread(target=consumer.close, name="siren-parting", daemon=True).start()


def _commit(consumer: Consumer, messages: Sequence[Message]) -> None:
    """Ask for the offsets behind messages to be committed; nobody waits for the answer.

    On a line that has gone silent the answer would take a minute, and the watchdog could not bark meanwhile.
    """
    places = [
        TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in _offsets(messages, max).items()
    ]
    try:
        consumer.commit(offsets=places, asynchronous=True)
    except KafkaException as error:
        _committed(error, places)


def _committed(error: KafkaException | KafkaError | None, _: Sequence[TopicPartition]) -> None:
    """Note a commit that failed: it only means that the messages come again."""
    if error is not None:
        log.warning("offsets not committed, the messages will come again: %s", error)


def _offsets(messages: Sequence[Message], which: Callable[[int, int], int]) -> dict[tuple[str, int], int]:
    """Return the least or the greatest offset of messages in each partition."""
    found: dict[tuple[str, int], int] = {}
    for message in messages:
        place, offset = _partition(message), int(message.offset() or 0)
        found[place] = which(found.get(place, offset), offset)
    return found


def _places(messages: Sequence[Message]) -> str:
    """Write where messages are, for the log."""
    first, last = _offsets(messages, min), _offsets(messages, max)
    return ", ".join(f"{topic}[{part}] offsets {first[topic, part]} to {last[topic, part]}" for topic, part in first)


def _partition(message: Message) -> tuple[str, int]:
    return str(message.topic()), int(message.partition() or 0)


def _place(where: TopicPartition) -> tuple[str, int]:
    return str(where.topic), int(where.partition)


def _received(message: Message) -> datetime:
    """Return when the broker had the message: the same for every delivery of it."""
    kind, milliseconds = message.timestamp()
    if kind == TIMESTAMP_NOT_AVAILABLE or milliseconds <= 0:
        return datetime.now(UTC)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
