"""Reads records that Kafka's client cannot read.

kafka-python refuses a record whose header name is not UTF-8, which no broker checks, and a batch
whose checksum is wrong, which a disk may cause; and with it, for ever, all that follow in the
partition: it gives no offset to go on from, and a seek past the record returns the same batch. Here
such records arrive like others, as far as they can be read; the caller, which checks each
envelope's own checksums, sends them to the dead letters.
"""

from __future__ import annotations

import logging
from typing import Any

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

log = logging.getLogger(__name__)

_MAX_RECORDS = 1 << 20


def read_any_record() -> None:
    """Make the client read damaged records; calling it twice does no harm."""
    memory_records.DefaultRecordBatch = _AnyBatch
    # No broker of today has the form before this one: its mark is damage.
    memory_records.LegacyRecordBatch = lambda data, _: _AnyBatch(data)


class _AnyBatch(DefaultRecordBatch):  # type: ignore[misc] # untyped client
    """A batch whose records are read leniently where the client's own way fails."""

    _pos: int  # Where in the buffer the next record begins.
    _is_damaged = False
    _is_over = False
    _read = 0

    def validate_crc(self) -> bool:
        """Accept a batch with a wrong checksum; its contents are doubted from then on."""
        self._is_damaged = not super().validate_crc()
        if self._is_damaged:
            log.error("batch is damaged offset=%d bytes=%d", self.base_offset, len(self._buffer))
        return True

    @property
    def is_control_batch(self) -> bool:
        """Whether it is of the broker's own; a damaged one is shown."""
        return not self._is_damaged and bool(super().is_control_batch)

    @property
    def last_offset(self) -> int:
        """Offset of the last record; of a damaged batch as far as it is believed."""
        if not self._is_damaged:
            return int(super().last_offset)
        return int(self.base_offset) + max(self._believed, self._read, 1) - 1

    @property
    def _believed(self) -> int:
        """How many records a damaged batch has: told twice, and 0 when the two do not agree."""
        count = int(self.records_count)
        is_told = count == self.last_offset_delta + 1 and 0 < count <= _MAX_RECORDS
        return count if is_told else 0

    def __iter__(self) -> _AnyBatch:
        if self._is_damaged:
            return self
        super().__iter__()
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - untyped client
        if not self._is_damaged:
            return super().__next__()
        return self._doubted()

    def _doubted(self) -> DefaultRecord:
        """Return the next record of a damaged batch; the unreadable rest of it counts as one.

        Offsets are counted, not read: a wrong one would skip what follows.
        """
        if self._is_over or self._pos >= len(self._buffer):
            raise StopIteration
        at, offset = self._pos, self.base_offset + self._read
        self._read += 1
        try:
            record = self._read_msg()
        # What damaged bytes may lead to is anything.
        except Exception:  # noqa: BLE001
            self._is_over = True
            left, sent_ms = bytes(self._buffer[at:]), self.max_timestamp
            return DefaultRecord(
                len(left), offset, sent_ms, self.timestamp_type, None, left, [("dl.damaged", b"")]
            )
        record._offset = offset
        return record

    def _read_msg(self, *more: Any) -> Any:  # noqa: ANN401 - untyped client
        try:
            return super()._read_msg(*more)
        except UnicodeDecodeError:
            return self._read_leniently()

    def _read_leniently(self) -> Any:  # noqa: ANN401 - untyped client
        """Read the record at the batch's position, which the failure did not move.

        Kafka's protocol, "Record": length, attributes, time and offset since the batch's, key,
        value, headers; numbers as varints, texts and bytes behind their length, -1 for none.
        """
        length, start = decode_varint(self._buffer, self._pos)
        _, at = decode_varint(self._buffer, start)
        after_ms, at = decode_varint(self._buffer, at)
        offset, at = decode_varint(self._buffer, at)
        key, at = self._read_bytes(at)
        value, at = self._read_bytes(at)
        count, at = decode_varint(self._buffer, at)
        headers = []
        for _ in range(count):
            name, at = self._read_bytes(at)
            data, at = self._read_bytes(at)
            headers.append(((name or b"").decode("utf-8", "replace"), data))
        self._pos = start + length
        is_stamped = self.timestamp_type == self.LOG_APPEND_TIME
        timestamp = self.max_timestamp if is_stamped else self.first_timestamp + after_ms
        return DefaultRecord(
            length, self.base_offset + offset, timestamp, self.timestamp_type, key, value, headers
        )

    def _read_bytes(self, at: int) -> tuple[bytes | None, int]:
        length, at = decode_varint(self._buffer, at)
        return (None, at) if length < 0 else (bytes(self._buffer[at : at + length]), at + length)
