"""Evaluate an alarm period by period over its datapoints; pure, shared by all who evaluate."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from driftline.alerts.alarms.alarm import Judgement, Point, State, StateChange, is_breaching, judge
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.reason import state_reason, state_reason_data, untrained_reason
from driftline.alerts.math.evaluate import Untrained
from driftline.alerts.metrics.summary import Summary

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Grid:
    """The periods of an alarm: number 0 begins ``phase_s`` seconds after 1970.

    Monitors' windows may begin at any time (weeks on Mondays), so the grid follows them.
    """

    period_s: int
    phase_s: int = 0

    def index(self, time: datetime) -> int:
        """Return the number of the period in which a time lies."""
        return int((time - self.start(0)) // timedelta(seconds=self.period_s))

    def start(self, index: int) -> datetime:
        """Return the start of a period, which is the end of the one before."""
        return _EPOCH + timedelta(seconds=self.phase_s + index * self.period_s)

    @classmethod
    def through(cls, period_s: int, time: datetime) -> Grid:
        """Return the grid on which a period begins at this time, taken to the second."""
        return cls(period_s, int(time.timestamp()) % period_s)


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm's state, the number of its changes, and since when it holds.

    ``created_at`` begins the warm-up; without it there is none. Missing periods that began before
    ``watched_from`` do not count as breaching; without it all do, as in CloudWatch.
    """

    alarm_id: int
    state: State
    seq: int
    created_at: datetime | None = None
    watched_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class EvaluationOutcome:
    """What became of an alarm's periods."""

    changes: Sequence[StateChange]  # Oldest first.
    # The reason of the state it ends in, where that is a band that is not trained.
    untrained: str | None = None


# Makes points of the borders of periods, and of what each metric has in them, by place.
Measure = Callable[[tuple[datetime, ...], Sequence[Mapping[int, Summary]]], Sequence[Point]]


def evaluate_periods(
    definition: AlarmDefinition,
    standing: Standing,
    series: Sequence[Mapping[int, Summary]],
    grid: Grid,
    periods: range,
    *,
    now: datetime,
    measure: Measure | None = None,
) -> EvaluationOutcome:
    """Evaluate an alarm at the end of each of some periods, over its evaluation range alone.

    ``series`` holds the data of each of its metrics, by number of the period. An alarm on one
    metric needs no ``measure``.
    """
    numbers = sorted({number for found in series for number in found})
    changes: list[StateChange] = []
    untrained: str | None = None
    index = periods.start
    while index < periods.stop:
        first = index - definition.range_periods + 1
        edges = tuple(grid.start(number) for number in range(first, index + 2))
        window = [
            {
                place: summary
                for place in range(len(edges) - 1)
                if (summary := found.get(first + place)) is not None
            }
            for found in series
        ]
        judged = (
            points(definition, window[0], edges[:-1]) if measure is None else measure(edges, window)
        )
        judgement, standing, change = step(definition, standing, judged, end=edges[-1], now=now)
        if change is not None:
            changes.append(change)
        untrained = untrained_reason(definition, judgement)
        index += 1
        if not any(window) and not judgement.is_passing:
            # Silence goes on saying the same: on to the next period with data.
            position = bisect.bisect_left(numbers, index)
            index = numbers[position] if position < len(numbers) else periods.stop
    return EvaluationOutcome(changes, untrained)


def step(
    definition: AlarmDefinition,
    standing: Standing,
    judged: Sequence[Point],
    *,
    end: datetime,
    now: datetime,
) -> tuple[Judgement, Standing, StateChange | None]:
    """Evaluate an alarm once: the one function behind live evaluation, replay and preview."""
    warm_up = definition.warm_up_configuration
    warm_until = None
    if warm_up is not None and standing.created_at is not None:
        warm_until = warm_up.until(standing.created_at)
    judgement = judge(
        definition,
        judged,
        standing.state,
        warm_until=warm_until,
        at=now,
        watched_from=standing.watched_from,
    )
    if judgement.state == standing.state:
        return judgement, standing, None
    standing = replace(standing, seq=standing.seq + 1)
    change = _change(definition, standing, judgement, end, now)
    return judgement, replace(standing, state=judgement.state), change


def points(
    definition: AlarmDefinition, summaries: Mapping[int, Summary], starts: Sequence[datetime]
) -> list[Point]:
    """Return the points of an alarm on one metric."""
    statistic = definition.statistic_name
    return [
        Point(start, found.get(statistic), found.sample_count, found.note)
        if (found := summaries.get(place)) is not None
        else Point(start)
        for place, start in enumerate(starts)
    ]


def math_points(
    values: Mapping[int, float],
    starts: Sequence[datetime],
    *,
    lower: Mapping[int, float] | None = None,
    upper: Mapping[int, float] | None = None,
    sample_counts: Mapping[int, float] | None = None,
    untrained: Untrained | None = None,
) -> list[Point]:
    """Return the points of an alarm on metric math or with a band."""
    lower, upper, counts = lower or {}, upper or {}, sample_counts or {}
    seconds = [int(start.timestamp()) for start in starts]
    return [
        Point(
            start,
            values.get(second),
            counts.get(second, 0.0),
            lower=lower.get(second),
            upper=upper.get(second),
            untrained=untrained,
        )
        for start, second in zip(starts, seconds, strict=True)
    ]


def _change(
    definition: AlarmDefinition,
    standing: Standing,
    judgement: Judgement,
    period_end: datetime,
    now: datetime,
) -> StateChange:
    breaches = [point for point in judgement.evaluated if is_breaching(definition, point)]
    return StateChange(
        alarm_id=standing.alarm_id,
        alarm_name=definition.alarm_name,
        seq=standing.seq,
        old=standing.state,
        new=judgement.state,
        reason=state_reason(definition, judgement),
        reason_data=state_reason_data(definition, judgement, now),
        time=now,
        period_end=period_end,
        first_breach=breaches[0].start if breaches else None,
        evaluated=judgement.evaluated,
        note=decisive_note(definition, judgement),
    )


def decisive_note(definition: AlarmDefinition, judgement: Judgement) -> Mapping[str, object] | None:
    """Return the newest note among the points that decided: of an ALARM, those that breach."""
    is_alarm = judgement.state == "ALARM"
    for point in reversed(judgement.evaluated):
        if point.note is not None and (not is_alarm or is_breaching(definition, point)):
            return point.note
    return None
