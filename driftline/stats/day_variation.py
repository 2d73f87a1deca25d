"""How much the means of days vary, and whether those of a span vary more: the day test.

Learnt from the days of a reference: what the calendar leads to expect of them, and the variance of
the mean of 1, 2, 4 ... days, with the degrees of freedom that it is known with. A span is judged by
Student's law. Shapes: D days, F scores, B blocks of a length in hand.

References
----------
Satterthwaite, Biometrics Bulletin 2, 1946 (degrees of freedom of a sum of variances); Bartlett,
Journal of the Royal Statistical Society, Supplement 8, 1946 (of the variance of a series that hangs
together); Student, Biometrika 6, 1908.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from driftline.stats.calendar_regression import (
    SEASON_DAYS,
    Integers,
    Numbers,
    day_design,
    weighted_ridge,
)
from driftline.stats.shrinkage import MOST_FREEDOM, shrink_variances

RIDGE = 1e-5
# Fewer days do not tell how days vary; the spread within days needs more.
REFERENCE_DAYS = 27.0
# With less than two years what is expected is known half as well.
SURE_DAYS = 690.0
# Coefficients of slow terms, which take variance away from long blocks: with the season, without.
SLOW_WITH_SEASON, SLOW = 5, 1
# A length is learnt from so many blocks, of which slow terms take no more than this share.
BLOCKS_LEAST, SLOW_SHARE = 8, 0.5
BLOCK_FILLED = 0.5
KEPT_LEAST = 0.3
# Beyond the longest block a variance falls by this factor at least, 1 at most, an octave; there
# its degrees of freedom fall, too.
FALL_MOST, FALL_UNKNOWN = 0.5, 0.75
FREEDOM_KEPT = 0.7
FREEDOM_LEAST, FREEDOM_MOST = 3.0, 30.0
# A span has so many rows at least, a reference so many more.
SPAN_ROWS, REFERENCE_ROWS = 20, 30
# Student's law with nu degrees of freedom has an excess kurtosis of 6 / (nu - 4).
STUDENT = 6.0
VARIES = 1e-9
# No variance is taken to be lower than its own blocks leave possible, at this chance.
LOWEST_CHANCE = 0.025
# Spans are judged up to so many times the longest block.
SPANS_BEYOND = 2


@dataclass(frozen=True, slots=True, eq=False)
class Length:
    """What the reference tells of blocks of one length."""

    variance: Numbers  # Of their mean, shape (F,).
    freedom: Numbers
    kurtosis: Numbers  # In excess of the normal law's.


@dataclass(frozen=True, slots=True, eq=False)
class SpanTest:
    """What a span of days shows."""

    mean: Numbers  # Of a row's score less the expected, shape (F,).
    error: Numbers  # Standard error of the mean.
    freedom: Numbers
    p_value: Numbers  # Two-sided; 1 where a score is not judged.

    @property
    def statistic(self) -> Numbers:
        """Student's t."""
        return self.mean / self.error


@dataclass(frozen=True, slots=True, eq=False)
class DayVariation:
    """What the days of a reference tell of each score."""

    first_day: int
    last_day: int
    span_days: float
    coefficients: Numbers  # Of `day_design`, shape (K, F).
    row_variance: Numbers  # Shape (F,).
    is_live: np.ndarray  # Whether a score can be judged, shape (F,).
    lengths: dict[int, Length]  # By days, 1, 2, 4 ...
    rows_per_day: Numbers  # Shape (F,).

    @classmethod
    def of(
        cls,
        days: Integers,
        sums: Numbers,
        rows: Numbers,
        row_variance: Numbers,
        span_days: float,
    ) -> DayVariation:
        """Learn from the days of a reference.

        Parameters
        ----------
        days
            Ascending, shape (D,), some.
        sums, rows
            Scores added up, and how many, shape (D, F).
        row_variance
            Of a row's score, shape (F,).
        span_days
            From the first row to the last.

        References
        ----------
        Carlstein, Annals of Statistics 14, 1986, and Kuensch, Annals of Statistics 17, 1989 (the
        variance of a mean from blocks, which overlap).
        """
        design = day_design(days, span_days)
        means = np.divide(sums, rows, out=np.zeros_like(sums), where=rows > 0)
        coefficients = weighted_ridge(design, rows, means, RIDGE)
        live = (rows.sum(axis=0) >= REFERENCE_ROWS) & (row_variance > VARIES)
        live &= span_days >= REFERENCE_DAYS
        total = int(days[-1] - days[0]) + 1
        excess, held = (np.zeros((total + 1, sums.shape[1])) for _ in range(2))
        at = days - days[0] + 1
        excess[at], held[at] = sums - rows * (design @ coefficients), rows
        per_row = np.where(live, row_variance, 0.0)
        lengths = dict(_learnt(excess.cumsum(axis=0), held.cumsum(axis=0), span_days, per_row))
        return cls(
            int(days[0]), int(days[-1]), span_days, coefficients, row_variance, live, lengths,
            rows.mean(axis=0),
        )  # fmt: skip

    @property
    def longest_span(self) -> int:
        """Days of the longest span that is judged."""
        return SPANS_BEYOND * max(self.lengths)

    def expected(self, days: Integers) -> Numbers:
        """Return the mean score that weekday and season lead to expect, shape (D, F)."""
        return np.asarray(day_design(days, self.span_days) @ self.coefficients)

    def test(self, mean: Numbers, rows: Numbers, days: float, middle: float) -> SpanTest:
        """Judge a span's mean scores, less what is expected.

        Parameters
        ----------
        mean, rows
            Shape (F,).
        days
            How long the span is.
        middle
            The day in its middle.

        Returns
        -------
        SpanTest
            Of all scores; the variance is that of a span of so many days, and of what is expected.

        References
        ----------
        Satterthwaite, Biometrics Bulletin 2, 1946.
        """
        length = max(1, round(days))
        own, freedom = self._variance(length)
        floor = self.row_variance / np.maximum(rows, 1.0)  # Of independent rows.
        freedom = np.where(own < floor, np.maximum(freedom, self.span_days / length), freedom)
        own = np.maximum(own, floor)
        known, known_freedom = self._of_expected(middle)
        satterthwaite = (own + known) ** 2 / np.maximum(
            own**2 / freedom + known**2 / np.maximum(known_freedom, 1.0), np.finfo(float).tiny
        )
        nearest = max(one for one in self.lengths if one <= length)
        kurtosis = self.lengths[nearest].kurtosis * nearest / length
        heavy = np.maximum(kurtosis, STUDENT / (FREEDOM_MOST - 4.0))
        freedom = np.maximum(np.minimum(satterthwaite, 4.0 + STUDENT / heavy), 1.0)
        error = np.sqrt(np.maximum(own + known, np.finfo(float).tiny))
        chance = 2.0 * special.stdtr(freedom, -np.abs(mean / error))
        return SpanTest(mean, error, freedom, np.where(self.is_judged(rows), chance, 1.0))

    def is_judged(self, rows: Numbers) -> np.ndarray:
        """Whether a span of so many rows is judged, shape (F,)."""
        return np.asarray(self.is_live & (rows >= SPAN_ROWS))

    def _of_expected(self, middle: float) -> tuple[Numbers, Numbers]:
        """Return the variance of what is expected of a day, and its degrees of freedom."""
        slow = SLOW_WITH_SEASON if self.span_days >= SEASON_DAYS else SLOW
        variance, freedom = self._variance(max(1, round(self.span_days)))
        variance = variance * slow * (1.0 if self.span_days >= SURE_DAYS else 2.0)
        if self.span_days >= SEASON_DAYS:
            return variance, freedom
        # The season is unknown: what varied slowly may wander on.
        top = max(self.lengths)
        last = self.lengths[top]
        centre = (self.first_day + self.last_day) / 2
        far = max(1.0, (middle - centre) / self.span_days)
        wander = np.maximum(last.variance - 1.5 * self.lengths[1].variance / top, 0.0)
        return variance + wander * far, np.minimum(freedom, last.freedom)

    def _variance(self, length: int) -> tuple[Numbers, Numbers]:
        """Return the variance of the mean of so many days, and its degrees of freedom.

        Between the lengths that are known by a power law; beyond them by the slope of their last
        two octaves.
        """
        top = max(self.lengths)
        if length <= top:
            low = max(one for one in self.lengths if one <= length)
            here = self.lengths[low]
            if low == length:
                return here.variance, here.freedom
            there, part = self.lengths[2 * low], np.log2(length / low)
            return (
                here.variance ** (1 - part) * there.variance**part,
                here.freedom * (1 - part) + there.freedom * part,
            )
        last, octaves = self.lengths[top], np.log2(length / top)
        back = min(2, len(self.lengths) - 1)
        fall = np.full(last.variance.shape, FALL_UNKNOWN)
        if back:
            before = np.maximum(self.lengths[top >> back].variance, np.finfo(float).tiny)
            fall = np.clip((last.variance / before) ** (1 / back), FALL_MOST, 1.0)
        freedom = last.freedom * FREEDOM_KEPT ** min(octaves, 2.0)
        return last.variance * fall**octaves, np.maximum(
            freedom, np.minimum(last.freedom, FREEDOM_LEAST)
        )


def student_limit(p_value: float, freedom: Numbers) -> Numbers:
    """Return the t beyond which a two-sided p-value is smaller.

    References
    ----------
    Student, Biometrika 6, 1908.
    """
    return np.asarray(special.stdtrit(freedom, 1.0 - p_value / 2.0))


def _learnt(
    excess: Numbers, rows: Numbers, span_days: float, row_variance: Numbers
) -> Iterator[tuple[int, Length]]:
    """Learn how much blocks vary, given the running sums of days from 0 on, shape (D + 1, F).

    In units of what independent rows would vary by, scores resemble each other; those whose
    `row_variance` is 0 are none of them.
    """
    total = len(excess) - 1
    slow = SLOW_WITH_SEASON if span_days >= SEASON_DAYS else SLOW
    per_day = np.maximum(rows[-1] / max(span_days, 1.0), VARIES)
    length, kurtosis = 1, np.zeros(excess.shape[1])
    while length == 1 or (total / length >= BLOCKS_LEAST and slow * length / total <= SLOW_SHARE):
        means, seen = _blocks(excess, rows, per_day * length, length, max(1, length // 4))
        many = np.maximum(seen.sum(axis=0), 1)
        square = (means**2).sum(axis=0) / many
        in_hand = np.maximum(rows[-1] / per_day / length, 1.0)
        variance = square / max(1 - slow * length / total, KEPT_LEAST)
        apart, apart_seen = _blocks(excess, rows, per_day * length, length, length)
        rho = _correlation(apart, apart_seen)
        freedom = np.maximum((in_hand - slow) * (1 - rho**2) / (1 + rho**2), 1.0)
        fourth = (means**4).sum(axis=0) / many
        own = fourth / np.maximum(square**2, np.finfo(float).tiny) - 3.0
        by_chance = np.sqrt(24 / np.maximum(in_hand, 2.0))
        kurtosis = own if length == 1 else np.maximum(kurtosis / 2, own - by_chance)
        unit = row_variance / per_day / length
        like = (variance > 0) & (unit > 0)
        group = np.zeros(int(like.sum()), np.int64)
        shrunken = shrink_variances(
            variance[like] / unit[like], freedom[like], group, lowest_chance=LOWEST_CHANCE
        )
        variance[like] = shrunken.variance * unit[like]
        freedom[like] += np.where(shrunken.is_lowest, 0.0, shrunken.prior[group])
        yield length, Length(variance, np.minimum(freedom, MOST_FREEDOM), kurtosis)
        length *= 2


def _blocks(
    excess: Numbers, rows: Numbers, full: Numbers, length: int, step: int
) -> tuple[Numbers, np.ndarray]:
    """Return the means of blocks, and which of them are at least half full, shape (B, F).

    The mean of one that is not full is brought to what one of a full block would vary by, if its
    rows were independent.
    """
    starts = np.arange(0, len(excess) - length, step)
    held = rows[starts + length] - rows[starts]
    seen = held >= BLOCK_FILLED * full
    total = excess[starts + length] - excess[starts]
    by = np.sqrt(held * np.maximum(held, full))
    return np.divide(total, by, out=np.zeros_like(held), where=seen & (held > 0)), seen


def _correlation(means: Numbers, seen: np.ndarray) -> Numbers:
    """Return the correlation of neighbouring blocks, 0 to 0.95, shape (F,)."""
    both = seen[:-1] & seen[1:]
    here, there = np.where(both, means[:-1], 0.0), np.where(both, means[1:], 0.0)
    scale = np.maximum((here**2 + there**2).sum(axis=0) / 2, 1e-12)
    return np.asarray(np.clip((here * there).sum(axis=0) / scale, 0.0, 0.95))
