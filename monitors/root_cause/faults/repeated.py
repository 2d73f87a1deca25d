"""Yesterday's values: a column's counts are those of the window before, to the last row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.results.violation import Fault
from driftline.monitors.root_cause.faults.context import MIN_VALUES, FaultContext

KIND = "values_repeated"
# Chance that two windows agree in all cells of a column, over all columns.
FALSE_NAME = 1e-6
# A column that never changes agrees with itself every day: windows before must not have.
LEAST_PAST = 2


def repeated(context: FaultContext) -> Iterator[tuple[str, Fault]]:
    """Hold the violated columns against the window before."""
    past, counts = context.past, context.counts
    if counts is None or len(past) < LEAST_PAST or past[-1].end != counts.start:
        return
    for name in context.violated:
        now = counts.cells.get(name)
        if now is None or counts.row_count < MIN_VALUES or not _is_same(past[-1], counts, name):
            continue
        is_usual = any(_is_same(*pair, name) for pair in pairwise(past))
        if not is_usual and _chance(now) < math.log(FALSE_NAME / len(context.violated)):
            yield name, Fault(KIND, "its values look like those of the window before, row for row")


def _is_same(one: WindowCounts, other: WindowCounts, name: str) -> bool:
    first, second = one.cells.get(name), other.cells.get(name)
    if first is None or second is None:
        return False
    return first.shape == second.shape and bool((first == second).all())


def _chance(counts: np.ndarray) -> float:
    """Return the logarithm of the chance that two windows of these shares agree in all cells."""
    often = counts[counts > 0].astype(np.float64)
    # Two multinomial counts of equal shares, by the normal density at equal values.
    return float(0.5 * np.log(4 * np.pi * often.sum()) - 0.5 * np.log(4 * np.pi * often).sum())
