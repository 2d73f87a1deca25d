"""Segments: rows counted by value of a column, on the cells of all rows.

A segment is judged against its own rows in the reference: a place that was always colder does not
alarm for it. The table has levels x cells entries, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.blocks import HOUR_US, BlockCounts, event_times
from driftline.baseline.cells import Cells
from driftline.baseline.predicate import UNFIT, Predicate
from driftline.baseline.profile import Profile
from driftline.baseline.schema import find_column
from driftline.baseline.texts import shortened
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.signature import ColumnType, Signature

# More would be a list that nobody reads, and leave each segment too small a share of the budget.
LEVEL_LIMIT = 50
OTHER, EMPTY = "other", "empty"
SEGMENT_TYPES = ("string", "bool", "int64")
# Hours that are counted as one block, when one by one they would take too much room.
STEPS = (1, 2, 4, 8, 24, 48, 168, 336, 1344, 5376, 21504)
# Counts by block and cell that are kept for one column's segments, and for those of all columns,
# which share them equally. Most are below 256, and a byte each; none takes more than four.
BLOCK_CELLS, ALL_BLOCK_CELLS = 1 << 24, 1 << 27


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


@dataclass(slots=True)
class Blocks:
    """Counts by blocks of hours, longer ones when there would be too many."""

    step: int = STEPS[0]
    hours: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    # By column, shape (blocks, segments * cells): of the smallest type that holds a table's counts.
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    limit: int = BLOCK_CELLS  # How many counts are kept, of all tables together.

    def make_room(self, hours: np.ndarray, width: int) -> None:
        """Lengthen blocks until these hours, ascending, fit the limit, too."""
        for step in (one for one in STEPS if one >= self.step):
            starts = np.union1d(self.hours // step, hours // step)
            if len(starts) * width <= self.limit or step == STEPS[-1]:
                self.lengthen(step)
                return

    def lengthen(self, step: int) -> None:
        """Merge blocks into longer ones."""
        if step == self.step:
            return
        self.step = step
        self.hours, first = np.unique(self.hours // step * step, return_index=True)
        if len(first):
            self.counts = {name: _joined(one, first) for name, one in self.counts.items()}

    def extend(self, starts: np.ndarray) -> np.ndarray:
        """Add blocks that start at these hours, ascending; return each one's index."""
        merged = np.union1d(self.hours, starts)
        if len(merged) > len(self.hours):
            at = np.searchsorted(merged, self.hours)
            for name, one in self.counts.items():
                self.counts[name] = np.zeros((len(merged), one.shape[1]), one.dtype)
                self.counts[name][at] = one
            self.hours = merged
        return np.searchsorted(merged, starts)

    def add_to(self, places: np.ndarray, name: str, counts: np.ndarray) -> None:
        """Add a column's counts to the blocks at these indices, each once."""
        total = self.counts.get(name)
        if total is None:
            total = np.zeros((len(self.hours), counts.shape[1]), np.uint8)
        summed = small_counts(total[places] + counts.astype(np.int64))
        self.counts[name] = total = total.astype(
            np.promote_types(total.dtype, summed.dtype), copy=False
        )
        total[places] = summed

    def add(self, hours: np.ndarray, counts: Mapping[str, np.ndarray]) -> None:
        """Add blocks that start at these hours, ascending, each once."""
        self.make_room(hours, sum(one.shape[1] for one in counts.values()))
        starts, first = np.unique(hours // self.step * self.step, return_index=True)
        places = self.extend(starts)
        for name, part in counts.items():
            self.add_to(places, name, _joined(part, first))


def small_counts(counts: np.ndarray) -> np.ndarray:
    """Return counts in the smallest type that holds them."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))), copy=False)


def _joined(counts: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Sum the rows between these starts."""
    return small_counts(np.add.reduceat(counts, first, axis=0, dtype=np.int64))


@dataclass(slots=True)
class SegmentCounter:
    """Counts rows by segment and cell."""

    columns: tuple[SegmentColumn, ...]  # Whose values are counted apart.
    cells: Mapping[str, Cells]  # By column: what is counted on.
    rows: dict[str, np.ndarray]  # By segment column: int64, shape (segments,).
    # By segment column, then by column: int64, shape (segments, cells).
    counts: dict[str, dict[str, np.ndarray]]
    event_time: str | None = None  # Column by whose hours the counts are kept apart, too.
    # By segment column: counts by hour, the segments' side by side, shape (hours, segments *
    # cells).
    blocks: dict[str, Blocks] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        columns: Sequence[SegmentColumn],
        cells: Mapping[str, Cells],
        event_time: str | None = None,
    ) -> SegmentCounter:
        """Begin without rows."""
        limit = min(BLOCK_CELLS, ALL_BLOCK_CELLS // max(len(columns), 1))
        return cls(
            tuple(columns),
            cells,
            {one.name: np.zeros(one.size, np.int64) for one in columns},
            {
                one.name: {
                    name: np.zeros((one.size, cell.size), np.int64) for name, cell in cells.items()
                }
                for one in columns
            },
            event_time,
            {one.name: Blocks(limit=limit) for one in columns} if event_time is not None else {},
        )

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        if not batch.num_rows:
            return
        codes = {one.name: one.codes(batch) for one in self.columns}
        for one in self.columns:
            self.rows[one.name] += np.bincount(codes[one.name], minlength=one.size)
        times = self._times(batch)
        for name, cell in self.cells.items():
            places = _places(batch, cell)
            for one in self.columns:
                flat = codes[one.name] * cell.size + places
                width = one.size * cell.size
                found = np.bincount(flat, minlength=width).reshape(one.size, cell.size)
                self.counts[one.name][name] += found
                if times is not None:
                    known, blocks = times
                    at, inverse = blocks[one.name]
                    table = np.bincount(inverse * width + flat[known], minlength=len(at) * width)
                    self.blocks[one.name].add_to(at, name, table.reshape(len(at), width))

    def _times(
        self, batch: pa.RecordBatch
    ) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]] | None:
        """Make blocks for a batch's rows; None where none of them has a time.

        Returns which rows have a time, and by segment column its blocks' indices and each row's
        block.
        """
        if self.event_time is None or self.event_time not in batch.schema.names:
            return None
        known, moments = event_times(batch.column(self.event_time))
        if not len(moments):
            return None
        hours, found = moments // HOUR_US, {}
        distinct, cell_count = np.unique(hours), sum(cell.size for cell in self.cells.values())
        for one in self.columns:
            kept = self.blocks[one.name]
            kept.make_room(distinct, one.size * cell_count)
            starts, inverse = np.unique(hours // kept.step * kept.step, return_inverse=True)
            found[one.name] = kept.extend(starts), inverse
        return known, found

    def merge(self, other: SegmentCounter) -> SegmentCounter:
        """Return the counts of the rows of both; neither input changes."""
        merged = SegmentCounter.start(self.columns, self.cells, self.event_time)
        for part in (self, other):
            for one in self.columns:
                merged.rows[one.name] += part.rows[one.name]
                for name, count in part.counts[one.name].items():
                    merged.counts[one.name][name] += count
                if part.blocks and len(part.blocks[one.name].hours):
                    found, total = part.blocks[one.name], merged.blocks[one.name]
                    total.lengthen(max(total.step, found.step))
                    total.add(found.hours, found.counts)
        return merged

    def blocks_of(self, column: SegmentColumn, index: int) -> BlockCounts | None:
        """Return one segment's hourly counts, without hours that have none."""
        if self.event_time is None:
            return None
        found = self.blocks[column.name]
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
