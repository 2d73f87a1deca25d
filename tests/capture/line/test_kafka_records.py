"""Records that Kafka's client refuses: they are shown, and what lies behind them is reached."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from driftline.capture.line.kafka_records import read_any_record

CRC_AT = 17  # Where in a batch its checksum lies; what it covers lies behind.
VALUES = [b"first", b"second", b"third"]


def batch(offset: int, values: list[bytes]) -> bytes:
    """Write a batch as a producer does, and give it offsets as a broker does."""
    builder = MemoryRecordsBuilder(2, 0, 1 << 20)
    for value in values:
        builder.append(5, b"key", value, [("name", b"content")])
    builder.close()
    return offset.to_bytes(8, "big") + bytes(builder.buffer())[8:]


def read(data: bytes) -> tuple[list[Any], int]:
    """Read batches as the consumer does; give the records and where it would go on."""
    read_any_record()
    records, found, next_offset = MemoryRecords(data), [], 0
    while (one := records.next_batch()) is not None:
        assert one.validate_crc()
        if not one.is_control_batch:
            found += list(one)
        next_offset = one.next_offset
    return found, next_offset


def test_whole_batches_are_read_as_ever() -> None:
    found, next_offset = read(batch(7, VALUES) + batch(10, [b"next"]))

    assert [(one.offset, one.value) for one in found] == [
        (7, b"first"), (8, b"second"), (9, b"third"), (10, b"next"),
    ]  # fmt: skip
    assert next_offset == 11


@given(st.integers(CRC_AT - 1, 140), st.integers(1, 255))
def test_a_damaged_batch_is_shown_as_far_as_it_can_be_read_and_passed(at: int, bits: int) -> None:
    damaged = bytearray(batch(7, VALUES))
    damaged[min(at, len(damaged) - 1)] ^= bits

    found, next_offset = read(bytes(damaged) + batch(10, [b"next"]))

    offsets = [one.offset for one in found]
    assert (offsets[-1], found[-1].value, next_offset) == (10, b"next", 11)
    assert offsets == [*range(7, 7 + len(offsets) - 1), 10]
    assert 1 <= len(offsets) - 1 <= 3


@pytest.mark.parametrize("at", [61, 62, 70])
def test_what_cannot_be_read_is_given_as_it_lies(at: int) -> None:
    damaged = bytearray(batch(7, [b"alone"]))
    damaged[at] = 0xFF

    found, next_offset = read(bytes(damaged))

    assert (len(found), found[0].offset, next_offset) == (1, 7, 8)
