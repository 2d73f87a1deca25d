"""Steps of numbers from one row to the next in time, counted by day and size class.

The binary exponent and the next two bits give a step's class: four an octave, the same for every
column, so that counts add up in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.blocks import HOUR_US
from driftline.baseline.cells import Cells
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


@dataclass(frozen=True, slots=True, eq=False)
class LastRows:
    """The last row of each of R levels, from which the next batch continues."""

    levels: Integers  # Shape (R,).
    times_us: Integers  # Shape (R,).
    numbers: Mapping[str, Numbers]  # By column, shape (R,).


@dataclass(slots=True)
class StepCounter:
    """Collects the steps of columns of numbers while rows are read.

    Rows are ordered by time within a batch. Batches whose times overlap count as unknown, because
    rows of one may lie between rows of another. Steps end with the day, so that windows of days add
    up.
    """

    time_column: str
    columns: tuple[str, ...]
    # By column of numbers: the column of texts within whose levels its steps are taken.
    within: Mapping[str, Cells] = field(default_factory=dict)
    _spans: list[tuple[int, int]] = field(default_factory=list)  # First and last time of batches.
    # By column: keys day * CODE_COUNT + code, ascending, and how many steps of each.
    _counts: dict[str, list[tuple[Integers, Integers]]] = field(default_factory=dict)
    _overlaps: bool = False  # Batches overlap in time: there are no steps, and none are kept.
    # By column of texts, None for all rows: what the last batch ended with.
    _last: dict[str | None, LastRows] = field(default_factory=dict)

    @classmethod
    def start(
        cls, time_column: str, columns: Iterable[str], within: Mapping[str, Cells] | None = None
    ) -> StepCounter:
        """Begin without rows."""
        return cls(time_column, tuple(columns), within or {})

    def update(self, batch: pa.RecordBatch, order: TimeOrder | None = None) -> None:
        """Add rows, optionally with their order in time."""
        order = order or TimeOrder.of(batch.column(self.time_column))
        times = order.times_us
        if not len(times):
            return
        first, last = int(times[0]), int(times[-1])
        self._overlaps |= any(first < until and since < last for since, until in self._spans)
        if self._overlaps:
            self._spans, self._counts, self._last = [], {}, {}
            return
        if self._spans and first < self._spans[-1][1]:
            self._last = {}  # Of later rows, which no step leads from.
        self._spans.append((first, last))
        present = set(batch.schema.names)
        groups: dict[str | None, list[str]] = {}
        for name in self.columns:
            own = self.within.get(name)
            if name in present and (own is None or own.column in present):
                groups.setdefault(None if own is None else own.column, []).append(name)
        for text, names in groups.items():
            self._add(batch, order, text, names)

    def _add(
        self, batch: pa.RecordBatch, order: TimeOrder, text: str | None, names: Sequence[str]
    ) -> None:
        """Count the steps of columns within the levels of one text column."""
        times, last = order.times_us, self._last.get(text)
        levels, kept = np.zeros(len(times), np.int64), None
        if text is not None:
            cells = self.within[names[0]]
            levels = _ordered(cells.assign(batch.column(text)), order)
            kept = np.flatnonzero(levels < len(cells.levels))
            levels, times = levels[kept], times[kept]
        if last is not None:
            levels = np.concatenate([last.levels, levels])
            times = np.concatenate([last.times_us, times])
        if not len(times):
            return
        by_level = np.arange(len(times))
        if text is not None:
            by_level = np.argsort(levels, kind="stable")
            levels, times = levels[by_level], times[by_level]
        ends = np.flatnonzero(np.diff(levels, append=-1))
        gaps, days = np.diff(times), times // DAY_US
        near = (gaps > 0) & (levels[1:] == levels[:-1])
        usual = gaps[near & (by_level[:-1] >= (0 if last is None else len(last.levels)))]
        near &= gaps <= GAP_FACTOR * (np.median(usual) if len(usual) else 0)
        near &= days[1:] == days[:-1]
        first_day = int(days.min())
        keys = (days[1:][near] - first_day) * CODE_COUNT
        size = int(days.max() - first_day + 1) * CODE_COUNT
        numbers: dict[str, Numbers] = {}
        for name in names:
            values = order.ordered(coerce(batch.column(name), "double")[0])
            values = values if kept is None else values[kept]
            if last is not None:
                known = last.numbers.get(name, np.full(len(last.levels), np.nan))
                values = np.concatenate([known, values])
            if text is not None:
                values = values[by_level]
            numbers[name] = values[ends]
            with np.errstate(invalid="ignore", over="ignore"):  # Endless steps are not counted.
                steps = np.abs(np.diff(values))[near]
            is_known = np.isfinite(steps)
            found = _tallied(keys[is_known] + step_codes(steps[is_known]), size)
            own = self._counts.setdefault(name, [])
            own.append((found[0] + first_day * CODE_COUNT, found[1]))
        self._last[text] = LastRows(levels[ends], times[ends], numbers)

    def merge(self, other: StepCounter) -> StepCounter:
        """Return the counter of the rows of both; neither input changes."""
        counts = {
            name: [*self._counts.get(name, ()), *other._counts.get(name, ())]
            for name in self.columns
        }
        spans = [*self._spans, *other._spans]
        overlaps = self._overlaps or other._overlaps
        return StepCounter(self.time_column, self.columns, self.within, spans, counts, overlaps)

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


def _ordered(found: Integers, order: TimeOrder) -> Integers:
    return found if order.places is None else found[order.places]


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
