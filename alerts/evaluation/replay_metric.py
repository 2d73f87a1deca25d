"""Replay of an alarm on datapoints that are given: evaluation by evaluation, purely."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from driftline.alerts.alarms.alarm import Judgement, Point, State, is_breaching
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.measured import measure
from driftline.alerts.alarms.period_evaluation import Standing, step
from driftline.alerts.alarms.reason import INITIAL, state_reason_data, untrained_reason
from driftline.alerts.documents import iso
from driftline.alerts.evaluation.replay_data import Samples
from driftline.alerts.math.band import FEWEST_POINTS, BandModel, fit
from driftline.alerts.math.band_models import limits_of
from driftline.alerts.math.evaluate import BandOf, Untrained
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.reading import series_of
from driftline.alerts.math.series import Series
from driftline.alerts.metrics.statistic import STATISTICS
from driftline.alerts.metrics.summary import Summary

_KEPT = 200_000  # Periods that are remembered; those of a day of minutes are asked for again.
# Lower and upper edge, by start of the period in seconds since 1970.
Edges = tuple[Mapping[int, float], Mapping[int, float]]

# CloudWatch User Guide: a model is of up to two weeks.
_HISTORY = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Line:
    """One evaluation."""

    time: datetime
    state: State
    previous: State
    reason: str  # That of the last change of state.
    datapoints: tuple[Mapping[str, object], ...]  # What was judged, oldest first.
    actions: tuple[str, ...]  # Channels that are notified at this moment.
    # More fields: which rule decided, and over what.
    cause: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {
            "time": iso(self.time),
            "state": self.state,
            "previous": self.previous,
            "reason": self.reason,
            "datapoints": [dict(one) for one in self.datapoints],
            "actions": list(self.actions),
            **self.cause,
        }


@dataclass(slots=True)
class Track:
    """The state of an alarm on its way through time, and its result at each moment."""

    definition: AlarmDefinition
    start: datetime  # Its creation, as far as a warm-up is concerned.
    state: State = "INSUFFICIENT_DATA"
    reason: str = INITIAL

    def judge(
        self, time: datetime, end: datetime, points: Sequence[Point], *, with_cause: bool
    ) -> Line:
        """Evaluate at a time over points whose newest period ends at ``end``."""
        standing = Standing(0, self.state, 0, self.start)
        judgement, _, change = step(self.definition, standing, points, end=end, now=time)
        previous, self.state = self.state, judgement.state
        actions: tuple[str, ...] = ()
        if change is not None:
            self.reason = change.reason
            if self.definition.actions_enabled:
                actions = self.definition.actions(change.new)
        else:
            self.reason = untrained_reason(self.definition, judgement) or self.reason
        shown = tuple(_entry(self.definition, point) for point in judgement.evaluated)
        cause = self._cause(judgement, time) if with_cause else {}
        return Line(time, self.state, previous, self.reason, shown, actions, cause)

    def _cause(self, judgement: Judgement, time: datetime) -> dict[str, object]:
        return {
            "rule": judgement.rule,
            "window": judgement.marks,
            "reason_data": state_reason_data(self.definition, judgement, time),
        }


@dataclass(slots=True)
class MetricReplay:
    """A metric alarm on its way through time; judged evaluation by evaluation."""

    track: Track
    plan: Plan | None  # None for an alarm on one metric.
    samples: Sequence[Samples]  # Of its metric, or of each of ``plan.metrics``.
    # The band, if it is not to be learnt from what lies before the start.
    given: Edges | None = None
    _periods: dict[tuple[int, datetime, datetime], Summary | None] = field(default_factory=dict)
    _bands: ReplayBands | None = None

    def __post_init__(self) -> None:
        if self.plan is not None and any(True for _ in self.plan.bands()):
            self._bands = ReplayBands(self.plan, self.samples, self.track.start, self.given)

    def evaluate(self, times: Iterable[datetime], *, with_cause: bool = False) -> Iterator[Line]:
        """Evaluate at these times, ascending."""
        definition = self.track.definition
        for time in times:
            edges = definition.edges(time)
            found = [self._summaries(which, edges) for which in range(len(self.samples))]
            bands = None if self._bands is None else self._bands.at(edges[:-1])
            points = measure(definition, self.plan, found, edges, bands)
            yield self.track.judge(time, edges[-1], points, with_cause=with_cause)

    def _summaries(self, which: int, edges: Sequence[datetime]) -> dict[int, Summary]:
        """Add up the periods, each once however many evaluations look at it."""
        query = None if self.plan is None else self.plan.metrics[which]
        statistic = self.track.definition.statistic_name if query is None else str(query.stat)
        with_spread = statistic not in STATISTICS
        if len(self._periods) > _KEPT:
            self._periods.clear()
        found = {}
        for place, (start, end) in enumerate(pairwise(edges)):
            key = (which, start, end)
            if key not in self._periods:
                self._periods[key] = self.samples[which].summary(
                    start, end, with_spread=with_spread
                )
            if (summary := self._periods[key]) is not None:
                found[place] = summary
        return found


def _entry(definition: AlarmDefinition, point: Point) -> dict[str, object]:
    found: dict[str, object] = {
        "timestamp": iso(point.start),
        "value": point.value,
        "sample_count": point.sample_count,
        "breaching": is_breaching(definition, point),
    }
    if definition.is_band:
        found |= {"lower": point.lower, "upper": point.upper}
    return found


class ReplayBands:
    """The bands of one alarm; they are learnt once and do not move during the replay."""

    def __init__(
        self,
        plan: Plan,
        samples: Sequence[Samples],
        start: datetime,  # What lies before it is learnt from, two weeks at most.
        given: Edges | None = None,  # Edges that are taken in place of learning.
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
            return limits_of(model, times, self._period_s, deviations)

        return band_of


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
    value = plan.values(fetch, *seconds)[id_]
    return value if isinstance(value, Series) else empty


def _fetched(query: MetricQuery, samples: Samples, begin: datetime, count: int) -> Series:
    assert query.stat is not None and query.period is not None
    step, with_spread = timedelta(seconds=query.period), query.stat not in STATISTICS
    found = {}
    for number in range(count):
        since = begin + number * step
        summary = samples.summary(since, since + step, with_spread=with_spread)
        if summary is not None:
            found[number] = summary
    first = int(begin.timestamp())
    return series_of(query, found, range(first, first + count * query.period, query.period))
