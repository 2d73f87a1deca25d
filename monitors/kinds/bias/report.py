"""The report of the kind "bias": violations in Clarify's form, counts, and texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.positive import positive_note
from driftline.monitors.kinds.bias.counts import BETWEEN
from driftline.monitors.kinds.bias.documents import CHECK, POST, PRE, analysis, violation_fields
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.judgement import Finding
from driftline.monitors.kinds.bias.kind import NAMESPACE
from driftline.monitors.kinds.bias.metrics import (
    MISSING,
    POST_TRAINING,
    PRE_TRAINING,
    RATES,
    GroupMetric,
    Rate,
    Side,
    sides_of,
)
from driftline.monitors.kinds.bias.plan import Plan
from driftline.monitors.kinds.bias.window import CountedWindow
from driftline.monitors.report.datapoints import UNQUOTED
from driftline.monitors.results.measured import (
    REFERENCE_LACKS,
    UNCOVERED,
    Measured,
    MetricPoint,
    neutral_of,
)
from driftline.monitors.results.unusable import JudgedUnusable
from driftline.monitors.results.violation import JsonValue, Violation, percent, plural, share_blame
from driftline.monitors.root_cause.contributors import Target, find_contributing_rows
from driftline.monitors.rows import BatchMaker
from driftline.monitors.state import State
from driftline.roles import JOINT, Facet

BY_DOCUMENT = (
    "compared with the values of analysis.json alone, whose own uncertainty is not known; a "
    "baseline made from data is compared with both sides' intervals"
)
# New values of a facet that are told by name.
NAMED_VALUES = 20
# With fewer of its rows of known values a facet counts as not judged.
LEAST_KNOWN = 0.01
# Below it all evidence is the same.
LEAST_CHANCE = 1e-300
# One group moved alone when its share of both movements is at least this.
MOVED_ALONE = 2 / 3

Counts = NDArray[np.int64]


def document_of(plan: Plan, measured: Sequence[Mapping[str, GroupMetric]]) -> str:
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


def details_of(plan: Plan, window: CountedWindow, pairs: Sequence[Counts]) -> dict[str, JsonValue]:
    """Return missing and new values, rows by group, and what could not be used or judged."""
    facets: list[JsonValue] = []
    for facet in plan.counted:
        own, new = window.counts[facet], new_values(plan, window, facet)
        missing = int(own.sizes[-1])
        facets.append(
            {
                "facet": facet.name,
                "missing": missing,
                "missing_share": missing / window.rows if window.rows else None,
                "new_values": dict([*new.items()][:NAMED_VALUES]),
            }
        )
    uncovered = "; ".join(uncovered_parts(plan, window))
    return {
        "label": plan.label,
        "positive": plan.positive_text,
        "positive_note": positive_note(plan.positive_text, plan.positive_reason),
        "reference": "" if plan.outcomes is not None else BY_DOCUMENT,
        "facets": facets,
        "groups": [group_details(*both) for both in zip(plan.groups, pairs, strict=True)],
        **({UNCOVERED: uncovered} if uncovered else {}),
    }


def new_groups(plan: Plan, window: CountedWindow) -> list[Measured]:
    """Return groups that the reference never had, none of whose metrics can be judged.

    They are values of a facet whose values are all groups; beside other groups they count as
    others.
    """
    name = "DPPL" if plan.roles.has_predictions else "DPL"
    return [
        Measured(name, facet=facet.name, facet_value=value, count=rows,
                     state=State.UNDEFINED, why=f"{REFERENCE_LACKS}rows in group")
        for facet in dict.fromkeys(group.facet for group in plan.groups)
        if not any(one.values or one.intervals or one.threshold is not None for one in facet.parts)
        for value, rows in [*new_values(plan, window, facet).items()][:NAMED_VALUES]
    ]  # fmt: skip


def new_values(plan: Plan, window: CountedWindow, facet: Facet) -> dict[str, int]:
    """Count the rows of each value that the reference never had, the most rows first."""
    if facet not in plan.reference:
        return {}
    own = window.counts[facet]
    found = [
        (-int(rows), value.replace(BETWEEN, JOINT))
        for value, rows in zip(own.values, own.sizes, strict=False)
        if rows and value not in plan.reference[facet].values
    ]
    return {value: -rows for rows, value in sorted(found)}


def uncovered_parts(plan: Plan, window: CountedWindow) -> Iterator[str]:
    """Yield why nothing was judged of predictions, or of facets, though of others."""
    roles = plan.roles
    answer = roles.prediction or "".join(roles.probability[-1:])
    answered = [one.answered for one in plan.reference.values()][:1]
    if answer and answered and not answered[0][..., :MISSING].any():
        yield (
            f"none of {plural(int(answered[0].sum()), 'row')} of the reference has a usable "
            f'prediction ("{answer}"); make the baseline again of rows that have one'
        )
    if answer in window.absent:
        yield f'the data has no column "{answer}", and predictions are what is compared'
    for facet in plan.reference:
        left = int(window.counts[facet].sizes[:-1].sum())
        left -= sum(new_values(plan, window, facet).values())
        if left < LEAST_KNOWN * window.rows:
            who = f"{plural(left, 'row')} of {window.rows:,}" if left else "no row"
            verb = "have" if left > 1 else "has"
            yield f"{who} {verb} a value of {facet.name} that the reference has"


def violations_of(
    findings: Sequence[Finding],
    groups: Sequence[Group],
    pairs: Sequence[tuple[Counts, Counts | None]],
    batches: BatchMaker,
    level: float = 1.0,
    also: Sequence[JudgedUnusable] = (),
) -> tuple[Violation, ...]:
    """Return violations, strongest first, with references to the group's rows.

    `pairs` are each group's rows and others', in the window and, when known, in the reference.
    """
    broken = [(_evidence(one.result, level), one) for one in findings if one.result.violated]
    broken.sort(key=lambda both: -both[0])
    targets = [Target(groups[one.group].predicate, 0.0) for _, one in broken]
    rows = find_contributing_rows(batches(), targets) if broken else []
    found = [(one.violation, one.evidence) for one in also if one.violation is not None]
    for (evidence, one), culprits in zip(broken, rows, strict=True):
        group, feature, result = groups[one.group], _feature(one, groups), one.result
        assert result.value is not None
        assert result.reference is not None
        assert result.severity is not None
        fields = violation_fields(group, result.name, result.value, result.reference)
        violation = Violation(
            feature_name=feature,
            constraint_check_type=CHECK,
            description=fields["description"],
            severity=result.severity,
            ratio=_ratio(result),
            predicate=culprits.target.predicate,
            row_count=culprits.row_count,
            cause=_cause(one, group, *pairs[one.group]),
            first_rows=tuple(culprits.first_rows),
            fields=fields,
        )
        found.append((violation, evidence))
    return share_blame(found)


def _evidence(result: Measured, level: float) -> float:
    """Return by how much a violation's evidence exceeds what it needs, in nats."""
    chance = 1.0 if result.p_value is None else max(result.p_value, LEAST_CHANCE)
    return max(math.log(level / chance), 0.0)


def _ratio(result: Measured) -> float | None:
    """Return the distance over that at which a violation begins; from parity where both are one."""
    assert result.value is not None
    assert result.reference is not None
    assert result.bound is not None
    is_plain = abs(result.bound) == abs(result.reference)
    start = neutral_of(result.name) if is_plain else result.reference
    room, distance = abs(result.bound - start), abs(result.value - start)
    return distance / room if room and math.isfinite(distance) else None


def points_of(
    findings: Sequence[Finding], plan: Plan, violations: Sequence[Violation]
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
                "Label": _ascii(plan.label),
                "LabelValue": _ascii(plan.positive_text),
                "Facet": _ascii(finding.result.facet),
                "FacetValue": _ascii(finding.result.facet_value),
            },
            cause=causes.get(_feature(finding, plan.groups)),
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
    assert result.reference is not None
    parts = [f"over the last {finding.windows} windows"] * (finding.windows > 1)
    rate = RATES.get("DPPL" if result.name == "DI" else result.name)
    sides = sides_of(now)
    if rate is not None and rate.words and all(rate.under(side) for side in sides):
        parts.append(_shares(rate, group, sides, () if before is None else sides_of(before)))
    against = "the limit" if finding.is_limit else "before"
    if before is None:
        against = "in the baseline"
    parts.append(f"{result.name} {result.value:.3g}, {result.reference:.3g} {against}")
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
