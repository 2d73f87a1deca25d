"""Alarms: their definition, and the pure state machine of M out of N with missing data.

Semantics are Amazon CloudWatch's (User Guide, "How CloudWatch alarms evaluate", the two tables of
missing data). No clock, no database: the live evaluator and the replay call the same functions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from driftline.alerts.definition import AlarmDefinition, Treatment

__all__ = ["Judgement", "Point", "State", "StateChange", "breaching", "evaluate", "judge"]

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

# The statistic is the left operand.
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True, slots=True)
class Point:
    """One period of an alarm: its start, the statistic (None: nothing came in), and its note."""

    start: datetime
    value: float | None = None
    sample_count: float = 0.0
    note: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one evaluation says: the state, and the points it rests on.

    Parameters
    ----------
    state
        The state after the evaluation.
    evaluated
        N points, oldest first: real ones, and missing ones where the real ones are fewer.
    breaching_count, good_count
        How many of the real evaluated points are on which side of the threshold.
    """

    state: State
    evaluated: tuple[Point, ...]
    breaching_count: int
    good_count: int

    @property
    def filled_count(self) -> int:
        """How many evaluated points are missing and had to be treated."""
        return len(self.evaluated) - self.breaching_count - self.good_count


@dataclass(frozen=True, slots=True)
class StateChange:
    """One change of state of an alarm.

    Parameters
    ----------
    alarm_id, alarm_name, seq
        Which alarm, and the how manieth change of its state this is, from 1.
    old, new, reason, reason_data
        States before and after, CloudWatch's sentence, and its JSON text.
    time
        When the change was found.
    period_end
        End of the newest period that was judged.
    first_breach
        Start of the oldest breaching point that was judged, if any.
    evaluated
        The judged points, oldest first.
    note
        What the writer of the decisive datapoint had to say.
    """

    alarm_id: int
    alarm_name: str
    seq: int
    old: State
    new: State
    reason: str
    reason_data: str
    time: datetime
    period_end: datetime
    first_breach: datetime | None
    evaluated: tuple[Point, ...]
    note: Mapping[str, object] | None = None


def breaching(value: float, comparison: str, threshold: float) -> bool:
    """Say whether a value is on the wrong side of the threshold."""
    return _OPERATORS[comparison](value, threshold)


def evaluate(
    points: Sequence[bool | None], n: int, m: int, treat: Treatment, current: State
) -> State:
    """Give the state of an alarm after one evaluation.

    Parameters
    ----------
    points
        The newest periods, oldest first, at least n: breaching, not breaching, or missing (None).
    n, m
        Evaluation periods, and how many of them must breach.
    treat
        What a missing period counts as, while there are fewer than n real ones.
    current
        The state before.

    References
    ----------
    CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data"; where its prose
    and its tables differ (``0 - X - -``, 2 of 3), the tables win.
    """
    real = [point for point in points if point is not None]
    if not real:
        return _without_data(treat, current)
    if len(real) >= n:
        return "ALARM" if sum(real[-n:]) >= m else "OK"
    breaches = sum(real)
    if breaches >= m:
        return "ALARM"
    if treat == "breaching":
        return "ALARM" if breaches + n - len(real) >= m else "OK"
    if treat == "notBreaching" or not all(real):
        return "OK"
    if treat == "ignore":
        return current
    # Only breaching points, too few of them. The rule against premature alarms waits until the
    # oldest one has been followed by enough periods; documented only as "does not go to ALARM".
    age = len(points) - next(i for i, point in enumerate(points) if point is not None)
    return "ALARM" if age >= m else current


def _without_data(treat: Treatment, current: State) -> State:
    if treat == "missing":
        return "INSUFFICIENT_DATA"
    if treat == "ignore":
        return current
    return "ALARM" if treat == "breaching" else "OK"


def judge(definition: AlarmDefinition, points: Sequence[Point], current: State) -> Judgement:
    """Evaluate an alarm over its newest periods and tell which points decided.

    Parameters
    ----------
    definition
        The alarm.
    points
        ``definition.range_periods`` periods, oldest first, missing ones included.
    current
        The state before.
    """
    flags = [
        None
        if point.value is None
        else breaching(point.value, definition.comparison_operator, definition.threshold)
        for point in points
    ]
    n, m = definition.evaluation_periods, definition.required_breaches
    state = evaluate(flags, n, m, definition.treatment, current)
    real = [index for index, flag in enumerate(flags) if flag is not None][-n:]
    missing = [index for index, flag in enumerate(flags) if flag is None]
    fill = missing[len(missing) - (n - len(real)) :] if len(real) < n else []
    breaches = sum(1 for index in real if flags[index])
    return Judgement(
        state=state,
        evaluated=tuple(points[index] for index in sorted(real + fill)),
        breaching_count=breaches,
        good_count=len(real) - breaches,
    )
