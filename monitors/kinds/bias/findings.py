"""What a violation of bias says: to Clarify's readers, to people, and to the metric store."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.drift_test.significance import blame
from driftline.monitors.kinds.bias.documents import CHECK, violation_fields
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.judgement import Finding, GroupCounts
from driftline.monitors.kinds.bias.kind import NAMESPACE
from driftline.monitors.kinds.bias.metrics import PRE_TRAINING, RATES, Pair, Rate, Side
from driftline.monitors.results.metric import MetricPoint
from driftline.monitors.results.violation import JsonValue, Violation, percent, plural
from driftline.monitors.root_cause.contributors import Target, find_culprits
from driftline.monitors.rows import BatchMaker

# CloudWatch takes printable ASCII; these stay readable as they are.
UNQUOTED = " !\"#$&'()*+,-./:;<=>?@[]^_`{|}~"
# One group moved alone when its share of both movements is at least this.
MOVED_ALONE = 2 / 3
# Below this chance, labels do not come evenly.
UNEVEN = 1e-3

Counts = NDArray[np.int64]


def violations_of(
    findings: Sequence[Finding],
    groups: Sequence[Group],
    counts: Sequence[GroupCounts],
    batches: BatchMaker,
) -> tuple[Violation, ...]:
    """Say what is violated, strongest first, and point to the rows of the group."""
    broken = [one for one in findings if one.result.violated]
    broken.sort(key=lambda one: -one.excess)
    shares = blame({_feature(one, groups): one.excess for one in broken})
    targets = [Target(groups[one.group].predicate, 0.0) for one in broken]
    rows = find_culprits(batches(), targets, ()) if broken else []
    found = []
    for one, culprits in zip(broken, rows, strict=True):
        group, feature = groups[one.group], _feature(one, groups)
        value, required, severity = one.result.value, one.required, one.result.severity
        assert value is not None and required is not None and severity is not None
        fields = violation_fields(group, one.result.name, value, required)
        found.append(
            Violation(
                feature_name=feature,
                constraint_check_type=CHECK,
                description=fields["description"],
                severity=severity,
                ratio=one.ratio,
                share_of_blame=shares[feature],
                predicate=culprits.target.predicate,
                row_count=culprits.row_count,
                cause=_cause(one, group, counts[one.group]),
                first_rows=tuple(culprits.first_rows),
                fields=fields,
            )
        )
    return tuple(found)


def points_of(
    findings: Sequence[Finding],
    groups: Sequence[Group],
    violations: Sequence[Violation],
    *,
    label: str,
    positive: str,
) -> tuple[MetricPoint, ...]:
    """Give SageMaker's metrics; one without a value is not published."""
    causes = {one.feature_name: f"{one.feature_name}: {one.cause}" for one in violations}
    return tuple(
        MetricPoint(
            namespace=NAMESPACE,
            name=f"bias_metric_{one.result.name}",
            value=one.result.value,
            dimensions={
                "BiasStage": "Pre-training" if one.result.name in PRE_TRAINING else "Post-Training",
                "Label": _ascii(label),
                "LabelValue": _ascii(positive),
                "Facet": _ascii(one.result.facet),
                "FacetValue": _ascii(one.result.facet_value),
            },
            cause=causes.get(_feature(one, groups), ""),
        )
        for one in findings
        if one.result.value is not None
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
    # Imported here: slow and large, and whoever only suggests a baseline asks no such thing.
    from scipy import stats

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
        if stats.chi2_contingency(table).pvalue < UNEVEN:
            shares = table[0] / table.sum(axis=0)
            more = "more" if shares[1] > shares[0] else "fewer"
            found.append(
                f"labels came for {more} rows {what} ({percent(float(shares[1]))} against "
                f"{percent(float(shares[0]))}); metrics that need labels compare chosen rows"
            )
    return found


def _feature(finding: Finding, groups: Sequence[Group]) -> str:
    return f"{groups[finding.group].name}: {finding.result.name}"


def _cause(finding: Finding, group: Group, counts: GroupCounts) -> str:
    """Tell what happened: both groups' shares then and now, who moved, and how sure it is."""
    result = finding.result
    rate = RATES.get("DPPL" if result.name == "DI" else result.name)
    parts = []
    if rate is not None:
        parts.append(_shares(rate, group, counts))
    assert result.value is not None and finding.required is not None
    against = "the limit" if finding.is_limit else "before"
    if counts.reference is None:
        against = "in the baseline"
    parts.append(f"{result.name} {result.value:.3g}, {finding.required:.3g} {against}")
    if result.low is not None and result.high is not None:
        parts.append(f"95 % interval {result.low:.3g} to {result.high:.3g}")
    return "; ".join(parts)


def _shares(rate: Rate, group: Group, counts: GroupCounts) -> str:
    now = _both(counts.window)
    shares = [float(rate.hits(side) / rate.rows(side)) for side in now]
    rows = [plural(int(rate.rows(side)), "row") for side in now]
    if counts.reference is None:
        return (
            f"{rate.words}: {group.words} {percent(shares[1])} of {rows[1]}, "
            f"others {percent(shares[0])} of {rows[0]}"
        )
    then = [float(rate.hits(side) / rate.rows(side)) for side in _both(counts.reference)]
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
