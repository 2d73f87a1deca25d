"""The report of the kind "attribution": numbers, violations in Clarify's form, words for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np

from driftline.baseline.store import ANALYSIS
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kind import OWN_METRICS
from driftline.monitors.kinds.attribution.drift import Comparison, Finding
from driftline.monitors.kinds.attribution.explanations import Explanation, write_explanations
from driftline.monitors.kinds.attribution.importance import HOUR_US, Importance, Making
from driftline.monitors.kinds.attribution.kind import NAMESPACE
from driftline.monitors.kinds.attribution.ranking import ndcg, resampled_means
from driftline.monitors.kinds.attribution.violations import attribution_violations
from driftline.monitors.report.datapoints import UNQUOTED
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import INSUFFICIENT, MetricPoint, MetricResult
from driftline.monitors.results.violation import JsonValue, Severity

METHOD = "KernelShap"
TICKET: Severity = "ticket"
REPLICATES = 400
LONGEST_NAME = 255
NORMAL_95 = 1.959964
WITHOUT_BLOCKS = (
    "judged as if rows were independent: the reference has no event times, was explained before "
    "they were kept, or is too short; make the baseline again with its timestamp"
)
ALL_ZERO = "undefined: all attributions are zero"


@dataclass(frozen=True)
class Outcome:
    """What a report is made of besides the findings.

    Parameters
    ----------
    making
        By what the window was explained.
    row_count
        Rows of the whole window.
    rows
        By label: absolute attributions of the explained rows, shape (N, M); none of a document.
    expected
        By label: the answer that they are counted from.
    """

    context: CheckContext
    making: Making
    row_count: int
    rows: Mapping[str, np.ndarray]
    expected: Mapping[str, float | None]


def incomparable_report(outcome: Outcome, labels: tuple[str, ...], reason: str) -> Report:
    """Report a window that was not explained: without rows, or not as the reference was."""
    metrics = [
        MetricResult(name="ndcg", value=None, label=label, note=reason)
        for label in labels
        if outcome.row_count
    ]
    context = outcome.context
    return Report(
        kind="attribution",
        violations=(),
        row_count=outcome.row_count,
        metrics=tuple(metrics),
        facts=context.rows.facts,
        baseline_version=context.baseline.version,
        alpha=_alpha(context),
        details=_details(outcome, {}),
        batches=context.rows.batches,
    )


def attribution_report(
    outcome: Outcome, findings: Mapping[str, Finding], reason: str, *, plain: bool
) -> Report:
    """Report a window that was compared."""
    context = outcome.context
    metrics = [
        metric
        for label, finding in findings.items()
        for metric in _metrics(label, finding, outcome, reason, plain=plain)
    ]
    violations = [] if reason else attribution_violations(findings, plain=plain)
    explanations = {
        label: Explanation(_means(one.comparison.window), outcome.expected.get(label))
        for label, one in findings.items()
    }
    return Report(
        kind="attribution",
        violations=tuple(violations),
        row_count=outcome.row_count,
        metrics=tuple(metrics),
        files={ANALYSIS: write_explanations(explanations)},
        points=tuple(_points(outcome, findings)),
        facts=context.rows.facts,
        baseline_version=context.baseline.version,
        alpha=_alpha(context),
        details=_details(outcome, findings),
        batches=context.rows.batches,
    )


def _alpha(context: CheckContext) -> float:
    return context.budget.false_alarms_per_year / context.budget.windows_per_year


def _metrics(
    label: str, finding: Finding, outcome: Outcome, reason: str, *, plain: bool
) -> list[MetricResult]:
    one = finding.comparison
    note = reason or ("" if one.is_judged else INSUFFICIENT)
    is_shown = bool(reason) or not one.is_judged
    return [
        _order(label, finding, outcome, note, is_shown=is_shown),
        *_shares(label, finding, note, is_shown=is_shown),
        _level(label, finding, note, is_shown=is_shown, plain=plain),
    ]


def _order(
    label: str, finding: Finding, outcome: Outcome, note: str, *, is_shown: bool
) -> MetricResult:
    one = finding.comparison
    if math.isnan(one.ndcg) and not note:
        alone = len(one.reference.features) == 1
        note = f"undefined: {'one feature' if alone else 'the reference is all zero'}"
    elif one.is_all_zero and not note:
        note = ALL_ZERO
    low, high = _ndcg_interval(one, outcome.rows.get(label), outcome.context.seed)
    is_judged = not is_shown and not note
    return MetricResult(
        name="ndcg",
        value=None if math.isnan(one.ndcg) or one.is_all_zero else one.ndcg,
        low=low,
        high=high,
        reference=1.0,
        bound=finding.order_bound if is_judged else None,
        operator="LessThanThreshold" if is_judged else "",
        p_value=one.order if is_judged and one.tail is not None else None,
        count=one.window.count,
        label=label,
        severity=TICKET if finding.order and is_judged else None,
        note=note,
    )


def _ndcg_interval(
    one: Comparison, rows: np.ndarray | None, seed: int
) -> tuple[float | None, float | None]:
    """Draw the window's rows again and again; biased low for few rows, as NDCG itself is."""
    if rows is None or len(rows) < 2 or math.isnan(one.ndcg) or one.is_all_zero:
        return None, None
    means = resampled_means(rows, len(rows), REPLICATES, np.random.default_rng(seed))
    low, high = np.quantile(ndcg(one.reference.mean, means), [0.025, 0.975])
    return float(min(low, one.ndcg)), float(max(high, one.ndcg))


def _shares(label: str, finding: Finding, note: str, *, is_shown: bool) -> list[MetricResult]:
    one = finding.comparison
    if one.is_all_zero and not note:
        note = ALL_ZERO
    is_judged = not is_shown and not note and one.window.count > 0
    found = []
    lows, highs = _within(one.window)
    reference_lows, reference_highs = _within(one.reference)
    for at, name in enumerate(one.reference.features):
        free, usual = finding.share_bounds[at], one.reference.shares[at]
        # A share that is smaller than what it may lose can only grow too much.
        rises = bool(one.deltas[at] >= 0 or usual < free)
        bound = usual + free if rises else usual - free
        known, sure = one.window.count > 0, one.reference.count > 0
        found.append(
            MetricResult(
                name=f"share_{name}",
                value=float(one.window.shares[at]),
                low=float(lows[at]) if known else None,
                high=float(highs[at]) if known else None,
                reference=float(one.reference.shares[at]),
                reference_low=float(reference_lows[at]) if sure else None,
                reference_high=float(reference_highs[at]) if sure else None,
                bound=float(bound) if is_judged else None,
                operator=_operator(rises=rises) if is_judged else "",
                p_value=float(one.shares[at]) if is_judged else None,
                count=one.window.count,
                label=label,
                severity=TICKET if finding.moved[at] and is_judged else None,
                note=note,
            )
        )
    return found


def _level(label: str, finding: Finding, note: str, *, is_shown: bool, plain: bool) -> MetricResult:
    one = finding.comparison
    is_judged = not is_shown and one.reference.count > 0 and one.window.count > 0
    if not is_judged and not note and plain:
        note = "incomparable: the reference's document does not say in which units its values are"
    elif one.reference.total <= 0 and not note:
        note, is_judged = "undefined: the reference is all zero", False
    rises = one.log_ratio > 0
    bound = one.reference.total * math.exp(finding.level_bound if rises else -finding.level_bound)

    def around(side: Importance) -> tuple[float | None, float | None]:
        if not side.count:
            return None, None
        half = math.exp(NORMAL_95 * side.total_error)
        return side.total / half, side.total * half

    low, high = around(one.window)
    reference_low, reference_high = around(one.reference)
    return MetricResult(
        name="level",
        value=one.window.total,
        low=low,
        high=high,
        reference=one.reference.total,
        reference_low=reference_low,
        reference_high=reference_high,
        bound=bound if is_judged else None,
        operator=_operator(rises=rises) if is_judged else "",
        p_value=one.level if is_judged else None,
        count=one.window.count,
        label=label,
        severity=TICKET if finding.level and is_judged else None,
        note=note,
    )


def _within(side: Importance) -> tuple[np.ndarray, np.ndarray]:
    half = NORMAL_95 * side.share_errors
    return np.maximum(side.shares - half, 0.0), np.minimum(side.shares + half, 1.0)


def _operator(*, rises: bool) -> str:
    return "GreaterThanThreshold" if rises else "LessThanThreshold"


def _means(one: Importance) -> dict[str, float]:
    return dict(zip(one.features, one.mean.tolist(), strict=True))


def _points(outcome: Outcome, findings: Mapping[str, Finding]) -> list[MetricPoint]:
    """Give SageMaker's metrics, and our own under what the method really is."""
    found = []
    for label, finding in findings.items():
        one = finding.comparison
        base = {"ExplainabilityMethod": METHOD, "Label": label}
        for name, value in _means(one.window).items():
            metric = f"feature_{quote(name, safe=UNQUOTED)}"
            if len(metric) <= LONGEST_NAME:
                own = {**base, "ValueType": "GlobalShapValues"}
                found.append(MetricPoint(NAMESPACE, metric, value, own))
        expected = outcome.expected.get(label)
        if expected is not None:
            own = {**base, "ValueType": "ExpectedValue"}
            found.append(MetricPoint(NAMESPACE, "ExpectedValue", expected, own))
        ours = {"ExplainabilityMethod": outcome.making.method, "Label": label}
        if not math.isnan(one.ndcg) and not one.is_all_zero:
            found.append(MetricPoint(OWN_METRICS, "attribution_ndcg", one.ndcg, ours))
        found.append(MetricPoint(OWN_METRICS, "attribution_level", one.window.total, ours))
    return found


def _details(outcome: Outcome, findings: Mapping[str, Finding]) -> dict[str, JsonValue]:
    explained = max((len(rows) for rows in outcome.rows.values()), default=0)
    making = outcome.making
    return {
        "method": making.method,
        "units": making.units,
        "model": making.model,
        "background": making.background,
        "explained_rows": explained,
        **_blocks(findings),
        "ranking": {
            label: {
                "reference": _ranking(one.comparison.reference),
                "window": _ranking(one.comparison.window),
            }
            for label, one in findings.items()
        },
    }


def _blocks(findings: Mapping[str, Finding]) -> dict[str, JsonValue]:
    """Say how many blocks of the reference's time the judgement rests on, or why on none."""
    spreads = (one.comparison.spread for one in findings.values())
    known = next((one for one in spreads if one is not None), None)
    if known is not None:
        return {"blocks": [{"hours": known.length_us / HOUR_US, "count": known.blocks}]}
    return {"blocks": [], "blocks_note": WITHOUT_BLOCKS} if findings else {}


def _ranking(one: Importance) -> list[JsonValue]:
    """List the features by importance, for people."""
    return [
        {
            "feature": one.features[at],
            "importance": float(one.mean[at]),
            "share": float(one.shares[at]),
        }
        for at in np.argsort(-one.mean, kind="stable")
    ]
