"""Kill -9 of sidecar, sink and broker while records flow: each is stored once."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import read_gaps
from driftline.signature import Signature
from tests.capture.conftest import record
from tests.capture.line.kafka_tools import stored, wait_until
from tests.servers.commands import Fork, python
from tests.servers.kafka import KafkaBroker

pytestmark = pytest.mark.kafka

SIDECAR = """
import json, sys, threading, warnings
from pathlib import Path
from driftline.capture.line.kafka import kafka_sender
from driftline.capture.line.kafka_options import KafkaOptions
from driftline.capture.line.sidecar import Sidecar

warnings.simplefilter("ignore")
given = json.loads(sys.argv[1])
stop, spool = threading.Event(), Path(given["spool"])
sender = kafka_sender(KafkaOptions(**given["options"]), spool, stop)
Sidecar(spool, sender, poll_s=0.01).run(stop)
"""

SINK = """
import json, sys, threading, warnings
from pathlib import Path
from driftline.capture.line.kafka import KafkaTransport
from driftline.capture.line.kafka_options import KafkaOptions
from driftline.capture.line.sink import Sink
from driftline.signature import Signature

warnings.simplefilter("ignore")
given = json.loads(sys.argv[1])
stop, signature = threading.Event(), Signature.from_json(given["signature"])
transport = KafkaTransport(KafkaOptions(**given["options"]), Path(given["state"]), stop)
Sink(
    given["root"], transport, lambda _: signature, commit_interval_s=0.05, poll_s=0.01
).run(stop)
"""


class Writer(threading.Thread):
    """Appends records, a few hundred a second in two spools at a time, until told to stop."""

    def __init__(self, spool_dir: Path) -> None:
        super().__init__()
        self.count = 0
        self.stop = threading.Event()
        self._spool_dir = spool_dir

    def run(self) -> None:
        writers = [SpoolWriter(self._spool_dir) for _ in range(2)]
        while not self.stop.wait(0.005):
            for writer in writers:
                assert record(writer, event_id=f"e{self.count}")
                self.count += 1
        for writer in writers:
            writer.close()


@pytest.fixture
def house(
    kafka_broker: KafkaBroker,
    topic: str,
    root: str,
    spool_dir: Path,
    tmp_path: Path,
    signature: Signature,
) -> Iterator[House]:
    with ExitStack() as processes:
        given = {
            "options": {
                "bootstrap_servers": [kafka_broker.bootstrap], "topic": topic, "group": topic,
                "partitions": 4, "replication": 1, "session_timeout_ms": 4000,
            },
            "spool": str(spool_dir), "root": root, "state": str(tmp_path / "state"),
            "signature": signature.to_json(),
        }  # fmt: skip
        yield House(json.dumps(given), kafka_broker, processes)


class House:
    """The processes of one way from spool to table."""

    def __init__(self, given: str, broker: KafkaBroker, processes: ExitStack) -> None:
        self.broker = broker
        self._given = given
        self._processes = processes

    def start(self, code: str) -> Fork:
        process = python(code, self._given)
        self._processes.callback(process.wait, 30)
        self._processes.callback(process.kill)
        return process


@pytest.mark.full  # Every run has tests/journeys/test_kills.py.
def test_each_record_is_stored_once_after_kills_of_sidecar_sink_and_broker(
    house: House, root: str, spool_dir: Path
) -> None:
    codes = {"sidecar": SIDECAR, "sink": SINK}
    running = {name: house.start(code) for name, code in codes.items()}
    writer, chance, pause = Writer(spool_dir), random.Random(7), threading.Event()
    writer.start()
    try:
        wait_until(lambda: stored(root).num_rows > 0)
        for victim in ("sink", "sidecar", "broker", "sidecar", "sink", "sidecar", "sink"):
            before = stored(root).num_rows
            pause.wait(chance.uniform(0, 0.4))
            if victim == "broker":
                house.broker.kill()
                house.broker.start()
            else:
                running[victim].kill()
                running[victim].wait(10)
                running[victim] = house.start(codes[victim])
            wait_until(lambda seen=before: stored(root).num_rows > seen)  # type: ignore[misc]
    finally:
        writer.stop.set()
        writer.join(10)
    wait_until(lambda: stored(root).num_rows >= writer.count)

    names = stored(root)["event_id"].to_pylist()
    assert writer.count > 500
    assert sorted(names) == sorted(f"e{number}" for number in range(writer.count))
    assert read_gaps(root) == []
    wait_until(
        lambda: (
            [path for path in spool_dir.iterdir() if path.is_dir() and path.name[0] != "."] == []
        )
    )


def test_two_sinks_of_a_group_share_the_work_through_rebalances(
    house: House, root: str, spool_dir: Path
) -> None:
    house.start(SIDECAR)
    first = house.start(SINK)
    writer = Writer(spool_dir)
    writer.start()
    try:
        wait_until(lambda: stored(root).num_rows > 100)
        house.start(SINK)
        before = writer.count
        wait_until(lambda: len(_writers(root)) == 2)
        wait_until(lambda: stored(root).num_rows > before)
        first.terminate()
        first.wait(30)
        before = writer.count
        wait_until(lambda: stored(root).num_rows > before)
    finally:
        writer.stop.set()
        writer.join(10)
    wait_until(lambda: stored(root).num_rows >= writer.count)

    names = stored(root)["event_id"].to_pylist()
    assert sorted(names) == sorted(f"e{number}" for number in range(writer.count))
    assert read_gaps(root) == []


def _writers(root: str) -> set[str]:
    """Name the sinks that have files in the table."""
    return {path.name.split("-")[0] for path in Path(root).rglob("capture/**/[!.]*.parquet")}
