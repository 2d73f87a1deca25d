"""The kind "bias": whether groups are treated otherwise than in the reference.

Metrics of predictions alone are judged at once, metrics that need labels on the labelled rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.store import ANALYSIS, Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.engine.block_test import NINE_IN_TEN, ChangeLaw, Tested, judge
from driftline.monitors.engine.metric import Array
from driftline.monitors.engine.pooling import (
    DAY,
    WindowSums,
    block_length,
    judge_spans,
    smallest_p_value,
)
from driftline.monitors.engine.sums import GROUPS
from driftline.monitors.kinds.bias.counts import labelled_count
from driftline.monitors.kinds.bias.flip_test import flips_of
from driftline.monitors.kinds.bias.judgement import WindowGroup, find
from driftline.monitors.kinds.bias.labels import label_samples, withhold
from driftline.monitors.kinds.bias.metrics import MISSING
from driftline.monitors.kinds.bias.notes import window_notes
from driftline.monitors.kinds.bias.plan import plan_of
from driftline.monitors.kinds.bias.reference import BiasReference, learn, measured_of
from driftline.monitors.kinds.bias.report import (
    details_of,
    document_of,
    points_of,
    violations_of,
)
from driftline.monitors.kinds.bias.sums import bucket_sums, without_labels
from driftline.monitors.kinds.bias.window import CountedWindow, count_window
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import WITHHELD
from driftline.monitors.results.unusable import JudgedUnusable, judge_equal, judge_unusable
from driftline.monitors.results.violation import plural

# Windows of so many rows are told what they find, and of so many metrics.
WINDOW_SIZES = (1_000, 10_000)
NAMED_CHANGES = 4

Counts = NDArray[np.int64]


def suggest(baseline: Baseline) -> Mapping[str, str]:
    """Return analysis.json of the reference, as Clarify writes it."""
    outcomes = baseline.outcomes
    if outcomes is None or not outcomes.roles.facets or outcomes.roles.positive is None:
        return {}
    try:
        plan = plan_of(baseline, outcomes.roles)
    except InputError:
        return {}  # Whoever asks for a check of bias is told what is missing.
    flips = flips_of(plan, outcomes.neighbours, outcomes.roles)
    return {ANALYSIS: document_of(plan, measured_of(plan, plan.reference, flips))}


def detectable(baseline: Baseline) -> list[str]:
    """Return the changes that windows of some sizes find nine times in ten, one sentence each."""
    outcomes = baseline.outcomes
    if outcomes is None or not suggest(baseline):
        return []
    reference = learn(plan_of(baseline, outcomes.roles), DAY)
    if reference.sums is None:
        return []
    both = zip(reference.plan.groups, reference.groups, strict=True)
    names = [group.name for group, own in both for _ in own.judged]
    found = []
    for rows in WINDOW_SIZES:
        parts = [
            f"{group}: {name} at {least:.3g} (now {usual:.3g})"
            for group, (name, usual, least) in zip(names, _findable(reference, rows), strict=True)
            if np.isfinite(least)
        ]
        more = f", and {len(parts) - NAMED_CHANGES} more" * (len(parts) > NAMED_CHANGES)
        told = "; ".join(parts[:NAMED_CHANGES]) + more
        found.append(f"{rows:,} rows a day find, nine times in ten, {told or 'no change'}")
    return found


def evaluate(context: CheckContext) -> Report:
    """Judge a window."""
    plan = context.kept(("bias", context.roles), lambda: plan_of(context.baseline, context.roles))
    window = count_window(plan, context)
    block = block_length(window.length or DAY)
    reference = context.kept(("bias", context.roles, block), lambda: learn(plan, block))
    groups = _window_groups(reference, window)
    samples = label_samples(reference, groups)
    unfair = [at for at, sample in enumerate(samples) if sample.is_unfair]
    tested, sums = _judge(reference, window, context, unfair)
    level = context.budget.per_window
    findings, withheld = withhold(find(reference, groups, tested, level), samples)
    judged = [
        *judge_unusable(window.unusable, reference.unusable, level),
        *_judged_equal(reference, next(iter(window.counts.values())).answered, level),
    ]
    pairs = [group.pair for group in groups]
    known = [plan.reference_pair(group) for group in plan.groups]
    batches = context.rows.batches
    violations = violations_of(
        findings, plan.groups, list(zip(pairs, known, strict=True)), batches, judged
    )
    alone = [one for one in findings if one.windows == 1]
    return Report(
        kind="bias",
        violations=violations,
        row_count=window.rows,
        labelled_count=labelled_count(window.counts),
        metrics=(*(one.result for one in alone), *(one.result for one in judged)),
        files={ANALYSIS: document_of(plan, [group.measured for group in groups])},
        points=points_of(
            alone, plan.groups, violations, label=plan.label, positive=plan.positive_text
        ),
        alpha=level / max(sum(one.result.judged for one in alone), 1),
        sums=sums,
        details={
            **details_of(plan, window.counts, pairs),
            **window_notes(reference, window),
            **({WITHHELD: [*withheld]} if withheld else {}),
        },
    )


def _window_groups(reference: BiasReference, window: CountedWindow) -> list[WindowGroup]:
    """Measure each group in a window."""
    plan, found = reference.plan, []
    flips = flips_of(plan, window.near, plan.roles)
    measured = measured_of(plan, window.counts, flips)
    for group, own, values, flip in zip(
        plan.groups, reference.groups, measured, flips, strict=True
    ):
        counts = window.counts[group.counted]
        limits = own.shown.limits(counts.pairs(group.values, GROUPS).astype(np.float64))
        found.append(WindowGroup(counts.pair(group.values), values, limits, flip))
    return found


def _judge(
    reference: BiasReference, window: CountedWindow, context: CheckContext, unfair: Sequence[int]
) -> tuple[list[Tested], WindowSums | None]:
    """Test a window, and the spans that end with it; also return what later windows need.

    Later windows do not get labels of groups whose labels are no fair sample.
    """
    expected, facts = reference.sums, context.rows.facts
    if expected is None:
        return [], None
    level, buckets = context.budget.per_window, _sums(reference, window)
    if facts is None:
        blocks = max((window.length or DAY) / DAY, 1.0) if expected.days is not None else 1.0
        return judge(expected, buckets, length=blocks, level=level), None
    compared = [at for at, own in enumerate(reference.groups) if own.judged]
    places = [compared.index(at) for at in unfair if at in compared]
    sums = WindowSums(facts.window.start, facts.window.end, buckets, _layout(reference))
    past = context.past.sums
    tested = judge_spans(expected, sums, past, level=level)
    if places:
        sums = replace(sums, buckets=without_labels(buckets, places))
        alone = len(expected.value)
        tested[alone:] = judge_spans(expected, sums, past, level=level)[alone:]
    return tested, None if past is None else replace(sums, p_value=smallest_p_value(tested))


def _sums(reference: BiasReference, window: CountedWindow) -> Array:
    return bucket_sums(reference.compared, window.counts, GROUPS)


def _layout(reference: BiasReference) -> str:
    """Name what the sums are of, so that others are never added to them."""
    roles = reference.plan.roles
    parts = (
        [group.identity for group in reference.compared], roles.label, roles.prediction,
        roles.probability, roles.positives, roles.problem, roles.positive_above,
    )  # fmt: skip
    return f"bias {blake2b(repr(parts).encode(), digest_size=8).hexdigest()}"


def _judged_equal(reference: BiasReference, answered: Counts, alpha: float) -> list[JudgedUnusable]:
    """Judge predictions that are all positive, or none, by the reference's share of such."""
    negative, positive, _ = (int(one) for one in answered.sum(axis=0))
    if bool(negative) == bool(positive) or not reference.answered:
        return []
    found = [
        (int(one[:, :MISSING].sum()), int(one[:, int(positive > 0)].sum()))
        for one in reference.answered
    ]
    rows, what = negative + positive, "positive" if positive else "negative"
    return judge_equal(rows, f"all {plural(rows, 'prediction')} are {what}", found, alpha)


def _findable(reference: BiasReference, rows: int) -> Iterator[tuple[str, float, float]]:
    """Yield each judged metric, its value, and the one that windows of so many rows find."""
    sums = reference.sums
    assert sums is not None
    share = rows / max(next(iter(reference.plan.reference.values())).rows.sum(), 1)
    law = ChangeLaw(sums, sums.rows, sums.support * share, 1.0)
    neutral = np.array([one.neutral or 0.0 for one in sums.metrics.metrics])
    side = np.where(sums.value >= neutral, 1.0, -1.0)
    reach = law.reach(Budget().per_window / len(sums.value), side)
    least = sums.value + side * (reach + NINE_IN_TEN * np.sqrt(law.row_variance))
    for metric, usual, one in zip(sums.metrics.metrics, sums.value, least, strict=True):
        yield metric.name, float(usual), float(one)
