"""Distributions of values: exact while few, then on a logarithmic grid.

A distribution is a sorted list of distinct values with their counts, exact up to :data:`EXACT_MAX`
distinct values. Beyond that each value moves to the middle of its cell of a grid whose cells grow
by a constant factor: its relative error is at most :data:`RELATIVE_ERROR`, with either sign; zero
stays zero (DDSketch: Masson, Rim and Lee, VLDB 2019). The middle of a cell lies in its cell, so
moved values stay where they are, and merging in any order gives the same.

At most :data:`CELLS_MAX` cells are kept, which span 17 powers of ten; of a wider range the values
next to zero go into the smallest cell that is kept, and only for those the bound does not hold.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from driftline.alerts.errors import DatapointError

RELATIVE_ERROR: Final = 0.005
# As many as CloudWatch takes in one datum: whatever was put in one is kept as it came.
EXACT_MAX: Final = 150
CELLS_MAX: Final = 4_000

_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GROWTH = math.log(_GROWTH)
_MIDDLE = 2 / (1 + _GROWTH)
# Nearer to zero than any value that is meant; where floats lose digits the grid would not hold.
_SMALLEST = 1e-300
# Cells are numbered from here up, so that the sign of a number is the sign of its value.
_FIRST_CELL = math.floor(math.log(_SMALLEST) / _LOG_GROWTH) - 1

_HEADER = struct.Struct("<BBH")
_VERSION = 1
_ON_GRID = 1
_COUNTS_ONE = 2
_COUNTS_WHOLE = 4

Floats = NDArray[np.float64]
_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """Distinct values, ascending, and how often each came; made by :meth:`of` and :meth:`merge`."""

    values: Floats  # Shape (n,), finite, ascending, distinct.
    counts: Floats  # Shape (n,), each above 0; fractions are allowed.
    on_grid: bool = False  # Whether the values stand for cells of the grid.

    @classmethod
    def of(cls, values: Sequence[float], counts: Sequence[float] | None = None) -> Distribution:
        """Make one of values in any order, repeated or not, without those that came 0 times."""
        found = np.asarray(values, dtype=np.float64)
        weights = np.ones(len(found)) if counts is None else np.asarray(counts, dtype=np.float64)
        return _bounded(found, weights, on_grid=False)

    @classmethod
    def merge(cls, parts: Iterable[Distribution]) -> Distribution:
        """Put several together; the order does not matter, but for the last digit of counts."""
        some = list(parts)
        if len(some) == 1:
            return some[0]
        if not some:
            return cls(np.empty(0), np.empty(0))
        return _bounded(
            np.concatenate([one.values for one in some]),
            np.concatenate([one.counts for one in some]),
            on_grid=any(one.on_grid for one in some),
        )

    @property
    def count(self) -> float:
        """How many values there are."""
        return float(self.counts.sum())

    def to_bytes(self) -> bytes:
        """Write it: a header, the values (8 bytes, on the grid 4), the counts (8, 4 or none)."""
        flags, columns = 0, []
        if self.on_grid:
            flags |= _ON_GRID
            columns.append(_cells(self.values).astype("<i4").tobytes())
        else:
            columns.append(self.values.astype("<f8").tobytes())
        if bool((self.counts == 1).all()):
            flags |= _COUNTS_ONE
        elif bool(((self.counts == np.floor(self.counts)) & (self.counts < 2**32)).all()):
            flags |= _COUNTS_WHOLE
            columns.append(self.counts.astype("<u4").tobytes())
        else:
            columns.append(self.counts.astype("<f8").tobytes())
        return _HEADER.pack(_VERSION, flags, len(self.values)) + b"".join(columns)

    @classmethod
    def from_bytes(cls, data: bytes) -> Distribution:
        """Read what :meth:`to_bytes` wrote."""
        try:
            version, flags, length = _HEADER.unpack_from(data)
            if version != _VERSION:
                raise DatapointError(f"distribution of version {version}; expected {_VERSION}")
            place = _HEADER.size
            if flags & _ON_GRID:
                values = _middles(np.frombuffer(data, "<i4", length, place).astype(np.int64))
                place += 4 * length
            else:
                values = np.frombuffer(data, "<f8", length, place).astype(np.float64)
                place += 8 * length
            if flags & _COUNTS_ONE:
                counts = np.ones(length)
            else:
                kind = "<u4" if flags & _COUNTS_WHOLE else "<f8"
                counts = np.frombuffer(data, kind, length, place).astype(np.float64)
            return cls(values, counts, bool(flags & _ON_GRID))
        except (struct.error, ValueError) as error:
            raise DatapointError(
                f"distribution of {len(data)} bytes is cut off: {error}"
            ) from error


def _bounded(values: Floats, counts: Floats, *, on_grid: bool) -> Distribution:
    """Sort, group, and move to the grid when there are too many distinct values."""
    is_there = counts > 0
    found, weights = _grouped(values[is_there], counts[is_there])
    if len(found) <= EXACT_MAX and not on_grid:
        return Distribution(found, weights)
    cells, weights = _grouped(_cells(found), weights)
    if len(cells) > CELLS_MAX:
        # Cells next to zero have the smallest numbers of either sign.
        least = np.partition(np.abs(cells), -CELLS_MAX)[-CELLS_MAX]
        near = (np.abs(cells) < least) & (cells != 0)
        cells = np.where(near, np.sign(cells) * least, cells)
        cells, weights = _grouped(cells, weights)
    return Distribution(_middles(cells), weights, on_grid=True)


def _grouped(values: NDArray[_T], counts: Floats) -> tuple[NDArray[_T], Floats]:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    if not len(ordered):
        return ordered, counts
    is_first = np.empty(len(ordered), dtype=bool)
    is_first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    edges = np.flatnonzero(is_first)
    return ordered[edges], np.add.reduceat(counts[order], edges)


def _cells(values: Floats) -> NDArray[np.int64]:
    """Return the number of the cell of each value: 0 for zero, with the value's sign else."""
    sizes = np.abs(values)
    is_zero = sizes < _SMALLEST
    logs = np.log(np.where(is_zero, 1.0, sizes)) / _LOG_GROWTH
    numbers = np.ceil(logs).astype(np.int64) - _FIRST_CELL
    return np.where(is_zero, 0, np.sign(values).astype(np.int64) * numbers)


def _middles(cells: NDArray[np.int64]) -> Floats:
    """Return the value of each cell: off by at most the relative error at both ends."""
    sizes = np.exp((np.abs(cells) + _FIRST_CELL) * _LOG_GROWTH) * _MIDDLE
    return np.where(cells == 0, 0.0, np.sign(cells) * sizes)


def merged_spread(
    numbers: NDArray[np.float64], spreads: Sequence[bytes | None]
) -> Distribution | None:
    """Merge the distributions of points; None when one of the points lacks its own.

    ``numbers``: shape (n, 4): count, sum, minimum, maximum. A point without a distribution has one
    if all its values are equal (CloudWatch's rule: minimum = maximum and sum = minimum * count).
    """
    if len(numbers) == 1 and spreads[0] is None:
        return _alone(*numbers[0].tolist())
    equal = numbers[:, 2] == numbers[:, 3]
    if not any(one is not None for one in spreads):
        products = numbers[:, 2] * numbers[:, 0]
        if not bool(equal.all()) or not np.allclose(products, numbers[:, 1], rtol=1e-9, atol=0):
            return None
        return Distribution.of(numbers[:, 2].tolist(), numbers[:, 0].tolist())
    parts = []
    for row, data in zip(numbers.tolist(), spreads, strict=True):
        part = _alone(*row) if data is None else Distribution.from_bytes(data)
        if part is None:
            return None
        parts.append(part)
    return Distribution.merge(parts)


def _alone(count: float, total: float, low: float, high: float) -> Distribution | None:
    """Return how the values of one point are spread, from its numbers; None when they hide it."""
    if low != high or not math.isclose(low * count, total, rel_tol=1e-9):
        return None
    return Distribution(np.array([low]), np.array([count]))


def merged_bytes(numbers: NDArray[np.float64], spreads: Sequence[bytes | None]) -> bytes | None:
    """Return what is to be kept of points that become one; None where the four numbers tell it."""
    if len(spreads) == 1:
        return spreads[0]
    found = merged_spread(numbers, spreads)
    return None if found is None or len(found.values) == 1 else found.to_bytes()
