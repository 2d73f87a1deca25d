"""Bias as SageMaker judges it: all that --compat does otherwise with bias.

References
----------
Amazon SageMaker Developer Guide, "Monitor bias drift for models in production" (allowed range,
confidence interval); for the rule a real run of a monitoring
job (tests/fixtures/bias), which tells three metrics whose interval reaches into the allowed range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from driftline.baseline.store import ANALYSIS, Baseline
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.bias.clarify import (
    ClarifyGroup,
    clarify_groups,
    reference_groups,
)
from driftline.monitors.kinds.bias.counts import labelled_count
from driftline.monitors.kinds.bias.evaluation import suggest
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.judgement import Finding, WindowGroup, shown_result
from driftline.monitors.kinds.bias.metrics import POST_TRAINING, PRE_TRAINING, GroupMetric
from driftline.monitors.kinds.bias.plan import Plan, plan_of
from driftline.monitors.kinds.bias.reference import ROUNDING, reference_measured
from driftline.monitors.kinds.bias.report import (
    details_of,
    document_of,
    points_of,
    violations_of,
)
from driftline.monitors.kinds.bias.window import count_window
from driftline.monitors.report.report import Report
from driftline.monitors.state import State

# Why CDDL and CDDPL, which the document limits, are not measured.
NO_STRATA = "it needs a group column"


def suggest_compat(baseline: Baseline) -> Mapping[str, str]:
    """Return analysis.json of the reference, with smclarify's values."""
    outcomes = baseline.outcomes
    if outcomes is None or not suggest(baseline):
        return {}
    plan = plan_of(baseline, outcomes.roles)
    return {ANALYSIS: document_of(plan, [one.measured for one in reference_groups(plan)])}


def evaluate(context: CheckContext) -> Report:
    """Judge a window as SageMaker would."""
    plan = plan_of(context.baseline, context.roles)
    counted = count_window(plan, context)
    # The merge of a monitoring job has no rows without ground truth; a file's are negative.
    is_merged = context.rows.facts is not None
    windows = clarify_groups(plan, counted.counts, counted.near, plan.roles, is_merged=is_merged)
    known: Sequence[ClarifyGroup | None] = reference_groups(plan) or [None] * len(windows)
    suggested = reference_measured(plan)
    findings = []
    for at, (group, window) in enumerate(zip(plan.groups, windows, strict=True)):
        required = _required(plan, group, known[at], suggested[at])
        findings += [
            _finding(at, group, name, window, required.get(name))
            for name in (*POST_TRAINING, *PRE_TRAINING)
            if name in window.measured or required.get(name) is not None
        ]
    pairs = [window.counts for window in windows]
    before = [None if one is None else one.counts for one in known]
    violations = violations_of(
        findings, plan.groups, list(zip(pairs, before, strict=True)), context.rows.batches
    )
    return Report(
        kind="bias",
        violations=violations,
        row_count=counted.rows,
        labelled_count=labelled_count(counted.counts),
        metrics=tuple(finding.result for finding in findings),
        files={ANALYSIS: document_of(plan, [window.measured for window in windows])},
        points=points_of(findings, plan, violations),
        details=details_of(plan, counted, pairs),
    )


def _required(
    plan: Plan, group: Group, reference: ClarifyGroup | None, suggested: Mapping[str, GroupMetric]
) -> dict[str, float | None]:
    """Return the document's edited values, else the reference's as Clarify computes them.

    driftline's own suggestions are measured otherwise, such as FT, and do not apply here.
    """
    own = {} if reference is None else {k: one.value for k, one in reference.measured.items()}
    document = plan.required(group)
    if document is None:
        return own if plan.requirements is None else {}
    usual = {name: one.value for name, one in suggested.items()}
    return {
        name: own.get(name) if one is None or one == usual.get(name) else one
        for name, one in document.items()
    }


def _finding(
    at: int, group: Group, name: str, window: ClarifyGroup, required: float | None
) -> Finding:
    """Hold one metric against the allowed range, as far from 0 as the baseline on either side."""
    measured = window.measured | {name: window.measured.get(name, GroupMetric(None, NO_STRATA))}
    shown = WindowGroup(window.counts, measured)
    result, value = shown_result(group, name, shown, required), measured[name].value
    if value is None and required is not None:  # Told as not computed, for it is to be held to.
        result = replace(result, state=State.UNDEFINED)
    if value is None or required is None:
        return Finding(result, at)
    allowed = abs(required)
    # SageMaker sums in another order: its own rows miss its own value by the last bits.
    most = allowed + ROUNDING * max(1.0, allowed)
    judged = replace(
        result,
        bound=math.copysign(allowed, value),
        operator="LessThanThreshold" if value < 0 else "GreaterThanThreshold",
        severity="ticket" if abs(value) > most else None,
    )
    return Finding(judged, at)
