"""Walk an alarm from period to period over its datapoints; pure, shared by all who evaluate."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from driftline.alerts.alarm import Judgement, Point, State, StateChange, breaching, judge
from driftline.alerts.definition import AlarmDefinition
from driftline.alerts.metrics import Summary
from driftline.alerts.reason import state_reason, state_reason_data

__all__ = ["Grid", "Standing", "walk"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Grid:
    """The periods of an alarm: number 0 begins ``phase_s`` seconds after 1970.

    Monitors' windows may begin at any time (weeks on Mondays), so the grid follows them.
    """

    period_s: int
    phase_s: int = 0

    def index(self, time: datetime) -> int:
        """Give the number of the period in which a time lies."""
        return int((time - self.start(0)) // timedelta(seconds=self.period_s))

    def start(self, index: int) -> datetime:
        """Give the start of a period, which is the end of the one before."""
        return _EPOCH + timedelta(seconds=self.phase_s + index * self.period_s)

    @classmethod
    def through(cls, period_s: int, time: datetime) -> Grid:
        """Give the grid on which a period begins at this time, taken to the second."""
        return cls(period_s, int(time.timestamp()) % period_s)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an alarm stands: which alarm, its state, and how often that changed."""

    alarm_id: int
    state: State
    seq: int


def walk(
    definition: AlarmDefinition,
    standing: Standing,
    summaries: Mapping[int, Summary],
    grid: Grid,
    periods: range,
    *,
    now: datetime,
) -> list[StateChange]:
    """Evaluate an alarm at the end of each of some periods; give its changes of state.

    Parameters
    ----------
    definition, standing
        The alarm, and its state before.
    summaries
        What came in, by number of period; those of the evaluation range before the first period
        to be judged are needed, too.
    grid
        The numbering of periods.
    periods
        Numbers of the periods to judge, each at its end.
    now
        Time that the changes carry.
    """
    numbers = sorted(summaries)
    changes: list[StateChange] = []
    index = periods.start
    while index < periods.stop:
        points = _points(definition, summaries, grid, index)
        judgement = judge(definition, points, standing.state)
        if judgement.state != standing.state:
            standing = replace(standing, seq=standing.seq + 1)
            changes.append(_change(definition, standing, judgement, grid.start(index + 1), now))
            standing = replace(standing, state=judgement.state)
        index += 1
        if all(point.value is None for point in points):
            # Silence goes on saying the same: on to the next period with data.
            position = bisect.bisect_left(numbers, index)
            index = numbers[position] if position < len(numbers) else periods.stop
    return changes


def _points(
    definition: AlarmDefinition, summaries: Mapping[int, Summary], grid: Grid, index: int
) -> list[Point]:
    first = index - definition.range_periods + 1
    return [
        Point(
            grid.start(number),
            found.get(definition.statistic),
            found.sample_count,
            found.note,
        )
        if (found := summaries.get(number)) is not None
        else Point(grid.start(number))
        for number in range(first, index + 1)
    ]


def _change(
    definition: AlarmDefinition,
    standing: Standing,
    judgement: Judgement,
    period_end: datetime,
    now: datetime,
) -> StateChange:
    breaches = [
        point
        for point in judgement.evaluated
        if point.value is not None
        and breaching(point.value, definition.comparison_operator, definition.threshold)
    ]
    told = breaches if judgement.state == "ALARM" else judgement.evaluated
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
        note=next((point.note for point in reversed(told) if point.note is not None), None),
    )
