"""A broker in this process: librdkafka's mock cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, Producer, TopicPartition

PARTITIONS = 4  # of every topic that the mock makes by itself


class Broker:
    """A mock cluster and a producer for it; it lives as long as the object."""

    def __init__(self) -> None:
        self.producer = Producer(
            {
                "bootstrap.servers": "unused:1",
                "test.mock.num.brokers": 1,
                "log_level": 0,
                "message.max.bytes": 8_000_000,
            }
        )
        brokers = self.producer.list_topics(timeout=10).brokers.values()
        self.address = ",".join(f"{each.host}:{each.port}" for each in brokers)

    def send(self, topic: str, *payloads: bytes) -> None:
        for payload in payloads:
            self.producer.produce(topic, payload)
        assert self.producer.flush(20) == 0

    def configuration(self, group: str) -> dict[str, str | int]:
        return {"bootstrap.servers": self.address, "group.id": group, "session.timeout.ms": 6000, "log_level": 0}

    def committed(self, topic: str, group: str) -> int:
        """Return how many messages of the topic the group has committed."""
        consumer = Consumer(self.configuration(group))
        try:
            places = consumer.committed([TopicPartition(topic, each) for each in range(PARTITIONS)], timeout=10)
        finally:
            consumer.close()
        return sum(place.offset for place in places if place.offset > 0)


@contextmanager
def broker() -> Iterator[Broker]:
    started = Broker()
    yield started
    started.producer.purge()
