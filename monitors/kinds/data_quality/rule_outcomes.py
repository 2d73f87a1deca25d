"""Rules within a check of data quality: which apply, their outcomes and details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from driftline.baseline.store import Baseline
from driftline.monitors.check_context import CheckContext
from driftline.monitors.results.violation import JsonValue
from driftline.monitors.rules.judging import judge
from driftline.monitors.rules.outcome import Outcome
from driftline.monitors.rules.reach import NOTHING
from driftline.monitors.rules.reading import rules_of
from driftline.monitors.rules.ruleset import RuleSet
from driftline.signature import JUDGED_ROLES

# What of a baseline an endpoint's requests and answers carry; all else is known of files alone.
CAPTURED_ROLES = frozenset(JUDGED_ROLES)
JUDGED_NONE = "judged no row"


def declared_rules(context: CheckContext) -> RuleSet:
    """Return the rules of a context: the constraints' and the caller's.

    Where constraints are not evaluated, only the caller's hold.
    """
    baseline = context.baseline
    if not baseline.constraints.monitoring_config.evaluate_constraints:
        return context.rules
    # A baseline is data, which may come from anywhere: nothing that it names is run or read.
    reach = replace(NOTHING, discreet=context.reach.discreet)
    return rules_of(baseline.constraints).within(reach).plus(context.rules)


def judged_rules(context: CheckContext, rules: RuleSet) -> tuple[Outcome, ...]:
    """Judge the rules of a check on its rows.

    In a captured window a rule on a label, or on a column that is no input of the model, is not
    evaluated.
    """
    if not rules:
        return ()
    baseline, facts = context.baseline, context.rows.facts
    outcomes = judge(
        rules,
        context.rows.read,
        facts.window.end if facts else datetime.now(UTC),
        types={one.name: one.type for one in baseline.signature.columns},
        known=[column.name for column in baseline.signature.columns],
    )
    if not context.rows.unfit:
        return outcomes
    return tuple(_opened(one, baseline) for one in outcomes)


def _opened(outcome: Outcome, baseline: Baseline) -> Outcome:
    """Treat a column that is never captured as not evaluated."""
    columns = [baseline.signature.get(name) for name in outcome.absent]
    if not columns or any(column is None or column.role in CAPTURED_ROLES for column in columns):
        return outcome
    names = ", ".join(outcome.absent)
    words = f"not judged: {names} is not in captured rows"
    return replace(outcome, is_open=True, tally=replace(outcome.tally, words=words))


def rule_details(outcomes: Sequence[Outcome]) -> Mapping[str, JsonValue]:
    """Return each declared rule with its counts; empty without rules."""
    found: list[JsonValue] = [
        {
            "rule": dict(outcome.rule.declared),
            "feature_name": outcome.feature,
            "passed": outcome.passed,
            "judged_count": outcome.tally.judged_count,
            "broken_count": outcome.tally.broken_count,
            "found": outcome.tally.words or (JUDGED_NONE if outcome.passed is None else ""),
        }
        for outcome in outcomes
    ]
    return {"rules": found} if found else {}
