"""Segments: rows counted by value of a column, on the cells of all rows.

A segment is judged against its own rows in the reference: a place that was always colder does not
alarm for it. The table has levels x cells entries, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.blocks import HOUR_US, BlockCounter, BlockCounts, event_times
from driftline.baseline.cells import Cells
from driftline.baseline.predicate import UNFIT, Predicate
from driftline.baseline.profile import Profile
from driftline.baseline.schema import find_column
from driftline.baseline.texts import shortened
from driftline.baseline.times import TimeSummary
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.signature import ColumnType, Signature

# More would be a list that nobody reads, and leave each segment too small a share of the budget.
LEVEL_LIMIT = 50
OTHER, EMPTY = "other", "empty"
SEGMENT_TYPES = ("string", "bool", "int64")
# Hours that are counted as one block, when one by one they would take too much room.
STEPS = (1, 2, 4, 8, 24, 48, 168, 336, 1344, 5376, 21504)
# Counts by block and cell, of four bytes, that are kept for one column's segments, and for those of
# all columns, which share them equally.
BLOCK_CELLS, ALL_BLOCK_CELLS = 1 << 24, 1 << 26


@dataclass(frozen=True)
class SegmentColumn:
    """A column whose values are segments."""

    name: str
    type: ColumnType
    # The values, most frequent in the reference first; then come "other" and "empty".
    levels: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of segments, with those of other values and of none."""
        return len(self.levels) + 2

    def level(self, index: int) -> str:
        """Name a segment."""
        return [*self.levels, OTHER, EMPTY][index]

    def predicate(self, index: int) -> Predicate:
        """Return the condition of a segment's rows."""
        if index == len(self.levels) + 1:
            return Predicate(self.name, "null")
        if index == len(self.levels):
            return Predicate(self.name, "not_in", values=self.levels)
        return Predicate(self.name, "eq", self.levels[index])

    @cached_property
    def _level_array(self) -> pa.Array:
        return pa.array(self.levels, pa.string())

    def codes(self, batch: pa.RecordBatch) -> np.ndarray:
        """Return the index of each row's segment, shape (rows,)."""
        other, empty = len(self.levels), len(self.levels) + 1
        if self.name not in batch.schema.names:
            return np.full(batch.num_rows, empty, dtype=np.int64)
        plain, _ = coerce(batch.column(self.name), self.type)
        encoded = plain.cast(pa.string()).dictionary_encode()
        values = shortened(encoded.dictionary)  # As profiles keep them, and so the levels.
        table = pc.fill_null(pc.index_in(values, value_set=self._level_array), other)
        known = table.to_numpy(zero_copy_only=False).astype(np.int64)
        # A text without a letter is no value, as in all other places.
        known[pc.equal(values, "").to_numpy(zero_copy_only=False)] = empty
        indices = pc.fill_null(encoded.indices, len(known)).to_numpy(zero_copy_only=False)
        return np.asarray(np.append(known, empty)[indices])


def choose_segments(
    names: Iterable[str], signature: Signature, profile: Profile
) -> tuple[SegmentColumn, ...]:
    """Choose the segments of some columns: the most frequent values of the reference."""
    found = []
    known = [column.name for column in signature.columns]
    for name in dict.fromkeys(names):
        column = profile.columns[find_column(name, known, what="segment")]
        if column.type not in SEGMENT_TYPES:
            raise InputError(
                f'segment "{name}": a column of type {column.type}; expected text, truth values '
                "or whole numbers"
            )
        levels = column.frequent(LEVEL_LIMIT)
        found.append(SegmentColumn(name, column.type, tuple(one for one in levels if one)))
    return tuple(found)


def _step(times: TimeSummary, width: int, limit: int) -> int:
    """Return by how many hours counts of such a width are kept, to be no more than the limit."""
    for step in STEPS:
        first, last = times.first // (step * HOUR_US), times.last // (step * HOUR_US)
        blocks = int((last - first + 1).sum()) - np.count_nonzero(first[1:] == last[:-1])
        if blocks * width <= limit:
            return step
    return STEPS[-1]


@dataclass(slots=True)
class SegmentCounter:
    """Counts rows by segment and cell."""

    columns: tuple[SegmentColumn, ...]  # Whose values are counted apart.
    cells: Mapping[str, Cells]  # By column: what is counted on.
    rows: dict[str, np.ndarray]  # By segment column: int64, shape (segments,).
    # By segment column, then by column: int64, shape (segments, cells).
    counts: dict[str, dict[str, np.ndarray]]
    event_time: str | None = None  # Column by whose hours the counts are kept apart, too.
    # By segment column: counts by blocks of hours, the segments' cells side by side.
    blocks: dict[str, BlockCounter] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        columns: Sequence[SegmentColumn],
        cells: Mapping[str, Cells],
        event_time: str | None = None,
        times: TimeSummary | None = None,
    ) -> SegmentCounter:
        """Begin without rows; `times` are those of the event time."""
        limit = min(BLOCK_CELLS, ALL_BLOCK_CELLS // max(len(columns), 1))
        found = cls(tuple(columns), cells, {}, {}, event_time)
        for one in columns:
            sizes = {name: one.size * cell.size for name, cell in cells.items()}
            found.rows[one.name] = np.zeros(one.size, np.int64)
            found.counts[one.name] = {
                name: np.zeros((one.size, cell.size), np.int64) for name, cell in cells.items()
            }
            if times is not None:
                step = _step(times, sum(sizes.values()), limit)
                found.blocks[one.name] = BlockCounter(sizes, step)
        return found

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        if not batch.num_rows:
            return
        places = {name: _places(batch, cell) for name, cell in self.cells.items()}
        for one in self.columns:
            codes, flat = one.codes(batch), {}
            self.rows[one.name] += np.bincount(codes, minlength=one.size)
            for name, cell in self.cells.items():
                flat[name] = codes * cell.size + places[name]
                found = np.bincount(flat[name], minlength=one.size * cell.size)
                self.counts[one.name][name] += found.reshape(one.size, cell.size)
            if self.event_time is not None:
                known, moments = event_times(batch.column(self.event_time))
                self.blocks[one.name].update(
                    moments, {name: found[known] for name, found in flat.items()}
                )

    def merge(self, other: SegmentCounter) -> SegmentCounter:
        """Return the counts of the rows of both; neither input changes."""
        return replace(
            self,
            rows={name: rows + other.rows[name] for name, rows in self.rows.items()},
            counts={
                segment: {name: one + other.counts[segment][name] for name, one in found.items()}
                for segment, found in self.counts.items()
            },
            blocks={name: one.merge(other.blocks[name]) for name, one in self.blocks.items()},
        )

    def blocks_of(self, column: SegmentColumn, index: int) -> BlockCounts | None:
        """Return one segment's hourly counts, without hours that have none."""
        if self.event_time is None:
            return None
        found = self.blocks[column.name].result()
        tables = {
            name: one.reshape(len(found.hours), column.size, -1)[:, index]
            for name, one in found.counts.items()
        }
        if not tables:
            return None
        present = next(iter(tables.values())).sum(axis=1) > 0
        return BlockCounts(
            found.hours[present],
            {name: one[present].astype(np.int32) for name, one in tables.items()},
        )


def _places(batch: pa.RecordBatch, cell: Cells) -> np.ndarray:
    """Return the cell of each row; an unfit value is in the last one."""
    names = batch.schema.names
    if cell.column not in names:
        return np.full(batch.num_rows, cell.size - 2, dtype=np.int64)
    plain, lost = coerce(batch.column(cell.column), cell.type)
    codes = cell.assign(plain)
    if lost or UNFIT in names:
        unfit = Predicate(cell.column, "unfit", cell.type).mask(batch)
        codes[unfit.to_numpy(zero_copy_only=False)] = cell.size - 1
    return codes
