"""Bias as SageMaker Clarify measures and judges it: all that --compat does otherwise with bias.

What a group or a positive answer means stays as the baseline fixed it; Clarify's guess from each
window's size ("over 40" turns into "exactly 40" at 5,000 rows) is not repeated.

References
----------
Amazon SageMaker Developer Guide, "Monitor bias drift for models in production" (allowed range,
confidence interval); smclarify 0.5 for what has no value; for the rule a real run of a monitoring
job (tests/fixtures/bias), which tells three metrics whose interval reaches into the allowed range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from driftline.baseline.store import ANALYSIS
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.bias.facet_counts import Tally, labelled_count
from driftline.monitors.kinds.bias.flip_test import Flip, flips_of
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.intervals import interval
from driftline.monitors.kinds.bias.judgement import Finding, GroupCounts, needed_rows
from driftline.monitors.kinds.bias.metrics import (
    MISSING,
    POST_TRAINING,
    PRE_TRAINING,
    RATES,
    Counts,
    Measured,
    Numbers,
    Pair,
    divergences,
    measure,
)
from driftline.monitors.kinds.bias.plan import Plan, plan_of
from driftline.monitors.kinds.bias.report import (
    details_of,
    document_of,
    measured_of,
    points_of,
    violations_of,
    with_flip,
)
from driftline.monitors.kinds.bias.window import count_window
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import UNDEFINED, MetricResult
from driftline.stats.intervals import Z95, Limits

# With it smclarify ends the report of all metrics of predictions.
NONE_PREDICTED = "Positive Predicted Index Series contains all False values"

# Why what the document limits is not measured: FT beside it alone; CDDL and CDDPL without strata.
LACKS = {"FT": "the flip test needs a baseline made from data"}
NO_STRATA = "it needs a group column"


@dataclass(frozen=True)
class _Window:
    """One group as Clarify counts and measures it."""

    counts: Counts
    measured: Mapping[str, Measured]
    flip: Flip | None


def evaluate(context: CheckContext) -> Report:
    """Judge a window as SageMaker would."""
    plan = plan_of(context.baseline, context.roles)
    counted = count_window(plan, context)
    tallies = counted.tallies
    # The merge of a monitoring job has no rows without ground truth; a file's are negative.
    is_merged = context.rows.facts is not None
    flips = flips_of(plan, counted.near, plan.roles, like_clarify=True)
    known, usual = (
        ([None] * len(flips),) * 2
        if plan.outcomes is None
        else (
            flips_of(plan, plan.outcomes.neighbours, plan.outcomes.roles, like_clarify=one)
            for one in (True, False)
        )
    )
    suggested = measured_of(plan, plan.reference, usual) if plan.reference else []
    windows = [
        _measured(clarify_counts(group, tallies[group.counted], is_merged=is_merged), plan, flip)
        for group, flip in zip(plan.groups, flips, strict=True)
    ]
    by_interval = context.compat is not None and context.compat.bias_intervals
    counts, findings = [], []
    for place, (group, window) in enumerate(zip(plan.groups, windows, strict=True)):
        reference = None if plan.outcomes is None else _reference(plan, group, known[place])
        required = _required(plan, group, reference, suggested[place] if suggested else {})
        counts.append(
            GroupCounts(
                group.facet.name, group.text, window.counts,
                None if reference is None else reference.counts, required=required,
            )
        )  # fmt: skip
        findings += [
            _finding(place, group, name, window, required.get(name), by_interval=by_interval)
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


def clarify_counts(group: Group, tally: Tally, *, is_merged: bool = False) -> Counts:
    """Count a group and all others as Clarify does, shape (2, strata + 1, 3, 3).

    Rows without the facet are among the others; a missing answer or label is negative, unless no
    row has one. With `is_merged` rows without a label are left out.
    """
    counts = group.counts(tally)
    counts[0] += tally.counts[-1]
    if counts[:, :, :MISSING].any():
        if not is_merged:
            counts[:, :, 0] += counts[:, :, MISSING]
        counts[:, :, MISSING] = 0
    if counts[:, :, :, :MISSING].any():
        counts[:, :, :, 0] += counts[:, :, :, MISSING]
        counts[:, :, :, MISSING] = 0
    return counts


def clarify_metrics(pair: Pair, *, stratified: bool) -> dict[str, Measured]:
    """Measure one group as smclarify does: 0 / 0 is 0, and anything else over 0 infinite."""
    found = measure(pair, stratified=stratified)
    a, d = pair.a, pair.d
    if not a.rows or not d.rows:
        return found
    if (a + d).p1 + (a + d).p0:
        found["DI"] = Measured(_over(_over(d.p1, d.p1 + d.p0), _over(a.p1, a.p1 + a.p0)))
        found["DPPL"] = _less(a.p1, a.p1 + a.p0, d.p1, d.p1 + d.p0)
    if (a + d).y1 + (a + d).y0:
        found["DPL"] = _less(a.y1, a.y1 + a.y0, d.y1, d.y1 + d.y0)
        found |= _of_common_classes(pair)
    if a.judged.any() and d.judged.any():
        for name, rate in RATES.items():
            first, second = (a, d) if rate.sign > 0 else (d, a)
            found[name] = _less(
                rate.hits(first), rate.rows(first), rate.hits(second), rate.rows(second)
            )
        found["DCA"] = _less(a.tp + a.fn, a.tp + a.fp, d.tp + d.fn, d.tp + d.fp)
        found["DCR"] = _less(d.tn + d.fp, d.tn + d.fn, a.tn + a.fp, a.tn + a.fn)
        found["TE"] = _less(d.fn, d.fp, a.fn, a.fp)
    if (a + d).p0 and not (a + d).p1:
        found |= {name: Measured(None, NONE_PREDICTED) for name in POST_TRAINING if name in found}
    return found


def _of_common_classes(pair: Pair) -> dict[str, Measured]:
    """Compare labels; a class that one side lacks is dropped from both, as smclarify does."""
    sides = [np.array([side.y0, side.y1]) for side in (pair.a, pair.d)]
    shares = [side / max(float(side.sum()), 1.0) for side in sides]
    common = (shares[0] > 0) & (shares[1] > 0)
    values = divergences(shares[0][common], shares[1][common])
    return {name: Measured(value) for name, value in values.items()}


def _over(count: Numbers | float, rows: Numbers | float) -> float:
    count, rows = float(count), float(rows)
    return count / rows if rows else math.copysign(math.inf, count) if count else 0.0


def _less(count1: Numbers, rows1: Numbers, count2: Numbers, rows2: Numbers) -> Measured:
    first, second = _over(count1, rows1), _over(count2, rows2)
    return Measured(0.0 if math.isinf(first) and first == second else first - second)


def _measured(counts: Counts, plan: Plan, flip: Flip | None) -> _Window:
    found = clarify_metrics(Pair.of(counts), stratified=plan.is_stratified)
    ends = found["DPPL"].reason == NONE_PREDICTED
    return _Window(
        counts,
        with_flip(found, Flip(reason=NONE_PREDICTED) if flip is not None and ends else flip),
        flip,
    )


def _reference(plan: Plan, group: Group, flip: Flip | None) -> _Window:
    return _measured(clarify_counts(group, plan.reference[group.counted]), plan, flip)


def _required(
    plan: Plan, group: Group, reference: _Window | None, suggested: Mapping[str, Measured]
) -> dict[str, float | None]:
    """Return the document's values that somebody set, else the reference's as Clarify has them.

    What driftline suggested is measured otherwise, such as FT, and says nothing of a window here.
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
    window: _Window,
    required: float | None,
    *,
    by_interval: bool,
) -> Finding:
    """Hold one metric against the allowed range, as far from 0 as the baseline on either side."""
    measured = window.measured.get(name, Measured(None, LACKS.get(name, NO_STRATA)))
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
    low, high = (value, value) if limits is None or not by_interval else limits
    is_broken = low > allowed or high < -allowed
    judged = replace(
        result,
        bound=math.copysign(allowed, value),
        operator="LessThanThreshold" if value < 0 else "GreaterThanThreshold",
        severity="ticket" if is_broken else None,
    )
    ratio = abs(value) / allowed if allowed else math.inf
    return Finding(judged, place, required, ratio=ratio if math.isfinite(ratio) else None)
