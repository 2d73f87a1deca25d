"""Bands of a replay: those that it was given, or learnt from the datapoints before its start."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np

from driftline.alerts.evaluation.replay_data import Samples
from driftline.alerts.math.band import FEWEST_POINTS, BandModel, band, fit
from driftline.alerts.math.elementwise import Value
from driftline.alerts.math.evaluate import BandOf, Untrained
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.series import Series, Times, Values
from driftline.alerts.metrics.statistic import is_plain

# Lower and upper edge, by start of the period in seconds since 1970.
Edges = tuple[Mapping[int, float], Mapping[int, float]]

# CloudWatch User Guide: a model is of up to two weeks.
_HISTORY = timedelta(days=14)


class ReplayBands:
    """The bands of one alarm; they are learnt once and do not move during the replay.

    Parameters
    ----------
    plan
        The alarm's metric math.
    samples
        The datapoints of each of ``plan.metrics``, in their order.
    start
        What lies before it is learnt from, two weeks at most.
    given
        Edges that are taken in place of learning.
    """

    def __init__(
        self,
        plan: Plan,
        samples: Sequence[Samples],
        start: datetime,
        given: Edges | None = None,
    ) -> None:
        self._period_s = plan.period_s
        self._given = given
        self._models: dict[str, BandModel | Untrained] = {}
        if given is None:
            by_id = dict(zip((query.id for query in plan.metrics), samples, strict=True))
            for id_ in plan.bands():
                history = _history(plan.needed([id_]), id_, by_id, start)
                model = fit(history.times, history.values, self._period_s)
                self._models[id_] = model or Untrained(id_, FEWEST_POINTS, len(history))

    def at(self, starts: Sequence[datetime]) -> BandOf:
        """Return what knows the bands at periods that start then."""
        times = np.array([int(start.timestamp()) for start in starts], dtype=np.int64)

        def band_of(id_: str, deviations: float) -> tuple[Series, Series] | Untrained:
            if self._given is not None:
                lower, upper = self._given
                if not lower and not upper:
                    return Untrained(id_, FEWEST_POINTS)
                return Series.of(upper, self._period_s), Series.of(lower, self._period_s)
            model = self._models[id_]
            if isinstance(model, Untrained):
                return model
            low, high = band(model, times, deviations)
            return self._series(times, high), self._series(times, low)

        return band_of

    def _series(self, times: Times, values: Values) -> Series:
        known = np.isfinite(values)
        return Series(times[known], values[known], self._period_s)


def _history(plan: Plan, id_: str, samples: Mapping[str, Samples], start: datetime) -> Series:
    """Do the metric math behind a band for the periods before the start, counted back from it."""
    empty = Series.empty(plan.period_s)
    first = min((one.times[0] for one in samples.values() if one.times), default=start)
    step = timedelta(seconds=plan.period_s)
    count = math.ceil((start - max(first, start - _HISTORY)) / step)
    if count < 1:
        return empty
    begin = start - count * step

    def fetch(queries: Sequence[MetricQuery]) -> list[Series]:
        return [_fetched(query, samples[query.id], begin, count) for query in queries]

    seconds = int(begin.timestamp()), int(start.timestamp())
    value: Value = plan.values(fetch, *seconds)[id_]
    return value if isinstance(value, Series) else empty


def _fetched(query: MetricQuery, samples: Samples, begin: datetime, count: int) -> Series:
    assert query.stat is not None and query.period is not None
    step = timedelta(seconds=query.period)
    points = {}
    for number in range(count):
        since = begin + number * step
        summary = samples.summary(since, since + step, with_spread=not is_plain(query.stat))
        value = None if summary is None else summary.get(query.stat)
        if value is not None:
            points[int(since.timestamp())] = value
    return Series.of(points, query.period)
