"""The longest stretch of production that agrees with itself, to take a baseline from. Pure.

Windows shorter than a day are added up to days, since hours of a day differ for good reasons. Two
units agree when no set of any column gives evidence against it, over what units usually differ by.
Columns in which neighbouring units often differ (as the day of the week does by its nature) tell of
no change, and are left out.
Shapes: U units, S scanned sets of a column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.significance import MIN_ROWS, Numbers, likelihood_ratio
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.warm_up.warm_up import StableSpan
from driftline.stats.blocks import upper_factor

DAY = timedelta(days=1)
# Fewer units say nothing of how much units differ.
FEWEST_UNITS = 3
# Chance of parting two units anywhere in the history, without any change.
ALPHA = 0.01
TOLERANCE = Budget().tolerance
# Median of 2G between two units without any change: that of chi-squared with one degree of freedom.
MEDIAN_RATIO = 0.4549
INNER_SHARE = 0.05
# A column is left out when more than this share of neighbours differ in it, three pairs at least:
# changes are few.
RESTLESS_SHARE, RESTLESS_PAIRS = 0.25, 3


def stable_span(windows: Sequence[WindowCounts], cells: Mapping[str, Cells]) -> StableSpan | None:
    """Find the longest run of units that all agree with each other, the newest of equal ones."""
    units = [unit for unit in _units(windows) if unit.row_count >= MIN_ROWS]
    if len(units) < FEWEST_UNITS:
        return None
    agrees, is_told = np.ones((len(units), len(units)), dtype=bool), False
    columns = [name for name in cells if all(name in unit.cells for unit in units)]
    for name in columns:
        counts = cells[name].scan(np.stack([unit.cells[name] for unit in units]))
        found = _agreement(counts.astype(np.float64), units, len(columns))
        if not _is_restless(found):
            agrees, is_told = agrees & found, True
    first, last = _longest_run(agrees)
    if not is_told or last - first + 1 < FEWEST_UNITS:
        return None
    start, end = units[first].start, units[last].end
    assert start is not None
    assert end is not None
    return StableSpan(start, end, sum(unit.row_count for unit in units[first : last + 1]))


def _units(windows: Sequence[WindowCounts]) -> list[WindowCounts]:
    """Add windows of less than a day up to days in UTC."""
    days: dict[datetime, list[WindowCounts]] = {}
    for window in windows:
        assert window.start is not None
        assert window.end is not None
        day = window.start
        if window.end - window.start < DAY:
            day = window.start.replace(hour=0, minute=0, second=0, microsecond=0)
        days.setdefault(day, []).append(window)
    return [WindowCounts.merged(found) for found in days.values()]


def _agreement(
    counts: Numbers, units: Sequence[WindowCounts], column_count: int
) -> NDArray[np.bool_]:
    """Return which units agree in a column, shape (U, U), from counts of its sets, shape (U, S)."""
    rows = np.array([unit.row_count for unit in units], dtype=np.float64)
    pooled = counts.sum(axis=0) / rows.sum()
    effect = _usual_effect(counts, rows, pooled)
    free = 2.0 * TOLERANCE * np.sqrt(pooled * (1.0 - pooled))
    found = _pairs(counts, rows, np.arange(rows.size)[:, None], np.arange(rows.size), free)
    pair_count = rows.size * (rows.size - 1) / 2
    needed = math.log(2.0 * counts.shape[1] * pair_count * column_count / ALPHA)
    return np.asarray((found / effect).max(axis=-1) <= needed)


def _is_restless(agrees: NDArray[np.bool_]) -> bool:
    """Return whether many neighbouring units differ, by which units agree, shape (U, U)."""
    apart = ~np.diagonal(agrees, offset=1)
    return bool(apart.sum() >= RESTLESS_PAIRS and apart.mean() > RESTLESS_SHARE)


def _usual_effect(counts: Numbers, rows: Numbers, pooled: Numbers) -> Numbers:
    """Learn from neighbouring units how much more they differ than independent rows would, (S,).

    By medians, so that a single change between two neighbours does not count.
    """
    first = np.arange(rows.size - 1)
    bound = upper_factor(first.size)  # Few pairs may all be alike by chance.
    ratios = 2.0 * _pairs(counts, rows, first, first + 1, np.zeros(pooled.size))
    effect = np.maximum(np.median(ratios, axis=0) / MEDIAN_RATIO, 1.0) * bound
    inner = (pooled >= INNER_SHARE) & (pooled <= 1.0 - INNER_SHARE)
    common = float(np.median(effect[inner])) if inner.any() else 1.0
    return np.maximum(effect, common)


def _pairs(
    counts: Numbers,
    rows: Numbers,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    tolerance: Numbers,
) -> Numbers:
    """Weigh the difference of pairs of units in each set, shape (pairs..., S)."""
    share = counts / rows[:, None]
    return likelihood_ratio(
        share[left], rows[left][..., None], share[right], rows[right][..., None],
        tolerance=tolerance,
    )  # fmt: skip


def _longest_run(agrees: NDArray[np.bool_]) -> tuple[int, int]:
    """Return first and last index of the longest run that agrees pairwise; the newest of equals."""
    best, first = (0, 0), 0
    for last in range(len(agrees)):
        apart = np.flatnonzero(~agrees[first:last, last] | ~agrees[last, first:last])
        if apart.size:
            first += int(apart[-1]) + 1
        if last - first >= best[1] - best[0]:
            best = first, last
    return best
