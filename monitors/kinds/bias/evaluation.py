"""The kind "bias": whether groups are treated otherwise than in the reference.

Metrics of predictions alone are judged at once, metrics that need labels on the labelled rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np

from driftline.baseline.store import ANALYSIS, Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.engine.block_test import Tested
from driftline.monitors.engine.metric import Array
from driftline.monitors.engine.pooling import (
    DAY,
    WindowSums,
    block_length,
    judged_spans,
    smallest_p_value,
)
from driftline.monitors.engine.reference import Reference
from driftline.monitors.kinds.bias.counts import labelled_count
from driftline.monitors.kinds.bias.judgement import (
    WindowGroup,
    find,
    is_unfair,
    limit_tests,
    withhold,
)
from driftline.monitors.kinds.bias.labels import unfair_labels
from driftline.monitors.kinds.bias.metrics import MISSING
from driftline.monitors.kinds.bias.plan import Plan, plan_of
from driftline.monitors.kinds.bias.reference import (
    BiasReference,
    learn,
    measured_of,
    reference_measured,
)
from driftline.monitors.kinds.bias.report import (
    details_of,
    document_of,
    new_groups,
    points_of,
    violations_of,
)
from driftline.monitors.kinds.bias.sums import (
    NAMES,
    bucket_sums,
    interval_ends,
    shown_reference,
    without_labels,
)
from driftline.monitors.kinds.bias.window import CountedWindow, count_window
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import WITHHELD
from driftline.monitors.results.unusable import (
    JudgedUnusable,
    judge_equal,
    judge_unusable,
    unusable_details,
)
from driftline.monitors.results.violation import plural


def suggest(baseline: Baseline) -> Mapping[str, str]:
    """Return analysis.json of the reference, as Clarify writes it."""
    outcomes = baseline.outcomes
    if outcomes is None or not outcomes.roles.facets or outcomes.roles.positive is None:
        return {}
    try:
        plan = plan_of(baseline, outcomes.roles)
    except InputError:
        return {}  # Whoever asks for a check of bias is told what is missing.
    return {ANALYSIS: document_of(plan, reference_measured(plan))}


def evaluate(context: CheckContext) -> Report:
    """Judge a window."""
    plan = context.kept(("bias", context.roles), lambda: plan_of(context.baseline, context.roles))
    window = count_window(plan, context)
    block = block_length(window.length or DAY)
    reference = context.kept(("bias", context.roles, block), lambda: learn(plan, block))
    level = context.budget.per_window
    buckets = bucket_sums(plan.groups, window.counts)
    shown = reference.shown or shown_reference(buckets, is_window=True)
    groups = _window_groups(reference, shown, window, buckets)
    tested, sums = _judge(reference, window, buckets, context, groups)
    limited = limit_tests(reference, shown, buckets, groups, level)
    findings, withheld = withhold(find(reference, groups, tested, limited), groups)
    unusable = [
        *judge_unusable(window.unusable, reference.unusable, level),
        *_judged_equal(reference, window, level),
    ]
    pairs = [(one.pair, plan.reference_pair(group))
             for one, group in zip(groups, plan.groups, strict=True)]  # fmt: skip
    violations = violations_of(findings, plan.groups, pairs, context.rows.batches, level, unusable)
    alone = [one for one in findings if one.windows == 1]
    absent = (f'the data has no column "{one}"' for one in window.absent)
    return Report(
        kind="bias",
        violations=violations,
        row_count=window.rows,
        labelled_count=labelled_count(window.counts),
        metrics=(
            *(one.result for one in alone),
            *new_groups(plan, window),
            *(one.result for one in unusable),
        ),
        files={ANALYSIS: document_of(plan, [group.measured for group in groups])},
        points=points_of(alone, plan, violations),
        alpha=level / max(sum(one.result.judged for one in alone), 1),
        sums=sums,
        spans=judged_spans(tested),
        details={
            **details_of(plan, window, [one.pair for one in groups]),
            **unusable_details(window.unusable, *absent),
            **({WITHHELD: [*withheld]} if withheld else {}),
        },
    )


def _window_groups(
    reference: BiasReference, shown: Reference, window: CountedWindow, buckets: Array
) -> list[WindowGroup]:
    """Measure each group in a window; `shown` is of all metrics."""
    plan, here = reference.plan, interval_ends(shown, buckets)
    there = np.full_like(here, np.nan)
    if reference.shown is not None:
        there = interval_ends(shown, shown.buckets)
    limits = np.concatenate([here, there], axis=1).reshape(len(plan.groups), len(NAMES), 4)
    measured = measured_of(plan, window.counts, window.near, plan.roles)
    found = []
    for at, (group, values) in enumerate(zip(plan.groups, measured, strict=True)):
        pair, usual = window.counts[group.counted].pair(group.values), plan.reference_pair(group)
        now = pair.sum(axis=1)
        before = np.zeros_like(now) if usual is None else usual.sum(axis=1)
        whose = (f"all but {group.name}", group.name)
        unfair = [unfair_labels(*one, plan.positive_text)
                  for one in zip(now, before, whose, strict=True)]  # fmt: skip
        own = dict(zip(NAMES, limits[at].tolist(), strict=True))
        found.append(WindowGroup(pair, values, own, next(filter(None, unfair), "")))
    return found


def _judge(
    reference: BiasReference,
    window: CountedWindow,
    buckets: Array,
    context: CheckContext,
    groups: Sequence[WindowGroup],
) -> tuple[list[Tested], WindowSums | None]:
    """Test a window, and the spans that end with it; also return what later windows need.

    Later windows do not get labels of groups whose labels are no fair sample.
    """
    if reference.sums is None:
        return [], None
    length = window.length or DAY
    layout = _layout(reference.plan)
    tested, sums = context.judge(reference.sums, buckets, layout, length=length)
    if sums is None:
        return tested, None
    places = itertools.cycle(reference.judged)
    fair = [one for (at, name), one in zip(places, tested, strict=False)
            if not is_unfair(groups[at], name)]  # fmt: skip
    kept = without_labels(buckets, [at for at, one in enumerate(groups) if one.unfair])
    return tested, replace(sums, buckets=kept, p_value=smallest_p_value(fair))


def _layout(plan: Plan) -> str:
    """Name what the sums are of, so that others are never added to them."""
    roles = plan.roles
    parts = (
        [group.key for group in plan.groups], roles.label, roles.prediction,
        roles.probability, roles.positives, roles.problem, roles.positive_above,
    )  # fmt: skip
    return f"bias {blake2b(repr(parts).encode(), digest_size=8).hexdigest()}"


def _judged_equal(
    reference: BiasReference, window: CountedWindow, alpha: float
) -> list[JudgedUnusable]:
    """Judge predictions that are all positive, or none, by the reference's share of such."""
    answered = next(iter(window.counts.values())).answered
    negative, positive, _ = (int(one) for one in answered.sum(axis=(0, 1)))
    if bool(negative) == bool(positive):
        return []
    found = [
        (int(one[:, :MISSING].sum()), int(one[:, int(positive > 0)].sum()))
        for one in reference.answered
    ]
    rows, what = negative + positive, "positive" if positive else "negative"
    return judge_equal(rows, f"all {plural(rows, 'prediction')} are {what}", found, alpha)
