"""The reference as sums, and what is learnt of them once."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from driftline.monitors.engine.day_law import MIN_DAYS, learn_days
from driftline.monitors.engine.jackknife import jackknife
from driftline.monitors.engine.metric import NO_SUPPORT, TINY, Array, MetricSet

# Without times in the reference, days since then stand for its own from this many on.
FIRST_LATER = 14
# The newest days from which days' law is learnt: half a year.
MOST_DAYS = 182


class Reference:
    """A reference's sums, by group and by day.

    A day is the unit of a window's `length`: windows shorter than a day have blocks of their own
    length in place of days.

    Parameters
    ----------
    metrics
        M functions of sums.
    buckets
        Sums by group, shape (G, K).
    days
        Sums by day in order of time, shape (B, K), an empty day as zeros; None, or fewer than
        MIN_DAYS, where the reference has no times.
    later
        The same of days since then without a change: they also show how much days differ.
    block
        How long one of the days is, where it is no day.
    """

    def __init__(
        self,
        metrics: MetricSet,
        buckets: Array,
        days: Array | None = None,
        later: Array | None = None,
        *,
        block: timedelta | None = None,
    ) -> None:
        self.metrics, self.buckets, self.block = metrics, buckets, block
        self.days = days if days is not None and len(days) >= MIN_DAYS else None
        self.later = later if later is not None and len(later) >= MIN_DAYS else None
        self.total = buckets.sum(axis=0)
        self.value = metrics.measure(self.total)
        self.support = np.maximum(metrics.support(self.total), NO_SUPPORT)
        self.rows = jackknife(metrics, buckets)
        self._between: dict[float, tuple[Array, Array]] = {}

    def with_later(self, later: Array | None) -> Reference:
        """Return the same reference with other days since then."""
        other = object.__new__(Reference)
        other.__dict__.update(self.__dict__)
        other.later = later if later is not None and len(later) >= MIN_DAYS else None
        other._between = {}
        return other

    def between_days(self, length: float) -> tuple[Array, Array]:
        """Return what days add to the variance of a span of `length` days less the reference.

        Variances and weights of a mixture, each (M, N); one variance of 0 where nothing shows how
        days differ.
        """
        if length not in self._between:
            self._between[length] = self._learn(length)
        return self._between[length]

    def _learn(self, length: float) -> tuple[Array, Array]:
        parts = [part for part in (self.days, self.later) if part is not None]
        if not parts or (self.days is None and len(parts[0]) < FIRST_LATER):
            return np.zeros((len(self.value), 1)), np.ones((len(self.value), 1))
        newest = [self._day_values(part[-MOST_DAYS:], length) for part in parts]
        values, row_variance = (np.concatenate(arrays) for arrays in zip(*newest, strict=True))
        days = np.inf if self.days is None else float(len(self.days))
        return learn_days(values, row_variance).between(length, days)

    def _day_values(self, days: Array, length: float) -> tuple[Array, Array]:
        """Return what each day makes of a span, less their mean, and its variance by rows: (B, M).

        A day is put among `length` - 1 average days, and its effect is brought to its own size: its
        own value for one day, its influence for long spans. (The AUC of a week is not the mean of
        its days' AUC where their levels differ.)
        """
        average = days.mean(axis=0)
        others = max(length - 1.0, 0.0)
        support = self.metrics.support(days)
        share = support / np.maximum(self.metrics.support(average), TINY)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            effect = self.metrics.measure(days + others * average)
            if others:
                effect -= self.metrics.measure(average)
            values = effect * (others + share) / share
            row_variance = self.rows.variance / support
        weight = np.where(np.isfinite(values) & (support > 0), support, 0.0)
        # Days since then show how days differ, not where the reference lies: each part is taken
        # about its own mean.
        held = np.where(weight > 0, values, 0.0)
        mean = (held * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), TINY)
        return np.where(weight > 0, values - mean, np.nan), row_variance

    def centre(self, length: float) -> Array:
        """Return what a span of `length` days is compared with, (M,).

        The mean of the reference's spans of that length: an AUC within a day may differ from that
        over a quarter without any change.
        """
        span = max(round(length), 1)
        if self.days is None or len(self.days) < span:
            return self.value
        whole = len(self.days) // span * span
        spans = self.days[:whole].reshape(-1, span, self.days.shape[-1]).sum(axis=1)
        values, weight = self.metrics.measure(spans), np.nan_to_num(self.metrics.support(spans))
        weight = np.where(np.isfinite(values), weight, 0.0)
        total = weight.sum(axis=0)
        mean = (np.nan_to_num(values) * weight).sum(axis=0) / np.maximum(total, TINY)
        return np.where(total > 0, mean, self.value)

    def distance(self, sums: Array, length: float) -> tuple[Array, Array]:
        """Return how far spans (..., K) lie from the reference, (..., M), and the factor in it.

        A ratio is compared as over - R under, divided by the reference's under: that is linear in
        sums. The factor is 1 for other numbers.

        References
        ----------
        Fieller, JRSS B 16, 1954.
        """
        off = self.metrics.measure(sums) - self.centre(length)
        if self.metrics.under is None:
            return off, np.ones_like(off)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = self.metrics.under(sums) / self.metrics.under(self.total)
        factor = np.nan_to_num(factor, nan=1.0)
        return off * factor, factor
