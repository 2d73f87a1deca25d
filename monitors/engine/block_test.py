"""The test: whether a span of windows is worse than the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.engine.intervals import intervals
from driftline.monitors.engine.jackknife import RowLaw, jackknife
from driftline.monitors.engine.metric import NO_SUPPORT, TINY, Array, Metric, MetricSet
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.tails import less_half_row, pearson_tail, student_chance
from driftline.monitors.state import State
from driftline.stats.multiple_testing import holm_levels
from driftline.stats.roots import first_beyond

# Normal quantile: a change this much beyond the bound is found in nine windows of ten.
NINE_IN_TEN = 1.2816
# Distances are sought up to this many standard deviations, and to this part of one.
FARTHEST, EXACT = 1e4, 1e-11
# More rows are tried this many times, half as many again each time.
MORE_STEPS = 20


@dataclass(frozen=True, slots=True)
class Tested:
    """One number of one window, or of several together, on its displayed scale.

    Parameters
    ----------
    name
        Of the metric.
    value, low, high
        Of the span, with its 95% interval by rows; NaN where undefined or left open.
    reference
        What it is compared with.
    bound
        Where a violation begins at this number of rows; NaN where no value reaches it.
    findable
        The value at which nine spans of ten are a violation.
    p_value
        Chance of so great a distance without a change; NaN where undefined.
    support
        Rows that the number rests on.
    state
        Whether it was judged; too variable: even answers without skill would be no violation.
    violated
        Whether it is beyond the bound, and the change matters.
    windows
        How many were judged together.
    needed
        Of a number that is not testable, the support from which on it would be; infinite: more rows
        would not do. Else NaN.
    """

    name: str
    value: float
    low: float
    high: float
    reference: float
    bound: float
    findable: float
    p_value: float
    support: float
    state: State
    violated: bool
    windows: int = 1
    needed: float = math.nan

    @classmethod
    def of(
        cls, metric: Metric, numbers: Array, p_value: float, support: float, state: State,
        violated: bool,
    ) -> Tested:  # fmt: skip
        """Show numbers in the tested form, (6,): value, low, high, reference, bound, findable."""
        value, one, other, reference, bound, findable = metric.form.show(numbers).tolist()
        return cls(
            metric.name, value, min(one, other), max(one, other), reference, bound, findable,
            float(p_value), float(support), state, bool(violated),
        )  # fmt: skip

    @property
    def remedy(self) -> str:
        """What would make the number testable."""
        if math.isnan(self.needed):
            return "a longer window would do"
        if math.isfinite(self.needed):
            return f"about {self.needed:,.0f} rows that it rests on would do"
        return "no number of rows would do, only a longer reference or longer windows"


class ChangeLaw:
    """The law of a span's numbers less the reference's when nothing has changed.

    The variances of the span's rows, of the reference's rows and of what days share add up, and so
    do the third cumulants; Pearson's type III law has the tail. What is not known of days is a
    mixture, and p is the mean over it.

    Parameters
    ----------
    reference
        M numbers.
    rows
        Rows' cumulants, (..., M): of reference and span together, so that neither rare events nor
        one extreme row are on one side alone.
    support
        Rows that the span's numbers rest on, (..., M).
    length
        Of the span, in days.

    References
    ----------
    Rao, Proc. Cambridge Philosophical Society 44, 1948 (variance under the null); Tsui and
    Weerahandi, JASA 84, 1989.
    """

    def __init__(self, reference: Reference, rows: RowLaw, support: Array, length: float) -> None:
        metrics, support = reference.metrics, np.maximum(support, NO_SUPPORT)
        self._worse, self._degrees = metrics.worse, max(rows.groups - 1.0, 1.0)
        self._half_row = np.where(metrics.is_lattice, 0.5 / support, 0.0)
        self.row_variance = rows.variance * (1.0 / support + 1.0 / reference.support)
        third = rows.third * (1.0 / support**2 - 1.0 / reference.support**2)
        between, self._weight = reference.between_days(length)
        self._variance = np.maximum(self.row_variance[..., None] + between, TINY)
        # Days that are normal on logit or logarithm are skewed on the number's own scale:
        # third cumulant 3 h'' / h'^2 variance^2.
        value = metrics.inside(reference.value, reference.support)
        of_share = (1.0 - 2.0 * value) / metrics.variance_function(value)
        of_error = np.where(metrics.is_error, 1.0 / np.where(value == 0, 1.0, value), 0.0)
        bend = np.where(metrics.is_share, of_share, of_error)
        scale = np.maximum(self._variance**1.5, TINY)
        self._row_skewness = third[..., None] / scale
        self._day_skewness = 3.0 * bend[..., None] * between**2 / scale

    def p_value(self, distance: Array) -> Array:
        """Return the chance (..., M) of so great a distance in the way that is worse.

        Where both ways are changes, twice the smaller.
        """
        side = np.where(self._worse == 0, 1.0, self._worse)
        chance = self._tail(side * distance, side)
        is_both = self._worse == 0
        if not is_both.any():
            return chance
        other = self._tail(-side * distance, -side)
        return np.where(is_both, np.minimum(2.0 * np.minimum(chance, other), 1.0), chance)

    def _tail(self, distance: Array, side: Array) -> Array:
        distance = less_half_row(distance, self._half_row)
        # On which scale days are symmetric is not known for sure: it may only widen.
        side = side[..., None]
        skewness = side * self._row_skewness + np.maximum(side * self._day_skewness, 0.0)
        tails = pearson_tail(distance[..., None] / np.sqrt(self._variance), skewness)
        chance = (tails * self._weight).sum(axis=-1)
        # Of a law with one great event nearly all lies just below its mean: no loss is found there.
        chance = np.where(distance > 0, chance, np.maximum(chance, 0.5))
        return student_chance(chance, self._degrees)

    def reach(self, level: float, side: Array) -> Array:
        """Return the distance (M,), in the direction of `side`, at which the chance is `level`.

        NaN where none is.
        """
        unit = np.sqrt(self._variance.max(axis=-1))

        def beyond(distance: Array) -> Array:
            return level - self.p_value(side * distance * unit)

        start = np.zeros_like(unit)
        return np.asarray(unit * first_beyond(beyond, start, start + FARTHEST, error=EXACT))


def judge(
    reference: Reference, buckets: Array, *, length: float, level: float, windows: int = 1
) -> list[Tested]:
    """Judge one span of windows.

    Parameters
    ----------
    reference
        What is expected.
    buckets
        The span's sums by group, shape (G, K).
    length
        Of the span, in days.
    level
        Chance of any violation without a change. Holm's procedure divides it among the numbers.
    windows
        How many make up the span.

    Returns
    -------
    list of Tested
        In the order of the metrics. What cannot be tested is never violated.
    """
    metrics, total = reference.metrics, buckets.sum(axis=0)
    value, support = metrics.measure(total), metrics.support(total)
    centre = reference.centre(length)
    rows = _pooled_rows(reference, buckets)
    law = ChangeLaw(reference, rows, support, length)
    distance, factor = reference.distance(total, length)
    is_defined = np.isfinite(distance) & (support > NO_SUPPORT)
    p_value = np.where(is_defined, law.p_value(np.nan_to_num(distance)), np.nan)
    worse = metrics.worse
    side = np.where(worse == 0, np.where(distance >= 0, 1.0, -1.0), worse)
    worst = (_useless(reference, centre, side) - centre) * factor
    is_chosen = is_defined & (rows.variance > 0) & np.isfinite(worst) & metrics.is_judged
    worst, each = np.nan_to_num(worst), level / max(int(is_chosen.sum()), 1)
    # A loss that is found was testable, however far it lies beyond the worst value.
    is_testable = is_chosen & ((law.p_value(worst) < each) | (p_value < each))
    needed = np.full(len(value), np.nan)
    if not is_testable[is_chosen].all():
        needed = _needed(reference, rows, support, length, worst, each)
    tests = max(int(is_testable.sum()), 1)
    is_violated = np.zeros(len(value), np.bool_)
    levels = holm_levels(list(p_value[is_testable]), level)
    is_violated[is_testable] = p_value[is_testable] < levels
    side, reach = _reach(law, level / tests, side, metrics.is_share & (worse == 0), centre)
    findable = reach + NINE_IN_TEN * np.sqrt(law.row_variance)
    factor = np.maximum(factor, TINY)
    low, high = intervals(value, jackknife(metrics, buckets), support, reference)
    ends = (centre + side * part / factor for part in (reach, findable))
    numbers = np.stack([value, low, high, centre, *ends], axis=-1)
    tested = []
    for at, metric in enumerate(metrics.metrics):
        state = State.UNDEFINED
        if is_defined[at]:
            state = State.JUDGED if is_testable[at] else State.TOO_VARIABLE
            state = state if metric.judged else State.SHOWN
        one = Tested.of(metric, numbers[at], p_value[at], support[at], state, is_violated[at])
        one = replace(
            one, bound=metric.first_that_matters(one.bound, one.reference), windows=windows,
            violated=one.violated and metric.matters(one.value, one.reference),
            needed=float(needed[at]) if state == State.TOO_VARIABLE else math.nan,
        )  # fmt: skip
        tested.append(one)
    return tested


def _reach(
    law: ChangeLaw, level: float, side: Array, is_free: NDArray[np.bool_], centre: Array
) -> tuple[Array, Array]:
    """Return each number's side and the distance of its bound, NaN where there is none.

    A share that may change either way, without room where the span lies, can only change the other
    way.
    """

    def is_beyond(reach: Array) -> NDArray[np.bool_]:
        bound = centre + side * reach
        return np.asarray(is_free & ~((bound >= 0.0) & (bound <= 1.0)))

    reach = law.reach(level, side)
    is_out = is_beyond(reach)
    if is_out.any():
        side = np.where(is_out, -side, side)
        reach = np.where(is_out, law.reach(level, side), reach)
        reach = np.where(is_beyond(reach), np.nan, reach)
    return side, reach


def _pooled_rows(reference: Reference, buckets: Array) -> RowLaw:
    """Return the rows' cumulants of reference and span together.

    Where no row shows any variance, it is the reference's, or half a row's of a share of one row
    each.
    """
    metrics, both = reference.metrics, reference.buckets + buckets
    rows, total = jackknife(metrics, both), both.sum(axis=0)
    value = metrics.inside(np.nan_to_num(metrics.measure(total)), metrics.support(total))
    floor = np.where(metrics.is_share & metrics.is_lattice, metrics.variance_function(value), 0.0)
    floor = np.maximum(floor, reference.rows.variance)
    return replace(rows, variance=np.where(rows.degrees > 0, rows.variance, floor))


def _needed(
    reference: Reference, rows: RowLaw, support: Array, length: float, worst: Array, level: float
) -> Array:
    """Return the support (M,) from which on the worst value would be a violation at `level`."""
    needed = np.full(len(support), np.inf)
    for step in range(MORE_STEPS, 0, -1):
        more = np.maximum(support, 1.0) * 1.5**step
        law = ChangeLaw(reference, rows, more, length)
        needed = np.where(law.p_value(worst) < level, more, needed)
    return needed


def _useless(reference: Reference, centre: Array, side: Array) -> Array:
    """Return the value (M,) beyond which a bound is none: a guess's or the metric's own limit."""
    metrics: MetricSet = reference.metrics
    limit = metrics.useless
    times = np.where(side > 0, limit, 1.0 / np.maximum(limit, TINY))
    limit = np.where(metrics.is_error, times * centre, limit)
    limit = np.where((metrics.worse == 0) & ~metrics.is_error, side * limit, limit)
    if metrics.guess is None:
        return limit
    guess = metrics.guess(reference.total)
    with np.errstate(invalid="ignore"):
        is_nearer = (side * (guess - centre) > 0) & (side * (limit - guess) > 0)
    return np.where(is_nearer, guess, limit)
