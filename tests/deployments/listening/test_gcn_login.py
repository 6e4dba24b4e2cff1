"""The login at GCN: the block's settings, a token endpoint, and a broker that requires a token."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from pydantic import SecretStr
from support import kafka, token_server

from blocks import GcnCredentials
from deployments.listening import listener
from deployments.server.serve import free_port
from tasks import registry

GUARD = """
listeners=PLAINTEXT://127.0.0.1:{{port}},SASL_PLAINTEXT://127.0.0.1:{guarded},CONTROLLER://127.0.0.1:{{controller}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SASL_PLAINTEXT://127.0.0.1:{guarded}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=OAUTHBEARER
listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
connections.max.reauth.ms=60000
"""


@pytest.fixture
def tokens() -> Iterator[token_server.Server]:
    with token_server.server() as held:
        yield held


def settings(tokens: token_server.Server, address: str, **changes: str) -> dict[str, object]:
    """Return the block's settings with addresses on this machine instead of GCN's; no TLS on loopback."""
    block = GcnCredentials(client_id=tokens.client_id, client_secret=SecretStr(tokens.client_secret), group_id="mine")
    here = {
        "bootstrap.servers": address,
        "security.protocol": "sasl_plaintext",
        "sasl.oauthbearer.token.endpoint.url": tokens.url,
    }
    return {**block.configuration(), **here, "log_level": 0, **changes}


@contextmanager
def guarded_broker() -> Iterator[tuple[kafka.Real, str]]:
    libraries = kafka.find_libraries()
    if libraries is None:
        pytest.skip("needs Apache Kafka: Java, and Maven to fetch its jars once")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="brightsiren-guard-") as folder:
        broker = kafka.Real(Path(folder), libraries, settings=kafka.SETTINGS + GUARD.format(guarded=port))
        try:
            yield broker, f"127.0.0.1:{port}"
        finally:
            broker.close()


def until(condition, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_the_settings_name_gcn_and_say_what_a_client_must() -> None:
    made = GcnCredentials(client_id="x", client_secret=SecretStr("y"), domain="test.gcn.nasa.gov").configuration()
    assert made["bootstrap.servers"].split(",")[0] == "kafka.test.gcn.nasa.gov:9092"
    assert made["sasl.oauthbearer.token.endpoint.url"] == "https://auth.test.gcn.nasa.gov/oauth2/token"
    assert made["group.id"] == "brightsiren", "without a group of its own a client forgets its offsets"
    assert (made["auto.offset.reset"], made["enable.auto.commit"]) == ("earliest", False)


def test_the_client_library_takes_the_settings_and_asks_for_a_token_by_itself(tokens: token_server.Server) -> None:
    consumer = Consumer({**listener.CONSUMER, **settings(tokens, f"127.0.0.1:{free_port()}")})
    try:
        until(lambda: bool(tokens.given))
    finally:
        consumer.close()
    assert tokens.refused == 0


def test_a_listener_stays_logged_in_beyond_the_life_of_its_token(tokens: token_server.Server, tmp_path: Path) -> None:
    tokens.lifetime_s = 6.0
    stop, arrived = threading.Event(), threading.Event()
    with guarded_broker() as (broker, address):
        broker.send("igwn.gwalert", b"first")
        book = registry.open(f"sqlite:///{tmp_path}/registry.sqlite")
        options = listener.ListenOptions(topics=("igwn.gwalert",), configuration=settings(tokens, address))
        archive = listener.Archive(root=tmp_path, registry=book)
        ear = listener.Listener(options, archive=archive, arrived=arrived, alarm=print)
        thread = threading.Thread(target=ear.run, args=(stop,))
        thread.start()
        try:
            until(lambda: len(book.undispatched()) == 1)
            until(lambda: len(tokens.given) >= 3)
            broker.send("igwn.gwalert", b"after the first token has ended")
            until(lambda: len(book.undispatched()) == 2)
        finally:
            stop.set()
            thread.join(20)
        assert time.time() > tokens.given[0] + tokens.lifetime_s
        assert broker.committed("igwn.gwalert", "mine") == 2
        book.close()


def test_who_has_no_token_hears_nothing(tokens: token_server.Server) -> None:
    with guarded_broker() as (broker, address):
        broker.send("igwn.gwalert", b"first")
        wrong = settings(tokens, address, **{"sasl.oauthbearer.client.secret": "wrong"})
        consumer = Consumer({**listener.CONSUMER, **wrong})
        consumer.subscribe(["igwn.gwalert"])
        heard = [message for _ in range(20) if (message := consumer.poll(0.2)) and not message.error()]
        consumer.close()
    assert heard == []
    assert tokens.refused > 0
    assert tokens.given == []
