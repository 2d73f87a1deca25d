"""The default rules of Evidently, NannyML and SageMaker on the same windows.

The rules are the product's own re-implementations (monitors/backtest), from the formulas that the
tools publish. They see the windows by the baseline's cells: a value counts as the mean of the
reference's values in its cell, and nothing lies beyond the reference's ends, which spares them
alarms that a single far value would raise.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from bench.decisions.history import ColumnHistory
from bench.decisions.monitors import Monitor
from driftline.monitors.backtest.fine_bins import FineBins
from driftline.monitors.backtest.history import History
from driftline.monitors.backtest.nannyml import distances_of_counts
from driftline.monitors.backtest.other_tools import OTHERS, Reference

__all__ = ["PEERS", "WHOLE_DATA", "peer_flags"]

# Evidently's preset: half of the columns must drift.
WHOLE_DATA = "evidently-dataset"
PEERS = ("sagemaker", "evidently", WHOLE_DATA, "nannyml")


def peer_flags(monitor: Monitor, histories: Mapping[str, ColumnHistory]) -> dict[str, np.ndarray]:
    """Return for each rule in which windows which columns drift: bool, shape (W, K)."""
    windows = {name: one.windows(monitor.length_h) for name, one in histories.items()}
    rows = next(iter(windows.values())).sum(axis=1)
    at = np.arange(rows.size, dtype=np.int64)
    marks = {name: _marked(counts) for name, counts in windows.items()}
    sums = {name: _sums(histories[name], counts) for name, counts in marks.items()}
    history = History(at, at + 1, rows, windows, marks, sums)
    chunks = {name: _marked(one.blocks(monitor.length_h)) for name, one in histories.items()}
    reference = Reference(
        {name: _fine_bins(one) for name, one in histories.items()},
        {name: distances_of_counts(chunks[name], marks[name]).alarms for name in histories},
    )
    never = np.zeros(rows.size, dtype=bool)
    found = {}
    for peer in PEERS:
        flags = OTHERS[peer].judge(history, reference)
        found[peer] = np.column_stack([flags.get(name, never) for name in histories])
    return found


def _marked(counts: np.ndarray) -> np.ndarray:
    """Put the two cells without a value together: the last mark."""
    return np.concatenate([counts[:, :-2], counts[:, -2:].sum(axis=1, keepdims=True)], axis=1)


def _sums(column: ColumnHistory, marks: np.ndarray) -> np.ndarray:
    sums = np.zeros(marks.shape)
    if column.means.size:
        sums[:, :-1] = marks[:, :-1] * column.means
    return sums


def _fine_bins(column: ColumnHistory) -> FineBins:
    counts = _marked(column.reference.counts[None, :])
    cells = column.cells
    return FineBins(
        column=cells.column,
        type=cells.type,
        is_number=cells.is_number,
        edges=np.asarray(cells.edges, dtype=np.float64),
        levels=pa.array(cells.levels, pa.string()),
        counts=counts[0],
        sums=_sums(column, counts)[0],
        deviation=column.deviation,
        distinct_count=column.distinct_count,
    )
