"""Rules within a check of data quality: which apply, their outcomes and details."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from driftline.baseline.store import Baseline
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.detectability import DEFERRED, UNDECIDABLE
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.results.violation import JsonValue
from driftline.monitors.rules.fitting import beyond_chance, require_fit, sign_rules
from driftline.monitors.rules.reach import NOTHING
from driftline.monitors.rules.reading import rules_of
from driftline.monitors.rules.ruleset import Outcome, RuleCounters, RuleSet
from driftline.signature import JUDGED_ROLES

# What of a baseline an endpoint's requests and answers carry; all else is known of files alone.
CAPTURED_ROLES = frozenset(JUDGED_ROLES)
EXPLAINING = frozenset({"unit_change_check", "range_check"})
JUDGED_NONE = "judged no row"
# From so many rows that count as one, whole days lie low together, as they do in weather.
SLOW_EFFECT = 4.0


def declared(context: CheckContext) -> RuleSet:
    """Return the rules of a context: observed signs, the constraints' and the caller's.

    Where constraints are not evaluated, only the caller's hold.
    """
    baseline = context.baseline
    if not baseline.constraints.monitoring_config.evaluate_constraints:
        return context.rules
    # A baseline is data, which may come from anywhere: nothing that it names is run or read.
    reach = replace(NOTHING, discreet=context.reach.discreet)
    own = rules_of(baseline.constraints).within(reach).plus(context.rules)
    # What is declared of a column's sign holds in place of what was observed, also a looser share.
    signed = {
        rule.declaration.get("column")
        for rule in own.rules
        if rule.declaration.check == "non_negative" and rule.declaration.get("where") is None
    }
    observed = sign_rules(baseline.signature, baseline.constraints).rules
    require_fit(own, baseline)
    return RuleSet(
        tuple(one for one in observed if one.declaration.get("column") not in signed)
    ).plus(own)


def judged_rules(
    counters: RuleCounters,
    baseline: Baseline,
    judgement: Judgement,
    *,
    is_captured: bool,
    seasonal: Collection[str],
) -> tuple[Outcome, ...]:
    """Judge the counts as carefully as the check's own columns.

    In a captured window a rule on a label, or on a column that is no input of the model, is not
    evaluated. An observed sign is no news where values lie outside the range anyway, as after a
    change of unit; it is a ticket for ``seasonal`` columns, which a season may yet bring below 0.
    """
    known = [column.name for column in baseline.signature.columns]
    explained = {draft.feature for draft in judgement.drafts if draft.check in EXPLAINING}
    found = []
    for counted in counters.result(known):
        is_observed, feature = counted.rule.is_observed, counted.feature
        if is_observed and feature in explained:
            continue
        effect = _effect(counted, judgement)
        outcome = beyond_chance(
            _opened(counted, baseline) if is_captured else counted,
            baseline.profile,
            alpha=judgement.alpha,
            effect=effect,
        )
        is_slow = effect >= SLOW_EFFECT or (
            judgement.notes.get(feature) == UNDECIDABLE
            and judgement.remedies.get(feature) != DEFERRED
        )
        if is_observed and is_slow and feature in seasonal:
            outcome = replace(outcome, severity="ticket")
        found.append(outcome)
    return tuple(found)


def _opened(outcome: Outcome, baseline: Baseline) -> Outcome:
    """Treat a column that is never captured as not evaluated."""
    columns = [baseline.signature.get(name) for name in outcome.absent]
    if not columns or any(column is None or column.role in CAPTURED_ROLES for column in columns):
        return outcome
    names = ", ".join(outcome.absent)
    words = f"not judged: {names} is not in captured rows"
    return replace(outcome, is_open=True, tally=replace(outcome.tally, words=words))


def _effect(outcome: Outcome, judgement: Judgement) -> float:
    drift = judgement.drifts.get(outcome.feature)
    return 1.0 if drift is None else drift.design_effect


def rule_details(outcomes: Sequence[Outcome]) -> Mapping[str, JsonValue]:
    """Return each declared rule with its counts; empty without rules."""
    found: list[JsonValue] = [
        {
            "rule": dict(outcome.rule.declaration.found),
            "feature_name": outcome.feature,
            "passed": outcome.passed,
            "judged_count": outcome.tally.judged_count,
            "broken_count": outcome.tally.broken_count,
            "found": outcome.tally.words or (JUDGED_NONE if outcome.passed is None else ""),
        }
        for outcome in outcomes
        if not outcome.rule.is_observed
    ]
    return {"rules": found} if found else {}
