"""What the product's decision says of a history: which columns are in violation, window by window.

An alarm is an incident: a column that is in violation and was not in the window before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.drift_test import significance
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift_test import SCALES, DriftTest
from driftline.monitors.drift_test.window_counts import WindowCounts
from tests.monitors.drift_test.simulation.history import ColumnHistory
from tests.monitors.drift_test.simulation.monitors import Monitor
from tests.monitors.drift_test.simulation.rows import START

START_H = int(START.timestamp()) // 3600


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts on one history; shapes: W windows, K columns.

    Parameters
    ----------
    names
        The columns, K.
    violated
        bool, shape (W, K).
    undecided
        bool, shape (W, K): too little data.
    """

    names: tuple[str, ...]
    violated: np.ndarray
    undecided: np.ndarray

    @property
    def incidents(self) -> int:
        """How many alarms there were."""
        return int(incidents(self.violated).sum())


def incidents(violated: np.ndarray) -> np.ndarray:
    """Mark the windows in which a column begins to be in violation, shape (W, K)."""
    before = np.zeros_like(violated)
    before[1:] = violated[:-1]
    return np.asarray(violated & ~before)


def judge(monitor: Monitor, histories: Mapping[str, ColumnHistory]) -> Verdicts:
    """Judge all windows in order, as a monitor does: its budget, all scales, the past it needs."""
    drift_test = _drift_test(monitor, histories)
    names = tuple(histories)
    past: deque[WindowCounts] = deque(maxlen=max(drift_test.earlier_windows, 1))
    violated, undecided = [], []
    for window in _windows(monitor, histories):
        with _rough_bounds():
            decision = drift_test.judge(window, tuple(past))
        drifted = set(decision.drifted)
        violated.append([name in drifted for name in names])
        undecided.append([name in decision.notes for name in names])
        past.append(window)
    return Verdicts(names, np.array(violated), np.array(undecided))


@contextmanager
def _rough_bounds() -> Iterator[None]:
    """Find the bounds that people are shown roughly: no verdict rests on them, and they cost most.

    What is in violation follows from the evidence alone (``significance.bounds`` is only for show).
    """
    usual = significance.BOUND_ERROR
    significance.BOUND_ERROR = 1.0
    try:
        yield
    finally:
        significance.BOUND_ERROR = usual


def _drift_test(monitor: Monitor, histories: Mapping[str, ColumnHistory]) -> DriftTest:
    first = next(iter(histories.values()))
    rows = first.hours[: monitor.reference_hours].sum(axis=1)
    at = np.flatnonzero(rows)
    return DriftTest(
        {name: one.reference for name, one in histories.items()},
        BlockCounts(
            (at + START_H).astype(np.int64),
            {name: one.hours[: monitor.reference_hours][at] for name, one in histories.items()},
        ),
        monitor.length,
        Budget(1.0, monitor.windows_per_year),
        scales=SCALES,
    )


def _windows(monitor: Monitor, histories: Mapping[str, ColumnHistory]) -> Iterator[WindowCounts]:
    counts = {name: one.windows(monitor.length_h) for name, one in histories.items()}
    first = next(iter(counts.values()))
    begin = START + monitor.reference_days * 24 * monitor.length / monitor.length_h
    for index, rows in enumerate(first.sum(axis=1).tolist()):
        start = begin + index * monitor.length
        cells = {name: one[index] for name, one in counts.items()}
        yield WindowCounts(start, start + monitor.length, rows, cells)


def first_alarm(monitor: Monitor, histories: Mapping[str, ColumnHistory], onset: int) -> int | None:
    """Return windows from a change of column "x0" to its alarm, 1 for the first; None: no alarm.

    Only an alarm that begins after the change counts: the window before it is judged, too.
    """
    drift_test = _drift_test(monitor, histories)
    past: deque[WindowCounts] = deque(maxlen=max(drift_test.earlier_windows, 1))
    before = False
    for index, window in enumerate(_windows(monitor, histories)):
        if index >= onset - 1:
            with _rough_bounds():
                violated = "x0" in drift_test.judge(window, tuple(past)).drifted
            if violated and not before and index >= onset:
                return index - onset + 1
            before = violated
        past.append(window)
    return None
