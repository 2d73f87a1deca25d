"""The report of the kind "bias": violations in Clarify's form, counts, and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.positive import positive_note
from driftline.monitors.kinds.bias.counts import BETWEEN, FacetCounts
from driftline.monitors.kinds.bias.documents import CHECK, POST, PRE, analysis, violation_fields
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.judgement import Finding
from driftline.monitors.kinds.bias.kind import NAMESPACE
from driftline.monitors.kinds.bias.metrics import (
    MISSING,
    POST_TRAINING,
    PRE_TRAINING,
    RATES,
    Measured,
    Rate,
    Side,
    sides_of,
)
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

Counts = NDArray[np.int64]


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
    plan: Plan, counts: Mapping[Facet, FacetCounts], pairs: Sequence[Counts]
) -> dict[str, JsonValue]:
    """Return the details of the metrics: missing and new values, rows by group."""
    facets: list[JsonValue] = []
    for facet in plan.counted:
        own = counts[facet]
        total = int(own.rows.sum())
        new = list(new_values(plan, facet, own).items())[:NAMED_VALUES]
        facets.append(
            {
                "facet": facet.name,
                "missing": own.missing_count,
                "missing_share": own.missing_count / total if total else None,
                "new_values": {shown_value(value): rows for value, rows in new},
            }
        )
    return {
        "label": plan.label,
        "positive": plan.positive_text,
        "positive_note": positive_note(plan.positive_text, plan.positive_reason),
        "reference": "" if plan.outcomes is not None else BY_DOCUMENT,
        "facets": facets,
        "groups": [group_details(*both) for both in zip(plan.groups, pairs, strict=True)],
        **_unpredicted(plan),
    }


def new_values(plan: Plan, facet: Facet, counts: FacetCounts) -> dict[str, int]:
    """Count the rows of each value that the reference never had, the most rows first."""
    known = plan.reference.get(facet)
    if known is None:
        return {}
    usual = {*known.values}
    found = {
        value: int(rows)
        for value, rows in zip(counts.values, counts.sizes, strict=False)
        if value not in usual
    }
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def shown_value(cell: str) -> str:
    """Return a facet's cell as people read it."""
    return cell.replace(BETWEEN, JOINT)


def _unpredicted(plan: Plan) -> dict[str, JsonValue]:
    """Return a note that all or many predictions of the reference are unusable.

    Without any, nothing is judged: labels alone say nothing about the model.
    """
    if plan.outcomes is None or not plan.outcomes.roles.has_predictions:
        return {}
    answered = next(iter(plan.reference.values())).answered
    own = plan.outcomes.roles
    column = own.prediction or own.probability[-1]
    whole = int(answered.sum())
    if answered[:, :MISSING].any():
        lacking = int(answered[:, MISSING].sum())
        note = (
            f"{lacking:,} of {plural(whole, 'row')} of the reference have no usable prediction "
            f'("{column}"): metrics of predictions are held beside the others alone'
        )
        return {"lacking_note": note} if lacking >= TOLERANCE * whole else {}
    note = (
        f"bias of predictions was not judged: none of {plural(whole, 'row')} of the "
        f'reference has a usable prediction ("{column}"); make the baseline again of rows that '
        "have one"
    )
    return {UNCOVERED: note}


def violations_of(
    findings: Sequence[Finding],
    groups: Sequence[Group],
    pairs: Sequence[tuple[Counts, Counts | None]],
    batches: BatchMaker,
    also: Sequence[JudgedUnusable] = (),
) -> tuple[Violation, ...]:
    """Return violations, strongest first, with references to the group's rows.

    `pairs` are each group's rows and others', in the window and, when known, in the reference.
    """
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
            cause=_cause(one, group, *pairs[one.group]),
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


def group_details(group: Group, pair: Counts) -> dict[str, JsonValue]:
    """Count both groups' rows, predictions and labels, for report.json."""
    found: dict[str, JsonValue] = {"facet": group.facet.name, "facet_value": group.text}
    for name, side in zip(("others", "group"), sides_of(pair), strict=True):
        rows, labelled = int(side.rows), int(side.labelled)
        found[name] = {
            "rows": rows,
            "predicted": int(side.predicted),
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


def _feature(finding: Finding, groups: Sequence[Group]) -> str:
    return f"{groups[finding.group].name}: {finding.result.name}"


def _cause(finding: Finding, group: Group, now: Counts, before: Counts | None) -> str:
    """Describe the change: both groups' shares then and now, and which one moved."""
    result = finding.result
    assert result.value is not None
    assert finding.required is not None
    parts = [f"over the last {finding.windows} windows"] * (finding.windows > 1)
    rate = RATES.get("DPPL" if result.name == "DI" else result.name)
    sides = sides_of(now)
    if rate is not None and rate.words and all(rate.under(side) for side in sides):
        parts.append(_shares(rate, group, sides, () if before is None else sides_of(before)))
    against = "the limit" if finding.is_limit else "before"
    if before is None:
        against = "in the baseline"
    parts.append(f"{result.name} {result.value:.3g}, {finding.required:.3g} {against}")
    if result.low is not None and result.high is not None:
        parts.append(f"95% interval {result.low:.3g} to {result.high:.3g}")
    return "; ".join(parts)


def _shares(rate: Rate, group: Group, now: Sequence[Side], before: Sequence[Side]) -> str:
    shares = [float(rate.over(side) / rate.under(side)) for side in now]
    rows = [plural(int(rate.under(side)), "row") for side in now]
    if not before or not all(rate.under(side) for side in before):
        return (
            f"{rate.words}: {group.words} {percent(shares[1])} of {rows[1]}, "
            f"others {percent(shares[0])} of {rows[0]}"
        )
    then = [float(rate.over(side) / rate.under(side)) for side in before]
    moves = [abs(one - other) for one, other in zip(shares, then, strict=True)]
    total = sum(moves)
    moved = "both moved"
    if total and max(moves) / total >= MOVED_ALONE:
        moved = f"{group.words if moves[1] > moves[0] else 'the others'} moved"
    return (
        f"{rate.words}: {group.words} {percent(shares[1])} of {rows[1]} (was {percent(then[1])}), "
        f"others {percent(shares[0])} of {rows[0]} (was {percent(then[0])}); {moved}"
    )


def _ascii(text: str) -> str:
    return quote(text, safe=UNQUOTED if text.strip() else "")
