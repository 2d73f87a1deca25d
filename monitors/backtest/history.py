"""Counts a long history in one reading: by window, column and cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.baseline.steps import DAY_US
from driftline.baseline.value_runs import TimeOrder
from driftline.formats.coercion import coerce, unfit_mask
from driftline.monitors.backtest.spans import Spans, time_of
from driftline.monitors.backtest.window_runs import RunsByWindow, WindowRuns
from driftline.monitors.day_test.day_counter import DayCounter
from driftline.monitors.day_test.day_test import DayTest
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.stats.day_scores import DaySums

Counts = NDArray[np.int64]
# Adding up only now and then keeps the copying small.
FOLD_AT = 1000


@dataclass(frozen=True, eq=False)
class History:
    """Counts of windows; W windows that have rows, C cells of a column."""

    starts: Counts  # Shape (W,), ascending, in microseconds since 1970.
    ends: Counts
    rows: Counts
    cells: Mapping[str, Counts]  # By column, shape (W, C), as `Cells.count` orders them.
    undated_count: int = 0  # Rows without a time: they are in no window.
    # Rows by hour, and steps, where days are judged.
    day_counter: DayCounter | None = None
    runs: RunsByWindow = field(default_factory=dict)  # Where they may be long.

    def windows(self, day_test: DayTest | None = None) -> Iterator[WindowCounts]:
        """Return the windows in order of time; a day belongs to the window in which it ends."""
        days = {}
        if day_test is not None and self.day_counter is not None:
            days = day_test.day_sums(self.day_counter)
        for at in range(len(self.starts)):
            yield WindowCounts(
                time_of(self.starts[at]),
                time_of(self.ends[at]),
                int(self.rows[at]),
                {name: counts[at] for name, counts in self.cells.items()},
                days=_ending(days, int(self.starts[at]), int(self.ends[at])),
            )


@dataclass(slots=True)
class HistoryCounter:
    """Collects `History` while rows are read, in any order."""

    cells: Mapping[str, Cells]
    spans: Spans
    time_column: str
    # Windows that start before the first or end after the second are left out.
    between_us: tuple[int | None, int | None] = (None, None)
    unfit_column: str | None = None  # The map of captured rows' values that did not fit.
    days: Callable[[], DayCounter] | None = None  # Begins to count; None where none are judged.
    _parts: list[History] = field(default_factory=list)
    _undated: int = 0
    _days: DayCounter | None = None
    _runs: WindowRuns = field(default_factory=WindowRuns)

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
        own = batch if kept.all() else batch.filter(pa.array(kept))
        order = TimeOrder.of(own.column(self.time_column))
        self._runs.update(own, order, self.cells, starts, index)
        if self.days is not None:
            self._days = self._days or self.days()
            self._days.update(own, order)
        part = self._count(batch, kept, starts, ends, index)
        whole = np.ones(len(starts), dtype=bool)
        whole &= True if low is None else starts >= low
        whole &= True if high is None else ends <= high
        self._parts.append(_chosen(part, whole))
        if sum(len(one.starts) for one in self._parts[1:]) > FOLD_AT + len(self._parts[0].starts):
            self._parts = [_added(self._parts)]

    def merge(self, other: HistoryCounter) -> HistoryCounter:
        """Return the counter of the rows of both; neither input changes."""
        days = self._days or other._days
        if self._days is not None and other._days is not None:
            days = self._days.merge(other._days)
        return HistoryCounter(
            self.cells,
            self.spans,
            self.time_column,
            self.between_us,
            self.unfit_column,
            self.days,
            [*self._parts, *other._parts],
            self._undated + other._undated,
            days,
            self._runs.merge(other._runs),
        )

    def result(self) -> History:
        """Return the windows of all rows added."""
        nothing = np.empty(0, np.int64)
        found = _added(self._parts) if self._parts else History(nothing, nothing, nothing, {})
        return replace(
            found,
            undated_count=self._undated,
            day_counter=self._days,
            runs=self._runs.result(),
        )

    def _count(
        self, batch: pa.RecordBatch, kept: NDArray[np.bool_], starts: Counts, ends: Counts,
        index: Counts,
    ) -> History:  # fmt: skip
        present = set(batch.schema.names)
        cells: dict[str, Counts] = {}
        for name, cell in self.cells.items():
            if name not in present:
                continue
            codes = cell.assign(batch.column(name))
            codes[self._unfit(batch, name, cell)] = cell.size - 1
            cells[name] = _tabulate(index, codes[kept], len(starts), cell.size)
        rows = np.bincount(index, minlength=len(starts)).astype(np.int64)
        return History(starts, ends, rows, cells)

    def _unfit(self, batch: pa.RecordBatch, name: str, cell: Cells) -> NDArray[np.bool_]:
        """Mark unfit values, found here or at capture."""
        mask = unfit_mask(batch.column(name), cell.type).to_numpy(zero_copy_only=False).copy()
        if self.unfit_column is not None:
            entries = batch.column(self.unfit_column)
            offsets = entries.offsets.to_numpy()
            keys = entries.keys.slice(offsets[0], offsets[-1] - offsets[0])
            row_of = np.repeat(np.arange(len(entries)), np.diff(offsets))
            same = pc.equal(keys, name).to_numpy(zero_copy_only=False)
            mask[row_of[same]] = True
        return np.asarray(mask)


def _ending(days: Mapping[str, DaySums], start_us: int, end_us: int) -> dict[str, DaySums]:
    """Return the days that end in a window, by column."""
    found = {}
    for name, one in days.items():
        first, last = np.searchsorted((one.days + 1) * DAY_US, [start_us + 1, end_us + 1])
        if last > first:
            part = slice(first, last)
            found[name] = DaySums(one.days[part], one.sums[part], one.rows[part])
    return found


def _tabulate(index: Counts, codes: Counts, windows: int, size: int) -> Counts:
    flat = np.bincount(index * size + codes, minlength=windows * size)
    return flat.reshape(windows, size).astype(np.int64)


def _chosen(part: History, keep: NDArray[np.bool_]) -> History:
    if keep.all():
        return part
    cells = {name: table[keep] for name, table in part.cells.items()}
    return History(part.starts[keep], part.ends[keep], part.rows[keep], cells)


def _added(parts: list[History]) -> History:
    """Sum parts by window; a column that a part lacks adds nothing."""
    starts, first, inverse = np.unique(
        np.concatenate([part.starts for part in parts]), return_index=True, return_inverse=True
    )
    ends = np.concatenate([part.ends for part in parts])[first]
    at = np.split(inverse, np.cumsum([len(part.starts) for part in parts])[:-1])
    rows = np.zeros(len(starts), np.int64)
    cells: dict[str, Counts] = {}
    for part, place in zip(parts, at, strict=True):
        rows[place] += part.rows
        for name, table in part.cells.items():
            if name not in cells:
                cells[name] = np.zeros((len(starts), table.shape[1]), table.dtype)
            cells[name][place] += table
    return History(starts, ends, rows, cells)
