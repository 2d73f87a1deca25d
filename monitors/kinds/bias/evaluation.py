"""The kind "bias": whether groups are treated otherwise than in the reference.

Metrics of predictions alone are judged at once, metrics that need labels on the labelled rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from driftline.baseline.store import ANALYSIS, Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.bias.clarify import reference_groups
from driftline.monitors.kinds.bias.facet_counts import Tally, labelled_count
from driftline.monitors.kinds.bias.flip_test import Flip, flips_of
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.judgement import (
    GroupCounts,
    findable,
    judge_groups,
    judged_usually,
)
from driftline.monitors.kinds.bias.labels import fairly_labelled, guard, label_samples
from driftline.monitors.kinds.bias.new_groups import measure_new, new_groups, new_groups_details
from driftline.monitors.kinds.bias.plan import Plan, blocks_of_groups, plan_of
from driftline.monitors.kinds.bias.report import (
    details_of,
    document_of,
    measured_of,
    points_of,
    violations_of,
)
from driftline.monitors.kinds.bias.spans import (
    judge_spans,
    later_windows,
    scale_budget,
    window_counts,
    with_spans,
)
from driftline.monitors.kinds.bias.window import CountedWindow, count_window
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import WITHHELD
from driftline.monitors.results.unusable import (
    JudgedUnusable,
    judge_equal,
    judge_unusable,
    untimed_note,
    unusable_details,
)
from driftline.monitors.results.violation import JsonValue, plural
from driftline.roles import Facet
from driftline.stats.blocks import MINIMUM_BLOCKS

# Windows of so many rows are told what they find, and of so many metrics.
WINDOW_SIZES = (1_000, 10_000)
# As of so many rows: what days may differ by bounds them all.
ANY_ROWS = 1_000_000_000
NAMED_CHANGES = 4


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
    plan = plan_of(baseline, outcomes.roles)
    counts = _counts(plan, plan.reference, None)
    alpha = Budget().per_window / max(1, sum(len(judged_usually(one)) for one in counts))
    found = []
    is_timed = any(one.blocks is not None for one in counts)
    for rows in (*WINDOW_SIZES, *((ANY_ROWS,) * is_timed)):
        parts = [
            f"{group.name}: {name} at {least:.3g} (now {value:.3g})"
            for group, one in zip(plan.groups, counts, strict=True)
            for name, value, least in findable(one, rows, alpha)
        ]
        more = f", and {len(parts) - NAMED_CHANGES} more" * (len(parts) > NAMED_CHANGES)
        told = "; ".join(parts[:NAMED_CHANGES]) + more
        if rows == ANY_ROWS:
            least = f"less than {told}" if told else "any change"
            found.append(f"beside days of this reference no number of rows a day finds {least}")
        else:
            found.append(f"{rows:,} rows a day find, nine times in ten, {told or 'no change'}")
    return found


def evaluate(context: CheckContext) -> Report:
    """Judge a window."""
    plan = plan_of(context.baseline, context.roles)
    window = count_window(plan, context)
    tallies = window.tallies
    flips = flips_of(plan, window.near, plan.roles)
    before = _flips_before(plan)
    samples = label_samples(plan, tallies, context)
    kept = _kept(plan, replace(window, tallies=fairly_labelled(plan, tallies, samples)), context)
    past = context.past.counts or ()
    later = [None] * len(flips) if kept is None else later_windows(plan, kept, past)
    counts = [
        replace(one, flips=both, later=since, required=required)
        for one, both, since, required in zip(
            _counts(plan, tallies, window.length),
            zip(flips, before, strict=True),
            later,
            _required(plan, before),
            strict=True,
        )
    ]
    findings, strictest = judge_groups(
        counts,
        stratified=plan.is_stratified,
        budget=scale_budget(context.budget, 1, remembers=kept is not None),
    )
    findings, withheld = guard(findings, counts, samples, strictest)
    spans = [] if kept is None else judge_spans(plan, kept, past, context.budget)
    told = with_spans(findings, plan.groups, counts, spans)
    alpha = context.budget.per_window
    judged = [
        *judge_unusable(window.unusable, plan.unusable(window.length), alpha),
        *_judged_equal(plan, tallies, window.length, alpha),
    ]
    violations = violations_of(*told, context.rows.batches, judged)
    new = measure_new(new_groups(plan, tallies), tallies, counts, context.budget)
    return Report(
        kind="bias",
        violations=violations,
        row_count=window.rows,
        labelled_count=labelled_count(tallies),
        metrics=(
            *(one.result for one in findings),
            *new,
            *(one.result for one in judged),
        ),
        files={ANALYSIS: document_of(plan, measured_of(plan, tallies, flips))},
        points=points_of(
            findings, plan.groups, violations, label=plan.label, positive=plan.positive_text
        ),
        alpha=strictest,
        counts=kept,
        cell_ids={} if kept is None else {name: name for name in kept.cells},
        details={
            **details_of(plan, tallies, counts),
            **_told(plan, withheld),
            **new_groups_details(plan, tallies),
            "unfit_labels": window.unfit,
            **_times_note(plan, window, counts),
            **unusable_details(
                window.unusable,
                window.lacking,
                _collapsed(tallies),
                _one_class(tallies),
                _absent(plan.groups, counts, window.rows),
                _unfit(window),
            ),
        },
    )


def _flips_before(plan: Plan) -> list[Flip | None]:
    """Return the flip test of the reference's rows, where they were kept."""
    if plan.outcomes is None:
        return flips_of(plan, None, plan.roles)
    return flips_of(plan, plan.outcomes.neighbours, plan.outcomes.roles)


def _told(plan: Plan, withheld: Iterable[str]) -> dict[str, JsonValue]:
    """Return notes on the reference's classes and on groups without results."""
    told: dict[str, JsonValue] = {"classes_note": _reference_classes(plan), WITHHELD: [*withheld]}
    return {name: one for name, one in told.items() if one}


def _required(plan: Plan, flips: Sequence[Flip | None]) -> list[Mapping[str, float | None] | None]:
    """Return the document's limits of each group, without those that compat suggested.

    Nobody set those: they are the reference's own values, as Clarify computes them.
    """
    required = [plan.required(group) for group in plan.groups]
    if not plan.reference:
        return required
    usual = measured_of(plan, plan.reference, flips)
    if not any(
        asked is not None and name in own and asked != own[name].value
        for one, own in zip(required, usual, strict=True)
        for name, asked in (one or {}).items()
    ):
        return required
    return [
        None
        if one is None
        else {
            name: None if name in own.measured and asked == own.measured[name].value else asked
            for name, asked in one.items()
        }
        for one, own in zip(required, reference_groups(plan), strict=True)
    ]


def _unfit(window: CountedWindow) -> str:
    """Describe the labels that are left out; "" for none."""
    if not window.unfit:
        return ""
    labels = plural(window.unfit, "label")
    return f"{labels} left out: infinite ({window.unfit_words}); expected numbers"


def _times_note(
    plan: Plan, window: CountedWindow, counts: Sequence[GroupCounts]
) -> dict[str, JsonValue]:
    """Return a note that rows lack the times needed for a comparison with the reference's."""
    if plan.outcomes is None or plan.outcomes.roles.timestamp is None or not window.rows:
        return {}
    # Days that have rows of a group and of others.
    days = [(one.blocks.counts.sum(axis=(2, 3)) > 0).all(axis=1).sum() for one in counts
            if one.blocks is not None]  # fmt: skip
    note = untimed_note(
        plan.outcomes.roles.timestamp, plan.outcomes.untimed, (window.untimed, window.rows),
        span="they are held beside days of the reference" * (window.length is None),
        knows_days=max(days, default=0) >= MINIMUM_BLOCKS,
    )  # fmt: skip
    return {"times_note": note} if note else {}


def _kept(plan: Plan, window: CountedWindow, context: CheckContext) -> WindowCounts | None:
    """Return the counts that later windows need; None without window history."""
    facts = context.rows.facts
    if facts is None or context.past.counts is None or not plan.reference:
        return None
    return window_counts(plan, window.tallies, window.rows, facts.window)


def _collapsed(tallies: Mapping[Facet, Tally]) -> str:
    """Return a note that all predictions are equal, so no group can differ; else ""."""
    counts = next(iter(tallies.values())).counts.sum(axis=(0, 1, 2))
    if not counts[0] + counts[1] or (counts[0] and counts[1]):
        return ""
    which = "no prediction is" if counts[0] else "every prediction is"
    return f"{which} positive, so that no group can be treated otherwise"


def _reference_classes(plan: Plan) -> str:
    """Return a note that the reference's labels, or predictions, are all one; else ""."""
    if plan.outcomes is None or not plan.reference:
        return ""
    collapsed = _collapsed(plan.reference)
    parts = [plan.outcomes.classes_note, f"in the reference {collapsed}" * bool(collapsed)]
    return "; ".join(part for part in parts if part)


def _one_class(tallies: Mapping[Facet, Tally]) -> str:
    """Return a note that all labels are one, so half of the metrics have no value; else ""."""
    counts = next(iter(tallies.values())).counts.sum(axis=(0, 1, 3))
    if bool(counts[0]) == bool(counts[1]):
        return ""
    which = "no label is positive" if counts[0] else "every label is positive"
    return f"{which}, so that what counts the others has no value"


def _judged_equal(
    plan: Plan, tallies: Mapping[Facet, Tally], length: timedelta | None, alpha: float
) -> list[JudgedUnusable]:
    """Judge predictions that are all positive, or none, by the reference's share of such."""
    counts = next(iter(tallies.values())).counts.sum(axis=(0, 1, 2))
    if not counts[0] + counts[1] or (counts[0] and counts[1]):
        return []
    is_positive, rows = bool(counts[1]), int(counts[0] + counts[1])
    found = [(yes + no, yes if is_positive else no) for yes, no in plan.answered_blocks(length)]
    what = "positive" if is_positive else "negative"
    return judge_equal(rows, f"all {plural(rows, 'prediction')} are {what}", found, alpha)


def _absent(groups: Sequence[Group], counts: Sequence[GroupCounts], row_count: int) -> str:
    """Name the groups that have no rows, or all of them; "" for none."""
    rows = [one.window.sum(axis=(1, 2, 3)) for one in counts]
    empty = [group for group, sides in zip(groups, rows, strict=True) if not sides.any()]
    named = [
        f"no row has a value of {name}"
        for name in dict.fromkeys(group.facet.name for group in empty)
        if row_count
    ]
    named += [
        f"no row {'beside' if sides[1] else 'of'} {group.name}"
        for group, sides in zip(groups, rows, strict=True)
        if sides.any() and not sides.all()
    ]
    more = f" and {len(named) - NAMED_CHANGES} more" * (len(named) > NAMED_CHANGES)
    return ", ".join(named[:NAMED_CHANGES]) + more


def _counts(
    plan: Plan, tallies: Mapping[Facet, Tally], length: timedelta | None
) -> list[GroupCounts]:
    """Combine what is known of each group, now and in the reference."""
    return [
        GroupCounts(
            facet=group.facet.name,
            text=group.text,
            window=group.counts(tallies[group.counted]),
            reference=plan.reference_counts(group),
            blocks=blocks,
            required=plan.required(group),
            is_mirror=plan.is_mirror(group),
        )
        for group, blocks in zip(plan.groups, blocks_of_groups(plan, length), strict=True)
    ]
