"""Sidecar, a real Kafka broker and sink: everything once, whatever goes wrong between."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import confluent_kafka
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from driftline.capture.line.kafka import kafka_sender
from driftline.capture.line.kafka_options import KafkaOptions
from driftline.capture.line.sidecar import Sidecar
from driftline.capture.line.sink import Sink
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset, read_gaps
from driftline.errors import UnavailableError
from driftline.signature import Signature
from tests.capture.conftest import record
from tests.capture.line.kafka_tools import options, ship_all, sink_until, stored, wait_until
from tests.servers.kafka import KafkaBroker

pytestmark = pytest.mark.kafka


@dataclass
class Line:
    """One way from a spool to a table, over a topic of its own."""

    broker: KafkaBroker
    options: KafkaOptions
    root: str
    spool_dir: Path
    state: Path
    signature: Signature

    def write(self, *names: str, request: bytes = b"1.5,3,UA") -> str:
        """Write records into a spool of their own; give its id."""
        with closing(SpoolWriter(self.spool_dir)) as writer:
            for name in names:
                record(writer, request, event_id=name)
            assert writer.spool_id is not None
            return writer.spool_id

    def sink(self, is_done: Callable[[Sink], bool]) -> Sink:
        return sink_until(self.options, self.root, self.state, self.signature, is_done)

    def sink_until_stored(self, *names: str) -> Sink:
        return self.sink(lambda _: {*names} <= set(stored(self.root)["event_id"].to_pylist()))

    def put(self, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """Put a record of any kind into partition 0, past the sidecar."""
        with closing(KafkaProducer(bootstrap_servers=self.broker.bootstrap)) as producer:
            producer.send(self.options.topic, value, headers=headers, partition=0).get(20)

    def put_foreign(self, value: bytes, headers: list[tuple[str, bytes | None]]) -> None:
        """Put a record as clients of others make it: headers may have no value."""
        producer = confluent_kafka.Producer({"bootstrap.servers": self.broker.bootstrap})
        producer.produce(self.options.topic, value, headers=headers, partition=0)
        assert producer.flush(20) == 0

    def put_together(self, *records: tuple[bytes, list[tuple[str, bytes]]]) -> None:
        """Put records into partition 0 in one batch."""
        with closing(
            KafkaProducer(bootstrap_servers=self.broker.bootstrap, linger_ms=5_000)
        ) as producer:
            for value, headers in records:
                producer.send(self.options.topic, value, headers=headers, partition=0)
            producer.flush(20)

    def read(self, topic: str, count: int) -> list[tuple[bytes, dict[str, bytes]]]:
        """Read records of a topic from its beginning."""
        found = []
        with closing(
            KafkaConsumer(
                topic,
                bootstrap_servers=self.broker.bootstrap,
                auto_offset_reset="earliest",
                consumer_timeout_ms=20_000,
            )
        ) as consumer:
            while len(found) < count:
                message = next(consumer)
                found.append((message.value, dict(message.headers)))
        return found


@pytest.fixture
def line(
    kafka_broker: KafkaBroker,
    topic: str,
    root: str,
    spool_dir: Path,
    tmp_path: Path,
    signature: Signature,
) -> Iterator[Line]:
    found = options(kafka_broker.bootstrap, topic)
    yield Line(kafka_broker, found, root, spool_dir, tmp_path / "state", signature)
    kafka_broker.ensure_running()


def test_what_is_sent_arrives_once_and_in_order(line: Line) -> None:
    names = [f"e{number}" for number in range(2_500)]
    line.write(*names)

    sidecar = ship_all(line.options, line.spool_dir)
    sink = line.sink(lambda s: s.counters["records"] == 2_500)

    table = stored(line.root)
    assert table["event_id"].to_pylist() == names
    assert table["spool_seq"].to_pylist() == list(range(1, 2_501))
    assert sidecar.counters["records"] == 2_500
    assert sink.counters["duplicates"] == 0
    assert list(line.spool_dir.glob("[!.]*")) == []
    assert read_gaps(line.root) == []


def test_when_the_groups_offsets_are_lost_nothing_is_doubled(line: Line) -> None:
    line.write("a", "b")
    ship_all(line.options, line.spool_dir)
    line.sink_until_stored("a", "b")
    with closing(line.broker.admin()) as admin:
        wait_until(lambda: _is_deleted(admin, line.options.group))
    line.write("c")
    ship_all(line.options, line.spool_dir)

    second = line.sink_until_stored("c")

    assert sorted(stored(line.root)["event_id"].to_pylist()) == ["a", "b", "c"]
    assert second.counters["duplicates"] == 2


def _is_deleted(admin: object, group: str) -> bool:
    """Delete a group; False while it has members, whose sessions must run out first."""
    found = admin.delete_groups([group])  # type: ignore[attr-defined] # untyped client
    return "OK" in str(found) or "NoError" in str(found)


@pytest.mark.full
def test_a_sidecar_that_is_stopped_while_the_broker_is_away_ends_and_loses_nothing(
    line: Line,
) -> None:
    line.broker.kill()
    line.write("a", "b")
    stop = threading.Event()
    sidecar = Sidecar(line.spool_dir, kafka_sender(line.options, line.spool_dir, stop))
    stop.set()
    sidecar.run(stop)

    line.broker.start()
    ship_all(line.options, line.spool_dir)
    line.sink_until_stored("a", "b")

    assert stored(line.root).num_rows == 2


def test_what_nobody_can_read_becomes_a_counted_gap_and_stops_nothing(line: Line) -> None:
    spool_id = line.write("a", "b", "c")
    ship_all(line.options, line.spool_dir)
    ((value, headers),) = line.read(line.options.topic, 1)
    other = spool_id[:-1] + ("0" if spool_id[-1] != "0" else "1")
    line.put_foreign(b"not ours", [("theirs", None)])
    line.put(value, [*{**headers, "dl.v": b"9", "dl.spool": other.encode()}.items()])
    line.put(value[:-3], [*{**headers, "dl.spool": other.encode(), "dl.seq1": b"4"}.items()])
    line.write("d")
    ship_all(line.options, line.spool_dir)

    sink = line.sink(lambda s: s.counters["records"] == 4 and s.counters["gaps"] >= 3)

    gaps = {(gap.spool_id, gap.seq, gap.reason, gap.records) for gap in read_gaps(line.root)}
    known = {gap for gap in gaps if gap[0] == other}
    ((foreign, _, reason, count),) = gaps - known
    assert known == {(other, 3, "poison", 3), (other, 4, "poison", 3)}
    assert (foreign, reason, count) == (f"{line.options.topic}/0", "poison", None)
    assert sink.counters["records"] == 4
    dead = line.read(line.options.dead_letters, 3)
    assert {b"not ours", value, value[:-3]} == {content for content, _ in dead}
    assert all(told["dl.from"].startswith(line.options.topic.encode()) for _, told in dead)


@pytest.mark.full
def test_what_the_brokers_disk_damaged_becomes_a_gap_and_stops_nothing(line: Line) -> None:
    line.options = options(line.broker.bootstrap, line.options.topic, partitions=1)
    for name in "abc":
        line.write(name)
        ship_all(line.options, line.spool_dir)
    ((value, told),) = line.read(line.options.topic, 3)[1:2]
    line.broker.stop()
    line.broker.damage(line.options.topic, value)
    line.broker.start()

    sink = line.sink(lambda s: s.counters["records"] == 2 and s.counters["gaps"] == 1)

    assert sorted(stored(line.root)["event_id"].to_pylist()) == ["a", "c"]
    found = [(gap.spool_id, gap.seq, gap.reason, gap.records) for gap in read_gaps(line.root)]
    assert found == [(told["dl.spool"].decode(), 1, "poison", 1)]
    assert sink.counters["duplicates"] == 0
    ((dead, _),) = line.read(line.options.dead_letters, 1)
    assert len(dead) == len(value)
    assert dead != value


class Garbled(str):
    """The name of a header as no client of ours would write it: of bytes that are no UTF-8."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff" + super().encode()


def test_a_header_whose_name_is_no_text_stops_nothing(line: Line) -> None:
    line.options = options(line.broker.bootstrap, line.options.topic, partitions=1)
    line.write("a", "b")
    ship_all(line.options, line.spool_dir)
    ((value, told),) = line.read(line.options.topic, 1)
    headers = [*told.items()]
    garbled = (Garbled("name"), b"content")
    line.put_together(
        (b"first", [garbled]), (value, [*headers, garbled]), (b"last", [("x", b""), garbled])
    )
    line.write("c")
    ship_all(line.options, line.spool_dir)

    first = line.sink(lambda s: s.counters["records"] == 3 and s.counters["gaps"] == 2)
    again = line.sink(lambda s: True)

    assert sorted(stored(line.root)["event_id"].to_pylist()) == ["a", "b", "c"]
    place = f"{line.options.topic}/0"
    found = [(gap.spool_id, gap.seq, gap.reason, gap.records) for gap in read_gaps(line.root)]
    assert found == [(place, 2, "poison", None), (place, 4, "poison", None)]
    assert (first.counters["duplicates"], again.counters["gaps"]) == (2, 0)
    dead = line.read(line.options.dead_letters, 2)
    assert [content for content, _ in dead] == [b"first", b"last"]
    assert all(told["\ufffdname"] == b"content" for _, told in dead)


def test_a_record_too_large_for_a_message_goes_without_its_bodies(line: Line) -> None:
    line.options = options(line.broker.bootstrap, line.options.topic, max_message_bytes=50_000)
    large = os.urandom(100_000)
    line.write("a")
    line.write("b", request=large)
    line.write("c")

    stop = threading.Event()
    sender = kafka_sender(line.options, line.spool_dir, stop)
    sidecar = Sidecar(line.spool_dir, sender)
    while sidecar.step():
        pass
    stop.set()
    sidecar.run(stop)
    line.sink_until_stored("a", "b", "c")

    data = Dataset(line.root, "flights").open()
    assert data is not None
    rows = {row["event_id"]: row for row in data.to_table().to_pylist()}
    assert sender.counters["light"] == 1
    assert rows["b"]["request_body"] is None or rows["b"]["request_body"] == b""
    assert rows["b"]["request_bytes"] == 100_000
    assert rows["b"]["flags"] & Flag.BODY_OMITTED
    assert (rows["a"]["feature_temp"], rows["b"]["feature_temp"]) == (1.5, None)


def test_what_the_topics_retention_took_before_it_was_read_is_a_gap(line: Line) -> None:
    line.options = options(line.broker.bootstrap, line.options.topic, partitions=1)
    line.write("a")
    ship_all(line.options, line.spool_dir)
    line.sink_until_stored("a")
    line.write("never read")
    ship_all(line.options, line.spool_dir)
    place = TopicPartition(line.options.topic, 0)
    with closing(line.broker.admin()) as admin:
        admin.delete_records({place: 2})
    line.write("b")
    ship_all(line.options, line.spool_dir)

    line.sink(lambda s: s.counters["gaps"] == 1)

    assert sorted(stored(line.root)["event_id"].to_pylist()) == ["a", "b"]
    (gap,) = read_gaps(line.root)
    assert (gap.spool_id, gap.reason, gap.records) == (f"{place.topic}/0", "retention", None)


def test_a_spool_stays_in_its_partition_when_their_number_grows(line: Line) -> None:
    line.options = options(line.broker.bootstrap, line.options.topic, partitions=1)
    with closing(SpoolWriter(line.spool_dir)) as writer:
        record(writer, event_id="a")
        ship_all(line.options, line.spool_dir)
        with closing(line.broker.admin()) as admin:
            admin.create_partitions({line.options.topic: 50})
        record(writer, event_id="b")
        ship_all(line.options, line.spool_dir)

    line.sink_until_stored("a", "b")

    place = TopicPartition(line.options.topic, 0)
    with closing(KafkaConsumer(bootstrap_servers=line.broker.bootstrap)) as consumer:
        assert consumer.end_offsets([place]) == {place: 2}


def test_what_the_broker_refuses_on_principle_is_one_sentence_and_loses_nothing(
    line: Line,
) -> None:
    line.write("a")
    three = options(line.broker.bootstrap, line.options.topic, replication=3)
    stop = threading.Event()
    sidecar = Sidecar(line.spool_dir, kafka_sender(three, line.spool_dir, stop))
    with pytest.raises(UnavailableError, match=r"(?s)ReplicationFactor.*\[kafka\] in the settings"):
        sidecar.step()
    stop.set()
    sidecar.run(stop)

    ship_all(line.options, line.spool_dir)
    line.sink_until_stored("a")

    assert stored(line.root).num_rows == 1
