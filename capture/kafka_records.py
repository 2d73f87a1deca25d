"""What Kafka's client cannot read in a record, read all the same.

The names of headers should be UTF-8, and no broker looks. kafka-python refuses such a record and
with it, for ever, all that lie behind it in the partition: it gives no place to go on from, and who
seeks past the record gets the same batch again. Here such a record arrives like others, the names
of its headers mended, and is set aside by who knows what a letter is.
"""

from __future__ import annotations

from typing import Any

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

__all__ = ["read_any_header"]


def read_any_header() -> None:
    """Have the client read records whatever the names of their headers are; again does no harm."""
    memory_records.DefaultRecordBatch = _AnyBatch


class _AnyBatch(DefaultRecordBatch):  # type: ignore[misc] # untyped client
    """A batch whose records are read leniently where the client's own way fails."""

    _pos: int  # Where in the buffer the next record begins.

    def _read_msg(self, *more: Any) -> Any:  # noqa: ANN401 - untyped client
        try:
            return super()._read_msg(*more)
        except UnicodeDecodeError:
            return self._read_leniently()

    def _read_leniently(self) -> Any:  # noqa: ANN401 - untyped client
        """Read the record that begins where the batch stands, which the failure did not move.

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
