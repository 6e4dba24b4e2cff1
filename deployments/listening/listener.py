"""The listener: stores each message as a file and a row of the registry, then commits its offset.

The poll loop does nothing else, so that no slow step makes the broker expel it from the consumer group. It stores all
messages of one poll together: one sync of the files, one transaction for the rows, one commit of offsets. ``dispatch``
creates the runs from the rows. Each step is idempotent, so a crash between two steps is harmless: a file's name and a
row's key are the hash of the bytes.
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
"""GCN sends one message per second on this topic: silence means a lost connection."""

POLL_S = 0.5
STUCK_S = 60.0
"""Time without a turn after which the poll loop counts as stuck on the disk or the database, in s."""

RETRY_S = 1.0
LAG_S = 20.0
"""Time between two measurements of the lag behind the broker, in s."""

REWIND_S = 10.0
"""Longest wait for the offset of the first message since a time, in s."""

BATCH = 500
"""Most messages stored together; the client library holds at most 64 MiB of them."""

# messages on GCN reach 4 MiB; the default of librdkafka is 1 MiB
CONSUMER = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    # a new listener gets the partitions of a killed one after this time
    "session.timeout.ms": 10_000,
    "fetch.message.max.bytes": 8 * 1024 * 1024,
    # by default the library waits 1 s before it fetches more once its 64 MiB (some 30 sky maps) are full
    "fetch.queue.backoff.ms": 20,
}


@dataclass(frozen=True, kw_only=True)
class ListenOptions:
    """Topics, settings of the consumer, and when silence is an alarm."""

    topics: tuple[str, ...]
    configuration: Mapping[str, Any] = field(repr=False)
    """Settings of the Kafka consumer: servers, group, credentials. Never printed: they contain the secret."""

    silence_s: float = 25.0
    """Silence of the heartbeat topic after which the listener reconnects, in s; used only if it reads that topic."""

    since: datetime | None = None
    """Begin with the messages of this time, also those received before; None: continue from the committed offsets."""


@dataclass
class Watchdog:
    """Measures the time since the last reset."""

    silence_s: float
    clock: Callable[[], float] = time.monotonic
    reset_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start the time again."""
        self.reset_at = self.clock()

    def has_expired(self) -> bool:
        """Return whether the last reset is too long ago."""
        return self.clock() - self.reset_at >= self.silence_s

    def fires(self) -> bool:
        """Return whether the last reset is too long ago, and if so, reset."""
        if not self.has_expired():
            return False
        self.reset()
        return True


class Archive:
    """Stores notices durably: the file first, then the row.

    Parameters
    ----------
    root
        Root of the alert river's files.
    registry
        The registry of notices.
    """

    def __init__(self, *, root: Path, registry: Registry) -> None:
        self.tree = naming.AlertTree(root=root)
        self.registry = registry

    def keep(self, *messages: Message) -> int:
        """Store all messages durably; return the number with new bytes."""
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
    """Polls the broker until stopped.

    Parameters
    ----------
    options
        Topics and settings of the consumer.
    archive
        Stores notices.
    arrived
        Set when notices are stored: wakes the dispatcher.
    alarm
        Called with a sentence when the connection is silent.
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
        """Return whether the poll loop has turned within ``STUCK_S``."""
        return not self.turning.has_expired()

    def run(self, stop: threading.Event) -> None:
        """Listen; reconnect whenever the connection is silent.

        Raises
        ------
        Unavailable
            If the client library reports a fatal error.
        """
        while not stop.is_set():
            consumer = Consumer({**CONSUMER, "on_commit": _committed, **self.options.configuration})
            try:
                consumer.subscribe(list(self.options.topics), on_assign=self._begin_at)
                log.info("listening to %s", ", ".join(self.options.topics))
                self.watchdog.reset()
                self._poll(consumer, stop)
            finally:
                _close(consumer, wait=stop.is_set())

    def _begin_at(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        """Go back to the requested time, once per partition: a rebalance must not repeat all messages."""
        since = self.options.since
        if since is None:
            return
        requests = [
            TopicPartition(partition.topic, partition.partition, int(since.timestamp() * 1000))
            for partition in assigned
            if partition.topic != HEARTBEAT_TOPIC and _place(partition) not in self.rewound
        ]
        if not requests:
            return
        try:
            first = consumer.offsets_for_times(requests, REWIND_S)
            committed = {_place(answer): answer.offset for answer in consumer.committed(requests, REWIND_S)}
        except KafkaException as error:
            log.warning("cannot go back to %s, continuing from the committed offsets: %s", since.isoformat(), error)
            return
        self.rewound.update(map(_place, requests))
        # messages that the group has not received yet are never skipped, however late the time
        back = {
            _place(answer): answer
            for answer in first
            if committed[_place(answer)] < 0 or answer.offset in range(committed[_place(answer)])
        }
        consumer.assign([back.get(_place(partition), partition) for partition in assigned])
        log.info(
            "back to %s: %s", since.isoformat(), ", ".join(f"{topic}[{part}]" for topic, part in back) or "nothing"
        )

    def _poll(self, consumer: Consumer, stop: threading.Event) -> None:
        while not stop.is_set():
            self.turning.reset()
            if not self._take(consumer, _next_messages(consumer), stop):
                return
            if self.lagging.fires():
                self._measure_lag(consumer)
            if HEARTBEAT_TOPIC in self.options.topics and self.watchdog.fires():
                self.alarm(f"nothing received for {self.options.silence_s:g} s: reconnecting")
                return

    def _measure_lag(self, consumer: Consumer) -> None:
        """Record the number of messages not yet received, by partition; unknown before a partition's first message."""
        lag = {}
        try:
            for place in consumer.position(consumer.assignment()):
                _, end = consumer.get_watermark_offsets(place, cached=True)
                if place.topic != HEARTBEAT_TOPIC and place.offset >= 0 and end >= 0:
                    lag[f"{place.topic}[{place.partition}]"] = max(end - place.offset, 0)
        except KafkaException as error:
            # a partition that has just been taken away has no lag to report
            log.debug("lag not known: %s", error)
        self.lag = lag
        if behind := {where: number for where, number in lag.items() if number}:
            log.info("behind the broker: %s", ", ".join(f"{where} by {number}" for where, number in behind.items()))

    def _take(self, consumer: Consumer, received: Sequence[Message], stop: threading.Event) -> bool:
        """Store the received messages; return whether this connection can continue."""
        messages = [message for message in received if not _is_error(message)]
        if messages:
            self.watchdog.reset()
        notices = [message for message in messages if message.topic() != HEARTBEAT_TOPIC]
        if not notices:
            return True
        try:
            return self._keep(consumer, notices, stop)
        finally:
            # the time that a slow disk took does not count as silence of the broker
            self.watchdog.reset()

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
        """Store notices one at a time after a joint attempt failed; return whether this connection can continue.

        A failed notice holds back the rest of its partition, because a committed offset covers all earlier messages.
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
        """Wait, then go back to messages that could not be stored; their offsets are not committed.

        Return False if that is impossible, as after a rebalance: the commit of a later message would cover these, so the
        listener must reconnect and continue from the committed offsets.
        """
        log.error("%s: not stored yet: %s", _places(notices), trouble)
        stop.wait(RETRY_S)
        try:
            for (topic, partition), offset in _offsets(notices, min).items():
                consumer.seek(TopicPartition(topic, partition, offset))
        except KafkaException as error:
            log.warning("cannot go back to them, reconnecting: %s", error)
            return False
        return True


def _next_messages(consumer: Consumer) -> list[Message]:
    """Wait for a message; return it and all others that have arrived."""
    first = consumer.poll(POLL_S)
    return [] if first is None else [first, *consumer.consume(BATCH - 1, 0)]


def _is_error(message: Message) -> bool:
    """Log and return whether this is an error of the broker in place of a message.

    Raises
    ------
    Unavailable
        If the client library calls the error fatal.
    """
    if (error := message.error()) is None:
        return False
    log.warning("broker: %s", error.str())
    if error.fatal():
        raise Unavailable(f"the Kafka client gave up: {error.str()}")
    return True


def _close(consumer: Consumer, *, wait: bool) -> None:
    """Close a connection; a silent one in the background, because that takes a minute."""
    if wait:
        consumer.close()
    else:
        threading.Thread(target=consumer.close, name="siren-close", daemon=True).start()


def _commit(consumer: Consumer, messages: Sequence[Message]) -> None:
    """Commit the offsets behind messages, without waiting for the answer.

    On a silent connection the answer takes a minute, in which the watchdog could not fire.
    """
    places = [
        TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in _offsets(messages, max).items()
    ]
    try:
        consumer.commit(offsets=places, asynchronous=True)
    except KafkaException as error:
        _committed(error, places)


def _committed(error: KafkaException | KafkaError | None, _: Sequence[TopicPartition]) -> None:
    """Log a failed commit; its only effect is that the messages are received again."""
    if error is not None:
        log.warning("offsets not committed, the messages will be received again: %s", error)


def _offsets(messages: Sequence[Message], which: Callable[[int, int], int]) -> dict[tuple[str, int], int]:
    """Return the smallest or largest offset of messages in each partition."""
    offsets: dict[tuple[str, int], int] = {}
    for message in messages:
        place, offset = _partition(message), int(message.offset() or 0)
        offsets[place] = which(offsets.get(place, offset), offset)
    return offsets


def _places(messages: Sequence[Message]) -> str:
    """Return topics, partitions and offsets of messages as text for the log."""
    first, last = _offsets(messages, min), _offsets(messages, max)
    return ", ".join(f"{topic}[{part}] offsets {first[topic, part]} to {last[topic, part]}" for topic, part in first)


def _partition(message: Message) -> tuple[str, int]:
    return str(message.topic()), int(message.partition() or 0)


def _place(where: TopicPartition) -> tuple[str, int]:
    return str(where.topic), int(where.partition)


def _received(message: Message) -> datetime:
    """Return when the broker received the message: the same time for each of its deliveries."""
    kind, milliseconds = message.timestamp()
    if kind == TIMESTAMP_NOT_AVAILABLE or milliseconds <= 0:
        return datetime.now(UTC)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
