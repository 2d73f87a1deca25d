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

from driftline.alerts.alarms.definition import AlarmDefinition, Treatment
from driftline.alerts.math.evaluate import Untrained

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

# Which rule decided a state; the sentence for each is the explainer's.
Rule = Literal[
    "no_data",  # No real point in the range: the treatment of missing data says the state.
    "full",  # N real points or more: M of the newest N decide, the treatment plays no part.
    "enough_breaching",  # Fewer than N real points, and M of them breach already.
    "filled",  # Fewer than N real points, and the treatment fills up the rest.
    "good_point",  # Fewer than N real points, not enough breach, and one is good: OK.
    "kept",  # Only breaching points, too few, and missing data are ignored: the state stays.
    "waited",  # Only breaching points, too few, but the oldest is M periods old: ALARM.
    "premature",  # Only breaching points, too few and too young for ALARM: the state stays.
    "low_samples",  # A percentile of too few samples: the state stays.
    "warm_up",  # A new alarm that still waits for data: the state stays.
    "too_new",  # Missing data are breaching, but too few periods are since the creation: stays.
    "untrained",  # The band has too few datapoints to learn from: nothing can be judged.
]

# The statistic is the left operand.
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True, slots=True)
class Point:
    """One period of an alarm."""

    start: datetime
    value: float | None = None  # None when nothing came in.
    sample_count: float = 0.0  # 0 where nobody knows, as after metric math.
    note: Mapping[str, object] | None = None  # By the writer of the datapoint.
    lower: float | None = None  # The band, of alarms that compare with one.
    upper: float | None = None
    untrained: Untrained | None = None  # The band that the value depends on.


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of one evaluation: the state, and the points that decided it."""

    state: State
    # N points, oldest first, missing ones where the real ones are fewer; less of a new alarm.
    evaluated: tuple[Point, ...]
    breaching_count: int  # Of the real evaluated points, as the next one.
    good_count: int
    rule: Rule = "full"
    marks: str = ""  # The whole range, oldest first: ``X`` breaching, ``0`` good, ``-`` missing.
    untrained: Untrained | None = None  # The band, where its not being trained decided.

    @property
    def filled_count(self) -> int:
        """How many evaluated points are missing and had to be treated."""
        return len(self.evaluated) - self.breaching_count - self.good_count

    @property
    def is_passing(self) -> bool:
        """Whether more silence may decide otherwise, without a new datapoint."""
        return self.rule in ("warm_up", "too_new")


@dataclass(frozen=True, slots=True)
class StateChange:
    """One change of state of an alarm."""

    alarm_id: int
    alarm_name: str
    seq: int  # Ordinal of the change, from 1.
    old: State
    new: State
    reason: str
    reason_data: str  # JSON text.
    time: datetime
    period_end: datetime  # Of the newest period that was judged.
    first_breach: datetime | None  # Start of the oldest breaching point that was judged.
    evaluated: tuple[Point, ...]  # Oldest first.
    note: Mapping[str, object] | None = None  # By the writer of the decisive datapoint.
    old_reason: str = ""  # The state before, where the caller knows.
    old_reason_data: str | None = None
    old_changed_at: datetime | None = None


def is_breaching(definition: AlarmDefinition, point: Point) -> bool | None:
    """Return on which side a point is; None when it is missing, or has no band to compare with.

    Equal to the edge of a band is not outside of it.
    """
    value, operator_name = point.value, definition.comparison_operator
    if value is None:
        return None
    if definition.threshold is not None:
        return _OPERATORS[operator_name](value, definition.threshold)
    lower, upper = point.lower, point.upper
    if operator_name == "LessThanLowerThreshold":
        return None if lower is None else value < lower
    if operator_name == "GreaterThanUpperThreshold":
        return None if upper is None else value > upper
    return None if lower is None or upper is None else value < lower or value > upper


def decide(
    points: Sequence[bool | None],
    n: int,
    m: int,
    treat: Treatment,
    current: State,
    *,
    unwatched: int = 0,
) -> tuple[State, Rule]:
    """Return the state of an alarm after one evaluation, and the rule that decided it.

    Points are the newest periods, oldest first, at least n: breaching, not, or missing (None); up
    to ``unwatched`` missing ones never count as breaching. Where the prose and the tables of
    CloudWatch's user guide differ (``0 - X - -``, 2 of 3), the tables win.
    """
    real = [point for point in points if point is not None]
    breaches, fillable = sum(real), min(n, len(points) - unwatched) - len(real)
    is_short = fillable < n - len(real)
    if treat == "breaching" and is_short and all(real) and breaches + fillable < m:
        return current, "too_new"
    if not real:
        return _without_data(treat, current), "no_data"
    if len(real) >= n:
        return "ALARM" if sum(real[-n:]) >= m else "OK", "full"
    if breaches >= m:
        return "ALARM", "enough_breaching"
    if treat == "breaching":
        return "ALARM" if breaches + fillable >= m else "OK", "filled"
    if treat == "notBreaching":
        return "OK", "filled"
    if not all(real):
        return "OK", "good_point"
    if treat == "ignore":
        return current, "kept"
    # Only breaching points, too few of them. The rule against premature alarms waits until the
    # oldest one has been followed by enough periods; documented only as "does not go to ALARM".
    age = len(points) - next(i for i, point in enumerate(points) if point is not None)
    return ("ALARM", "waited") if age >= m else (current, "premature")


def _without_data(treat: Treatment, current: State) -> State:
    if treat == "missing":
        return "INSUFFICIENT_DATA"
    if treat == "ignore":
        return current
    return "ALARM" if treat == "breaching" else "OK"


def judge(
    definition: AlarmDefinition,
    points: Sequence[Point],
    current: State,
    *,
    warm_until: datetime | None = None,
    at: datetime | None = None,
    watched_from: datetime | None = None,
) -> Judgement:
    """Evaluate an alarm over its newest periods and tell which points decided."""
    flags = [is_breaching(definition, point) for point in points]
    n, m, treat = definition.evaluation_periods, definition.required_breaches, definition.treatment
    missing = [index for index, flag in enumerate(flags) if flag is None]
    all_missing = len(missing)
    if watched_from is not None and treat == "breaching":
        missing = [index for index in missing if points[index].start >= watched_from]
    unwatched = all_missing - len(missing)
    state, rule = decide(flags, n, m, treat, current, unwatched=unwatched)
    real = [index for index, flag in enumerate(flags) if flag is not None][-n:]
    fill = missing[max(len(missing) - (n - len(real)), 0) :] if len(real) < n else []
    evaluated = tuple(points[index] for index in sorted(real + fill))
    if real and sum(point.sample_count for point in evaluated) < definition.samples_wanted:
        state, rule = current, "low_samples"
    untrained = next((point.untrained for point in points if point.untrained is not None), None)
    if untrained is not None:
        # Datapoints are not what is missing, and metric math would take the band for 0.
        state, rule = current if treat == "ignore" else "INSUFFICIENT_DATA", "untrained"
    if warm_until is not None and at is not None and at < warm_until:
        warm_up = definition.warm_up_configuration
        is_full = len(real) >= n or current != "INSUFFICIENT_DATA"
        is_whole = warm_up is not None and warm_up.only_start_evaluating_after_warm_up_period_ends
        if warm_up is not None and (is_whole or not is_full):
            state, rule = current, "warm_up"
    breaches = sum(1 for index in real if flags[index])
    return Judgement(
        state=state,
        evaluated=evaluated,
        breaching_count=breaches,
        good_count=len(real) - breaches,
        rule=rule,
        marks="".join("-" if flag is None else "X" if flag else "0" for flag in flags),
        untrained=untrained if rule == "untrained" else None,
    )
