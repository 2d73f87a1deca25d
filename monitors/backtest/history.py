"""The rows of a long time counted in one reading: by window, column and cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.formats.coercion import coerce, unfit_mask
from driftline.monitors.backtest.spans import Spans, time_of
from driftline.monitors.backtest.yardstick import Yardstick
from driftline.monitors.drift_test.window_counts import WindowCounts

Counts = NDArray[np.int64]
N = TypeVar("N", np.int64, np.float64)
# Adding up only now and then keeps the copying small.
FOLD_AT = 1000


@dataclass(frozen=True, eq=False)
class History:
    """What windows hold; shapes: W windows that have rows, C cells of a column.

    Parameters
    ----------
    starts, ends
        int64, shape (W,), ascending: microseconds since 1970-01-01T00:00Z.
    rows
        int64, shape (W,).
    cells
        By column that came: int64, shape (W, C), in the order of `Cells.count`.
    marks, sums
        By column of the yardsticks: rows, and the sum of numbers, between the marks of each
        window; shape (W, marks).
    undated_count
        Rows without a time: they are in no window.
    """

    starts: Counts
    ends: Counts
    rows: Counts
    cells: Mapping[str, Counts]
    marks: Mapping[str, Counts] = field(default_factory=dict)
    sums: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    undated_count: int = 0

    def windows(self) -> Iterator[WindowCounts]:
        """Give the windows in order of time."""
        for at in range(len(self.starts)):
            yield WindowCounts(
                time_of(self.starts[at]),
                time_of(self.ends[at]),
                int(self.rows[at]),
                {name: counts[at] for name, counts in self.cells.items()},
            )


@dataclass(slots=True)
class HistoryCounter:
    """Collects `History` while rows are read, in any order; grows by `update`, adds up by `merge`.

    Parameters
    ----------
    cells
        By column: what is counted on; columns that do not come are left out.
    spans
        How time is cut.
    time_column
        The column with each row's time.
    between_us
        Only windows that start at or after the first and end at or before the second are kept.
    yardsticks
        By column: finer marks, for other rules.
    unfit_column
        Column that maps names to values that did not fit their type, as captured rows have one.
    """

    cells: Mapping[str, Cells]
    spans: Spans
    time_column: str
    between_us: tuple[int | None, int | None] = (None, None)
    yardsticks: Mapping[str, Yardstick] = field(default_factory=dict)
    unfit_column: str | None = None
    _parts: list[History] = field(default_factory=list)
    _undated: int = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        times, _ = coerce(batch.column(self.time_column), "timestamp")
        known = times.is_valid()
        self._undated += batch.num_rows - int(pc.sum(known).as_py() or 0)
        moments = pc.cast(times.drop_null(), pa.int64()).to_numpy(zero_copy_only=False)
        if not len(moments):
            return
        low, high = self.between_us
        asked = np.ones(len(moments), dtype=bool)
        asked &= True if low is None else moments >= low
        asked &= True if high is None else moments < high
        if not asked.any():
            return
        starts, ends, index = self.spans.cut(moments[asked])
        kept = known.to_numpy(zero_copy_only=False).copy()
        kept[kept] = asked
        part = self._count(batch, kept, starts, ends, index)
        whole = np.ones(len(starts), dtype=bool)
        whole &= True if low is None else starts >= low
        whole &= True if high is None else ends <= high
        self._parts.append(_chosen(part, whole))
        if sum(len(one.starts) for one in self._parts[1:]) > FOLD_AT + len(self._parts[0].starts):
            self._parts = [_added(self._parts)]

    def merge(self, other: HistoryCounter) -> HistoryCounter:
        """Give the counter of the rows of both; neither input changes."""
        return HistoryCounter(
            self.cells,
            self.spans,
            self.time_column,
            self.between_us,
            self.yardsticks,
            self.unfit_column,
            [*self._parts, *other._parts],
            self._undated + other._undated,
        )

    def result(self) -> History:
        """Give the windows of all rows added."""
        nothing = np.empty(0, np.int64)
        found = _added(self._parts) if self._parts else History(nothing, nothing, nothing, {})
        return replace(found, undated_count=self._undated)

    def _count(
        self, batch: pa.RecordBatch, kept: NDArray[np.bool_], starts: Counts, ends: Counts,
        index: Counts,
    ) -> History:  # fmt: skip
        present = set(batch.schema.names)
        cells: dict[str, Counts] = {}
        marks: dict[str, Counts] = {}
        sums: dict[str, NDArray[np.float64]] = {}
        for name, cell in self.cells.items():
            if name not in present:
                continue
            array = batch.column(name)
            codes = cell.assign(array)
            codes[self._unfit(batch, name, cell)] = cell.size - 1
            cells[name] = _tabulate(index, codes[kept], len(starts), cell.size)
            if (own := self.yardsticks.get(name)) is not None:
                places, values = own.place(array)
                marks[name] = _tabulate(index, places[kept], len(starts), own.size)
                flat = np.bincount(
                    index * own.size + places[kept],
                    weights=values[kept],
                    minlength=len(starts) * own.size,
                )
                sums[name] = flat.reshape(len(starts), own.size).astype(np.float64)
        rows = np.bincount(index, minlength=len(starts)).astype(np.int64)
        return History(starts, ends, rows, cells, marks, sums)

    def _unfit(self, batch: pa.RecordBatch, name: str, cell: Cells) -> NDArray[np.bool_]:
        """Mark the rows whose value does not fit its type, here or when it was captured."""
        mask = unfit_mask(batch.column(name), cell.type).to_numpy(zero_copy_only=False).copy()
        if self.unfit_column is not None:
            entries = batch.column(self.unfit_column)
            offsets = entries.offsets.to_numpy()
            keys = entries.keys.slice(offsets[0], offsets[-1] - offsets[0])
            row_of = np.repeat(np.arange(len(entries)), np.diff(offsets))
            same = pc.equal(keys, name).to_numpy(zero_copy_only=False)
            mask[row_of[same]] = True
        return np.asarray(mask)


def _tabulate(index: Counts, codes: Counts, windows: int, size: int) -> Counts:
    flat = np.bincount(index * size + codes, minlength=windows * size)
    return flat.reshape(windows, size).astype(np.int64)


def _chosen(part: History, keep: NDArray[np.bool_]) -> History:
    if keep.all():
        return part
    return History(
        part.starts[keep],
        part.ends[keep],
        part.rows[keep],
        {name: counts[keep] for name, counts in part.cells.items()},
        {name: counts[keep] for name, counts in part.marks.items()},
        {name: sums[keep] for name, sums in part.sums.items()},
    )


def _added(parts: list[History]) -> History:
    """Add up parts, window by window; a column that a part lacks adds nothing."""
    starts, first, inverse = np.unique(
        np.concatenate([part.starts for part in parts]), return_index=True, return_inverse=True
    )
    ends = np.concatenate([part.ends for part in parts])[first]
    at = np.split(inverse, np.cumsum([len(part.starts) for part in parts])[:-1])
    rows = np.zeros(len(starts), np.int64)
    cells: dict[str, Counts] = {}
    marks: dict[str, Counts] = {}
    sums: dict[str, NDArray[np.float64]] = {}
    for part, place in zip(parts, at, strict=True):
        rows[place] += part.rows
        _add(cells, part.cells, place, len(starts))
        _add(marks, part.marks, place, len(starts))
        _add(sums, part.sums, place, len(starts))
    return History(starts, ends, rows, cells, marks, sums)


def _add(
    total: dict[str, NDArray[N]], own: Mapping[str, NDArray[N]], at: Counts, size: int
) -> None:
    """Add each column's table to the rows of the total that it is of."""
    for name, found in own.items():
        if name not in total:
            total[name] = np.zeros((size, found.shape[1]), found.dtype)
        total[name][at] += found
