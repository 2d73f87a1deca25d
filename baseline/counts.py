"""counts.parquet: the rows of each cell, in all, by the hour and by segment.

It has a row for each column with times, each derived column, and each column beside each segment
column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from driftline.baseline.blocks import BlockCounter, BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.derived_columns import DerivedColumn, DerivedCounts
from driftline.baseline.records import from_table, to_table
from driftline.baseline.segments import SegmentColumn, SegmentCounter
from driftline.errors import InputError

COUNTS_FORMAT = "1"
KEY = b"driftline.counts"
STRANGE = "the counts do not belong to the profile beside them; make the baseline again"


@dataclass(frozen=True, slots=True, eq=False)
class ColumnCounts:
    """The rows of one column by cell."""

    column: str
    cells: str  # The id of its cells.
    segment: SegmentColumn | None  # By whose segments the rows are counted, too.
    derived: DerivedColumn | None
    totals: np.ndarray  # By segment and cell; empty where the profile has them.
    # Counts are kept by so many hours; 0 without times.
    step: int
    hours: np.ndarray  # The first hour of each block since 1970-01-01T00:00Z, shape (blocks,).
    # By segment, cell and block: counts of one cell are alike, and so compress well.
    blocks: np.ndarray

    @classmethod
    def of(
        cls, column: str, cells: Cells, hours: np.ndarray | None, counts: np.ndarray | None
    ) -> ColumnCounts:
        """Make a row of counts by hour, shape (blocks, cells); None without times."""
        none = np.zeros(0, np.int64)
        if hours is None or counts is None:
            return cls(column, cells.id, None, None, none, 0, none, none)
        return cls(column, cells.id, None, None, none, 1, hours, counts.T.ravel())

    def by_block(self) -> np.ndarray:
        """Return the counts by block, shape (blocks, segments * cells)."""
        return self.blocks.reshape(-1, len(self.hours)).T if len(self.hours) else np.zeros((0, 0))


def counts_to_table(
    cells: Mapping[str, Cells],
    blocks: BlockCounts | None,
    derived: DerivedCounts | None,
    segments: SegmentCounter | None,
) -> pa.Table | None:
    """Return the counts of a baseline as one table; None without any."""
    rows = [*_hourly_rows(cells, blocks), *_derived_rows(derived), *_segment_rows(cells, segments)]
    if not rows:
        return None
    # Of the smallest type that holds all: most counts are small.
    kind = np.min_scalar_type(max(int(row.blocks.max(initial=0)) for row in rows))
    table = to_table(replace(row, blocks=row.blocks.astype(kind)) for row in rows)
    return table.replace_schema_metadata({KEY: COUNTS_FORMAT})


def counts_from_table(
    table: pa.Table, cells: Mapping[str, Cells]
) -> tuple[BlockCounts | None, DerivedCounts | None, SegmentCounter | None]:
    """Read what `counts_to_table` made; `cells` are those of the profile beside it."""
    found = (table.schema.metadata or {}).get(KEY, b"").decode("utf-8", "replace")
    if found != COUNTS_FORMAT:
        raise InputError(
            f"format {found!r}; this driftline reads {COUNTS_FORMAT}: make the baseline again"
        )
    try:
        rows = from_table(ColumnCounts, table)
        for row in rows:
            if row.cells != (row.derived.cells if row.derived else cells[row.column]).id:
                raise InputError(STRANGE)
        hourly = _by_hour(row for row in rows if not row.derived and not row.segment)
        own = [row for row in rows if row.segment]
        return (
            replace(hourly[0], apart=tuple(hourly[1:])) if hourly else None,
            _read_derived([row for row in rows if row.derived]),
            _read_segments(own, cells) if own else None,
        )
    except (AttributeError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise InputError(STRANGE) from error


def _hourly_rows(cells: Mapping[str, Cells], blocks: BlockCounts | None) -> Iterator[ColumnCounts]:
    for part in () if blocks is None else (blocks, *blocks.apart):
        for name, counts in part.counts.items():
            yield ColumnCounts.of(name, cells[name], part.hours, counts)


def _derived_rows(derived: DerivedCounts | None) -> Iterator[ColumnCounts]:
    if derived is None:
        return
    blocks = derived.blocks
    for one in derived.columns:
        counts = None if blocks is None else blocks.counts[one.name]
        row = ColumnCounts.of(one.name, one.cells, None if blocks is None else blocks.hours, counts)
        yield replace(row, derived=one, totals=derived.counts[one.name])


def _segment_rows(
    cells: Mapping[str, Cells], segments: SegmentCounter | None
) -> Iterator[ColumnCounts]:
    for one in () if segments is None else segments.columns:
        assert segments is not None
        counter = segments.blocks.get(one.name)
        blocks = None if counter is None else counter.result()
        for name, totals in segments.counts[one.name].items():
            hours = None if blocks is None else blocks.hours
            counts = None if blocks is None else blocks.counts[name]
            row = ColumnCounts.of(name, cells[name], hours, counts)
            step = 0 if counter is None else counter.step
            yield replace(row, segment=one, totals=totals.ravel(), step=step)


def _by_hour(rows: Iterable[ColumnCounts]) -> list[BlockCounts]:
    """Join columns that have the same hours."""
    groups: dict[bytes, list[ColumnCounts]] = {}
    for row in rows:
        groups.setdefault(row.hours.tobytes(), []).append(row)
    return [
        BlockCounts(
            group[0].hours,
            {row.column: np.ascontiguousarray(row.by_block(), np.int32) for row in group},
        )
        for group in groups.values()
    ]


def _read_derived(rows: Sequence[ColumnCounts]) -> DerivedCounts | None:
    columns = tuple(row.derived for row in rows if row.derived is not None)
    timed = _by_hour(row for row in rows if row.step)
    counts = {row.column: row.totals for row in rows}
    return DerivedCounts(columns, counts, timed[0] if timed else None) if rows else None


def _read_segments(rows: Sequence[ColumnCounts], cells: Mapping[str, Cells]) -> SegmentCounter:
    columns = {row.segment.name: row.segment for row in rows if row.segment is not None}
    counted = {row.column: cells[row.column] for row in rows}
    found = SegmentCounter.start(tuple(columns.values()), counted)
    for segment in columns:
        own = [row for row in rows if row.segment == columns[segment]]
        for row in own:
            totals = row.totals.reshape(columns[segment].size, -1)
            found.counts[segment][row.column], found.rows[segment] = totals, totals.sum(axis=1)
        if own[0].step:
            # As small as they were stored: most are below 256, and a byte each.
            blocks = BlockCounts(own[0].hours, {row.column: row.by_block() for row in own})
            found.blocks[segment] = BlockCounter.of(blocks, own[0].step)
    return replace(found, event_time="" if found.blocks else None)
