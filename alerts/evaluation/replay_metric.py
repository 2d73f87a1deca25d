"""Replay of an alarm on datapoints that are given: evaluation by evaluation, purely."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from driftline.alerts.alarms.alarm import Judgement, Point, State, is_breaching
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.measured import measure
from driftline.alerts.alarms.reason import INITIAL, state_reason_data, untrained_reason
from driftline.alerts.alarms.walk import Standing, step
from driftline.alerts.evaluation.replay_band import Edges, ReplayBands
from driftline.alerts.evaluation.replay_data import Samples
from driftline.alerts.evaluation.replay_line import Line
from driftline.alerts.math.plan import Plan
from driftline.alerts.metrics.statistic import is_plain
from driftline.alerts.metrics.summary import Summary
from driftline.alerts.times import iso

_KEPT = 200_000  # Periods that are remembered; those of a day of minutes are asked for again.


@dataclass(slots=True)
class Track:
    """Where an alarm stands on its way through time, and what it says at each moment.

    Parameters
    ----------
    definition
        The alarm.
    start
        Its creation, as far as a warm-up is concerned.
    state, reason
        Where it stands.
    """

    definition: AlarmDefinition
    start: datetime
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
        told = tuple(_entry(self.definition, point) for point in judgement.evaluated)
        line = Line(time, self.state, previous, self.reason, told, actions)
        return line.because(self._cause(judgement, time)) if with_cause else line

    def _cause(self, judgement: Judgement, time: datetime) -> dict[str, object]:
        return {
            "rule": judgement.rule,
            "window": judgement.marks,
            "reason_data": state_reason_data(self.definition, judgement, time),
        }


@dataclass(slots=True)
class MetricReplay:
    """A metric alarm on its way through time; :meth:`evaluate` goes on from where it stands.

    Parameters
    ----------
    track
        The alarm and where it stands; its start is the end of what bands are learnt from.
    plan
        Its metric math; None for an alarm on one metric.
    samples
        The datapoints of its metric, or of each of ``plan.metrics`` in their order.
    given
        The band, if it is not to be learnt from what lies before the start.
    """

    track: Track
    plan: Plan | None
    samples: Sequence[Samples]
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
        with_spread = not is_plain(statistic)
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
