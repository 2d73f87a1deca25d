"""Segments: rows counted apart for each value of a column, on the cells of all rows.

A segment is judged against its own rows in the reference, so a place that has always been colder
does not alarm for it. Counted are levels x cells, a table whose size no number of rows changes.
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
# Counts by block and cell that are kept for one column's segments: 64 MB.
BLOCK_CELLS = 1 << 24


@dataclass(frozen=True)
class SegmentColumn:
    """A column whose values are judged apart."""

    name: str
    type: ColumnType
    # The values, most frequent in the reference first; then come "other" and "empty".
    levels: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of segments, with that of other values and that of none."""
        return len(self.levels) + 2

    def level(self, index: int) -> str:
        """Name a segment."""
        return [*self.levels, OTHER, EMPTY][index]

    def predicate(self, index: int) -> Predicate:
        """Return the condition that a segment's rows meet."""
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
        values = [one.value for one in column.frequent(LEVEL_LIMIT)]
        levels = [one if isinstance(one, str) else f"{one:.0f}" for one in values]
        found.append(SegmentColumn(name, column.type, tuple(one for one in levels if one)))
    return tuple(found)


@dataclass(slots=True)
class _Blocks:
    """Counts by blocks of hours, longer ones when there would be too many."""

    step: int = STEPS[0]
    hours: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    counts: dict[str, np.ndarray] = field(default_factory=dict)

    def make_room(self, hours: np.ndarray, width: int) -> None:
        """Make blocks so long that these hours, ascending, have room beside those that are here."""
        for step in (one for one in STEPS if one >= self.step):
            starts = np.union1d(self.hours // step, hours // step)
            if len(starts) * width <= BLOCK_CELLS or step == STEPS[-1]:
                self.lengthen(step)
                return

    def lengthen(self, step: int) -> None:
        """Put blocks together to longer ones."""
        if step == self.step:
            return
        self.step = step
        self.hours, first = np.unique(self.hours // step * step, return_index=True)
        if len(first):
            self.counts = {
                name: np.add.reduceat(one, first, axis=0) for name, one in self.counts.items()
            }

    def add(self, hours: np.ndarray, counts: Mapping[str, np.ndarray]) -> None:
        """Add blocks that start at these hours, ascending, each once."""
        self.make_room(hours, sum(one.shape[1] for one in counts.values()))
        starts, first = np.unique(hours // self.step * self.step, return_index=True)
        merged = np.union1d(self.hours, starts)
        at, new = np.searchsorted(merged, self.hours), np.searchsorted(merged, starts)
        for name, part in counts.items():
            total = np.zeros((len(merged), part.shape[1]), np.int32)
            if len(self.hours):
                total[at] = self.counts[name]
            total[new] += np.add.reduceat(part, first, axis=0)
            self.counts[name] = total
        self.hours = merged


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
    blocks: dict[str, _Blocks] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        columns: Sequence[SegmentColumn],
        cells: Mapping[str, Cells],
        event_time: str | None = None,
    ) -> SegmentCounter:
        """Begin without rows."""
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
            {one.name: _Blocks() for one in columns} if event_time is not None else {},
        )

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        if not batch.num_rows:
            return
        codes = {one.name: one.codes(batch) for one in self.columns}
        for one in self.columns:
            self.rows[one.name] += np.bincount(codes[one.name], minlength=one.size)
        times = self._blocks(batch)
        timed: dict[str, dict[str, np.ndarray]] = {one.name: {} for one in self.columns}
        for name, cell in self.cells.items():
            places = _places(batch, cell)
            for one in self.columns:
                flat = codes[one.name] * cell.size + places
                width = one.size * cell.size
                found = np.bincount(flat, minlength=width).reshape(one.size, cell.size)
                self.counts[one.name][name] += found
                if times is not None:
                    known, blocks = times
                    starts, inverse = blocks[one.name]
                    table = np.bincount(
                        inverse * width + flat[known], minlength=len(starts) * width
                    )
                    timed[one.name][name] = table.reshape(len(starts), width).astype(np.int32)
        if times is not None and times[0].any():
            for column, tables in timed.items():
                self.blocks[column].add(times[1][column][0], tables)

    def _blocks(
        self, batch: pa.RecordBatch
    ) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]] | None:
        """Return which rows have a time, and by segment column the blocks, and the block of each.

        What is counted for one batch has no more room than what is kept.
        """
        if self.event_time is None:
            return None
        known, moments = event_times(batch.column(self.event_time))
        hours = moments // HOUR_US
        found = {}
        for one in self.columns:
            width = one.size * sum(cell.size for cell in self.cells.values())
            kept = self.blocks[one.name]
            kept.make_room(np.unique(hours), width)
            found[one.name] = np.unique(hours // kept.step * kept.step, return_inverse=True)
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
        """Return one segment's counts by the hour; hours in which it has no rows are left out."""
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
            found.hours[present], {name: one[present] for name, one in tables.items()}
        )


def _places(batch: pa.RecordBatch, cell: Cells) -> np.ndarray:
    """Return the cell of each row; what does not fit its type is in the last one."""
    names = batch.schema.names
    if cell.column not in names:
        return np.full(batch.num_rows, cell.size - 2, dtype=np.int64)
    plain, lost = coerce(batch.column(cell.column), cell.type)
    codes = cell.assign(plain)
    if lost or UNFIT in names:
        unfit = Predicate(cell.column, "unfit", cell.type).mask(batch)
        codes[unfit.to_numpy(zero_copy_only=False)] = cell.size - 1
    return codes
