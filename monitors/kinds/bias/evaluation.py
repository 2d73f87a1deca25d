"""The kind "bias": whether groups are treated otherwise than in the reference.

Metrics that need predictions only are judged at once, those that need labels on the rows whose
labels have come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import chdtrc

from driftline.baseline.answers import read_times
from driftline.baseline.outcomes import outcome_classes
from driftline.baseline.positive import positive_note
from driftline.baseline.store import ANALYSIS, Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.bias.documents import CHECK, POST, PRE, analysis, violation_fields
from driftline.monitors.kinds.bias.facet_counts import (
    Tally,
    count_batches,
    impossible_predictions,
    infinite_labels,
    labelled_count,
)
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.judgement import (
    JUDGED,
    Finding,
    GroupCounts,
    findable,
    judge_groups,
)
from driftline.monitors.kinds.bias.kind import NAMESPACE
from driftline.monitors.kinds.bias.metrics import (
    PRE_TRAINING,
    RATES,
    Measured,
    Pair,
    Rate,
    Side,
    measure,
)
from driftline.monitors.kinds.bias.plan import Plan, plan_of, reference_blocks, unusable_of
from driftline.monitors.report.datapoints import UNQUOTED
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import MetricPoint
from driftline.monitors.results.unusable import (
    JudgedUnusable,
    Unusable,
    judge_unusable,
    repeated_note,
    unusable_details,
)
from driftline.monitors.results.violation import JsonValue, Violation, percent, plural, share_blame
from driftline.monitors.root_cause.contributors import Target, find_contributing_rows
from driftline.monitors.rows import BatchMaker
from driftline.roles import Facet
from driftline.stats.blocks import span_length

BY_DOCUMENT = (
    "compared with the values of analysis.json alone, whose own uncertainty is not known; a "
    "baseline made from data is compared with both sides' intervals"
)
# New values of a facet that are told by name.
NAMED_VALUES = 20
# Windows of so many rows are told what they find, and of so many metrics.
WINDOW_SIZES = (1_000, 10_000)
NAMED_CHANGES = 4
# One group moved alone when its share of both movements is at least this.
MOVED_ALONE = 2 / 3
# Below this chance, labels do not come evenly.
UNEVEN = 1e-3

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
    return {ANALYSIS: document_of(plan, measured_of(plan, plan.reference))}


def detectable(baseline: Baseline) -> list[str]:
    """Return which changes windows of some sizes find nine times in ten, a sentence for each."""
    outcomes = baseline.outcomes
    if outcomes is None or not suggest(baseline):
        return []
    plan = plan_of(baseline, outcomes.roles)
    counts = _counts(plan, plan.reference, None)
    alpha = Budget().per_window / (len(JUDGED) * max(1, len(counts)))
    found = []
    for rows in WINDOW_SIZES:
        parts = [
            f"{group.name}: {name} at {least:.3g} (now {value:.3g})"
            for group, one in zip(plan.groups, counts, strict=True)
            for name, value, least in findable(one, rows, alpha)
        ]
        more = f", and {len(parts) - NAMED_CHANGES} more" * (len(parts) > NAMED_CHANGES)
        told = "; ".join(parts[:NAMED_CHANGES]) + more or "no change"
        found.append(f"{rows:,} rows a day find, nine times in ten, {told}")
    return found


def evaluate(context: CheckContext) -> Report:
    """Judge a window."""
    plan = plan_of(context.baseline, context.roles)
    window = count_window(plan, context)
    tallies = window.tallies
    counts = _counts(plan, tallies, window.length)
    findings, alpha = judge_groups(counts, stratified=plan.is_stratified, budget=context.budget)
    judged = judge_unusable(window.unusable, plan.unusable, context.budget.per_window)
    violations = violations_of(findings, plan.groups, counts, context.rows.batches, judged)
    return Report(
        kind="bias",
        violations=violations,
        row_count=window.rows,
        labelled_count=labelled_count(tallies),
        metrics=(*(finding.result for finding in findings), *(one.result for one in judged)),
        files={ANALYSIS: document_of(plan, measured_of(plan, tallies))},
        points=points_of(
            findings, plan.groups, violations, label=plan.label, positive=plan.positive_text
        ),
        alpha=alpha,
        details={
            **details_of(plan, tallies, counts),
            "unfit_labels": window.unfit,
            **unusable_details(
                window.unusable,
                _collapsed(tallies),
                f"{plural(window.unfit, 'label')} left out: infinite" * bool(window.unfit),
                window.repeated,
            ),
        },
    )


@dataclass(frozen=True)
class CountedWindow:
    """The judged rows, counted."""

    tallies: Mapping[Facet, Tally]  # Under the reference's names of values.
    rows: int
    length: timedelta | None  # Of the window, or by its rows' times; None when neither is known.
    unusable: Unusable  # What of them cannot be used.
    unfit: int  # Labels that are infinite.
    repeated: str  # Which ids come more than once, in words.


def count_window(plan: Plan, context: CheckContext) -> CountedWindow:
    """Count the judged rows by facet; InputError when a column that the plan needs is missing."""
    seen: set[str] = set()
    ids: list[pa.Array] = []
    impossible = unfit = 0
    times: list[NDArray[np.int64] | None] = []

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal impossible, unfit
        for batch in context.rows.batches():
            seen.update(batch.schema.names)
            impossible += impossible_predictions(batch, plan.roles)
            unfit += infinite_labels(batch, plan.roles)
            if plan.roles.id_column in batch.schema.names:
                ids.append(batch.column(plan.roles.id_column))
            if context.rows.length is None and batch.num_rows:
                found = read_times(pa.Table.from_batches([batch]), plan.roles)
                times.append(None if found is None else found[[found.argmin(), found.argmax()]])
            yield batch

    known = () if plan.outcomes is None else outcome_classes(plan.outcomes)
    tallies, rows = count_batches(batches(), plan.roles, plan.counted, known)
    if rows:
        _require_columns(plan, seen)
    tallies = {
        facet: tally.known_as(plan.reference[facet].values) if facet in plan.reference else tally
        for facet, tally in tallies.items()
    }
    length = context.rows.length
    ends = [one for one in times if one is not None]
    if times and len(ends) == len(times):
        length = span_length(int(np.ptp(np.concatenate(ends))))
    unusable = unusable_of(tallies, impossible, plan.roles, seen)
    repeated = repeated_note(ids, plan.roles.id_column)
    return CountedWindow(tallies, rows, length, unusable, unfit, repeated)


def _collapsed(tallies: Mapping[Facet, Tally]) -> str:
    """Say that all predictions are one, so that no group can be treated otherwise; else ""."""
    counts = next(iter(tallies.values())).counts.sum(axis=(0, 1, 2))
    if not counts[0] + counts[1] or (counts[0] and counts[1]):
        return ""
    which = "no prediction is" if counts[0] else "every prediction is"
    return f"{which} positive, so that no group can be treated otherwise"


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
    plan: Plan, tallies: Mapping[Facet, Tally], length: timedelta | None
) -> list[GroupCounts]:
    """Put together what is known of each group, now and in the reference."""
    blocks = {facet: reference_blocks(plan, facet, length) for facet in plan.counted}
    found = []
    for group in plan.groups:
        by_block = blocks[group.counted]
        if by_block is not None:
            # The cells of one facet to the group and the others, block by block.
            inside = [value in group.values for value in plan.reference[group.counted].values]
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


def measured_of(plan: Plan, tallies: Mapping[Facet, Tally]) -> list[Mapping[str, Measured]]:
    """Measure each group of what was counted."""
    return [
        measure(group.pair(tallies[group.counted]), stratified=plan.is_stratified)
        for group in plan.groups
    ]


def document_of(plan: Plan, measured: Sequence[Mapping[str, Measured]]) -> str:
    """Write analysis.json of each group's metrics."""
    roles = plan.roles
    stages = [
        stage
        for stage, is_known in (
            (POST, roles.prediction is not None or bool(roles.probability)),
            (PRE, roles.label is not None),
        )
        if is_known
    ]
    groups = list(zip(plan.groups, measured, strict=True))
    return analysis(groups, label=plan.label, positive=plan.positive_text, stages=stages)


def details_of(
    plan: Plan, tallies: Mapping[Facet, Tally], counts: Sequence[GroupCounts]
) -> dict[str, JsonValue]:
    """Return what the metrics rest on: missing and unknown values, labels by group."""
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
        "positive_note": positive_note(plan.positive_text, plan.positive_reason),
        "reference": "" if plan.outcomes is not None else BY_DOCUMENT,
        "facets": facets,
        "groups": [group_details(*both) for both in zip(plan.groups, counts, strict=True)],
        "warnings": list(dict.fromkeys(warnings)),
    }


def violations_of(
    findings: Sequence[Finding],
    groups: Sequence[Group],
    counts: Sequence[GroupCounts],
    batches: BatchMaker,
    also: Sequence[JudgedUnusable] = (),
) -> tuple[Violation, ...]:
    """Return what is violated, strongest first, with references to the rows of the group."""
    broken = [finding for finding in findings if finding.result.violated]
    broken.sort(key=lambda finding: -finding.excess)
    targets = [Target(groups[finding.group].predicate, 0.0) for finding in broken]
    rows = find_contributing_rows(batches(), targets) if broken else []
    found = [(one.violation, one.evidence) for one in also if one.violation is not None]
    for one, culprits in zip(broken, rows, strict=True):
        group, feature = groups[one.group], _feature(one, groups)
        value, required, severity = one.result.value, one.required, one.result.severity
        assert value is not None and required is not None and severity is not None
        fields = violation_fields(group, one.result.name, value, required)
        violation = Violation(
            feature_name=feature,
            constraint_check_type=CHECK,
            description=fields["description"],
            severity=severity,
            ratio=one.ratio,
            predicate=culprits.target.predicate,
            row_count=culprits.row_count,
            cause=_cause(one, group, counts[one.group]),
            first_rows=tuple(culprits.first_rows),
            fields=fields,
        )
        found.append((violation, one.excess))
    return share_blame(found)


def points_of(
    findings: Sequence[Finding],
    groups: Sequence[Group],
    violations: Sequence[Violation],
    *,
    label: str,
    positive: str,
) -> tuple[MetricPoint, ...]:
    """Return SageMaker's metrics; one without a value is not published."""
    causes = {
        violation.feature_name: f"{violation.feature_name}: {violation.cause}"
        for violation in violations
    }
    return tuple(
        MetricPoint(
            namespace=NAMESPACE,
            name=f"bias_metric_{finding.result.name}",
            value=finding.result.value,
            dimensions={
                "BiasStage": "Pre-training"
                if finding.result.name in PRE_TRAINING
                else "Post-Training",
                "Label": _ascii(label),
                "LabelValue": _ascii(positive),
                "Facet": _ascii(finding.result.facet),
                "FacetValue": _ascii(finding.result.facet_value),
            },
            cause=causes.get(_feature(finding, groups), ""),
        )
        for finding in findings
        if finding.result.value is not None
    )


def group_details(group: Group, counts: GroupCounts) -> dict[str, JsonValue]:
    """Count both groups' rows, answers and labels, for report.json."""
    sides = _both(counts.window)
    found: dict[str, JsonValue] = {"facet": group.facet.column, "facet_value": group.text}
    for name, side in (("others", sides[0]), ("group", sides[1])):
        rows = int(side.rows)
        labelled = int(side.y1 + side.y0)
        found[name] = {
            "rows": rows,
            "predicted": int(side.p1 + side.p0),
            "predicted_positive": int(side.p1),
            "labelled": labelled,
            "labelled_positive": int(side.y1),
            "labelled_share": labelled / rows if rows else None,
            "true_positive": int(side.tp),
            "false_positive": int(side.fp),
            "false_negative": int(side.fn),
            "true_negative": int(side.tn),
        }
    return found


def coverage_warnings(group: Group, counts: GroupCounts) -> list[JsonValue]:
    """Warn when labels come for one group, or for one answer, more than for the other.

    Recall and accuracy of rows chosen by the model's own answer mean little (chi-square test).
    """
    summed = counts.window.sum(axis=1)
    known = summed[:, :2].sum(axis=1)
    tables = {
        f"of {group.name} than of others": np.stack([known.sum(axis=1), summed[:, 2].sum(axis=1)]),
        "with a positive answer than with a negative one": np.stack(
            [known[:, :2].sum(axis=0), summed[:, 2, :2].sum(axis=0)]
        ),
    }
    found: list[JsonValue] = []
    for what, table in tables.items():
        if not table.sum(axis=0).all() or not table.sum(axis=1).all():
            continue
        if chance_of_table(table) < UNEVEN:
            shares = table[0] / table.sum(axis=0)
            more = "more" if shares[1] > shares[0] else "fewer"
            found.append(
                f"labels came for {more} rows {what} ({percent(float(shares[1]))} against "
                f"{percent(float(shares[0]))}); metrics that need labels compare chosen rows"
            )
    return found


def chance_of_table(table: np.ndarray) -> float:
    """Return the p-value of Pearson's test of a table of two by two, corrected as Yates does.

    As `scipy.stats.chi2_contingency`, whose import takes half a second and 45 MiB.
    """
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    apart = np.maximum(np.abs(table - expected) - 0.5, 0.0)
    return float(chdtrc(1, (apart**2 / expected).sum()))


def _feature(finding: Finding, groups: Sequence[Group]) -> str:
    return f"{groups[finding.group].name}: {finding.result.name}"


def _cause(finding: Finding, group: Group, counts: GroupCounts) -> str:
    """Describe what happened: both groups' shares then and now, and which one moved."""
    result = finding.result
    rate = RATES.get("DPPL" if result.name == "DI" else result.name)
    parts = []
    sides = _both(counts.window) if rate is not None else ()
    if rate is not None and all(rate.rows(side) for side in sides):
        parts.append(_shares(rate, group, counts))
    assert result.value is not None and finding.required is not None
    against = "the limit" if finding.is_limit else "before"
    if counts.reference is None:
        against = "in the baseline"
    parts.append(f"{result.name} {result.value:.3g}, {finding.required:.3g} {against}")
    if result.low is not None and result.high is not None:
        parts.append(f"95% interval {result.low:.3g} to {result.high:.3g}")
    return "; ".join(parts)


def _shares(rate: Rate, group: Group, counts: GroupCounts) -> str:
    now = _both(counts.window)
    shares = [float(rate.hits(side) / rate.rows(side)) for side in now]
    rows = [plural(int(rate.rows(side)), "row") for side in now]
    before = () if counts.reference is None else _both(counts.reference)
    if not before or not all(rate.rows(side) for side in before):
        return (
            f"{rate.words}: {group.words} {percent(shares[1])} of {rows[1]}, "
            f"others {percent(shares[0])} of {rows[0]}"
        )
    then = [float(rate.hits(side) / rate.rows(side)) for side in before]
    moves = [abs(one - other) for one, other in zip(shares, then, strict=True)]
    total = sum(moves)
    moved = "both moved"
    if total and max(moves) / total >= MOVED_ALONE:
        moved = f"{group.words if moves[1] > moves[0] else 'the others'} moved"
    return (
        f"{rate.words}: {group.words} {percent(shares[1])} of {rows[1]} (was {percent(then[1])}), "
        f"others {percent(shares[0])} of {rows[0]} (was {percent(then[0])}); {moved}"
    )


def _both(counts: Counts) -> tuple[Side, Side]:
    pair = Pair.of(counts)
    return pair.a, pair.d


def _ascii(text: str) -> str:
    return quote(text, safe=UNQUOTED if text.strip() else "")
