"""Runs of windows are those of their rows, however batches cut them, or not known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.baseline.value_runs import TimeOrder
from driftline.monitors.backtest.window_runs import RunsByWindow, WindowRuns

DAY_US = 86_400_000_000
ROWS = 600  # Of three days, 200 of each; the second stands still for 50.


def runs_of(cuts: list[int], rows: np.ndarray | None = None) -> RunsByWindow:
    rng = np.random.default_rng(3)
    at = np.arange(ROWS) * (DAY_US // 200)
    ages = rng.normal(size=ROWS)
    ages[300:350] = 5.0
    table = pa.table({"at": at.astype("datetime64[us]"), "age": ages})
    cells = {"age": Baseline.fit(table).cells["age"]}
    table = table if rows is None else table.take(rows)
    found = WindowRuns()
    for begin, end in zip([0, *cuts], [*cuts, ROWS], strict=True):
        part = table.slice(begin, end - begin).combine_chunks().to_batches()[0]
        starts, index = np.unique(
            part["at"].cast(pa.int64()).to_numpy() // DAY_US, return_inverse=True
        )
        one = WindowRuns()
        one.update(part, TimeOrder.of(part["at"]), cells, starts * DAY_US, index)
        found = found.merge(one)
    return found.result()


@pytest.mark.parametrize("cuts", [[], [310], [250, 320, 330], [10, 200, 340, 400, 590]])
def test_a_run_is_found_however_batches_cut_it(cuts: list[int]) -> None:
    found = runs_of(cuts)[DAY_US, "age"]

    assert found.lengths.max() == 50
    assert found.values[found.lengths.argmax()] == 5.0


def test_a_window_of_which_a_batch_is_not_known_is_left_out() -> None:
    mixed = np.random.default_rng(4).permutation(ROWS)

    # Each batch has rows of all days, and the second day lies in the middle of each.
    assert (DAY_US, "age") not in runs_of([100, 300, 500], mixed)
