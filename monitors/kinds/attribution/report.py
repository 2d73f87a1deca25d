"""The report of the kind "attribution": numbers, violations in Clarify's form, and texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

import numpy as np

from driftline.baseline.store import ANALYSIS
from driftline.monitors.check_context import CheckContext
from driftline.monitors.engine.block_test import Tested
from driftline.monitors.engine.pooling import WindowSums, judged_spans
from driftline.monitors.kind import OWN_METRICS
from driftline.monitors.kinds.attribution.attributions import GIVEN, Attributions
from driftline.monitors.kinds.attribution.documents import Explanation, write_explanations
from driftline.monitors.kinds.attribution.kind import NAMESPACE
from driftline.monitors.kinds.attribution.metrics import LEVEL, NDCG_LIMIT, ndcg, share_name
from driftline.monitors.kinds.attribution.sums import Importance
from driftline.monitors.report.datapoints import UNQUOTED
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import Measured, MetricPoint
from driftline.monitors.results.verdict import BELOW, with_intervals, with_verdict
from driftline.monitors.results.violation import (
    JsonValue,
    Violation,
    percent,
    plural,
    share_blame,
)
from driftline.monitors.state import State

METHOD = "KernelShap"
LONGEST_NAME = 255
ALL_ZERO = "all attributions are zero"
REFERENCE_ZERO = "the reference is all zero"
OTHER_LEVEL = "incomparable: another model, or another unit"
CHECK = "feature_attribution_drift_check"
# Rows of a window that are explained one by one, and features of each.
ROWS_SHOWN, FEATURES_SHOWN = 5, 5
# Features that a cause names.
NAMED = 3

Found = tuple[Violation, float]


@dataclass(frozen=True)
class ExplainedRows:
    """What rows contribute, by label: of the reference, or of a window."""

    importances: Mapping[str, Importance]
    expected: Mapping[str, float | None]  # The answer that attributions are counted from.
    row_count: int  # All rows; those that are explained may be a sample.
    rows: Attributions | None = None  # None for a document.

    @classmethod
    def of_rows(cls, rows: Attributions, row_count: int = 0) -> ExplainedRows:
        """Add the rows up."""
        return cls(rows.importances, dict(rows.expected), row_count, rows)

    @classmethod
    def of_document(cls, document: Mapping[str, Explanation]) -> ExplainedRows:
        """Take the means of an analysis.json, which is one row."""
        means = {label: Importance.of_means(one.values) for label, one in document.items()}
        return cls(means, {label: one.expected for label, one in document.items()}, 1)

    @property
    def method(self) -> str:
        """How the rows were explained."""
        return GIVEN if self.rows is None else self.rows.method


@dataclass(frozen=True)
class Output:
    """One output of the model: its attributions on both sides, and what was tested."""

    label: str
    reference: Importance
    window: Importance
    # Shares, then the level, of the window alone and of the spans that end with it; () untested.
    spans: Sequence[Sequence[Tested]] = ()
    limits: Sequence[tuple[float, float]] = ()  # The reference's own 95% intervals.
    is_few: bool = False  # Whether there are too few rows to judge the window alone.

    @property
    def moved(self) -> list[Tested]:
        """The shares that have changed: of the shortest span that shows it, most evidence first."""
        for span in self.spans:
            if found := [one for one in span if one.violated and one.name != LEVEL]:
                return sorted(found, key=lambda one: one.p_value)
        return []

    @property
    def level(self) -> Tested | None:
        """The test of the shortest span whose level has changed; None for none."""
        levels = (span[-1] for span in self.spans)
        return next((one for one in levels if one.violated and one.name == LEVEL), None)


def attribution_report(
    context: CheckContext,
    window: ExplainedRows,
    outputs: Sequence[Output],
    sums: WindowSums | None = None,
) -> Report:
    """Report a window; outputs that were not tested have SageMaker's limit of NDCG alone."""
    compat = context.compat
    found: list[Found] = []
    metrics: list[Measured] = []
    positive = "" if window.rows is None else window.rows.positive
    for output in outputs:
        order = _order(output, compat=compat)
        # Of an only output, which SageMaker calls "label0", people know the class.
        label = output.label if len(outputs) > 1 else positive
        metrics += [replace(one, label=label) for one in (order, *_numbers(output))]
        prefix = f"{output.label}: " if len(outputs) > 1 else ""
        found += [*_of_order(output, prefix, order), *_of_shares(output, prefix)]
        found += _of_level(output, prefix)
    explanations = {
        one.label: Explanation(one.window.means, window.expected.get(one.label)) for one in outputs
    }
    return Report(
        kind="attribution",
        violations=share_blame(found),
        row_count=window.row_count,
        metrics=tuple(metrics),
        files={ANALYSIS: write_explanations(explanations)} if outputs else {},
        points=tuple(_points(window, outputs)),
        alpha=context.budget.per_window,
        details=_details(window, outputs),
        sums=sums,
        spans=judged_spans([test for one in outputs for span in one.spans for test in span]),
    )


def _order(output: Output, *, compat: bool) -> Measured:
    """Return the NDCG: judged by SageMaker's limit where nothing else is."""
    score, reference, window = _score(output), output.reference, output.window
    state, why = State.INSUFFICIENT if output.is_few else State.JUDGED, ""
    if compat and math.isnan(score) and len(reference.features) > 1:
        score = 0.0  # As ``ndcg_score`` has it of a reference that is all zero.
    if math.isnan(score):
        why = "one feature" if len(reference.features) == 1 else REFERENCE_ZERO
    elif window.total <= 0 and not compat:
        why, score = ALL_ZERO, math.nan
    if state == State.JUDGED and (why or output.spans):
        state = State.SHOWN
    is_judged = state == State.JUDGED
    return Measured(
        name="ndcg",
        value=None if math.isnan(score) else score,
        reference=1.0,
        bound=NDCG_LIMIT if is_judged else None,
        operator=BELOW if is_judged else "",
        count=window.count,
        severity="ticket" if is_judged and score < NDCG_LIMIT else None,
        state=state,
        why=why,
    )


def _score(output: Output) -> float:
    return ndcg(output.reference.mean, output.window.mean)


def _numbers(output: Output) -> Iterator[Measured]:
    """Yield the shares and the level, with the engine's verdicts where they were tested."""
    reference, window = output.reference, output.window
    alone = {one.name: one for one in (output.spans[0] if output.spans else ())}
    names = [*map(share_name, reference.features), LEVEL]
    values = [*window.shares.tolist(), window.total]
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        tested, is_level = alone.get(name), name == LEVEL
        result = Measured(
            name=name, value=value, count=window.count,
            state=State.INSUFFICIENT if output.is_few else State.SHOWN,
            why=OTHER_LEVEL if is_level and tested is None and not output.is_few else "",
            reference=reference.total if is_level else float(reference.shares[at]),
        )  # fmt: skip
        if tested is not None:
            result = with_intervals(result, (tested.low, tested.high, *output.limits[at]))
            if not output.is_few:
                lacks = REFERENCE_ZERO if output.reference.total <= 0 else ALL_ZERO
                result = with_verdict(result, tested, undefined=lacks)
        yield result


def _points(window: ExplainedRows, outputs: Sequence[Output]) -> Iterator[MetricPoint]:
    """Yield SageMaker's metrics, and our own under the true method's name."""
    for output in outputs:
        base = {"ExplainabilityMethod": METHOD, "Label": output.label}
        for name, value in output.window.means.items():
            metric = f"feature_{quote(name, safe=UNQUOTED)}"
            if len(metric) <= LONGEST_NAME:
                own = {**base, "ValueType": "GlobalShapValues"}
                yield MetricPoint(NAMESPACE, metric, value, own)
        expected = window.expected.get(output.label)
        if expected is not None:
            own = {**base, "ValueType": "ExpectedValue"}
            yield MetricPoint(NAMESPACE, "ExpectedValue", expected, own)
        ours = {"ExplainabilityMethod": window.method, "Label": output.label}
        score = _score(output)
        if not math.isnan(score) and output.window.total > 0:
            yield MetricPoint(OWN_METRICS, "attribution_ndcg", score, ours)
        yield MetricPoint(OWN_METRICS, "attribution_level", output.window.total, ours)


def _details(window: ExplainedRows, outputs: Sequence[Output]) -> dict[str, JsonValue]:
    rows = window.rows
    if rows is None:
        return {"method": window.method}
    is_sample = bool(rows.pointers) and rows.count < window.row_count
    sample = f"{rows.count:,} of {plural(window.row_count, 'row')} explained, drawn by lot"
    return {
        "method": rows.method,
        "units": rows.units,
        "model": rows.model,
        "explained_rows": rows.count,
        **({"positive": rows.positive} if rows.positive else {}),
        **({"explained_note": sample} if is_sample else {}),
        **({"answers_note": note} if (note := rows.left_out_note) else {}),
        "rows": {one.label: _rows_behind(rows, one) for one in outputs if rows.pointers},
    }


def _rows_behind(rows: Attributions, output: Output) -> list[JsonValue]:
    """Return the rows in which the change is largest; without one, those of largest total."""
    features = output.reference.features
    at = [rows.features.index(name) for name in features]
    values = rows.rows[output.label][:, at].astype(np.float64)
    sizes = np.abs(values)
    if moved := {one.name: np.sign(one.value - one.reference) for one in output.moved}:
        ways = [moved.get(share_name(name), 0.0) for name in features]
        sizes = (sizes - output.reference.mean) * ways
    expected = rows.expected.get(output.label, 0.0)
    found: list[JsonValue] = []
    for row in np.argsort(-sizes.sum(axis=1), kind="stable")[:ROWS_SHOWN]:
        order = np.argsort(-np.abs(values[row]), kind="stable")[:FEATURES_SHOWN]
        parts: dict[str, JsonValue] = {features[one]: float(values[row, one]) for one in order}
        answer = expected + float(values[row].sum())
        found.append({**rows.pointers[row], "answer": answer, "contributions": parts})
    return found


def _of_order(output: Output, prefix: str, order: Measured) -> Iterator[Found]:
    if order.severity is None or order.value is None:
        return
    cause = (
        f"the ranking of features changed (NDCG {order.value:.2f}): {_moves(output)} (the "
        "reference's own error is not known)"
    )
    ratio = (1 - order.value) / (1 - NDCG_LIMIT)
    yield _violation(output, prefix + "ndcg", ("drift", order.value, NDCG_LIMIT), cause, ratio)


def _of_shares(output: Output, prefix: str) -> Iterator[Found]:
    if not output.moved:
        return
    worst = output.moved[0]
    over = f" over {worst.windows} windows" if worst.windows > 1 else ""
    cause = f"the model leans on other features{over}: {_moves(output)}"
    what = f"share of {worst.name.removeprefix('share_')}"
    yield _violation(
        output, prefix + "shares", (what, worst.value, worst.bound), cause, _ratio(worst),
        worst.p_value,
    )  # fmt: skip


def _of_level(output: Output, prefix: str) -> Iterator[Found]:
    if (one := output.level) is None:
        return
    change = one.value / one.reference
    cause = "the model answers the same whatever it is asked: all attributions are zero"
    if one.value > 0:
        cause = (
            f"the model's answers depend {max(change, 1.0 / change):.1f} times "
            f"{'more' if change > 1 else 'less'} on its features: attributions sum to "
            f"{one.value:.3g} (reference {one.reference:.3g})"
        )
    numbers = (LEVEL, one.value, one.bound)
    yield _violation(output, prefix + LEVEL, numbers, cause, _ratio(one), one.p_value)


def _ratio(one: Tested) -> float:
    return abs((one.value - one.reference) / (one.bound - one.reference))


def _violation(
    output: Output,
    name: str,
    numbers: tuple[str, float, float],
    cause: str,
    ratio: float,
    p_value: float = 0.0,
) -> Found:
    """Return a violation with its evidence, in nats; its sentence is Clarify's, grammar included.

    `numbers` are what has changed, its value and its bound.
    """
    what, value, bound = numbers
    description = f"Feature attribution {what} {value!r} exceeds threshold {round(bound, 6)!r}"
    fields = {
        "label": output.label,
        "metric_name": "shap",
        "constraint_check_type": CHECK,
        "description": description,
    }
    violation = Violation(name, CHECK, description, "ticket", ratio, cause=cause, fields=fields)
    return violation, -math.log(max(p_value, 1e-300))


def _moves(output: Output) -> str:
    """Name the features whose shares changed most, with rank and share before and after."""
    reference, window = output.reference, output.window
    ranks = [np.argsort(np.argsort(-side.mean, kind="stable")) + 1 for side in (reference, window)]
    pairs = zip(reference.shares.tolist(), window.shares.tolist(), strict=True)
    changes = dict(zip(reference.features, pairs, strict=True))
    if output.moved:
        changes = {
            one.name.removeprefix("share_"): (one.reference, one.value) for one in output.moved
        }
    parts = []
    for name in sorted(changes, key=lambda name: -abs(changes[name][1] - changes[name][0])):
        before, now = (int(side[reference.features.index(name)]) for side in ranks)
        rank = f", rank {before} to {now}" if before != now else ""
        parts.append(f"{name} {percent(changes[name][0])} to {percent(changes[name][1])}{rank}")
    left = len(output.moved) - NAMED
    return "; ".join([*parts[:NAMED], *[f"and {left} more"] * (left > 0)])
