"""A broker for tests: an existing one, else Apache Kafka started from its jars, else librdkafka's mock cluster.

``SIREN_TEST_KAFKA`` names a broker that is there (``host:port``), or says ``mock``. The jars come from Maven Central once
and stay in the user's cache. The suite says at its end which it was.
"""

from __future__ import annotations

import base64
import fcntl
import functools
import os
import secrets
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from deployments.server.serve import free_port
from support import tally

VERSION = "4.1.1"
ARTIFACT = f"org.apache.kafka:kafka_2.13:{VERSION}"
MESSAGE_BYTES = 8_000_000
MOCK_PARTITIONS = 4  # of each topic that the mock creates automatically
MAVEN_S, START_S = 240, 60

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>brightsiren</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency></dependencies>
</project>"""

SETTINGS = """
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},INNER://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},INNER://127.0.0.1:{outer}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,INNER:PLAINTEXT
log.dirs={folder}/data
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
message.max.bytes=10485760
replica.fetch.max.bytes=10485760
"""


class Broker:
    """A broker with a producer; topics and groups have unique names, so that a broker can serve many runs."""

    kind = "a broker that was there"
    partitions = 1
    session_s = 6.0

    def __init__(self, address: str) -> None:
        self.address = address
        self.run = secrets.token_hex(4)
        self.producer = self.make_producer()

    def make_producer(self) -> Producer:
        return Producer({"bootstrap.servers": self.address, "log_level": 0, "message.max.bytes": MESSAGE_BYTES})

    def topic(self, name: str) -> str:
        """Return a unique name."""
        return f"{name}-{self.run}"

    def send(self, topic: str, *payloads: bytes) -> None:
        for payload in payloads:
            self.producer.produce(topic, payload)
            self.producer.poll(0)
        assert self.producer.flush(60) == 0

    def configuration(self, group: str) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.address,
            "group.id": group,
            "session.timeout.ms": int(1000 * self.session_s),
            "topic.metadata.refresh.interval.ms": 1000,
            "log_level": 0,
        }

    def committed(self, topic: str, group: str) -> int:
        """Return how many messages of the topic the group has committed."""
        consumer = Consumer(self.configuration(group))
        try:
            places = consumer.committed([TopicPartition(topic, each) for each in range(self.partitions)], timeout=10)
        except KafkaException:
            return 0  # the group has no coordinator yet
        finally:
            consumer.close()
        return sum(place.offset for place in places if place.offset > 0)

    def close(self) -> None:
        self.producer.purge()


class Mock(Broker):
    """librdkafka's cluster in this process: the protocol is real, the broker is not."""

    kind = "librdkafka's mock cluster"
    partitions = MOCK_PARTITIONS

    def __init__(self) -> None:
        super().__init__("")
        brokers = self.producer.list_topics(timeout=10).brokers.values()
        self.address = ",".join(f"{each.host}:{each.port}" for each in brokers)

    def make_producer(self) -> Producer:
        mock = {"bootstrap.servers": "unused:1", "test.mock.num.brokers": 1}
        return Producer({**mock, "log_level": 0, "message.max.bytes": MESSAGE_BYTES})


class Real(Broker):
    """Apache Kafka, a process on a free port that can be killed and started again.

    Who comes in by ``outer`` stays there: put a proxy on that port, leading to ``inner``.
    """

    kind = f"Apache Kafka {VERSION}"
    session_s = 2.0

    def __init__(self, folder: Path, libraries: Path, settings: str = SETTINGS) -> None:
        self.port, self.inner, self.outer, controller = (free_port() for _ in range(4))
        self.folder = folder
        self.java = ["java", "-Xmx320m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{libraries}/*"]
        (folder / "server.properties").write_text(
            settings.format(port=self.port, inner=self.inner, outer=self.outer, controller=controller, folder=folder),
            encoding="utf-8",
        )
        # an id that begins with a minus sign would be read as an option
        cluster = base64.urlsafe_b64encode(b"k" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        words = ["kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", "server.properties"]
        subprocess.run([*self.java, *words], cwd=folder, check=True, capture_output=True, timeout=START_S)
        self.start()
        super().__init__(f"127.0.0.1:{self.port}")

    def start(self) -> None:
        """Start the process and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            words = [*self.java, "kafka.Kafka", "server.properties"]
            self.process = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_S
        probe = Producer({"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0})
        while True:
            try:
                probe.list_topics(timeout=1)
                return
            except KafkaException:
                assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
                assert time.monotonic() < deadline, "the broker does not answer"

    def kill(self) -> None:
        """End the process as a power failure would."""
        self.process.kill()
        self.process.wait(30)

    def close(self) -> None:
        super().close()
        self.kill()


@contextmanager
def broker() -> Iterator[Broker]:
    """Yield the best available broker."""
    with tempfile.TemporaryDirectory(prefix="brightsiren-kafka-") as folder:
        started = _open(Path(folder))
        tally.BROKERS[started.kind] = None
        try:
            yield started
        finally:
            started.close()


def _open(folder: Path) -> Broker:
    wish = os.environ.get("SIREN_TEST_KAFKA", "")
    if wish and wish != "mock":
        return Broker(wish)
    libraries = None if wish == "mock" else find_libraries()
    return Mock() if libraries is None else Real(folder, libraries)


@functools.cache
def find_libraries() -> Path | None:
    """Return the folder of the broker's jars, fetched once; None without Java, or without Maven to fetch them."""
    cache = platformdirs.user_cache_path("brightsiren") / "tests"
    target = cache / f"kafka-{VERSION}"
    if shutil.which("java") is None:
        return None
    if target.is_dir():
        return target
    if shutil.which("mvn") is None:
        return None
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock, tempfile.TemporaryDirectory(dir=cache) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir() and _fetch(Path(scratch)):
            (Path(scratch) / "jars").rename(target)
    return target if target.is_dir() else None


def _fetch(folder: Path) -> bool:
    """Fetch the broker and its dependencies into ``folder/jars``."""
    (folder / "pom.xml").write_text(POM.format(*ARTIFACT.split(":")), encoding="utf-8")
    words = ["mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
    try:
        done = subprocess.run(
            [*words, "-DincludeScope=runtime"], cwd=folder, capture_output=True, timeout=MAVEN_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
