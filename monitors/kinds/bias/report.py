"""The report of the kind "bias": violations in Clarify's form, counts, and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from driftline.baseline.positive import positive_note
from driftline.monitors.kinds.bias.documents import CHECK, POST, PRE, analysis, violation_fields
from driftline.monitors.kinds.bias.facet_counts import BETWEEN, Tally
from driftline.monitors.kinds.bias.flip_test import Flip
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.judgement import Finding, GroupCounts
from driftline.monitors.kinds.bias.kind import NAMESPACE
from driftline.monitors.kinds.bias.metrics import (
    MISSING,
    POST_TRAINING,
    PRE_TRAINING,
    RATES,
    Measured,
    Pair,
    Rate,
    Side,
    measure,
)
from driftline.monitors.kinds.bias.new_groups import new_values
from driftline.monitors.kinds.bias.plan import Plan
from driftline.monitors.report.datapoints import UNQUOTED
from driftline.monitors.results.metric import UNCOVERED, MetricPoint
from driftline.monitors.results.unusable import TOLERANCE, JudgedUnusable
from driftline.monitors.results.violation import JsonValue, Violation, percent, plural, share_blame
from driftline.monitors.root_cause.contributors import Target, find_contributing_rows
from driftline.monitors.rows import BatchMaker
from driftline.roles import JOINT, Facet

BY_DOCUMENT = (
    "compared with the values of analysis.json alone, whose own uncertainty is not known; a "
    "baseline made from data is compared with both sides' intervals"
)
# New values of a facet that are told by name.
NAMED_VALUES = 20
# One group moved alone when its share of both movements is at least this.
MOVED_ALONE = 2 / 3
# Below this chance, labels do not come evenly.
UNEVEN = 1e-3

Counts = NDArray[np.int64]


def measured_of(
    plan: Plan, tallies: Mapping[Facet, Tally], flips: Sequence[Flip | None]
) -> list[Mapping[str, Measured]]:
    """Measure each counted group, with its flip test."""
    found: list[Mapping[str, Measured]] = []
    metrics = plan.metrics
    for group, flip in zip(plan.groups, flips, strict=True):
        own = measure(group.pair(tallies[group.counted]), stratified=plan.is_stratified)
        measured = with_flip(own, flip)
        found.append({name: one for name, one in measured.items() if name in metrics})
    return found


def with_flip(measured: dict[str, Measured], flip: Flip | None) -> dict[str, Measured]:
    """Add the flip test, where it was run."""
    if flip is not None:
        measured["FT"] = Measured(flip.value, flip.reason)
    return measured


def document_of(plan: Plan, measured: Sequence[Mapping[str, Measured]]) -> str:
    """Write analysis.json of each group's metrics."""
    roles, metrics = plan.roles, plan.metrics
    stages = [
        stage
        for stage, is_known in (
            (POST, roles.has_predictions and any(one in POST_TRAINING for one in metrics)),
            (PRE, roles.label is not None and any(one in PRE_TRAINING for one in metrics)),
        )
        if is_known
    ]
    groups = list(zip(plan.groups, measured, strict=True))
    return analysis(groups, label=plan.label, positive=plan.positive_text, stages=stages)


def details_of(
    plan: Plan, tallies: Mapping[Facet, Tally], counts: Sequence[GroupCounts]
) -> dict[str, JsonValue]:
    """Return the details of the metrics: missing and unknown values, labels by group."""
    facets: list[JsonValue] = []
    for facet in plan.counted:
        tally = tallies[facet]
        total = int(tally.counts.sum())
        new: dict[str, JsonValue] = {
            value.replace(BETWEEN, JOINT): rows
            for value, rows in new_values(plan, facet, tally).items()
        }
        facets.append(
            {
                "facet": facet.name,
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
        **_unpredicted(plan),
    }


def _unpredicted(plan: Plan) -> dict[str, JsonValue]:
    """Return a note that all or many predictions of the reference are unusable.

    Without any, nothing is judged: labels alone say nothing about the model.
    """
    if plan.outcomes is None or not plan.outcomes.roles.has_predictions:
        return {}
    counts = next(iter(plan.reference.values())).counts
    own = plan.outcomes.roles
    column = own.prediction or own.probability[-1]
    if counts[..., :MISSING].any():
        lacking, whole = int(counts[..., MISSING].sum()), int(counts.sum())
        note = (
            f"{lacking:,} of {plural(whole, 'row')} of the reference have no usable prediction "
            f'("{column}"): metrics of predictions are held beside the others alone'
        )
        return {"lacking_note": note} if lacking >= TOLERANCE * whole else {}
    note = (
        f"bias of predictions was not judged: none of {plural(int(counts.sum()), 'row')} of the "
        f'reference has a usable prediction ("{column}"); make the baseline again of rows that '
        "have one"
    )
    return {UNCOVERED: note}


def violations_of(
    findings: Sequence[Finding],
    groups: Sequence[Group],
    counts: Sequence[GroupCounts],
    batches: BatchMaker,
    also: Sequence[JudgedUnusable] = (),
) -> tuple[Violation, ...]:
    """Return violations, strongest first, with references to the group's rows."""
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
            cause=causes.get(_feature(finding, groups)),
        )
        for finding in findings
        if finding.result.value is not None
    )


def group_details(group: Group, counts: GroupCounts) -> dict[str, JsonValue]:
    """Count both groups' rows, predictions and labels, for report.json."""
    sides = _both(counts.window)
    found: dict[str, JsonValue] = {"facet": group.facet.name, "facet_value": group.text}
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
    """Return the p-value of Pearson's test of a 2 x 2 table, with Yates' correction.

    Same as `scipy.stats.chi2_contingency`, whose import takes half a second and 45 MiB.
    """
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    apart = np.maximum(np.abs(table - expected) - 0.5, 0.0)
    return float(chdtrc(1, (apart**2 / expected).sum()))


def _feature(finding: Finding, groups: Sequence[Group]) -> str:
    return f"{groups[finding.group].name}: {finding.result.name}"


def _cause(finding: Finding, group: Group, counts: GroupCounts) -> str:
    """Describe the change: both groups' shares then and now, and which one moved."""
    result = finding.result
    rate = RATES.get("DPPL" if result.name == "DI" else result.name)
    parts = [f"over the last {finding.windows} windows"] * (finding.windows > 1)
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
