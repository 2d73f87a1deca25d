"""What a broker refuses: a new producer, halves, the poisonous record alone set aside.

The error codes are those of Kafka's protocol: 2 corrupt, 6 not the leader, 10 too large, 29 not
authorized, 87 invalid record.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from driftline.capture.line.envelope import read_envelope
from driftline.capture.line.kafka import KafkaWire
from driftline.capture.line.kafka_options import KafkaOptions
from driftline.capture.line.producer import Producer
from driftline.capture.line.sidecar import Sidecar
from driftline.capture.spool.folder import QUARANTINE
from driftline.capture.spool.frame import HEADER_BYTES, Flag, Frame, Kind, seed_of, unpack
from driftline.capture.spool.writer import SpoolWriter
from driftline.errors import UnavailableError
from tests.capture.conftest import record
from tests.servers.mock_kafka import API_VERSION, MockKafka


class Way:
    """A spool, a sidecar, and a broker that refuses."""

    def __init__(self, mock: MockKafka, topic: str, spool_dir: Path) -> None:
        self.mock = mock
        self.spool_dir = spool_dir
        self.stop = threading.Event()
        client = {"api_version": API_VERSION}
        self.options = KafkaOptions([mock.bootstrap], topic, replication=1, client=client)
        for name in (topic, self.options.dead_letters):
            mock.make_topic(name)
        self.wire = KafkaWire(self.options, self.stop)
        self.dispatcher = Producer(self.wire, spool_dir)
        self.sidecar = Sidecar(spool_dir, self.dispatcher)
        self._writer = SpoolWriter(spool_dir)

    def write(self, count: int) -> str:
        for number in range(count):
            record(self._writer, event_id=f"e{number}")
        assert self._writer.spool_id is not None
        return self._writer.spool_id

    def ship(self) -> None:
        while self.sidecar.step():
            pass

    def arrived(self, topic: str) -> list[Frame]:
        """Read all frames that lie in a topic, in order."""
        found: list[Frame] = []
        with closing(
            KafkaConsumer(bootstrap_servers=self.mock.bootstrap, api_version=API_VERSION)
        ) as consumer:
            place = TopicPartition(topic, 0)
            consumer.assign([place])
            consumer.seek(place, 0)
            end = consumer.end_offsets([place])[place]
            while consumer.position(place) < end:
                for message in consumer.poll(timeout_ms=1_500).get(place, ()):
                    found += read_envelope(message.value, message.headers)[1].frames()
        return found

    def close(self) -> None:
        self._writer.close()
        self.stop.set()
        self.sidecar.run(self.stop)


@pytest.fixture
def way(topic: str, spool_dir: Path) -> Iterator[Way]:
    with closing(MockKafka()) as mock, closing(Way(mock, topic, spool_dir)) as found:
        yield found


def test_after_one_refusal_a_new_producer_sends_the_same_again(way: Way) -> None:
    way.write(5)
    way.mock.refuse(87)

    way.ship()

    assert [frame.seq for frame in way.arrived(way.options.topic)] == [1, 2, 3, 4, 5]
    assert way.wire.made == 2
    assert way.dispatcher.counters["poison"] == 0


def test_a_fault_that_passes_is_none_of_ours(way: Way) -> None:
    way.write(5)
    way.mock.refuse(6, 7)

    way.ship()

    assert [frame.seq for frame in way.arrived(way.options.topic)] == [1, 2, 3, 4, 5]
    assert way.dispatcher.counters["refused"] == 0


def test_a_poisonous_record_is_found_by_halving_and_a_gap_stands_in_its_place(way: Way) -> None:
    way.write(4)
    # Four frames twice, then the first half, and of it the first record.
    way.mock.refuse(87, 87, 87, 87)

    way.ship()

    frames = way.arrived(way.options.topic)
    assert [(frame.seq, frame.kind) for frame in frames] == [
        (1, Kind.GAP), (2, Kind.RECORD), (3, Kind.RECORD), (4, Kind.RECORD),
    ]  # fmt: skip
    assert (frames[0].meta["reason"], frames[0].meta["records"]) == ("poison", "1")
    assert frames[0].meta["endpoint"] == "flights"
    (dead,) = way.arrived(way.options.dead_letters)
    assert (dead.seq, dead.request) == (1, b"1.5,3,UA")
    assert way.dispatcher.counters["poison"] == 1
    assert not (way.spool_dir / QUARANTINE).exists()


def test_what_even_the_dead_letters_refuse_lies_in_the_quarantine(way: Way) -> None:
    spool_id = way.write(1)
    way.mock.refuse(2, 2, 0, 2)

    way.ship()

    (file,) = (way.spool_dir / QUARANTINE).iterdir()
    data = file.read_bytes()
    assert file.name == f"{spool_id}-1.dlf"
    assert len(data) > HEADER_BYTES
    kept = unpack(data, 0, seed_of(spool_id))
    assert kept is not None
    assert kept.request == b"1.5,3,UA"
    assert [frame.kind for frame in way.arrived(way.options.topic)] == [Kind.GAP]


def test_what_is_too_large_for_the_broker_is_halved_and_then_goes_without_bodies(way: Way) -> None:
    way.write(2)
    way.mock.refuse(10, 10)

    way.ship()

    first, second = way.arrived(way.options.topic)
    assert (first.seq, first.request, first.request_bytes) == (1, b"", 8)
    assert first.flags & Flag.BODY_OMITTED
    assert (second.seq, second.request) == (2, b"1.5,3,UA")
    assert way.dispatcher.counters["light"] == 1


def test_a_topic_that_refuses_everything_loses_no_record_to_the_dead_letters(way: Way) -> None:
    way.write(1)
    way.mock.refuse(87, 87, 87)

    with pytest.raises(UnavailableError, match="refuses every record"):
        way.sidecar.step()
    way.ship()

    assert [frame.kind for frame in way.arrived(way.options.topic)] == [Kind.RECORD]
    assert way.arrived(way.options.dead_letters) == []


def test_a_missing_permission_is_waited_out_and_poisons_nothing(way: Way) -> None:
    way.write(3)
    way.mock.refuse(29)

    with pytest.raises(UnavailableError, match="TopicAuthorizationFailed"):
        way.sidecar.step()
    way.ship()

    assert [frame.seq for frame in way.arrived(way.options.topic)] == [1, 2, 3]
    assert way.dispatcher.counters["poison"] == 0
