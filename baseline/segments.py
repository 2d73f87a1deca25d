"""Segments: rows counted by value of a column, on the cells of all rows.

A segment is judged against its own rows in the reference: a place that was always colder does not
alarm for it. The table has levels x cells entries, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

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
# segments.arrow: one row for each segment column and column.
KEY = b"driftline.segments"
SEGMENTS_FORMAT = 1
SCHEMA = pa.schema(
    [
        ("segment", pa.string()),
        ("type", pa.string()),
        ("levels", pa.list_(pa.string())),
        ("rows", pa.list_(pa.int64())),
        ("column", pa.string()),
        ("cells", pa.string()),
        ("counts", pa.large_list(pa.int64())),
        ("step", pa.int64()),
        ("hours", pa.list_(pa.int64())),
        ("blocks", pa.large_list(pa.int32())),
    ],
    {KEY: str(SEGMENTS_FORMAT).encode()},
)
LISTS = ["rows", "counts", "hours", "blocks"]  # Of whole numbers.
STRANGE = "the segments do not belong to the profile beside them; make the baseline again"


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
        values = [one.value for one in column.frequent(LEVEL_LIMIT)]
        levels = [one if isinstance(one, str) else f"{one:.0f}" for one in values]
        found.append(SegmentColumn(name, column.type, tuple(one for one in levels if one)))
    return tuple(found)


@dataclass(slots=True)
class _Blocks:
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
    blocks: dict[str, _Blocks] = field(default_factory=dict)

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
            {one.name: _Blocks(limit=limit) for one in columns} if event_time is not None else {},
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

    def with_columns_of(self, other: SegmentCounter) -> SegmentCounter:
        """Return the counts with those of the same rows by other columns."""
        is_same = other.event_time == self.event_time and [*other.cells] == [*self.cells]
        if not is_same or self.rows.keys() & other.rows.keys():
            raise InputError(STRANGE)
        return replace(
            self,
            columns=(*self.columns, *other.columns),
            rows={**self.rows, **other.rows},
            counts={**self.counts, **other.counts},
            blocks={**self.blocks, **other.blocks},
        )

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


def write_segments(found: SegmentCounter, cells: Mapping[str, Cells]) -> pa.RecordBatchReader:
    """Write the counts of a reference's segments; `cells` are the baseline's.

    Columns that share the limit of blocks are written one batch each, so that one at a time is in
    memory.
    """
    columns = found.columns
    is_shared = len(columns) * BLOCK_CELLS > ALL_BLOCK_CELLS
    groups = [[one] for one in columns] if is_shared else [[*columns]]
    batches = (_batch(found, one, cells) for one in groups)
    return pa.RecordBatchReader.from_batches(SCHEMA, (one for one in batches if one.num_rows))


def _batch(
    found: SegmentCounter, columns: Sequence[SegmentColumn], cells: Mapping[str, Cells]
) -> pa.RecordBatch:
    """Write the counts of some columns' segments."""
    rows = [(one, name) for one in columns for name in found.counts[one.name]]
    blocks = [found.blocks.get(one.name) for one, _ in rows]
    written = {
        "segment": [one.name for one, _ in rows],
        "type": [one.type for one, _ in rows],
        "levels": [list(one.levels) for one, _ in rows],
        "rows": [found.rows[one.name] for one, _ in rows],
        "column": [name for _, name in rows],
        "cells": [cells[name].id for _, name in rows],
        "step": [one and one.step for one in blocks],
        "hours": [one and one.hours for one in blocks],
    }
    arrays = {name: pa.array(one, SCHEMA.field(name).type) for name, one in written.items()}
    arrays["counts"] = _lists([found.counts[one.name][name] for one, name in rows], np.int64)
    own = [
        one.counts.get(name) if one else None for one, (_, name) in zip(blocks, rows, strict=True)
    ]
    arrays["blocks"] = _lists(own, np.int32)
    return pa.record_batch([arrays[name] for name in SCHEMA.names], SCHEMA)


def _lists(tables: Sequence[np.ndarray | None], kind: type[np.signedinteger[Any]]) -> pa.Array:
    """Write tables of counts as Arrow lists, which take a tenth of the memory of Python's."""
    ends = np.cumsum([0, *(0 if one is None else one.size for one in tables)])
    values = np.empty(ends[-1], kind)
    for first, one in zip(ends, tables, strict=False):
        if one is not None:
            values[first : first + one.size] = one.ravel()
    missing = np.array([one is None for one in tables], bool)
    mask = pa.array(missing) if missing.any() else None
    return pa.LargeListArray.from_arrays(pa.array(ends), pa.array(values), mask=mask)


def read_segments(batches: Iterable[pa.Table], cells: Mapping[str, Cells]) -> SegmentCounter:
    """Read what write_segments wrote."""
    found: SegmentCounter | None = None
    for table in batches:
        part = _read(table, cells)
        found = part if found is None else found.with_columns_of(part)
    if found is None:
        raise InputError(STRANGE)
    return found


def _read(table: pa.Table, cells: Mapping[str, Cells]) -> SegmentCounter:
    mark = (table.schema.metadata or {}).get(KEY)
    if mark is None or not table.schema.equals(SCHEMA):
        raise InputError("no segments of a baseline; make the baseline again")
    if mark != str(SEGMENTS_FORMAT).encode():
        raise InputError(
            f"format {mark.decode('utf-8', 'replace')}; this version reads {SEGMENTS_FORMAT}"
        )
    try:
        # The long lists are read where they lie.
        rows = table.drop_columns(LISTS).to_pylist()
        columns = {row["segment"]: _column(row) for row in rows}
        known = {row["column"] for row in rows}
        timed = table.num_rows > table["hours"].null_count
        counted = {name: cell for name, cell in cells.items() if name in known}
        found = SegmentCounter.start(tuple(columns.values()), counted, "" if timed else None)
        for index, row in enumerate(rows):
            lists = {name: table[name][index].values for name in LISTS}
            _take(found, columns[row["segment"]], {**row, **lists}, cells)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(STRANGE) from error
    return found


def _column(row: Mapping[str, Any]) -> SegmentColumn:
    """Read a segment column; ValueError when it is invalid."""
    name, kind, levels = row["segment"], row["type"], tuple(row["levels"])
    are_texts = all(isinstance(one, str) for one in (name, *levels))
    if not are_texts or kind not in SEGMENT_TYPES or len(set(levels)) < len(levels):
        raise ValueError(name)
    return SegmentColumn(name, kind, levels)


def _whole(values: pa.Array | None) -> np.ndarray:
    """Read counts; ValueError when they are invalid."""
    found = np.empty(0, np.int64) if values is None else values.to_numpy()
    if found.min(initial=0) < 0:
        raise ValueError("a negative count")
    return found


def _take(
    found: SegmentCounter, one: SegmentColumn, row: Mapping[str, Any], cells: Mapping[str, Cells]
) -> None:
    cell = cells[row["column"]]
    if cell.id != row["cells"] or bool(found.blocks) != (row["hours"] is not None):
        raise ValueError(row["column"])
    # Copies: what is read as it lies keeps the whole file in memory.
    found.rows[one.name] = _whole(row["rows"]).reshape(one.size).copy()
    counts = _whole(row["counts"]).reshape(one.size, cell.size).copy()
    found.counts[one.name][row["column"]] = counts
    if row["hours"] is not None:
        blocks = found.blocks[one.name]
        blocks.step, blocks.hours = int(row["step"]), row["hours"].to_numpy().copy()
        if blocks.step not in STEPS or (np.diff(blocks.hours) <= 0).any():
            raise ValueError(row["column"])
        flat = _whole(row["blocks"]).reshape(len(blocks.hours), one.size * cell.size)
        blocks.counts[row["column"]] = small_counts(flat)
