"""What a day is like in a few numbers: level, daily cycle, steps from row to row, spread.

Made of counts by hour and cell, so that no row is needed: a cell stands for its middle rank.
Shapes: H hours, D days, C cells, F scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from driftline.stats.calendar_regression import DAY_H, Integers, Numbers, Ridge

# No rank lies nearer to 0 or 1 than the middle of the first of so many equal parts: one wild value
# never decides.
FINEST_RANK = 1 / 256
RIDGE = 1e-4
# What a score varies by at least, of numbers and of shares: hardly anything varies in truth then.
LEAST_DEVIATION, LEAST_SHARE_DEVIATION = 5e-2, 1e-2
# Levels with a share from here to 1 - here have a score, the most frequent of them.
LEVEL_SHARE = 0.02
LEVELS_MOST = 20
# A day with rows in fewer hours does not tell how its values spread, nor does one that is shorter
# than this part of the reference's days: part of a day spreads less than all of it.
SPREAD_HOURS, SPREAD_FULL = 12, 0.8
# A shorter reference does not tell how the spread of days varies: it is 0 variance, not judged.
SPREAD_DAYS = 84.0
LEVEL, CLOCK_COS, CLOCK_SIN, ROUGH, SPREAD = "level", "clock cos", "clock sin", "rough", "spread"
NUMBER_SCORES = (LEVEL, CLOCK_COS, CLOCK_SIN, ROUGH, SPREAD)


@dataclass(frozen=True, slots=True, eq=False)
class DaySums:
    """Scores of one column, added up by the day; those of two parts add up to those of both."""

    days: Integers  # Ascending, since 1970-01-01, shape (D,).
    sums: Numbers  # Shape (D, F).
    rows: Numbers  # Rows behind each sum, shape (D, F).

    @classmethod
    def merged(cls, parts: Sequence[DaySums]) -> DaySums:
        """Add up at least one part."""
        days, at = np.unique(np.concatenate([part.days for part in parts]), return_inverse=True)
        shape = (len(days), parts[0].sums.shape[1])
        sums, rows = np.zeros(shape), np.zeros(shape)
        np.add.at(sums, at, np.concatenate([part.sums for part in parts]))
        np.add.at(rows, at, np.concatenate([part.rows for part in parts]))
        return cls(days, sums, rows)


@dataclass(frozen=True, slots=True, eq=False)
class StepCounts:
    """How often values moved by how much from one row to the next, by the day."""

    days: Integers  # Ascending, shape (D,).
    codes: Integers  # Of sizes of steps, ascending, shape (S,).
    counts: Integers  # Shape (D, S).


@dataclass(frozen=True, slots=True, eq=False)
class StepScores:
    """The steps of a reference: how they are scored, and the scores of its days."""

    codes: Integers  # Ascending, shape (S,).
    totals: Integers  # Steps of each code, shape (S,).
    days: DaySums  # Of one score, F 1.

    @classmethod
    def of(cls, steps: StepCounts) -> StepScores:
        """Learn from steps by the day."""
        totals = steps.counts.sum(axis=0)
        empty = DaySums(steps.days, np.zeros((0, 1)), np.zeros((0, 1)))
        days = cls(steps.codes, totals, empty).score(steps)
        return cls(steps.codes, totals, days)

    @property
    def scores(self) -> Numbers:
        """Normal scores of steps by code, shape (S,)."""
        return normal_scores(self.totals.astype(np.float64))

    @property
    def row_variance(self) -> float:
        """The variance of a step's score."""
        scores, total = self.scores, max(int(self.totals.sum()), 1)
        mean = float(self.totals @ scores) / total
        return max(float(self.totals @ scores**2) / total - mean**2, 0.0)

    def score(self, steps: StepCounts) -> DaySums:
        """Score days; a size that the reference has not counts as the next smaller one."""
        place = np.searchsorted(self.codes, steps.codes, side="right") - 1
        sums = steps.counts @ self.scores[np.maximum(place, 0)]
        return DaySums(steps.days, sums[:, None], steps.counts.sum(axis=1)[:, None] * 1.0)


def normal_scores(counts: Numbers) -> Numbers:
    """Return the normal score of each class's middle rank.

    Parameters
    ----------
    counts
        Rows of each class, in ascending order of what they hold, shape (C,); some above 0.

    Returns
    -------
    numpy.ndarray
        Shape (C,), within +-2.9.

    References
    ----------
    van der Waerden, Indagationes Mathematicae 14, 1952 (normal scores); Bross, Biometrics 14, 1958
    (middle ranks, "ridits").
    """
    ends = np.cumsum(counts)
    ranks = (ends - counts / 2) / max(ends[-1], 1.0)
    return np.asarray(special.ndtri(np.clip(ranks, FINEST_RANK / 2, 1 - FINEST_RANK / 2)))


def hour_ridge(design: Numbers) -> Ridge:
    """Return what fits the scores of hours on `hour_design`; columns of the same rows share work.

    References
    ----------
    Hoerl, Kennard, Technometrics 12, 1970.
    """
    return Ridge(design, RIDGE)


@dataclass(frozen=True, slots=True, eq=False)
class NumberScores:
    """How the days of a column of numbers are scored, learnt of its reference.

    A row's residual is r = (z - what the calendar leads to expect) / deviation, z its cell's
    normal score. Its scores are r itself (level), sqrt(2) r times cosine and sine of the hour
    (clock: the daily cycle moved), the normal score of its step (rough), and |r - the day's mean|
    (spread).
    """

    cell_scores: Numbers  # Shape (C,).
    coefficients: Numbers  # Of `hour_design`, shape (K,).
    deviation: float
    day_hours: float  # From the first row of a day of the reference to its last, at the median.
    steps: StepScores | None = None  # None: rough is not scored.

    @classmethod
    def of(
        cls, hours: Integers, ridge: Ridge, counts: Numbers, steps: StepScores | None
    ) -> NumberScores:
        """Learn from rows by hour and cell, shape (H, C), on what `hour_ridge` returns.

        References
        ----------
        Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2009, ch. 3.
        """
        scores, rows = normal_scores(counts.sum(axis=0)), counts.sum(axis=1)
        total = counts @ scores
        mean = np.divide(total, rows, out=np.zeros_like(total), where=rows > 0)
        coefficients = ridge.fit(rows, mean[:, None])[:, 0]
        expected = ridge.design @ coefficients
        squares = counts @ scores**2 - 2 * expected * total + rows * expected**2
        deviation = np.sqrt(max(float(squares.sum() / max(rows.sum(), 1.0)), 0.0))
        deviation = max(deviation, LEAST_DEVIATION)
        _, starts = np.unique(hours // DAY_H, return_index=True)
        day_hours = float(np.median(_extents(hours, rows, starts)))
        return cls(scores, coefficients, deviation, day_hours, steps)

    @property
    def names(self) -> tuple[str, ...]:
        """The scores, F of them."""
        return NUMBER_SCORES

    @property
    def largest(self) -> Numbers:
        """How far a mean of each score can lie from 0, shape (F,)."""
        level = float(np.abs(self.cell_scores).max(initial=0.0)) / self.deviation
        step = 0.0 if self.steps is None else float(np.abs(self.steps.scores).max(initial=0.0))
        return np.array([level, level, level, step, level])

    @property
    def units(self) -> Numbers:
        """What 1 is of each score: a standard deviation of the residual, shape (F,)."""
        return np.ones(len(NUMBER_SCORES))

    def day_sums(
        self, hours: Integers, design: Numbers, counts: Numbers, steps: DaySums | None
    ) -> tuple[DaySums, Numbers]:
        """Score days, given rows by hour and cell, and their scored steps.

        The variance of rows, shape (F,), comes beside.
        """
        rows = counts.sum(axis=1)
        expected = design @ self.coefficients
        level = (counts @ self.cell_scores - rows * expected) / self.deviation
        angle = 2 * np.pi * (hours % DAY_H) / DAY_H
        waves = np.stack([np.ones(len(hours)), *(2**0.5 * f(angle) for f in (np.cos, np.sin))])
        days, starts = np.unique(hours // DAY_H, return_index=True)
        sums = np.zeros((len(days), len(NUMBER_SCORES)))
        held = np.zeros_like(sums)
        if len(days):
            sums[:, :3] = np.add.reduceat(waves * level, starts, axis=1).T
            held[:, :3] = np.add.reduceat(rows, starts)[:, None]
        squares = np.zeros(len(NUMBER_SCORES))
        residuals = (self.cell_scores - expected[:, None]) / self.deviation
        squares[:3] = waves**2 @ (counts * residuals**2).sum(axis=1)
        widths = np.diff(np.append(starts, len(hours)))
        if len(days):
            means = sums[:, 0] / np.maximum(held[:, 0], 1.0)
            away = np.abs(residuals - np.repeat(means, widths)[:, None])
            known = np.add.reduceat((rows > 0).astype(np.int64), starts) >= SPREAD_HOURS
            known &= _extents(hours, rows, starts) >= SPREAD_FULL * self.day_hours
            kept = np.repeat(known, widths)
            sums[:, 4] = np.add.reduceat((counts * away).sum(axis=1), starts) * known
            held[:, 4] = held[:, 0] * known
            squares[4] = (counts * away**2)[kept].sum()
        total = np.maximum(held.sum(axis=0), 1.0)
        variance = np.maximum(squares / total - (sums.sum(axis=0) / total) ** 2, 0.0)
        if steps is not None and self.steps is not None:
            kept = np.isin(steps.days, days)
            at = np.searchsorted(days, steps.days[kept])
            sums[at, 3], held[at, 3] = steps.sums[kept, 0], steps.rows[kept, 0]
            variance[3] = self.steps.row_variance
        return DaySums(days, sums, held), variance


def _extents(hours: Integers, rows: Numbers, starts: Integers) -> Integers:
    """Return the hours from the first with rows to the last, by the day, shape (D,)."""
    held = rows > 0
    first = np.minimum.reduceat(np.where(held, hours, hours[-1] + 1), starts)
    last = np.maximum.reduceat(np.where(held, hours, hours[0] - 1), starts)
    return np.asarray(np.maximum(last - first + 1, 0))


@dataclass(frozen=True, slots=True, eq=False)
class LevelScores:
    """How the days of a column of levels are scored: each level by its share, less the expected."""

    cells: Integers  # Of the levels that are scored, shape (F,).
    level_names: tuple[str, ...]
    coefficients: Numbers  # Of `hour_design`, shape (K, F).
    deviations: Numbers  # Shape (F,).

    @classmethod
    def of(cls, ridge: Ridge, counts: Numbers, levels: Sequence[str]) -> LevelScores:
        """Learn as numbers do from rows by hour and cell, of which the first are the levels.

        References
        ----------
        Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2009, ch. 3.
        """
        rows, own = counts.sum(axis=1), counts[:, : len(levels)]
        shares = own.sum(axis=0) / max(rows.sum(), 1.0)
        wanted = (shares >= LEVEL_SHARE) & (shares <= 1 - LEVEL_SHARE)
        cells = np.flatnonzero(wanted)[:LEVELS_MOST]
        own = own[:, cells]
        mean = np.divide(own, rows[:, None], out=np.zeros_like(own), where=rows[:, None] > 0)
        coefficients = ridge.fit(rows, mean)
        expected = ridge.design @ coefficients
        squares = own - 2 * expected * own + rows[:, None] * expected**2
        deviations = np.sqrt(np.maximum(squares.sum(axis=0) / max(rows.sum(), 1.0), 0.0))
        names = tuple(levels[cell] for cell in cells)
        return cls(cells, names, coefficients, np.maximum(deviations, LEAST_SHARE_DEVIATION))

    @property
    def names(self) -> tuple[str, ...]:
        """The scores, F of them."""
        return tuple(f"= {name}" for name in self.level_names)

    @property
    def largest(self) -> Numbers:
        """How far a mean of each score can lie from 0, shape (F,)."""
        return 1.0 / self.deviations

    @property
    def units(self) -> Numbers:
        """What 1 is of each score, in share of rows, shape (F,)."""
        return self.deviations

    def day_sums(
        self, hours: Integers, design: Numbers, counts: Numbers, steps: DaySums | None = None
    ) -> tuple[DaySums, Numbers]:
        """Score days, given rows by hour and cell; the variance of rows, shape (F,), beside."""
        del steps  # Levels have no order.
        rows, own = counts.sum(axis=1)[:, None], counts[:, self.cells]
        expected = design @ self.coefficients
        by_hour = (own - rows * expected) / self.deviations
        squares = (own - 2 * expected * own + rows * expected**2) / self.deviations**2
        days, starts = np.unique(hours // DAY_H, return_index=True)
        if not len(days):
            nothing = np.zeros((0, len(self.cells)))
            return DaySums(days, nothing, nothing), np.zeros(len(self.cells))
        sums = np.add.reduceat(by_hour, starts, axis=0)
        held = np.broadcast_to(np.add.reduceat(rows, starts, axis=0), sums.shape).copy()
        total = np.maximum(held.sum(axis=0), 1.0)
        variance = squares.sum(axis=0) / total - (sums.sum(axis=0) / total) ** 2
        return DaySums(days, sums, held), np.maximum(variance, 0.0)


ColumnScores = NumberScores | LevelScores
