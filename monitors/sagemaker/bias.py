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
    clarify_counts,
    reference_groups,
)
from driftline.monitors.kinds.bias.evaluation import suggest
from driftline.monitors.kinds.bias.facet_counts import labelled_count
from driftline.monitors.kinds.bias.flip_test import flips_of
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.intervals import interval
from driftline.monitors.kinds.bias.judgement import ROUNDING, Finding, GroupCounts, needed_rows
from driftline.monitors.kinds.bias.metrics import (
    POST_TRAINING,
    PRE_TRAINING,
    Measured,
    Pair,
    measure,
)
from driftline.monitors.kinds.bias.plan import Plan, plan_of
from driftline.monitors.kinds.bias.report import (
    details_of,
    document_of,
    measured_of,
    points_of,
    violations_of,
)
from driftline.monitors.kinds.bias.window import count_window
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import UNDEFINED, MetricResult
from driftline.stats.intervals import Z95, Limits

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
    tallies = counted.tallies
    # The merge of a monitoring job has no rows without ground truth; a file's are negative.
    is_merged = context.rows.facts is not None
    flips = flips_of(plan, counted.near, plan.roles, like_clarify=True)
    known: Sequence[ClarifyGroup | None] = reference_groups(plan) or [None] * len(flips)
    suggested: Sequence[Mapping[str, Measured]] = [{}] * len(flips)
    if plan.outcomes is not None:
        usual = flips_of(plan, plan.outcomes.neighbours, plan.outcomes.roles)
        suggested = measured_of(plan, plan.reference, usual)
    windows = [
        ClarifyGroup.of(
            clarify_counts(group, tallies[group.counted], is_merged=is_merged), plan, flip
        )
        for group, flip in zip(plan.groups, flips, strict=True)
    ]
    counts, findings = [], []
    for place, (group, window) in enumerate(zip(plan.groups, windows, strict=True)):
        reference = known[place]
        required = _required(plan, group, reference, suggested[place])
        counts.append(
            GroupCounts(
                group.facet.name, group.text, window.counts,
                None if reference is None else reference.counts, required=required,
            )
        )  # fmt: skip
        findings += [
            _finding(place, group, name, window, required.get(name))
            for name in (*POST_TRAINING, *PRE_TRAINING)
            if name in window.measured or required.get(name) is not None
        ]
    violations = violations_of(findings, plan.groups, counts, context.rows.batches)
    return Report(
        kind="bias",
        violations=violations,
        row_count=counted.rows,
        labelled_count=labelled_count(tallies),
        metrics=tuple(finding.result for finding in findings),
        files={ANALYSIS: document_of(plan, [window.measured for window in windows])},
        points=points_of(
            findings, plan.groups, violations, label=plan.label, positive=plan.positive_text
        ),
        details=details_of(plan, tallies, counts),
    )


def _required(
    plan: Plan, group: Group, reference: ClarifyGroup | None, suggested: Mapping[str, Measured]
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
    place: int,
    group: Group,
    name: str,
    window: ClarifyGroup,
    required: float | None,
) -> Finding:
    """Hold one metric against the allowed range, as far from 0 as the baseline on either side."""
    measured = window.measured.get(name, Measured(None, NO_STRATA))
    pair = Pair.of(window.counts)
    value = measured.value
    # What only Clarify gives a value has no interval.
    limits: Limits | None = None
    is_flip = name == "FT" and window.flip is not None
    usual = None if name == "FT" else measure(pair, stratified=True)[name].value
    if is_flip and window.flip is not None:
        limits = window.flip.limits(Z95)
    elif value is not None and usual is not None and math.isclose(value, usual, abs_tol=1e-12):
        limits = interval(name, pair, measured)
    result = MetricResult(
        name=name,
        value=value,
        low=None if limits is None else limits[0],
        high=None if limits is None else limits[1],
        reference=required,
        count=window.flip.others + window.flip.group
        if is_flip and window.flip is not None
        else int(sum(needed_rows(name, pair))),
        facet=group.facet.name,
        facet_value=group.text,
        note="" if value is not None else f"{UNDEFINED}{measured.reason}",
    )
    if value is None and required is not None:  # Told as not computed, for it is to be held to.
        result = replace(result, operator="GreaterThanThreshold")
    if value is None or required is None:
        return Finding(result, place, required)
    allowed = abs(required)
    # SageMaker sums in another order: its own rows miss its own value by the last bits.
    most = allowed + ROUNDING * max(1.0, allowed)
    is_broken = abs(value) > most
    judged = replace(
        result,
        bound=math.copysign(allowed, value),
        operator="LessThanThreshold" if value < 0 else "GreaterThanThreshold",
        severity="ticket" if is_broken else None,
    )
    ratio = abs(value) / allowed if allowed else math.inf
    return Finding(judged, place, required, ratio=ratio if math.isfinite(ratio) else None)
