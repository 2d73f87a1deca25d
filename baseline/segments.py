"""Segments: rows counted apart for each value of a column, on the cells of all rows.

A segment is judged against its own rows in the reference, so a place that has always been colder
does not alarm for it. Counted are levels x cells, a table whose size no number of rows changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
# Counts by block and cell that are kept for one column's segments: 64 MB.
BLOCK_CELLS = 1 << 24
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
        if self.event_time is None or self.event_time not in batch.schema.names:
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


def segments_to_table(found: SegmentCounter, cells: Mapping[str, Cells]) -> pa.Table:
    """Write the counts of a reference's segments; `cells` are the baseline's."""
    rows: list[dict[str, Any]] = []
    for one in found.columns:
        blocks = found.blocks.get(one.name)
        rows.extend(
            {
                "segment": one.name,
                "type": one.type,
                "levels": list(one.levels),
                "rows": found.rows[one.name],
                "column": name,
                "cells": cells[name].id,
                "counts": counts.ravel(),
                "step": blocks.step if blocks else None,
                "hours": blocks.hours if blocks else None,
                "blocks": blocks.counts[name].ravel() if blocks and blocks.counts else None,
            }
            for name, counts in found.counts[one.name].items()
        )
    return pa.Table.from_pylist(rows, SCHEMA)


def segments_from_table(table: pa.Table, cells: Mapping[str, Cells]) -> SegmentCounter:
    """Read what segments_to_table wrote."""
    mark = (table.schema.metadata or {}).get(KEY)
    if mark is None or table.schema.names != SCHEMA.names:
        raise InputError("no segments of a baseline; make the baseline again")
    if mark != str(SEGMENTS_FORMAT).encode():
        raise InputError(
            f"format {mark.decode('utf-8', 'replace')}; this version reads {SEGMENTS_FORMAT}"
        )
    try:
        rows = table.to_pylist()
        columns = {row["segment"]: _column(row) for row in rows}
        known = {row["column"] for row in rows}
        timed = any(row["hours"] is not None for row in rows)
        counted = {name: cell for name, cell in cells.items() if name in known}
        started = "" if timed else None
        found = SegmentCounter.start(tuple(columns.values()), counted, started)
        for row in rows:
            _take(found, columns[row["segment"]], row, cells)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            "the segments do not belong to the profile beside them; make the baseline again"
        ) from error
    return found


def _column(row: Mapping[str, Any]) -> SegmentColumn:
    """Read whose values are apart; ValueError when it is no column that can be."""
    name, kind, levels = row["segment"], row["type"], tuple(row["levels"])
    are_texts = all(isinstance(one, str) for one in (name, *levels))
    if not are_texts or kind not in SEGMENT_TYPES or len(set(levels)) < len(levels):
        raise ValueError(name)
    return SegmentColumn(name, kind, levels)


def _whole(values: Any, kind: type[np.signedinteger[Any]]) -> np.ndarray:  # noqa: ANN401 - as read
    """Take counts; ValueError when they are none."""
    found = np.asarray(values, kind)
    if (found < 0).any():
        raise ValueError("a negative count")
    return found


def _take(
    found: SegmentCounter, one: SegmentColumn, row: Mapping[str, Any], cells: Mapping[str, Cells]
) -> None:
    cell = cells[row["column"]]
    if cell.id != row["cells"] or bool(found.blocks) != (row["hours"] is not None):
        raise ValueError(row["column"])
    found.rows[one.name] = _whole(row["rows"], np.int64).reshape(one.size)
    counts = _whole(row["counts"], np.int64).reshape(one.size, cell.size)
    found.counts[one.name][row["column"]] = counts
    if row["hours"] is not None:
        blocks = found.blocks[one.name]
        blocks.step, blocks.hours = int(row["step"]), np.asarray(row["hours"], np.int64)
        if blocks.step not in STEPS or (np.diff(blocks.hours) <= 0).any():
            raise ValueError(row["column"])
        flat = _whole(row["blocks"] or [], np.int32)
        blocks.counts[row["column"]] = flat.reshape(len(blocks.hours), one.size * cell.size)
