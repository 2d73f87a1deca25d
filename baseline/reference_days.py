"""The days of a reference: scores of columns, and how much their days vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells
from driftline.stats.calendar_regression import (
    SEASON_DAYS,
    Integers,
    Numbers,
    Ridge,
    hour_design,
)
from driftline.stats.day_scores import (
    ROUGH,
    SPREAD,
    SPREAD_DAYS,
    ColumnScores,
    DaySums,
    LevelScores,
    NumberScores,
    StepCounts,
    StepScores,
    hour_ridge,
)
from driftline.stats.day_variation import REFERENCE_DAYS, DayVariation


@dataclass(frozen=True, eq=False)
class ReferenceDays:
    """Columns whose reference has the same hours."""

    scores: Mapping[str, ColumnScores]
    places: Mapping[str, slice]  # Of each column's scores among those of all, F.
    variation: DayVariation
    # How far means of scores move, down and up, where clocks change by an hour, shape (2, F).
    clock_change: Numbers

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Cells],
        blocks: BlockCounts,
        steps: Mapping[str, StepScores],
    ) -> ReferenceDays | None:
        """Learn from the reference's hours; None where they span too few days."""
        hours = blocks.hours
        span_days = blocks.span_days
        if span_days < REFERENCE_DAYS or (hours[-1] - hours[0]) / 24 > 2 * span_days:
            return None
        ridge = hour_ridge(hour_design(hours, span_days))
        scores: dict[str, ColumnScores] = {}
        places: dict[str, slice] = {}
        sums: list[DaySums] = []
        variances: list[Numbers] = []
        changes: list[Numbers] = []
        first = 0
        for name, cells in columns.items():
            known = blocks.counts.get(name)
            if known is None or cells.type == "timestamp":
                continue
            counts = known[:, :-2].astype(np.float64)
            if not counts.any():
                continue
            own = _scores(cells, hours, ridge, counts, steps.get(name))
            if not own.names:
                continue
            own_steps = steps[name].days if name in steps else None
            found, variance = own.day_sums(hours, ridge.design, counts, own_steps)
            if span_days < SPREAD_DAYS:
                variance = np.where([score == SPREAD for score in own.names], 0.0, variance)
            scores[name], places[name] = own, slice(first, first + len(own.names))
            first += len(own.names)
            sums.append(found)
            variances.append(variance)
            changes.append(_clock_change(own, hours, counts, span_days))
        if not scores:
            return None
        variation = DayVariation.of(
            sums[0].days,
            np.concatenate([one.sums for one in sums], axis=1),
            np.concatenate([one.rows for one in sums], axis=1),
            np.concatenate(variances),
            span_days,
        )
        return cls(scores, places, variation, np.concatenate(changes, axis=1))

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Column and name of each score, F of them."""
        return tuple((name, score) for name, own in self.scores.items() for score in own.names)

    @property
    def is_paced(self) -> np.ndarray:
        """Which scores depend on a day's number of rows, shape (F,)."""
        return np.array([score in (ROUGH, SPREAD) for _, score in self.names])

    @property
    def largest(self) -> Numbers:
        """Largest possible mean of each score, shape (F,)."""
        return np.concatenate([own.largest for own in self.scores.values()])

    @property
    def units(self) -> Numbers:
        """Unit of each score, (F,): a standard deviation; of levels, a share."""
        return np.concatenate([own.units for own in self.scores.values()])

    def beyond_clock_change(self, mean: Numbers) -> Numbers:
        """Return a span's means less an hour's clock change, shape (F,)."""
        return np.asarray(mean - np.clip(mean, *self.clock_change))

    def day_sums(self, blocks: BlockCounts, steps: Mapping[str, StepCounts]) -> dict[str, DaySums]:
        """Score the days of a window, by column."""
        design = hour_design(blocks.hours, self.variation.span_days)
        found = {}
        for name, own in self.scores.items():
            if name not in blocks.counts:
                continue
            counts = blocks.counts[name][:, :-2].astype(np.float64)
            own_steps = None
            if isinstance(own, NumberScores) and own.steps is not None and name in steps:
                own_steps = own.steps.score(steps[name])
            found[name], _ = own.day_sums(blocks.hours, design, counts, own_steps)
        return found


def parts_of(
    columns: Mapping[str, Cells],
    blocks: BlockCounts | None,
    steps: Mapping[str, StepScores],
) -> tuple[ReferenceDays, ...]:
    """Learn from the reference's hours, by group of columns with the same hours; none without."""
    parts = () if blocks is None else (blocks, *blocks.apart)
    found = (ReferenceDays.of(columns, part, steps) for part in parts)
    return tuple(one for one in found if one is not None)


def _scores(
    cells: Cells, hours: Integers, ridge: Ridge, counts: Numbers, steps: StepScores | None
) -> ColumnScores:
    if cells.is_number:
        return NumberScores.of(hours, ridge, counts, steps)
    return LevelScores.of(ridge, counts, cells.levels)


def _clock_change(
    scores: ColumnScores, hours: Integers, counts: Numbers, span_days: float
) -> Numbers:
    """Return how far the reference's means move an hour earlier or later, shape (2, F).

    Data that follow local time move so in UTC twice a year. A reference of a year has seen it.
    """
    if span_days >= SEASON_DAYS:
        return np.zeros((2, len(scores.names)))
    means = []
    for moved in (hours, hours - 1, hours + 1):
        found, _ = scores.day_sums(moved, hour_design(moved, span_days), counts, None)
        means.append(found.sums.sum(axis=0) / np.maximum(found.rows.sum(axis=0), 1.0))
    changes = np.array(means) - means[0]
    return np.stack([changes.min(axis=0), changes.max(axis=0)])
