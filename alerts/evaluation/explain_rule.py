"""Sentences that say what an alarm watches, which rule decided, and when it is judged next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import Judgement, State
from driftline.alerts.alarms.composite_records import CompositeRecord, states_since
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.documents import Time
from driftline.alerts.evaluation.diagnosis import duration, moment

OPERATORS = {
    "GreaterThanOrEqualToThreshold": "at or above",
    "GreaterThanThreshold": "above",
    "LessThanThreshold": "below",
    "LessThanOrEqualToThreshold": "at or below",
    "LessThanLowerOrGreaterThanUpperThreshold": "outside of the band",
    "LessThanLowerThreshold": "below the band",
    "GreaterThanUpperThreshold": "above the band",
}
_TREATED = {
    "missing": "leave the alarm without data",
    "ignore": "keep the state",
    "breaching": "count as breaching",
    "notBreaching": "count as not breaching",
}
# The evaluator's: overdue datapoints are waited for as long as a period, this long at most.
_GRACE_MAX_S = 900


@dataclass(frozen=True, slots=True)
class NamedState:
    """The state of an alarm, and since when; None: there is no such alarm."""

    name: str
    state: State
    since: Time | None


@dataclass(frozen=True, slots=True)
class ChildState:
    """One condition of a composite's rule: its text, whether it holds, and its alarms' states."""

    condition: str
    holds: bool
    alarms: tuple[NamedState, ...]


def condition(definition: AlarmDefinition) -> str:
    """Return what a metric alarm watches and when it goes off."""
    if definition.metrics:
        query = next(one for one in definition.metrics if one.id == definition.watched_id)
        what = f"{query.id} = {query.expression}" if query.expression else str(query.metric_name)
    else:
        shown = ", ".join(f"{key}={value}" for key, value in sorted(definition.dimensions.items()))
        what = (
            f"{definition.statistic_name} of {definition.namespace} {definition.metric_name} "
            f"{{{shown}}}"
        )
    threshold = "" if definition.threshold is None else f" {definition.threshold:.15g}"
    n, m = definition.evaluation_periods, definition.required_breaches
    times = "in 1 period" if n == 1 else f"in {m} of {n} periods"
    return (
        f"{what} {OPERATORS[definition.comparison_operator]}{threshold} {times} of "
        f"{duration(definition.period)}; missing datapoints {_TREATED[definition.treatment]}"
    )


def decided(definition: AlarmDefinition, judgement: Judgement, current: State) -> str:
    """Return which rule decides over a window, with its numbers."""
    n, m = definition.evaluation_periods, definition.required_breaches
    x, good, filled = judgement.breaching_count, judgement.good_count, judgement.filled_count
    real, state, looked = x + good, judgement.state, len(judgement.marks)
    wanted = "1 datapoint" if n == 1 else f"the {n} datapoints"
    came = f"{real} of {wanted} wanted came in, in the last {looked} periods"
    breach = f"{x} {'is' if x == 1 else 'are'} breaching"
    newest = f"of the newest {n} datapoints that came in {breach}, and it takes {m}"
    if n == 1:
        newest = f"the newest datapoint that came in {'is' if x else 'is not'} breaching"
    sentences = {
        "no_data": f"no {_nothing(definition)} in the last {looked} periods; missing ones "
        f"{_TREATED[definition.treatment]}: {state}",
        "full": f"{newest}: {state}; missing ones play no part",
        "enough_breaching": f"{came}; {breach} already, and it takes {m}: {state}",
        "filled": f"{came}; {breach}, and the {filled} missing "
        f"{_TREATED[definition.treatment]}, where it takes {m}: {state}",
        "good_point": f"{came}; {breach} where it takes {m}, and one is good: {state}",
        "kept": f"{came}; all are breaching, but it takes {m}, and missing ones keep the state: "
        f"{state}",
        "waited": f"{came}; all are breaching, and the oldest of them was followed by {m - 1} "
        f"periods or more: {state}",
        "premature": f"{came}; all are breaching, but it takes {m}, and the oldest is younger than "
        f"{m} periods: too early to say, {state} is kept",
        "low_samples": f"{_samples(definition, judgement)}; evaluate_low_sample_count_percentile "
        f"is ignore, so {state} is kept; with evaluate, or a longer period, it is judged",
        "warm_up": f"the alarm is new and warms up: {state} is kept",
        "too_new": f"the alarm is new: of the whole periods since it was made {breach} and "
        f"{filled} missing, and it takes {m}: {state} is kept",
        "untrained": f"{judgement.untrained}, so nothing can be judged: {state}",
    }
    text = sentences[judgement.rule]
    # Metric math knows no counts: there 0 is no number of samples.
    count = sum(point.sample_count for point in judgement.evaluated)
    if judgement.rule != "low_samples" and 0 < count < definition.samples_advised:
        words = _samples(definition, judgement)
        text += (
            f". {words[:1].upper()}{words[1:]}; with evaluate_low_sample_count_percentile: ignore, "
            "the state would be kept"
        )
    if state != current:
        text += f". The alarm is in {current}: its next evaluation changes that"
    return text


def _samples(definition: AlarmDefinition, judgement: Judgement) -> str:
    """Return the number of samples of a percentile, and how many it needs to be meaningful."""
    count = sum(point.sample_count for point in judgement.evaluated)
    return (
        f"the percentile is of {count:g} sample{'' if count == 1 else 's'}, and "
        f"{definition.statistic_name or 'it'} wants {definition.samples_advised:g} at least"
    )


def _nothing(definition: AlarmDefinition) -> str:
    """Return what there is none of: of metric math and bands, datapoints alone are not enough."""
    if definition.threshold_metric_id is not None:
        return "value with a band came out"
    return "value came out" if definition.metrics else "datapoint came in"


def on_arrival_next(
    definition: AlarmDefinition, until: datetime | None
) -> tuple[datetime | None, str]:
    """Return when an alarm is judged next that follows its datapoints."""
    if until is None:
        return None, "when the first datapoint comes in"
    end = until + timedelta(seconds=definition.period)
    overdue = end + timedelta(seconds=definition.period + min(definition.period, _GRACE_MAX_S))
    text = (
        f"when the datapoint of the period that ends at {moment(end)} comes in, or is overdue at "
        f"{moment(overdue)}"
    )
    return overdue, text


def rule_children(
    connection: Connection, record: CompositeRecord
) -> tuple[tuple[ChildState, ...], State]:
    """Return the conditions of a composite's rule as they stand now, and what it comes to."""
    rule = record.definition.rule
    found = states_since(connection, rule.names)
    states = {name: one.state for name, one in found.items()}
    children = tuple(
        ChildState(
            one.text,
            one.holds(states),
            tuple(
                NamedState(
                    name,
                    states.get(name, "INSUFFICIENT_DATA"),
                    found[name].since if name in found else None,
                )
                for name in one.names
            ),
        )
        for one in rule.conditions
    )
    return children, rule.state(states)


def composite_rule(
    record: CompositeRecord, children: Sequence[ChildState], judged: State
) -> tuple[str, str]:
    """Return the rule that decides a composite's state, and its sentence."""
    true = [one.condition for one in children if one.holds]
    shown = ", ".join(true[:5]) + (", …" if len(true) > 5 else "")
    text = f"the rule is {'true' if judged == 'ALARM' else 'false'}: {judged}"
    text += f"; of its conditions hold: {shown}" if true else "; none of its conditions holds"
    if judged != record.state:
        text += (
            f". The alarm is in {record.state}, as somebody set it: that stays until one of its "
            "children changes"
        )
        return "set_by_hand", text
    return "rule", text


def composite_next(record: CompositeRecord) -> tuple[datetime | None, str]:
    """Return when a composite is judged next, and until when its actions wait."""
    text = "when one of its children changes its state"
    until = record.held.until
    if until is not None:
        text += f"; its actions wait until {moment(until)} ({record.held.by})"
    return until, text
