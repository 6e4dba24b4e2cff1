"""The listener: a message from the broker becomes a file and a row, and only then is its offset committed.

The poll loop does no more than that, so nothing slow can cost it its place in the group. Runs are made from the rows by
``dispatch``. A crash between two steps repeats steps that change nothing the second time: the file's name is the hash of
its bytes, the row's key is that hash.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaException, Message, TopicPartition

from tasks import naming, products
from tasks.errors import Unavailable
from tasks.registry import Registry

log = logging.getLogger(__name__)

HEARTBEAT_TOPIC = "gcn.heartbeat"
"""GCN sends one message a second on it: silence means a dead connection, not a quiet sky."""

POLL_S = 0.5
RETRY_S = 1.0
# messages on GCN reach 4 MiB; librdkafka asks for 1 MiB at a time unless told otherwise
CONSUMER = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    # a listener that was killed keeps its partitions for this long: a new one waits for it
    "session.timeout.ms": 10_000,
    "fetch.message.max.bytes": 8 * 1024 * 1024,
}


@dataclass(frozen=True, kw_only=True)
class ListenOptions:
    """What to listen to and when to worry."""

    topics: tuple[str, ...]
    configuration: Mapping[str, Any]
    """Settings of the Kafka consumer: servers, group, credentials."""

    silence_s: float = 25.0
    """Silence of the heartbeat topic after which the connection is opened anew; only where it is listened to."""


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

    def barks(self) -> bool:
        """Tell whether it has been silent for too long; then count anew."""
        if self.clock() - self.heard_at < self.silence_s:
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

    def keep(self, message: Message) -> bool:
        """Make a message durable; return whether its bytes are new."""
        payload = message.value() or b""
        sha256 = hashlib.sha256(payload).hexdigest()
        received = _received(message)
        path = self.tree.notice(sha256, received.date())
        if not path.exists() or path.stat().st_size != len(payload):
            products.write_bytes(path, payload)
        return self.registry.record_notice(
            sha256=sha256,
            path=path,
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
        Set after each notice that is new: wakes the dispatcher.
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

    def run(self, stop: threading.Event) -> None:
        """Listen; open the connection anew whenever it has fallen silent.

        Raises
        ------
        Unavailable
            On an error that the client library calls fatal.
        """
        while not stop.is_set():
            with closing(Consumer({**CONSUMER, **self.options.configuration})) as consumer:
                consumer.subscribe(list(self.options.topics))
                log.info("listening to %s", ", ".join(self.options.topics))
                self.watchdog.heard()
                self._poll(consumer, stop)

    def _poll(self, consumer: Consumer, stop: threading.Event) -> None:
        while not stop.is_set():
            message = consumer.poll(POLL_S)
            if message is not None and not self._take(consumer, message, stop):
                return
            if HEARTBEAT_TOPIC in self.options.topics and self.watchdog.barks():
                self.alarm(f"nothing heard for {self.options.silence_s:g} s: opening the connection anew")
                return

    def _take(self, consumer: Consumer, message: Message, stop: threading.Event) -> bool:
        """Make one message durable; return whether this connection can go on."""
        if (error := message.error()) is not None:
            # the broker's words about itself come in the place of a message: they are no notice
            log.warning("broker: %s", error.str())
            if error.fatal():
                raise Unavailable(f"the Kafka client gave up: {error.str()}")
            return True
        self.watchdog.heard()
        if message.topic() == HEARTBEAT_TOPIC:
            return True
        try:
            new = self.archive.keep(message)
        except (OSError, Unavailable) as trouble:
            stop.wait(RETRY_S)
            return self._again(consumer, message, trouble)
        _commit(consumer, message)
        log.info("%s[%s] offset %s: %s", *_place(message), "new" if new else "known")
        self.arrived.set()
        return True

    def _again(self, consumer: Consumer, message: Message, trouble: Exception) -> bool:
        """Go back to a message that could not be made durable: its offset is not committed.

        False where that cannot be done, as after a rebalance: a later message's commit would cover this one, so that
        the connection must begin anew at what was committed.
        """
        log.error("%s[%s] offset %s is not durable yet: %s", *_place(message), trouble)
        topic, partition, offset = _place(message)
        try:
            consumer.seek(TopicPartition(topic, partition, offset))
        except KafkaException as error:
            log.warning("cannot go back to it, opening the connection anew: %s", error)
            return False
        return True


def _commit(consumer: Consumer, message: Message) -> None:
    """Commit the offset; a commit that fails only means that the message comes again."""
    try:
        consumer.commit(message=message, asynchronous=False)
    except KafkaException as error:
        log.warning("offset not committed, the message will come again: %s", error)


def _place(message: Message) -> tuple[str, int, int]:
    return str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)


def _received(message: Message) -> datetime:
    """Return when the broker had the message: the same for every delivery of it."""
    kind, milliseconds = message.timestamp()
    if kind == TIMESTAMP_NOT_AVAILABLE or milliseconds <= 0:
        return datetime.now(UTC)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
