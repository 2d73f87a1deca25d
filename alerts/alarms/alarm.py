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
    """One period of an alarm.

    Parameters
    ----------
    start
        Its start.
    value
        The statistic; None when nothing came in.
    sample_count
        How many samples it is of; 0 where nobody knows, as after metric math.
    note
        What the writer of the datapoint had to say.
    lower, upper
        The band at this period, of alarms that compare with one; None when there is none.
    untrained
        The band that the value depends on, where it is not trained.
    """

    start: datetime
    value: float | None = None
    sample_count: float = 0.0
    note: Mapping[str, object] | None = None
    lower: float | None = None
    upper: float | None = None
    untrained: Untrained | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one evaluation says: the state, and the points it rests on.

    Parameters
    ----------
    state
        The state after the evaluation.
    evaluated
        N points, oldest first: real ones, and missing ones where the real ones are fewer; less
        than N while missing ones from before the creation do not count.
    breaching_count, good_count
        How many of the real evaluated points are on which side of the threshold.
    rule
        Which rule decided.
    marks
        The whole range, oldest first: ``X`` breaching, ``0`` good, ``-`` missing.
    untrained
        The band that is not trained, where that decided.
    """

    state: State
    evaluated: tuple[Point, ...]
    breaching_count: int
    good_count: int
    rule: Rule = "full"
    marks: str = ""
    untrained: Untrained | None = None

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
    old_reason, old_reason_data, old_changed_at
        What was said of the state before, and since when it was; where the caller knows.
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
    old_reason: str = ""
    old_reason_data: str | None = None
    old_changed_at: datetime | None = None


def breaching(value: float, comparison: str, threshold: float) -> bool:
    """Whether a value is on the wrong side of the threshold."""
    return _OPERATORS[comparison](value, threshold)


def is_breaching(definition: AlarmDefinition, point: Point) -> bool | None:
    """Say on which side a point is; None when it is missing, or has no band to compare with.

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


def evaluate(
    points: Sequence[bool | None], n: int, m: int, treat: Treatment, current: State
) -> State:
    """Return the state of an alarm after one evaluation.

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
    return decide(points, n, m, treat, current)[0]


def decide(
    points: Sequence[bool | None],
    n: int,
    m: int,
    treat: Treatment,
    current: State,
    *,
    unwatched: int = 0,
) -> tuple[State, Rule]:
    """Return the state as :func:`evaluate` does, and the rule that decided it.

    ``unwatched`` is how many of the missing points no treatment may count as breaching.
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
        if warm_up is not None and (warm_up.is_whole or not is_full):
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
