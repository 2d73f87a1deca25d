"""Packed points of one metric and unit: an hour of minutes, a day of 300 s, 30 days of hours.

Columns of numbers are stored as the bits that change from one to the next (XOR), byte by byte, and
deflated: constant values cost next to nothing. A block of single values has one column, not four.
Packing is lossless.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics.distribution import merged_bytes

# Length of the periods that are kept, finest first, and how long a block of each is.
LEVELS: Final = (1, 60, 300, 3600)
SPANS_S: Final[Mapping[int, int]] = {1: 3600, 60: 3600, 300: 86_400, 3600: 30 * 86_400}

_HEADER = struct.Struct("<BBHH")
_VERSION = 1
_CONSECUTIVE = 1
_SINGLE = 2
_SPREADS = 4

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Points on a grid, each at most once."""

    offsets: NDArray[np.int64]  # Shape (n,), ascending, distinct: periods since the block's start.
    numbers: Numbers  # Shape (n, 4): count, sum, minimum, maximum.
    spreads: Sequence[bytes | None]  # None where the numbers tell it, or nobody knows.

    @classmethod
    def of(
        cls, offsets: NDArray[np.int64], numbers: Numbers, spreads: Sequence[bytes | None]
    ) -> Block:
        """Make one of points in any order; points of one period are added up."""
        order = np.argsort(offsets, kind="stable")
        offsets, numbers = offsets[order], numbers[order]
        spreads = [spreads[place] for place in order.tolist()]
        edges = np.flatnonzero(np.diff(offsets, prepend=offsets[0] - 1))
        if len(edges) == len(offsets):
            return cls(offsets, numbers, spreads)
        added = np.column_stack(
            (
                np.add.reduceat(numbers[:, 0], edges),
                np.add.reduceat(numbers[:, 1], edges),
                np.minimum.reduceat(numbers[:, 2], edges),
                np.maximum.reduceat(numbers[:, 3], edges),
            )
        )
        stops = [*edges[1:].tolist(), len(offsets)]
        kept = [
            merged_bytes(numbers[first:stop], spreads[first:stop])
            for first, stop in zip(edges.tolist(), stops, strict=True)
        ]
        return cls(offsets[edges], added, kept)

    def joined(self, other: Block) -> Block:
        """Add another block of the same start and period."""
        return Block.of(
            np.concatenate((self.offsets, other.offsets)),
            np.concatenate((self.numbers, other.numbers)),
            [*self.spreads, *other.spreads],
        )

    def to_bytes(self) -> bytes:
        """Write it."""
        count, total, low, high = self.numbers.T
        flags, parts = 0, []
        length, first = len(self.offsets), int(self.offsets[0])
        if int(self.offsets[-1]) - first == length - 1:
            flags |= _CONSECUTIVE
        else:
            parts.append(self.offsets.astype("<u2").tobytes())
        if bool(((count == 1) & (low == total) & (high == total)).all()):
            flags |= _SINGLE
            parts.append(_changes(total))
        else:
            parts += [_changes(column) for column in (count, total, low, high)]
        if any(one is not None for one in self.spreads):
            flags |= _SPREADS
            parts.append(np.array([len(one or b"") for one in self.spreads], "<u4").tobytes())
            parts += [one for one in self.spreads if one is not None]
        return _HEADER.pack(_VERSION, flags, length, first) + zlib.compress(b"".join(parts), 6)

    @classmethod
    def from_bytes(cls, data: bytes) -> Block:
        """Read what :meth:`to_bytes` wrote."""
        try:
            version, flags, length, first = _HEADER.unpack_from(data)
            if version != _VERSION:
                raise DatapointError(f"block of version {version}; expected {_VERSION}")
            rest = zlib.decompress(memoryview(data)[_HEADER.size :])
            return _read(rest, flags, length, first)
        except (struct.error, ValueError, zlib.error) as error:
            raise DatapointError(f"block of {len(data)} bytes is damaged: {error}") from error


def _read(rest: bytes, flags: int, length: int, first: int) -> Block:
    place = 0
    if flags & _CONSECUTIVE:
        offsets = np.arange(first, first + length, dtype=np.int64)
    else:
        offsets = np.frombuffer(rest, "<u2", length).astype(np.int64)
        place = 2 * length
    numbers = np.ones((length, 4))
    if flags & _SINGLE:
        numbers[:, 1:] = _values(rest, place, length)[:, None]
        place += 8 * length
    else:
        for column in range(4):
            numbers[:, column] = _values(rest, place, length)
            place += 8 * length
    spreads: list[bytes | None] = [None] * length
    if flags & _SPREADS:
        sizes = np.frombuffer(rest, "<u4", length, place).tolist()
        place += 4 * length
        for which, size in enumerate(sizes):
            if size:
                spreads[which] = rest[place : place + size]
                place += size
    return Block(offsets, numbers, spreads)


def _changes(values: Numbers) -> bytes:
    """Write a column as the bits that change, first all highest bytes, then the next ones."""
    bits = np.ascontiguousarray(values).view(np.uint64)
    changed = bits.copy()
    changed[1:] ^= bits[:-1]
    return changed.astype("<u8").view(np.uint8).reshape(-1, 8).T.tobytes()


def _values(data: bytes, place: int, length: int) -> Numbers:
    planes = np.frombuffer(data, np.uint8, 8 * length, place).reshape(8, length)
    changed = np.ascontiguousarray(planes.T).view("<u8").ravel().astype(np.uint64)
    values: Numbers = np.bitwise_xor.accumulate(changed).view(np.float64)
    return values
