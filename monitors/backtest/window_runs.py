"""Long runs of values in the windows of a history, where the drift test may need them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.baseline.value_runs import TimeOrder, ValueRuns
from driftline.formats.coercion import coerce
from driftline.monitors.kinds.data_quality.flatline_check import LEAST_RUN

NUMBERS = ("int64", "double")
# By the start of a window and the name of a column of numbers.
RunsByWindow = Mapping[tuple[int, str], ValueRuns]


@dataclass(slots=True)
class WindowRuns:
    """Collects the runs of windows while rows are read.

    A window that lies within one batch and has no long run leaves nothing here. A window with only
    some of its batches kept is unknown.
    """

    _batches: Counter[int] = field(default_factory=Counter)  # By the start of a window.
    _kept: Counter[tuple[int, str]] = field(default_factory=Counter)
    _runs: dict[tuple[int, str], ValueRuns] = field(default_factory=dict)

    def update(
        self,
        batch: pa.RecordBatch,
        order: TimeOrder,
        cells: Mapping[str, Cells],
        starts: NDArray[np.int64],
        index: NDArray[np.int64],
    ) -> None:
        """Add rows that have a time; `index` is each row's window."""
        self._batches.update(starts.tolist())
        at = index if order.places is None else index[order.places]
        edges = np.searchsorted(at, np.arange(len(starts) + 1))
        for name, cell in cells.items():
            if name not in batch.schema.names or cell.type not in NUMBERS:
                continue
            numbers = order.ordered(coerce(batch.column(name), cell.type)[0])
            # The windows at the edges of a batch may go on in other batches.
            for place in {0, len(starts) - 1, *_with_long_run(numbers, at)}:
                rows = slice(edges[place], edges[place + 1])
                runs = ValueRuns.of(order.times_us[rows], numbers[rows])
                self._add((int(starts[place]), name), runs)

    def _add(self, key: tuple[int, str], runs: ValueRuns, batches: int = 1) -> None:
        self._runs[key] = self._runs[key].merge(runs) if key in self._runs else runs
        self._kept[key] += batches

    def merge(self, other: WindowRuns) -> WindowRuns:
        """Return the runs of the rows of both; neither input changes."""
        found = WindowRuns(self._batches + other._batches, self._kept.copy(), dict(self._runs))
        for key, runs in other._runs.items():
            found._add(key, runs, other._kept[key])
        return found

    def result(self) -> RunsByWindow:
        """Return the runs of the windows that are known completely."""
        return {
            key: runs
            for key, runs in self._runs.items()
            if self._kept[key] == self._batches[key[0]]
        }


def _with_long_run(numbers: NDArray[np.float64], at: NDArray[np.int64]) -> list[int]:
    """Return the windows with a long run of equal rows; missing values do not end a run."""
    known = np.isfinite(numbers)
    numbers, at = numbers[known], at[known]
    begins = np.flatnonzero((np.diff(numbers) != 0) | (np.diff(at) != 0)) + 1
    lengths = np.diff(begins, prepend=0, append=len(numbers))
    first = np.concatenate([[0], begins])[lengths > LEAST_RUN]
    found: list[int] = np.unique(at[first]).tolist()
    return found
