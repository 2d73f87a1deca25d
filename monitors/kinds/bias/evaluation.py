"""The kind "bias": whether groups are treated otherwise than in the reference.

Metrics that need predictions only are judged at once, those that need labels on the rows whose
labels have come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

import numpy as np
import pyarrow as pa

from driftline.baseline.outcomes import outcome_classes
from driftline.baseline.store import ANALYSIS, Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.bias.documents import POST, PRE, analysis
from driftline.monitors.kinds.bias.facet_counts import Tally, count_batches
from driftline.monitors.kinds.bias.findings import (
    coverage_warnings,
    group_details,
    points_of,
    violations_of,
)
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.judgement import GroupCounts, judge_groups
from driftline.monitors.kinds.bias.metrics import Measured, measure
from driftline.monitors.kinds.bias.plan import Plan, plan_of, reference_blocks
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import JsonValue
from driftline.roles import Facet

BY_DOCUMENT = (
    "compared with the values of analysis.json alone, whose own uncertainty is not known; a "
    "baseline made from data is compared with both sides' intervals"
)
# New values of a facet that are told by name.
NAMED_VALUES = 20


def suggest(baseline: Baseline) -> Mapping[str, str]:
    """Give analysis.json of the reference, as Clarify writes it."""
    outcomes = baseline.outcomes
    if outcomes is None or not outcomes.roles.facets or outcomes.roles.positive is None:
        return {}
    try:
        plan = plan_of(baseline, outcomes.roles)
    except InputError:
        return {}  # Whoever asks for a check of bias is told what is missing.
    return {ANALYSIS: _document(plan, plan.reference)}


def evaluate(context: CheckContext) -> Report:
    """Judge a window."""
    plan = plan_of(context.baseline, context.roles)
    seen: set[str] = set()

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in context.rows.batches():
            seen.update(batch.schema.names)
            yield batch

    known = () if plan.outcomes is None else outcome_classes(plan.outcomes)
    tallies, rows = count_batches(batches(), plan.roles, plan.counted, known)
    if rows:
        _require_columns(plan, seen)
    tallies = {
        facet: tally.known_as(plan.reference[facet].values) if facet in plan.reference else tally
        for facet, tally in tallies.items()
    }
    counts = _counts(plan, tallies, context, rows)
    findings, alpha = judge_groups(
        counts, stratified=plan.is_stratified, budget=context.budget, seed=context.seed
    )
    violations = violations_of(findings, plan.groups, counts, context.rows.batches)
    return Report(
        kind="bias",
        violations=violations,
        row_count=rows,
        metrics=tuple(one.result for one in findings),
        files={ANALYSIS: _document(plan, tallies)},
        points=points_of(
            findings, plan.groups, violations, label=plan.label, positive=plan.positive_text
        ),
        facts=context.rows.facts,
        baseline_version=context.baseline.version,
        alpha=alpha,
        details=_details(plan, tallies, counts),
        batches=context.rows.batches,
    )


def _require_columns(plan: Plan, names: Set[str]) -> None:
    """Refuse rows in which a whole column is missing, so that nothing could ever be found."""
    for facet in plan.counted:
        if facet.column not in names:
            raise InputError(f'facet "{facet.column}": the data has no such column')
    roles = plan.roles
    answers = [roles.prediction, *roles.probability[-1:], roles.label]
    wanted = [name for name in answers if name is not None]
    if names.isdisjoint(wanted):
        shown = ", ".join(f'"{name}"' for name in wanted)
        raise InputError(f"bias: the data has neither answers nor labels; expected {shown}")


def _counts(
    plan: Plan, tallies: Mapping[Facet, Tally], context: CheckContext, rows: int
) -> list[GroupCounts]:
    """Put together what is known of each group, now and in the reference."""
    length = context.rows.length
    blocks = {facet: reference_blocks(plan, facet, length, rows) for facet in plan.counted}
    found = []
    for group in plan.groups:
        by_block = blocks[group.counted]
        if by_block is not None:
            # The cells of one facet to the group and the others, block by block.
            inside = [one in group.values for one in plan.reference[group.counted].values]
            known, held = by_block[:, :-1], np.array(inside, dtype=bool)
            by_block = np.stack([known[:, ~held].sum(axis=1), known[:, held].sum(axis=1)], axis=1)
        found.append(
            GroupCounts(
                facet=group.facet.column,
                text=group.text,
                window=group.counts(tallies[group.counted]),
                reference=plan.reference_counts(group),
                blocks=by_block,
                required=plan.required(group),
            )
        )
    return found


def _document(plan: Plan, tallies: Mapping[Facet, Tally]) -> str:
    """Write analysis.json of what was counted."""
    measured: list[tuple[Group, Mapping[str, Measured]]] = [
        (group, measure(group.pair(tallies[group.counted]), stratified=plan.is_stratified))
        for group in plan.groups
    ]
    roles = plan.roles
    stages = [
        stage
        for stage, is_known in (
            (POST, roles.prediction is not None or bool(roles.probability)),
            (PRE, roles.label is not None),
        )
        if is_known
    ]
    return analysis(measured, label=plan.label, positive=plan.positive_text, stages=stages)


def _details(
    plan: Plan, tallies: Mapping[Facet, Tally], counts: Sequence[GroupCounts]
) -> dict[str, JsonValue]:
    """Tell what the metrics rest on: missing values, unknown ones, labels by group."""
    facets: list[JsonValue] = []
    for facet in plan.counted:
        tally = tallies[facet]
        total = int(tally.counts.sum())
        known = plan.reference.get(facet)
        sizes = tally.counts.sum(axis=(1, 2, 3))
        new: dict[str, JsonValue] = {
            value: int(sizes[place])
            for place, value in enumerate(tally.values)
            if known is not None and value not in known.values
        }
        facets.append(
            {
                "facet": facet.column,
                "missing": tally.missing_count,
                "missing_share": tally.missing_count / total if total else None,
                "new_values": dict(list(new.items())[:NAMED_VALUES]),
            }
        )
    warnings = [
        warning
        for group, one in zip(plan.groups, counts, strict=True)
        for warning in coverage_warnings(group, one)
    ]
    return {
        "label": plan.label,
        "positive": plan.positive_text,
        "reference": "" if plan.outcomes is not None else BY_DOCUMENT,
        "facets": facets,
        "groups": [group_details(*both) for both in zip(plan.groups, counts, strict=True)],
        "warnings": list(dict.fromkeys(warnings)),
    }
