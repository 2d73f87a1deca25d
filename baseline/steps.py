"""Steps of numbers from one row to the next in time, counted by day and size class.

The binary exponent and the next two bits give a step's class: four an octave, the same for every
column, so that counts add up in any order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.blocks import HOUR_US
from driftline.baseline.value_runs import TimeOrder
from driftline.formats.coercion import coerce
from driftline.stats.day_scores import StepCounts

DAY_US = 24 * HOUR_US
# Steps over a longer gap than so many usual ones are none.
GAP_FACTOR = 3
# Bits of a float64 below the two that tell quarters of an octave, and the code of 2^-40; what is
# smaller is no step.
SHIFT = np.int64(50)
FIRST_CODE = (1023 - 40) << 2
CODE_COUNT = 512

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(slots=True)
class StepCounter:
    """Collects the steps of columns of numbers while rows are read.

    Rows are ordered by time within a batch. Batches whose times overlap count as unknown, because
    rows of one may lie between rows of another. Steps end with the day, so that windows of days add
    up.
    """

    time_column: str
    columns: tuple[str, ...]
    _spans: list[tuple[int, int]] = field(default_factory=list)  # First and last time of batches.
    # By column: keys day * CODE_COUNT + code, ascending, and how many steps of each.
    _counts: dict[str, list[tuple[Integers, Integers]]] = field(default_factory=dict)
    _overlaps: bool = False  # Batches overlap in time: there are no steps, and none are kept.
    # Time and numbers by column of the last row, from which the next batch continues.
    _last: tuple[int, dict[str, float]] | None = None

    @classmethod
    def start(cls, time_column: str, columns: Iterable[str]) -> StepCounter:
        """Begin without rows."""
        return cls(time_column, tuple(columns))

    def update(self, batch: pa.RecordBatch, order: TimeOrder | None = None) -> None:
        """Add rows, optionally with their order in time."""
        order = order or TimeOrder.of(batch.column(self.time_column))
        times = order.times_us
        if not len(times):
            return
        first, end = int(times[0]), int(times[-1])
        self._overlaps |= any(first < until and since < end for since, until in self._spans)
        if self._overlaps:
            self._spans, self._counts, self._last = [], {}, None
            return
        usual = np.diff(times)
        usual = usual[usual > 0]
        before: dict[str, float] = {}
        if self._last is not None and self._last[0] <= first:  # Else of later rows.
            times, before = np.append(self._last[0], times), self._last[1]
        self._spans.append((first, end))
        gaps, days = np.diff(times), times // DAY_US
        near = (gaps > 0) & (gaps <= GAP_FACTOR * (np.median(usual) if len(usual) else 0))
        near &= days[1:] == days[:-1]
        first_day = int(days.min())
        keys = (days[1:][near] - first_day) * CODE_COUNT
        size = int(days.max() - first_day + 1) * CODE_COUNT
        last: dict[str, float] = {}
        for name in (one for one in self.columns if one in batch.schema.names):
            values = order.ordered(coerce(batch.column(name), "double")[0])
            last[name] = values[-1]
            if len(values) < len(times):
                values = np.append(before.get(name, np.nan), values)
            with np.errstate(invalid="ignore", over="ignore"):  # Endless steps are not counted.
                steps = np.abs(np.diff(values))[near]
            is_known = np.isfinite(steps)
            found = _tallied(keys[is_known] + step_codes(steps[is_known]), size)
            own = self._counts.setdefault(name, [])
            own.append((found[0] + first_day * CODE_COUNT, found[1]))
        self._last = end, last

    def merge(self, other: StepCounter) -> StepCounter:
        """Return the counter of the rows of both; neither input changes."""
        counts = {
            name: [*self._counts.get(name, ()), *other._counts.get(name, ())]
            for name in self.columns
        }
        spans = [*self._spans, *other._spans]
        overlaps = self._overlaps or other._overlaps
        return StepCounter(self.time_column, self.columns, spans, counts, overlaps)

    def result(self, *, since_day: int | None = None) -> dict[str, StepCounts]:
        """Return the steps by column, from a day on; none where batches overlap in time."""
        spans = sorted(self._spans)
        overlap = any(later[0] < former[1] for former, later in pairwise(spans))
        if self._overlaps or overlap:
            return {}
        found = {name: _by_day(parts, since_day) for name, parts in self._counts.items() if parts}
        return {name: steps for name, steps in found.items() if len(steps.days)}


def step_codes(steps: Numbers) -> Integers:
    """Return the class of each step's size, below `CODE_COUNT`, given finite sizes."""
    codes = (steps.view(np.int64) >> SHIFT) - FIRST_CODE
    return np.asarray(np.clip(codes, 0, CODE_COUNT - 1))


def _tallied(keys: Integers, size: int) -> tuple[Integers, Integers]:
    """Return the distinct keys, ascending in [0, size), and their counts."""
    if size > max(4 * len(keys), 1 << 20):
        found, counts = np.unique(keys, return_counts=True)
        return found, counts
    counts = np.bincount(keys, minlength=1)
    found = np.flatnonzero(counts)
    return found, counts[found]


def _by_day(parts: list[tuple[Integers, Integers]], since_day: int | None) -> StepCounts:
    keys, often = (np.concatenate(each) for each in zip(*parts, strict=True))
    if since_day is not None:
        kept = keys >= since_day * CODE_COUNT
        keys, often = keys[kept], often[kept]
    days, day_at = np.unique(keys // CODE_COUNT, return_inverse=True)
    codes, code_at = np.unique(keys % CODE_COUNT, return_inverse=True)
    counts = np.zeros((len(days), len(codes)), np.int64)
    np.add.at(counts, (day_at, code_at), often)
    return StepCounts(days, codes, counts)
