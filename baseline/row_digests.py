"""Digests of chosen rows: whether rows or ids repeat, and how many decimals numbers have.

Rows are chosen by a hash of what may repeat, so that of copies either all are kept or none: the
share of repeated rows among the chosen is that among all. Shapes: n rows kept, M columns measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa

from driftline.baseline.blocks import HOUR_US, event_times
from driftline.baseline.lengths import no_counts
from driftline.baseline.predicate import UNFIT
from driftline.baseline.row_hashes import fast_hashes, hash_rows, present
from driftline.formats.coercion import coerce

# Rows kept at most. Three in a hundred doubled are some 500 of them.
ROW_LIMIT = 1 << 14
# So many combinations of values choose rows evenly.
COMBINATIONS = 1e6
ALL = np.uint64(np.iinfo(np.uint64).max)
NO_TIME = np.iinfo(np.int64).min
# More decimals than this are not told apart; what is no finite number has none.
MOST_DECIMALS = 7
NO_NUMBER = 255
# What multiplying by a power of ten may be off, in units of the last place.
LAST_PLACES = 4.0
# What rounding to float32 changes a number by, at most, as a part of it; and from which size on a
# scaled number fits by chance, since float32 holds six digits.
SINGLE_ERROR, SINGLE_DIGITS = 2.0**-24, 1e6


@dataclass(slots=True, eq=False)
class RowDigests:
    """Digests of rows; grows by `update`, adds up exactly by `merge`.

    Parameters
    ----------
    columns
        What makes two rows equal: all features, or the id.
    choosers
        Columns by which rows are chosen, some of the former.
    measured
        Columns of numbers whose decimals are kept, each with values that are left out.
    event_time
        Column of the rows' times.
    level
        Of the hashes one in 2^level is chosen.
    row_count
        Rows that came.
    chosen, keys, hours, decimals
        Of the rows kept: the hash that chose it, that of `columns`, hours since
        1970-01-01T00:00Z, shape (n,), and decimals, uint8, shape (n, M).
    """

    columns: tuple[str, ...]
    choosers: tuple[str, ...]
    measured: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    event_time: str | None = None
    level: int = 0
    row_count: int = 0
    chosen: np.ndarray = field(default_factory=partial(np.empty, 0, np.uint64))
    keys: np.ndarray = field(default_factory=partial(np.empty, 0, np.uint64))
    hours: np.ndarray = field(default_factory=no_counts)
    decimals: np.ndarray = field(default_factory=partial(np.empty, (0, 0), np.uint8))

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows; those that lack a key column are skipped."""
        if not self.columns or not {*self.columns} <= {*batch.schema.names}:
            return
        batch = batch.select([name for name in batch.schema.names if name in self._read])
        if len(self.columns) == 1:  # What is missing is no id.
            known = present(batch.column(self.columns[0]))
            batch = batch.filter(known.is_valid()) if known.null_count else batch
        self.row_count += batch.num_rows
        hashes = fast_hashes(batch, self.choosers)
        places = np.flatnonzero(hashes < _cut(self.level))
        while len(places) + len(self.keys) > ROW_LIMIT:
            self._thin()
            places = places[hashes[places] < _cut(self.level)]
        if not len(places):
            return
        whole = len(places) == batch.num_rows
        rows = batch if whole else batch.take(pa.array(places))
        part = replace(
            self,
            chosen=hashes[places],
            keys=hash_rows(rows, self.columns)[0],
            hours=_hours(rows, self.event_time),
            decimals=_decimals(rows, self.measured),
        )
        self._take(part)

    @property
    def _read(self) -> frozenset[str | None]:
        return frozenset({*self.columns, *self.measured, self.event_time, UNFIT})

    def merge(self, other: RowDigests) -> RowDigests:
        """Return the digests of the rows of both; neither input changes."""
        merged, part = replace(self), replace(other)
        merged.row_count += other.row_count
        while merged.level < part.level:
            merged._thin()
        while part.level < merged.level or len(merged.keys) + len(part.keys) > ROW_LIMIT:
            part._thin()
            if merged.level < part.level:
                merged._thin()
        merged._take(part)
        return merged

    def _thin(self) -> None:
        self.level += 1
        kept = self.chosen < _cut(self.level)
        self.chosen, self.keys, self.hours = self.chosen[kept], self.keys[kept], self.hours[kept]
        self.decimals = self.decimals[kept]

    def _take(self, part: RowDigests) -> None:
        held = self.decimals if len(self.decimals) else part.decimals[:0]
        self.decimals = np.concatenate([held, part.decimals]) if len(part.decimals) else held
        self.chosen = np.concatenate([self.chosen, part.chosen])
        self.keys = np.concatenate([self.keys, part.keys])
        self.hours = np.concatenate([self.hours, part.hours])

    def extras(self, block_hours: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Count the keys kept, and those with several rows: int64, by ascending block of time.

        Keys, not rows: a key is chosen with all of its rows or with none, and a key of many rows is
        the first to go where rows are thinned. Without `block_hours`, all rows are one block; else
        rows without a time are left out.
        """
        if block_hours is None:
            counts = np.unique(self.keys, return_counts=True)[1]
            return np.array([len(counts)]), np.array([np.count_nonzero(counts > 1)])
        timed = self.hours != NO_TIME
        keys, blocks = self.keys[timed], self.hours[timed] // block_hours
        order = np.lexsort((keys, blocks))
        keys, blocks = keys[order], blocks[order]
        is_first = np.append(True, (keys[1:] != keys[:-1]) | (blocks[1:] != blocks[:-1]))[
            : len(keys)
        ]
        is_single = is_first & np.append(is_first[1:], True)[: len(keys)]
        _, places = np.unique(blocks[is_first], return_inverse=True)
        several = ~is_single[is_first]
        count = np.bincount(places)
        return count, np.bincount(places[several], minlength=len(count))


def choosing_columns(distinct: Mapping[str, int]) -> tuple[str, ...]:
    """Return the fewest columns that distinguish rows well, by their distinct counts."""
    ranked = sorted(distinct, key=lambda name: -distinct[name])
    combinations = np.cumsum(np.log([max(distinct[name], 1) for name in ranked]))
    return tuple(ranked[: int(np.searchsorted(combinations, math.log(COMBINATIONS))) + 1])


def decimals_of(numbers: np.ndarray, *, as_doubles: bool = False) -> np.ndarray:
    """Return the number of decimals of float64 numbers: uint8, shape (n,).

    `MOST_DECIMALS` stands for that many or more, `NO_NUMBER` for missing and infinite numbers.
    Unless `as_doubles`, a number that float32 holds is read as float32: 0.10000000149 has one
    decimal.
    """
    found = np.full(len(numbers), MOST_DECIMALS, np.uint8)
    known = np.isfinite(numbers)
    found[~known] = NO_NUMBER
    left = np.flatnonzero(known)
    with np.errstate(over="ignore", invalid="ignore"):  # The largest numbers are whole.
        is_single = (numbers.astype(np.float32) == numbers) & (not as_doubles)
        for decimals in range(MOST_DECIMALS):
            scaled = np.abs(numbers[left] * 10.0**decimals)
            error = np.where(scaled < SINGLE_DIGITS, scaled * SINGLE_ERROR, 0.0)
            error = np.where(is_single[left], error, LAST_PLACES * np.spacing(scaled))
            fits = np.abs(scaled - np.rint(scaled)) <= error
            found[left[fits]] = decimals
            left = left[~fits]
    return found


def _cut(level: int) -> np.uint64:
    return ALL >> np.uint64(level)


def _hours(rows: pa.RecordBatch, event_time: str | None) -> np.ndarray:
    found = np.full(rows.num_rows, NO_TIME)
    if event_time is not None:
        known, times_us = event_times(rows.column(event_time))
        found[known] = times_us // HOUR_US
    return found


def _decimals(rows: pa.RecordBatch, measured: Mapping[str, tuple[float, ...]]) -> np.ndarray:
    found = np.empty((rows.num_rows, len(measured)), np.uint8)
    for at, (name, left_out) in enumerate(measured.items()):
        numbers = coerce(rows.column(name), "double")[0].to_numpy(zero_copy_only=False)
        found[:, at] = decimals_of(numbers)
        found[np.isin(numbers, left_out), at] = NO_NUMBER
    return found
