"""A broker that lets in only who shows a certificate, or a name and a password."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from driftline.capture.line.kafka import KafkaTransport, kafka_sender
from driftline.capture.line.kafka_options import KafkaOptions
from driftline.capture.line.sidecar import Sidecar
from driftline.capture.spool.writer import SpoolWriter
from driftline.errors import UnavailableError
from driftline.signature import Signature
from tests.capture.conftest import record
from tests.capture.line.kafka_tools import options, ship_all, sink_until, stored
from tests.servers.kafka import kafka_jars
from tests.servers.secure_kafka import PASSWORD, USER, SecureKafka

pytestmark = [
    pytest.mark.kafka,
    # kafka-python leaves the socket of a refused handshake to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def collect() -> Iterator[None]:
    """Have the client's leftovers collected here, not in a later test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    found = SecureKafka(tmp_path_factory.mktemp("secure"), kafka_jars())
    found.start()
    yield found
    found.stop()


def by_certificate(broker: SecureKafka, topic: str, **more: str) -> KafkaOptions:
    shown = {
        "security_protocol": "SSL",
        "ssl_cafile": str(broker.authority),
        "ssl_certfile": str(broker.certificate),
        "ssl_keyfile": str(broker.key),
    }
    return options(broker.doors["SSL"], topic, **{**shown, **more})


def by_password(broker: SecureKafka, topic: str, **more: str) -> KafkaOptions:
    shown = {
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(broker.authority),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": USER,
        "sasl_password": PASSWORD,
    }
    return options(broker.doors["SASL_SSL"], topic, **{**shown, **more})


def pass_through(
    found: KafkaOptions, root: str, spool_dir: Path, state: Path, signature: Signature
) -> list[str]:
    """Send three records by way of the broker; give what is in the table."""
    names = ["a", "b", "c"]
    with closing(SpoolWriter(spool_dir)) as writer:
        for name in names:
            record(writer, b"1.5,3,UA", event_id=name)
    ship_all(found, spool_dir)
    sink_until(found, root, state, signature, lambda sink: sink.counters["records"] == 3)
    ids: list[str] = stored(root)["event_id"].to_pylist()
    return ids


def test_records_pass_a_broker_that_wants_a_certificate(
    broker: SecureKafka,
    topic: str,
    root: str,
    spool_dir: Path,
    tmp_path: Path,
    signature: Signature,
) -> None:
    found = by_certificate(broker, topic)

    assert pass_through(found, root, spool_dir, tmp_path, signature) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "mechanism",
    [
        "SCRAM-SHA-512",
        *(pytest.param(one, marks=pytest.mark.full) for one in ("PLAIN", "SCRAM-SHA-256")),
    ],
)
def test_records_pass_a_broker_that_wants_a_name_and_a_password(
    broker: SecureKafka,
    topic: str,
    root: str,
    spool_dir: Path,
    tmp_path: Path,
    signature: Signature,
    mechanism: str,
) -> None:
    found = by_password(broker, topic, sasl_mechanism=mechanism)

    assert pass_through(found, root, spool_dir, tmp_path, signature) == ["a", "b", "c"]


def test_a_wrong_password_keeps_the_records_and_is_told_without_it(
    broker: SecureKafka,
    topic: str,
    spool_dir: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = "wrong-but-secret"
    found = by_password(broker, topic, sasl_password=wrong)
    with closing(SpoolWriter(spool_dir)) as writer:
        record(writer, b"1.5,3,UA", event_id="kept")
    sidecar = Sidecar(spool_dir, kafka_sender(found, spool_dir, threading.Event()))

    # The client itself tells its settings at this level; our processes silence it (logs.py).
    caplog.set_level(logging.CRITICAL, "kafka")
    caplog.set_level(logging.DEBUG, "driftline")

    with pytest.raises(UnavailableError) as raised:
        sidecar.step()

    assert "sasl_username, sasl_password" in str(raised.value)
    assert wrong not in str(raised.value) + caplog.text + repr(found)
    stop = threading.Event()
    stop.set()
    sidecar.run(stop)
    assert wrong not in caplog.text
    assert ship_all(by_password(broker, topic), spool_dir).counters["records"] == 1


def test_a_broker_that_nobody_vouches_for_gets_nothing(
    broker: SecureKafka, topic: str, tmp_path: Path
) -> None:
    found = by_certificate(broker, topic, ssl_cafile=str(broker.stranger))
    transport = KafkaTransport(found, tmp_path, threading.Event())

    with closing(transport), pytest.raises(UnavailableError, match="ssl_cafile"):
        transport.receive(10)
