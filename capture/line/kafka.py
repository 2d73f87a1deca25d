"""Kafka between sidecar and sink; only this module and kafka_records use its client.

One partition carries all of a spool, so order holds where the sink's watermarks need it. Kafka's
own transactions and idempotence are not used: the tables lie outside of them, and the tables'
watermarks drop repetitions (docs/why/capture.md).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CorruptRecordError,
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAlreadyExistsError,
    UnsupportedForMessageFormatError,
    for_code,
)
from kafka.net.compat import KafkaNetClient
from kafka.structs import OffsetAndMetadata

from driftline.capture.line.envelope import Envelope, EnvelopeError, read_envelope
from driftline.capture.line.kafka_options import CONNECT_MS, KafkaOptions
from driftline.capture.line.kafka_records import read_any_record
from driftline.capture.line.producer import Producer, Refusal
from driftline.capture.spool.delivery import Delivery, Origin
from driftline.capture.spool.frame import gap_frame
from driftline.capture.tables.writer_name import WriterName
from driftline.errors import UnavailableError

log = logging.getLogger(__name__)

_DELIVERY_MS = 30_000
_POLL_MS = 200
_JOIN_MS = 500
_COMMIT_MS = 5_000
_METADATA_MS = 30_000
_STOP_S = 5.0
_LOOK_S = 0.2
_FETCH_BYTES = 16 << 20
_OPEN_BYTES = 16 << 20
_INVALID_RECORD = for_code(87)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
# What a broker says of a record; all other refusals are of the broker, the topic or the client.
_REFUSALS = (
    *_TOO_LARGE, CorruptRecordError, InvalidTimestampError, UnsupportedForMessageFormatError,
    _INVALID_RECORD,
)  # fmt: skip


def kafka_sender(options: KafkaOptions, spool_dir: Path, stop: threading.Event) -> Producer:
    """Make the sidecar's end; ``stop`` bounds how long it waits for answers."""
    return Producer(KafkaWire(options, stop), spool_dir)


class KafkaWire:
    """Sends envelopes to topics, and returns the outcome of each.

    The producer is created at first use, and anew after any failure: one that was refused a record
    may be unusable.
    """

    def __init__(self, options: KafkaOptions, stop: threading.Event) -> None:
        self._options = options
        self._stop = stop
        self._producer: KafkaProducer | None = None
        self.max_bytes = options.max_message_bytes
        self.made = 0

    def partitions(self) -> int:
        """Return how many partitions the topic has."""
        try:
            return len(self._connected().partitions_for(self._options.topic))
        except (KafkaError, OSError) as error:
            self._discard()
            raise self._options.trouble(error) from error

    def put(self, envelopes: Sequence[Envelope]) -> list[Refusal | None]:
        """Send envelopes and wait; return for each None once all replicas have it, or a refusal."""
        try:
            producer = self._connected()
            futures = [self._send(producer, envelope) for envelope in envelopes]
            outcomes = [self._outcome(future) for future in futures]
        except (KafkaError, OSError) as error:
            self._discard()
            raise self._options.trouble(error) from error
        if any(outcome is not None for outcome in outcomes):
            self._discard()
        return outcomes

    def close(self) -> None:
        """Close the connection."""
        self._discard()

    def _connected(self) -> KafkaProducer:
        if self._producer is None:
            make_topics(self._options)
            self.made += 1
            self._producer = connect(
                KafkaProducer,
                **self._options.configured(
                    acks="all",
                    # It would die of the first refused record, and promises nothing beyond itself.
                    enable_idempotence=False,
                    max_in_flight_requests_per_connection=1,
                    max_request_size=self._options.max_message_bytes,
                    max_block_ms=CONNECT_MS,
                    delivery_timeout_ms=_DELIVERY_MS,
                    request_timeout_ms=_DELIVERY_MS // 2,
                    allow_auto_create_topics=False,
                    metrics_enabled=False,
                ),
            )
        return self._producer

    def _send(self, producer: KafkaProducer, envelope: Envelope) -> Any:  # noqa: ANN401 - untyped client
        topic = self._options.dead_letters if envelope.is_dead else self._options.topic
        try:
            return producer.send(
                topic,
                envelope.value,
                key=envelope.spool_id.encode(),
                headers=list(envelope.headers),
                partition=None if envelope.is_dead else envelope.partition,
            )
        except MessageSizeTooLargeError as error:
            return error
        except ValueError as error:  # Fewer partitions than there were: the topic was made anew.
            raise KafkaError(str(error)) from error

    def _outcome(self, future: Any) -> Refusal | None:  # noqa: ANN401 - untyped client
        error = future if isinstance(future, KafkaError) else self._wait(future)
        if error is None:
            return None
        if isinstance(error, _REFUSALS):
            return Refusal(type(error).__name__, is_size=isinstance(error, _TOO_LARGE))
        raise error

    def _wait(self, future: Any) -> BaseException | None:  # noqa: ANN401 - untyped client
        """Wait for the broker's answer; when we are to stop, not much longer."""
        done = threading.Event()
        future.add_both(lambda *_: done.set())
        left_s = _STOP_S
        while not done.wait(_LOOK_S):
            if self._stop.is_set():
                left_s -= _LOOK_S
                if left_s <= 0:
                    raise KafkaTimeoutError("stopped before the broker answered")
        error: BaseException | None = future.exception
        return error

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=1)
        except KafkaError:
            # Its close gives up before it ends its thread when something was never answered.
            producer._sender.force_close()
            with suppress(KafkaError):
                producer.close(timeout=1)


class KafkaTransport(ConsumerRebalanceListener):  # type: ignore[misc] # untyped client
    """The sink's end: one member of a consumer group.

    Reading goes on from the group's offsets, which are committed after the tables have what was
    received; if they are lost, all is read again and the tables' watermarks drop it.

    ``state_dir``: a folder of this host: it yields the prefix of the files that this sink writes.
    """

    def __init__(self, options: KafkaOptions, state_dir: Path, stop: threading.Event) -> None:
        self._options = options
        self._writer = WriterName(state_dir)
        self.name = self._writer.name
        self.counters = {"letters": 0, "poison": 0, "rebalances": 0}
        self._wire = KafkaWire(options, stop)
        self._consumer: KafkaConsumer | None = None
        self._polled: deque[Any] = deque()
        self._expected: dict[TopicPartition, int | None] = {}
        self._delivered: dict[TopicPartition, int] = {}
        self._lost: set[TopicPartition] = set()
        self._has_failed = False
        self._lock = threading.Lock()

    def receive(self, max_records: int) -> list[Delivery]:
        """Return the next records; keep what was fetched but does not fit for the next call."""
        try:
            self._poll(is_wanted=max_records > 0 and not self._polled)
            deliveries: list[Delivery] = []
            room = _OPEN_BYTES
            while self._polled and max_records > 0 and room > 0:
                for delivery in self._open(self._polled.popleft()):
                    deliveries.append(delivery)
                    max_records -= len(delivery)
                    room -= delivery.size_bytes
        except (KafkaError, OSError) as error:
            self._disconnect()
            raise self._options.trouble(error) from error
        return deliveries

    def secure(self) -> None:
        """Do nothing: the broker keeps what it has given."""

    def commit(self, watermarks: Mapping[str, int]) -> None:
        """Commit the offsets of all that was received; the tables have it."""
        self._forget_lost()
        if self._consumer is None or not self._delivered:
            return
        offsets = {at: OffsetAndMetadata(done + 1, "", -1) for at, done in self._delivered.items()}
        try:
            self._consumer.commit(offsets, timeout_ms=_COMMIT_MS)
        except KafkaError as error:
            # They go with the next ones. Nothing is lost by it: what comes again is dropped.
            if not self._has_failed:
                name = type(error).__name__
                log.info("sink offsets wait group=%s error=%s", self._options.group, name)
            self._has_failed = True
        else:
            self._delivered = {}
            self._has_failed = False

    def close(self) -> None:
        """Close the consumer; another sink takes over after the session's timeout."""
        self._disconnect()
        self._wire.close()
        self._writer.close()

    def on_partitions_assigned(self, assigned: Any) -> None:  # noqa: ANN401 - untyped client
        """Note newly assigned partitions; called by the client's thread."""
        self.counters["rebalances"] += 1
        with self._lock:
            self._lost |= set(assigned)
        log.info("sink has partitions group=%s added=%d", self._options.group, len(assigned))

    def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ANN401 - untyped client
        """Note revoked partitions; called by the client's thread."""
        with self._lock:
            self._lost |= set(revoked)

    def _connected(self) -> KafkaConsumer:
        if self._consumer is None:
            make_topics(self._options)
            read_any_record()
            self._consumer = connect(
                KafkaConsumer,
                **self._options.configured(
                    group_id=self._options.group,
                    enable_auto_commit=False,
                    auto_offset_reset="earliest",
                    # A sink that is started again has its partitions back at once, without a
                    # rebalance; one that stays away loses them after the session's timeout.
                    group_instance_id=self.name,
                    session_timeout_ms=self._options.session_timeout_ms,
                    heartbeat_interval_ms=self._options.session_timeout_ms // 10,
                    # What stays with a sink in a rebalance goes on being read where it was.
                    partition_assignment_strategy=(CooperativeStickyAssignor,),
                    fetch_max_bytes=_FETCH_BYTES,
                    max_partition_fetch_bytes=max(1 << 20, self._options.max_message_bytes),
                    max_poll_interval_ms=600_000,
                    metadata_max_age_ms=_METADATA_MS,
                    allow_auto_create_topics=False,
                    metrics_enabled=False,
                ),
            )
            # Known before we join: who leads a group and knows no partitions would give out none.
            self._consumer.partitions_for_topic(self._options.topic)
            self._consumer.subscribe([self._options.topic], listener=self)
        return self._consumer

    def _poll(self, *, is_wanted: bool) -> None:
        """Poll to stay in the group, and fetch when records are wanted."""
        consumer = self._connected()
        assigned = consumer.assignment()
        if is_wanted:
            consumer.resume(*consumer.paused())
        else:
            consumer.pause(*assigned)
        patience_ms = _POLL_MS if is_wanted else 0
        polled = consumer.poll(timeout_ms=_JOIN_MS if _is_joining(consumer) else patience_ms)
        self._forget_lost()
        for records in polled.values():
            self._polled.extend(records)

    def _forget_lost(self) -> None:
        """Drop what was fetched from revoked partitions."""
        with self._lock:
            lost, self._lost = self._lost, set()
        for at in lost:
            self._expected.pop(at, None)
            self._delivered.pop(at, None)
        if lost:
            kept = (r for r in self._polled if TopicPartition(r.topic, r.partition) not in lost)
            self._polled = deque(kept)

    def _open(self, record: Any) -> list[Delivery]:  # noqa: ANN401 - untyped client
        """Read one broker record; an unreadable one becomes a gap."""
        at = TopicPartition(record.topic, record.partition)
        origin = Origin(f"{record.topic}/{record.partition}", record.offset)
        deliveries = []
        if at not in self._expected:
            assert self._consumer is not None
            self._expected[at] = self._consumer.committed(at, timeout_ms=_COMMIT_MS)
        expected = self._expected[at]
        if expected is not None and record.offset > expected:
            log.error(
                "topic lost records at=%s from=%d to=%d", origin.name, expected, record.offset
            )
            gap = gap_frame("retention", record.offset, _nanoseconds(record))
            deliveries.append(Delivery.of(origin.name, [gap], origin))
        self.counters["letters"] += 1
        try:
            deliveries.append(Delivery(*read_envelope(record.value, record.headers), origin))
        except EnvelopeError as error:
            deliveries.append(self._condemn(record, origin, error))
        self._expected[at] = record.offset + 1
        self._delivered[at] = record.offset
        return deliveries

    def _condemn(self, record: Any, origin: Origin, error: EnvelopeError) -> Delivery:  # noqa: ANN401
        """Set aside an unreadable record; return the gap that counts it."""
        self.counters["poison"] += 1
        log.error("letter cannot be read at=%s offset=%d error=%s", *origin, error)
        where = f"{origin.name}/{origin.offset}".encode()
        # Another's header may have no value, which the producer does not take.
        original = ((name, data or b"") for name, data in record.headers)
        headers = (*original, ("dl.from", where), ("dl.error", str(error).encode()))
        spool_id = error.spool_id or origin.name
        try:
            refused = self._wire.put([Envelope(spool_id, 0, record.value or b"", headers, True)])[0]
        except UnavailableError as trouble:
            refused = Refusal(str(trouble), is_size=False)
        if refused is not None:
            # It stays where it is until the topic's retention ends.
            log.error("letter not set aside at=%s offset=%d why=%s", *origin, refused.name)
        seq = error.last_seq or record.offset + 1
        gap = gap_frame("poison", seq, _nanoseconds(record), records=error.count)
        return Delivery.of(spool_id, [gap], origin)

    def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._polled.clear()
        self._expected.clear()
        self._delivered.clear()
        if consumer is not None:
            with suppress(KafkaError):
                consumer.close(autocommit=False, timeout_ms=_COMMIT_MS)


def _is_joining(consumer: KafkaConsumer) -> bool:
    """Whether the group is rebalancing; if so, let the client finish it.

    When its own metadata of the topics was the cause and the answer comes between two polls, it
    forgets that it asked (kafka-python 3.0.12): then it sends no heartbeat, and spins while it
    polls. It asks again for what came between two polls, so a poll has to wait for it.
    """
    coordinator = consumer._coordinator
    if is_joining := bool(coordinator.rejoining or coordinator.need_rejoin()):
        coordinator.request_rejoin()
    return is_joining


def _nanoseconds(record: Any) -> int:  # noqa: ANN401 - untyped client
    return int(record.timestamp or 0) * 1_000_000


def connect(kind: Callable[..., Any], **settings: Any) -> Any:  # noqa: ANN401 - untyped client
    """Return a client of this kind; where it reaches no broker, end what it started, and raise.

    kafka-python 3.0.12 leaves its thread and sockets behind after each failed attempt.
    """
    clients: list[KafkaNetClient] = []

    def client(**configs: Any) -> KafkaNetClient:  # noqa: ANN401 - untyped client
        clients.append(KafkaNetClient(**configs))
        return clients[-1]

    try:
        return kind(**{"kafka_client": client, **settings})
    except BaseException:
        for one in clients:
            one.close()
        raise


def make_topics(options: KafkaOptions) -> None:
    """Create the missing topics; existing ones stay as they are."""
    admin = connect(KafkaAdminClient, **options.configured())
    try:
        if missing := options.missing_topics(admin.list_topics()):
            with suppress(TopicAlreadyExistsError):  # Another process was faster.
                admin.create_topics(missing, wait_for_metadata=True)
            log.info("topics made names=%s", ",".join(missing))
    finally:
        admin.close()
