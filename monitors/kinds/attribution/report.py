"""The report of the kind "attribution": numbers, violations in Clarify's form, and texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote

import numpy as np

from driftline.baseline.store import ANALYSIS
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kind import OWN_METRICS
from driftline.monitors.kinds.attribution.drift import (
    FAR_LEVEL,
    NDCG_LIMIT,
    Comparison,
    Finding,
)
from driftline.monitors.kinds.attribution.explanations import Explanation, write_explanations
from driftline.monitors.kinds.attribution.importance import Importance, Making
from driftline.monitors.kinds.attribution.kind import NAMESPACE
from driftline.monitors.kinds.attribution.ranking import ndcg
from driftline.monitors.kinds.attribution.shapley import WINDOW_ROWS
from driftline.monitors.report.datapoints import UNQUOTED
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import (
    INSUFFICIENT,
    UNDEFINED,
    MetricPoint,
    MetricResult,
    too_variable,
)
from driftline.monitors.results.row_references import Pointer
from driftline.monitors.results.violation import (
    JsonValue,
    Severity,
    Violation,
    percent,
    plural,
    share_blame,
)
from driftline.stats.blocks import HOUR_US
from driftline.stats.intervals import Z95, resampled_means

METHOD = "KernelShap"
TICKET: Severity = "ticket"
REPLICATES = 400
LONGEST_NAME = 255
WITHOUT_BLOCKS = (
    "judged as if rows were independent: the reference has no event times, was explained before "
    "they were kept, or is too short; make the baseline again with its timestamp"
)
ALIKE = "however these rows are drawn, they rank the features alike"
ALL_ZERO = f"{UNDEFINED}all attributions are zero"
REFERENCE_ZERO = f"{UNDEFINED}the reference is all zero"
SAME_ANSWERS = f"{UNDEFINED}the model answers the same for all rows"
CHECK = "feature_attribution_drift_check"
# Rows of a window that are explained one by one, and features of each.
ROWS_SHOWN, FEATURES_SHOWN = 5, 5
# Features that a cause names.
NAMED = 3


@dataclass(frozen=True)
class ExplainedWindow:
    """Findings of a window, by label."""

    importances: Mapping[str, Importance]
    expected: Mapping[str, float | None]  # The answer that attributions are counted from.
    rows: Mapping[str, np.ndarray]  # Absolute attributions, shape (N, M); none for a document.
    making: Making
    row_count: int  # All rows of the window.
    change: str = ""  # That it was another model than the reference's, in words.
    units_note: str = ""  # Why the sum of attributions cannot be compared.
    signed: Mapping[str, np.ndarray] = field(default_factory=dict)  # As rows, with their signs.
    pointers: Sequence[Pointer] = ()  # Where each row is found again, shape (N,).
    answers_note: str = ""  # How many rows the model left without a number, in words.
    positive: str = ""  # The class that the only output is about.
    is_log_odds: bool = False  # The answers that are explained, of the probabilities.


def incomparable_report(
    context: CheckContext, window: ExplainedWindow, labels: tuple[str, ...], reason: str
) -> Report:
    """Report a window without rows, or explained otherwise than the reference."""
    metrics = [
        MetricResult(name="ndcg", value=None, label=label, note=reason)
        for label in labels
        if window.row_count
    ]
    return Report(
        kind="attribution",
        violations=(),
        row_count=window.row_count,
        metrics=tuple(metrics),
        alpha=context.budget.per_window,
        details=_details(window, {}),
    )


def attribution_report(
    context: CheckContext,
    window: ExplainedWindow,
    findings: Mapping[str, Finding],
    reason: str,
    *,
    plain: bool,
) -> Report:
    """Report a window that was compared."""
    metrics = [
        metric
        for label, finding in findings.items()
        for metric in _metrics(
            label, finding, window.rows.get(label), reason, context.seed, plain=plain,
            units_note=window.units_note,
        )
    ]  # fmt: skip
    violations = () if reason else attribution_violations(findings, window.change, plain=plain)
    explanations = {
        label: Explanation(_means(one.comparison.window), window.expected.get(label))
        for label, one in findings.items()
    }
    return Report(
        kind="attribution",
        violations=violations,
        row_count=window.row_count,
        metrics=tuple(metrics),
        files={ANALYSIS: write_explanations(explanations)},
        points=tuple(_points(window, findings)),
        alpha=context.budget.per_window,
        details=_details(window, findings),
    )


def _metrics(
    label: str,
    finding: Finding,
    rows: np.ndarray | None,
    reason: str,
    seed: int,
    *,
    plain: bool,
    units_note: str,
) -> list[MetricResult]:
    one = finding.comparison
    note = reason or ("" if one.is_judged else INSUFFICIENT)
    is_shown = bool(reason) or not one.is_judged
    if one.reference.total <= 0 >= one.window.total:
        units_note = ""  # Zero on both sides is so in any units.
    return [
        _order(label, finding, rows, note, seed, is_shown=is_shown),
        *_shares(label, finding, note, is_shown=is_shown),
        _level(
            label,
            finding,
            note or units_note,
            is_shown=is_shown or (bool(units_note) and not finding.level),
            plain=plain,
        ),
    ]


def _order(
    label: str, finding: Finding, rows: np.ndarray | None, note: str, seed: int, *, is_shown: bool
) -> MetricResult:
    one = finding.comparison
    is_zero = one.is_all_zero and not finding.by_limit
    note = note or _order_note(finding)
    low, high = _ndcg_interval(one, rows, seed)
    is_alike = low is not None and low == high
    is_judged = not is_shown and not note
    return MetricResult(
        name="ndcg",
        value=None if math.isnan(one.ndcg) or is_zero else one.ndcg,
        low=None if is_alike else low,
        high=None if is_alike else high,
        unbounded=ALIKE * is_alike,
        reference=1.0,
        bound=NDCG_LIMIT if is_judged else None,
        operator="LessThanThreshold" if is_judged else "",
        p_value=one.order if is_judged and min(one.reference.count, one.window.count) else None,
        count=one.window.count,
        label=label,
        severity=TICKET if finding.order and is_judged else None,
        note=note,
    )


def _order_note(finding: Finding) -> str:
    """Return why the order has no score, or no reachable bound; "" for neither."""
    one = finding.comparison
    if math.isnan(one.ndcg):
        alone = len(one.reference.features) == 1
        return f"{UNDEFINED}one feature" if alone else REFERENCE_ZERO
    if finding.by_limit:
        return ""
    if one.is_all_zero:
        return ALL_ZERO
    worst = finding.worst_order
    return f"{UNDEFINED}even the turned order of these features has {worst:.2f}" * (
        worst >= NDCG_LIMIT
    )


def _ndcg_interval(
    one: Comparison, rows: np.ndarray | None, seed: int
) -> tuple[float | None, float | None]:
    """Return a bootstrap interval; biased low for few rows, as NDCG itself is."""
    if rows is None or len(rows) < 2 or math.isnan(one.ndcg) or one.is_all_zero:
        return None, None
    means = resampled_means(rows, len(rows), REPLICATES, np.random.default_rng(seed))
    low, high = np.quantile(ndcg(one.reference.mean, means), [0.025, 0.975])
    return float(min(low, one.ndcg)), float(max(high, one.ndcg))


def _shares(label: str, finding: Finding, note: str, *, is_shown: bool) -> list[MetricResult]:
    one = finding.comparison
    if one.is_all_zero and not note:
        note = ALL_ZERO
    note = note or REFERENCE_ZERO * (one.reference.total <= 0)
    is_judged = not (is_shown or note or finding.by_limit) and one.window.count > 0
    found = []
    lows, highs = _within(one.window)
    reference_lows, reference_highs = _within(one.reference)
    for at, name in enumerate(one.reference.features):
        free, usual = finding.share_bounds[at], one.reference.shares[at]
        # A share that is smaller than what it may lose can only grow too much, and a large one
        # only shrink.
        rises = bool(usual <= free or (one.deltas[at] >= 0 and usual + free < 1.0))
        bound = usual + free if rises else usual - free
        own = note
        if is_judged and not finding.moved[at] and rises and bound >= 1.0:
            own = _too_variable(finding, partial(finding.is_share_bounded, at))
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
                bound=None if own or not is_judged else float(bound),
                operator=_operator(rises=rises) if is_judged else "",
                p_value=None if own or not is_judged else float(one.shares[at]),
                count=one.window.count,
                label=label,
                severity=TICKET if finding.moved[at] and is_judged else None,
                note=own,
            )
        )
    return found


def _level(label: str, finding: Finding, note: str, *, is_shown: bool, plain: bool) -> MetricResult:
    one = finding.comparison
    has_rows = min(one.reference.count, one.window.count) > 0
    is_judged = has_rows and not (is_shown or finding.by_limit)
    if not is_judged and not note and plain:
        note = "incomparable: the reference's document does not say in which units its values are"
    elif one.reference.total <= 0 and not note and not is_judged:
        note = REFERENCE_ZERO
    elif is_judged and not finding.level and (one.is_new or one.is_all_zero):
        note, is_judged = INSUFFICIENT, False
    elif is_judged and one.reference.total <= 0 >= one.window.total:
        note, is_judged = SAME_ANSWERS, False
    elif is_judged and not finding.level and finding.level_bound >= FAR_LEVEL:
        note, is_judged = _too_variable(finding, finding.is_level_bounded), False
    rises = one.log_ratio > 0 or one.reference.total <= 0
    bound = one.reference.total * math.exp(finding.level_bound if rises else -finding.level_bound)

    def around(side: Importance) -> tuple[float | None, float | None]:
        if not side.count:
            return None, None
        half = math.exp(Z95 * side.total_error)
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
        operator=_operator(rises=rises) if is_judged or note == SAME_ANSWERS else "",
        p_value=one.level if is_judged else None,
        count=one.window.count,
        label=label,
        severity=TICKET if finding.level and is_judged else None,
        note=note,
    )


def _too_variable(finding: Finding, is_bounded: Callable[[float], bool]) -> str:
    """Return how many explained rows would give a bound, up to the maximum explained."""
    rows = finding.comparison.window.count
    return too_variable(rows, lambda more: is_bounded(min(rows * more, max(rows, WINDOW_ROWS))))


def _within(side: Importance) -> tuple[np.ndarray, np.ndarray]:
    half = Z95 * side.share_errors
    return np.maximum(side.shares - half, 0.0), np.minimum(side.shares + half, 1.0)


def _operator(*, rises: bool) -> str:
    return "GreaterThanThreshold" if rises else "LessThanThreshold"


def _means(one: Importance) -> dict[str, float]:
    return dict(zip(one.features, one.mean.tolist(), strict=True))


def _points(window: ExplainedWindow, findings: Mapping[str, Finding]) -> list[MetricPoint]:
    """Return SageMaker's metrics, and our own under the true method's name."""
    found = []
    for label, finding in findings.items():
        one = finding.comparison
        base = {"ExplainabilityMethod": METHOD, "Label": label}
        for name, value in _means(one.window).items():
            metric = f"feature_{quote(name, safe=UNQUOTED)}"
            if len(metric) <= LONGEST_NAME:
                own = {**base, "ValueType": "GlobalShapValues"}
                found.append(MetricPoint(NAMESPACE, metric, value, own))
        expected = window.expected.get(label)
        if expected is not None:
            own = {**base, "ValueType": "ExpectedValue"}
            found.append(MetricPoint(NAMESPACE, "ExpectedValue", expected, own))
        ours = {"ExplainabilityMethod": window.making.method, "Label": label}
        if not math.isnan(one.ndcg) and not one.is_all_zero:
            found.append(MetricPoint(OWN_METRICS, "attribution_ndcg", one.ndcg, ours))
        found.append(MetricPoint(OWN_METRICS, "attribution_level", one.window.total, ours))
    return found


def _details(window: ExplainedWindow, findings: Mapping[str, Finding]) -> dict[str, JsonValue]:
    explained = max((len(rows) for rows in window.rows.values()), default=0)
    making = window.making
    return {
        "method": making.method,
        "units": "log-odds" if window.is_log_odds else making.units,
        "model": making.model,
        "background": making.background,
        "explained_rows": explained,
        **({"positive": window.positive} if window.positive else {}),
        **({"model_note": window.change} if window.change else {}),
        **({"explained_note": note} if (note := _explained_note(window, explained)) else {}),
        **({"answers_note": window.answers_note} if window.answers_note else {}),
        **_blocks(findings),
        "rows": {
            label: found
            for label, one in findings.items()
            if (found := _rows_behind(window, label, one))
        },
        "ranking": {
            label: {
                "reference": _ranking(one.comparison.reference),
                "window": _ranking(one.comparison.window),
            }
            for label, one in findings.items()
        },
    }


def _explained_note(window: ExplainedWindow, explained: int) -> str:
    """Return how many rows were explained, where not all were."""
    if not window.pointers or explained >= window.row_count:
        return ""
    return f"{explained:,} of {plural(window.row_count, 'row')} explained, drawn by lot"


def _rows_behind(window: ExplainedWindow, label: str, finding: Finding) -> list[JsonValue]:
    """Return the rows in which the change is largest; without one, those of largest total."""
    one, signed = finding.comparison, window.signed.get(label)
    if signed is None:
        return []
    features = window.importances[label].features
    values = signed[:, [features.index(name) for name in one.reference.features]].astype(np.float64)
    sizes = np.abs(values)
    if finding.moved.any():
        ways = np.where(finding.moved, np.sign(one.deltas), 0.0)
        sizes = (sizes - one.reference.mean) * ways
    expected = window.expected.get(label) or 0.0
    found: list[JsonValue] = []
    for at in np.argsort(-sizes.sum(axis=1), kind="stable")[:ROWS_SHOWN]:
        order = np.argsort(-np.abs(values[at]), kind="stable")[:FEATURES_SHOWN]
        parts: dict[str, JsonValue] = {
            one.reference.features[place]: float(values[at, place]) for place in order
        }
        answer = expected + float(values[at].sum())
        found.append({**window.pointers[at], "answer": answer, "contributions": parts})
    return found


def _blocks(findings: Mapping[str, Finding]) -> dict[str, JsonValue]:
    """Return the number of reference blocks behind the judgement, or why there is none."""
    spreads = (finding.comparison.spread for finding in findings.values())
    known = next((one for one in spreads if one is not None), None)
    if known is not None:
        return {"blocks": [{"hours": known.length_us / HOUR_US, "count": known.blocks}]}
    return {"blocks": [], "blocks_note": WITHOUT_BLOCKS} if findings else {}


def _ranking(one: Importance) -> list[JsonValue]:
    """List the features by importance, for display."""
    return [
        {
            "feature": one.features[at],
            "importance": float(one.mean[at]),
            "share": float(one.shares[at]),
        }
        for at in np.argsort(-one.mean, kind="stable")
    ]


def attribution_violations(
    findings: Mapping[str, Finding],
    change: str = "",
    *,
    plain: bool,
) -> tuple[Violation, ...]:
    """Return the violations, greatest contribution first."""
    note = " (the reference's own error is not known)" if plain else ""
    of_model = "the model changed, and " if change else ""
    found = []
    for label, finding in findings.items():
        prefix = f"{label}: " if len(findings) > 1 else ""
        for name, description, cause, ratio, p_value in _broken(finding):
            clarify = {
                "label": label,
                "metric_name": "shap",
                "constraint_check_type": CHECK,
                "description": description,
            }
            violation = Violation(
                prefix + name, CHECK, description, "ticket", ratio, cause=of_model + cause + note,
                fields=clarify,
            )  # fmt: skip
            found.append((violation, -math.log(max(p_value, 1e-300))))
    return share_blame(found)


def _broken(finding: Finding) -> Iterator[tuple[str, str, str, float | None, float]]:
    """Yield name, description, cause, ratio and p-value of each violation."""
    one = finding.comparison
    if one.is_all_zero and finding.level:
        text = "the model answers the same whatever it is asked: all attributions are zero"
        yield "level", "Feature attributions are all zero", text, None, 0.0
        return
    if one.is_new and finding.level:
        text = f"the model depends on features, and the reference's on none: {_moves(one)}"
        yield "level", _exceeds("level", one.window.total, 0.0), text, None, one.level
        return
    if finding.order:
        text = f"the ranking of features changed (NDCG {one.ndcg:.2f}): {_moves(one)}"
        yield (
            "ndcg",
            _exceeds("drift", one.ndcg, NDCG_LIMIT),
            text,
            (1 - one.ndcg) / (1 - NDCG_LIMIT),
            one.order,
        )
    if finding.moved.any():
        at = int(np.argmax(np.where(finding.moved, np.abs(one.deltas) / finding.share_bounds, 0)))
        name, delta = one.reference.features[at], one.deltas[at]
        bound = one.reference.shares[at] + math.copysign(finding.share_bounds[at], delta)
        yield (
            "shares",
            _exceeds(f"share of {name}", float(one.window.shares[at]), float(bound)),
            f"the model leans on other features: {_moves(one, finding.moved)}",
            float(abs(delta) / finding.share_bounds[at]),
            float(one.shares[at]),
        )
    if finding.level:
        ratio = math.exp(abs(one.log_ratio))
        shown = f"{ratio:.1f}" if ratio < 1e3 else f"{ratio:.3g}"
        how = "more" if one.log_ratio > 0 else "less"
        bound = one.reference.total * math.exp(math.copysign(finding.level_bound, one.log_ratio))
        yield (
            "level",
            _exceeds("level", one.window.total, bound),
            f"the model's answers depend {shown} times {how} on its features: attributions "
            f"sum to {one.window.total:.3g} (reference {one.reference.total:.3g})",
            abs(one.log_ratio) / finding.level_bound,
            one.level,
        )


def _exceeds(what: str, value: float, bound: float) -> str:
    """Write Clarify's sentence, its grammar included."""
    return f"Feature attribution {what} {value!r} exceeds threshold {round(bound, 6)!r}"


def _moves(one: Comparison, among: np.ndarray | None = None) -> str:
    """Name the features whose shares changed most, with rank and share before and after."""
    size = np.abs(one.deltas) if among is None else np.where(among, np.abs(one.deltas), 0.0)
    before, now = _ranks(one.reference.mean), _ranks(one.window.mean)
    chosen = [at for at in np.argsort(-size, kind="stable")[:NAMED] if size[at] > 0]
    left = int(np.count_nonzero(size)) - len(chosen) if among is not None else 0
    parts = []
    for at in chosen:
        rank = f", rank {before[at]} to {now[at]}" if before[at] != now[at] else ""
        share = f"{percent(one.reference.shares[at])} to {percent(one.window.shares[at])}"
        parts.append(f"{one.reference.features[at]} {share}{rank}")
    if left > 0:
        parts.append(f"and {left} more")
    return "; ".join(parts)


def _ranks(means: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(means), dtype=np.int64)
    ranks[np.argsort(-means, kind="stable")] = np.arange(1, len(means) + 1)
    return ranks
