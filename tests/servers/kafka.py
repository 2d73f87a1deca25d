"""A real Apache Kafka, one node in KRaft mode, from the jars that ``scripts/kafka`` fetches."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.net.inet import KafkaNetSocket

from driftline.capture.line.kafka import connect
from tests.servers.ports import free_port

__all__ = ["KafkaBroker", "kafka_broker", "kafka_jars", "session_broker"]

_connect_socket = KafkaNetSocket.sock_connect


async def _connect_or_close(self: KafkaNetSocket, net: object, sock: socket.socket, *given: object,
                            **named: object) -> socket.socket:  # fmt: skip
    """Connect as kafka-python does, which leaves a socket that cannot connect to the collector.

    Its warning would fail whichever test the collector comes to.
    """
    try:
        return await _connect_socket(self, net, sock, *given, **named)
    except BaseException:
        sock.close()
        raise


KafkaNetSocket.sock_connect = _connect_or_close

ROOT = Path(__file__).parents[2]
CLUSTER_ID = "ZHJpZnRsaW5lLXRlc3RzLQ"  # Any 16 bytes in base64: nobody else joins.
JAVA = (
    "java", "-Xms128m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
)  # fmt: skip
# A start reads classes for the most part: 3.0 CPU-seconds, or 1.7 from an archive of them. One that
# is missing, or of another Java, is passed over.
FROM_ARCHIVE, TO_ARCHIVE = "-XX:SharedArchiveFile={}", "-XX:ArchiveClassesAtExit={}"
START_S = 90.0
STOP_S = 20.0

SERVER = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{doors}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{doors}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=2097152
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
initial.broker.registration.timeout.ms=30000
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
metadata.max.idle.interval.ms=0
num.network.threads=1
num.io.threads=2
log.cleaner.dedupe.buffer.size=4194304
"""

LOGGING = """
rootLogger.level=WARN
rootLogger.appenderRef.c.ref=C
appender.c.type=Console
appender.c.name=C
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d %p %c{1} %m%n
"""


class KafkaBroker:
    """A broker that can be killed and started again on the same data and ports.

    Parameters
    ----------
    folder
        Where its data and its log lie.
    libs
        The folder of its jars.
    protocols
        Further protocols that it listens with, each at a port of its own.
    properties, format_words
        More lines of its settings, and more words for the command that makes its data.

    Attributes
    ----------
    bootstrap
        Where it listens without protection.
    doors
        Where it listens with each further protocol.
    """

    def __init__(
        self,
        folder: Path,
        libs: Path,
        *,
        protocols: Sequence[str] = (),
        properties: str = "",
        format_words: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._port, controller, *others = (free_port() for _ in range(2 + len(protocols)))
        self.bootstrap = f"127.0.0.1:{self._port}"
        self.doors = {
            protocol: f"127.0.0.1:{port}" for protocol, port in zip(protocols, others, strict=True)
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._archive = libs.with_name(f"{libs.name}.jsa")
        self._properties = folder / "server.properties"
        doors = "".join(f",{protocol}://{door}" for protocol, door in self.doors.items())
        self._properties.write_text(
            SERVER.format(port=self._port, controller=controller, folder=folder, doors=doors)
            + properties
        )
        logging = folder / "log4j2.properties"
        logging.write_text(LOGGING)
        self._java = [
            *JAVA, FROM_ARCHIVE.format(self._archive),
            f"-Dlog4j2.configurationFile=file:{logging}", f"-Dkafka.logs.dir={folder}",
            "-cp", f"{libs}/*",
        ]  # fmt: skip
        subprocess.run(
            [*self._java, "kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID,
             "--config", str(self._properties), *format_words],
            check=True, capture_output=True, timeout=START_S,
        )  # fmt: skip

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._properties)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        pause, end = threading.Event(), time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            pause.wait(0.1)

    def archive_classes(self) -> None:
        """Keep the classes that it loads beside the jars, once for a machine."""
        if self._archive.exists():
            return
        usual, unfinished = self._java, self._archive.with_suffix(f".{os.getpid()}")
        java, *words = (word for word in usual if word != FROM_ARCHIVE.format(self._archive))
        self._java = [java, TO_ARCHIVE.format(unfinished), *words]
        self.start()
        self.stop()
        self._java = usual
        # One that had to be killed has written a part at most.
        if self._process.returncode == 128 + signal.SIGTERM:
            unfinished.replace(self._archive)
        unfinished.unlink(missing_ok=True)

    def ensure_running(self) -> None:
        """Start it if a test left it dead."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def kill(self) -> None:
        """End it as a crash would: by SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_S)

    def stop(self) -> None:
        """End it in order, or by force when it takes its time."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def damage(self, topic: str, content: bytes) -> None:
        """Change a byte within this content where it lies in partition 0, as a disk may."""
        file = self._folder / "data" / f"{topic}-0" / f"{0:020d}.log"
        data = bytearray(file.read_bytes())
        data[data.index(content) + len(content) // 2] ^= 0xFF
        file.write_bytes(data)

    def admin(self) -> KafkaAdminClient:
        """Return a client for its topics and groups; to be closed."""
        return KafkaAdminClient(bootstrap_servers=self.bootstrap)

    def log(self) -> str:
        """Return the end of what it said."""
        return (self._folder / "broker.log").read_text(errors="replace")[-4000:]

    def _answers(self) -> bool:
        with suppress(OSError, KafkaError):
            socket.create_connection(("127.0.0.1", self._port), 1.0).close()
            client = connect(
                KafkaAdminClient, bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=2000
            )
            try:
                return bool(client.describe_cluster()["brokers"])
            finally:
                client.close()
        return False


@pytest.fixture(scope="session")
def session_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """Run one broker for all tests of this process; give each test topics of its own."""
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"), kafka_jars())
    broker.archive_classes()
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def kafka_broker(session_broker: KafkaBroker) -> KafkaBroker:
    """Return the broker, running: tests of another file may have left it dead."""
    session_broker.ensure_running()
    return session_broker


def kafka_jars() -> Path:
    """Have the broker's jars fetched; give their folder."""
    script = ROOT / "scripts" / "kafka"
    found = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True, timeout=600)
    return Path(found.stdout.strip())


@pytest.fixture
def topic() -> str:
    """Return a name for a topic, or a group, that no other test uses."""
    return f"dl-{uuid.uuid4().hex[:12]}"
