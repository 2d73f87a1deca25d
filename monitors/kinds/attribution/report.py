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
from driftline.monitors.engine.pooling import WindowSums
from driftline.monitors.kind import OWN_METRICS
from driftline.monitors.kinds.attribution.attributions import GIVEN, Explained, Making
from driftline.monitors.kinds.attribution.documents import Explanation, write_explanations
from driftline.monitors.kinds.attribution.kind import NAMESPACE
from driftline.monitors.kinds.attribution.metrics import LEVEL, NDCG_LIMIT, ndcg, share_name
from driftline.monitors.kinds.attribution.sums import Importance
from driftline.monitors.report.datapoints import UNQUOTED
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import (
    TOO_VARIABLE,
    UNDEFINED,
    MetricPoint,
    MetricResult,
)
from driftline.monitors.results.violation import (
    JsonValue,
    Violation,
    percent,
    plural,
    share_blame,
)

METHOD = "KernelShap"
LONGEST_NAME = 255
ALL_ZERO = f"{UNDEFINED}all attributions are zero"
REFERENCE_ZERO = f"{UNDEFINED}the reference is all zero"
OTHER_LEVEL = "incomparable: another model, or another unit"
NO_ERRORS = " (the reference's own error is not known)"
NOT_TESTABLE = f"{TOO_VARIABLE}more rows, or a longer reference, would do"
CHECK = "feature_attribution_drift_check"
ABOVE, BELOW = "GreaterThanThreshold", "LessThanThreshold"
# Rows of a window that are explained one by one, and features of each.
ROWS_SHOWN, FEATURES_SHOWN = 5, 5
# Features that a cause names.
NAMED = 3

Found = tuple[Violation, float]


@dataclass(frozen=True)
class ExplainedWindow:
    """What a window's rows contribute, by label."""

    importances: Mapping[str, Importance]
    expected: Mapping[str, float | None]  # The answer that attributions are counted from.
    row_count: int  # All rows of the window.
    explained: Explained | None = None  # None for a document.
    positive: str = ""  # The class that the only output is about.
    reason: str = ""  # Why it cannot be judged.

    @property
    def making(self) -> Making:
        """How its attributions were made."""
        return Making(GIVEN) if self.explained is None else self.explained.making


@dataclass(frozen=True)
class Output:
    """One output of the model: its attributions on both sides, and what was tested."""

    label: str
    reference: Importance | None = None  # None where nothing was explained.
    window: Importance | None = None
    # Shares, then the level, of the window alone and of the spans that end with it; () untested.
    spans: tuple[tuple[Tested, ...], ...] = ()
    limits: tuple[tuple[float, float], ...] = ()  # The reference's own 95% intervals.
    note: str = ""  # Why the window alone is not judged.

    @property
    def alone(self) -> dict[str, Tested]:
        """The tests of the window alone, by name."""
        return {one.name: one for one in self.spans[0]} if self.spans else {}

    @property
    def moved(self) -> tuple[Tested, ...]:
        """The shares that have changed: of the shortest span that shows it, most evidence first."""
        for span in self.spans:
            found = [one for one in span if one.violated and one.name != LEVEL]
            if found and not (self.note and found[0].windows == 1):
                return tuple(sorted(found, key=lambda one: one.p_value))
        return ()

    @property
    def level(self) -> Tested | None:
        """The test of the shortest span whose level has changed; None for none."""
        for one in (span[-1] for span in self.spans):
            if one.violated and one.name == LEVEL and not (self.note and one.windows == 1):
                return one
        return None


def attribution_report(
    context: CheckContext,
    window: ExplainedWindow,
    outputs: Sequence[Output],
    sums: WindowSums | None = None,
    spans: tuple[int, ...] = (),
) -> Report:
    """Report a window; outputs that were not tested have SageMaker's limit of NDCG alone."""
    explained = [one for one in outputs if one.window is not None]
    metrics = [
        one for output in outputs for one in _metrics(output, window, compat=context.compat)
    ] * bool(window.row_count)
    explanations = {
        one.label: Explanation(_means(one.window), window.expected.get(one.label))
        for one in explained
        if one.window is not None
    }
    return Report(
        kind="attribution",
        violations=() if window.reason else _violations(explained, compat=context.compat),
        row_count=window.row_count,
        metrics=tuple(metrics),
        files={ANALYSIS: write_explanations(explanations)} if explained else {},
        points=tuple(_points(window, explained)),
        alpha=context.budget.per_window,
        details=_details(window, explained),
        sums=sums,
        spans=spans,
    )


def _metrics(output: Output, window: ExplainedWindow, *, compat: bool) -> Iterator[MetricResult]:
    note = window.reason or output.note
    if output.window is None or output.reference is None:
        yield MetricResult(name="ndcg", value=None, label=output.label, note=note)
        return
    yield _order(output, note, compat=compat)
    features = output.reference.features
    for at, feature in enumerate(features):
        yield _number(output, at, share_name(feature), note)
    yield _number(output, len(features), LEVEL, note)


def _order(output: Output, note: str, *, compat: bool) -> MetricResult:
    """Return the NDCG: a violation below SageMaker's limit, where a share is one."""
    score, reference, window = _score(output, compat=compat), output.reference, output.window
    assert reference is not None
    assert window is not None
    if math.isnan(score):
        alone = len(reference.features) == 1
        note = note or (f"{UNDEFINED}one feature" if alone else REFERENCE_ZERO)
    elif window.total <= 0 and not compat:
        note, score = note or ALL_ZERO, math.nan
    is_violated = not note and _is_reordered(output, compat=compat)
    # Below the limit it alone is no evidence.
    is_judged = not note and (score >= NDCG_LIMIT or is_violated)
    return MetricResult(
        name="ndcg",
        value=None if math.isnan(score) else score,
        reference=1.0,
        bound=NDCG_LIMIT if is_judged else None,
        operator=BELOW if is_judged else "",
        count=window.count,
        label=output.label,
        severity="ticket" if is_violated else None,
        note=note,
    )


def _score(output: Output, *, compat: bool) -> float:
    assert output.reference is not None
    assert output.window is not None
    score = ndcg(output.reference.mean, output.window.mean)
    # As ``ndcg_score`` has it of a reference that is all zero.
    return 0.0 if compat and math.isnan(score) and len(output.reference.features) > 1 else score


def _is_reordered(output: Output, *, compat: bool) -> bool:
    """Whether NDCG is below the limit, and a share has changed where shares were tested."""
    if not _score(output, compat=compat) < NDCG_LIMIT:
        return False
    moved = output.moved
    return bool(moved and moved[0].windows == 1) if output.spans else True


def _number(output: Output, at: int, name: str, note: str) -> MetricResult:
    """Return a share or the level, with the engine's verdict where it was tested."""
    reference, window, tested = output.reference, output.window, output.alone.get(name)
    assert reference is not None
    assert window is not None
    is_level = name == LEVEL
    value, expected = (
        side.total if is_level else float(side.shares[at]) for side in (window, reference)
    )
    result = MetricResult(
        name=name, value=value, reference=expected, count=window.count, label=output.label,
        note=note or OTHER_LEVEL * (is_level and tested is None),
    )  # fmt: skip
    if tested is None:
        return result
    ends = (tested.low, tested.high, *output.limits[at])
    low, high, least, most = (None if math.isnan(end) else end for end in ends)
    result = replace(result, low=low, high=high, reference_low=least, reference_high=most)
    bound = tested.bound
    if not is_level and not 0.0 < bound < 1.0:  # It can change in the other way only.
        bound = 2.0 * tested.reference - bound
    note = note or _why_not_judged(output, tested, bound)
    if note:
        return replace(result, note=note, operator=ABOVE)
    return replace(
        result,
        bound=bound,
        operator=ABOVE if bound > tested.reference else BELOW,
        p_value=tested.p_value,
        severity="ticket" if tested.violated else None,
    )


def _why_not_judged(output: Output, tested: Tested, bound: float) -> str:
    assert output.reference is not None
    if output.reference.total <= 0:
        return REFERENCE_ZERO
    if tested.state == "undefined":
        return ALL_ZERO
    is_bound = math.isfinite(bound) and (tested.name == LEVEL or 0.0 < bound < 1.0)
    return "" if tested.state == "judged" and is_bound else NOT_TESTABLE


def _means(one: Importance) -> dict[str, float]:
    return dict(zip(one.features, one.mean.tolist(), strict=True))


def _points(window: ExplainedWindow, outputs: Sequence[Output]) -> Iterator[MetricPoint]:
    """Yield SageMaker's metrics, and our own under the true method's name."""
    for output in outputs:
        assert output.reference is not None
        assert output.window is not None
        base = {"ExplainabilityMethod": METHOD, "Label": output.label}
        for name, value in _means(output.window).items():
            metric = f"feature_{quote(name, safe=UNQUOTED)}"
            if len(metric) <= LONGEST_NAME:
                own = {**base, "ValueType": "GlobalShapValues"}
                yield MetricPoint(NAMESPACE, metric, value, own)
        expected = window.expected.get(output.label)
        if expected is not None:
            own = {**base, "ValueType": "ExpectedValue"}
            yield MetricPoint(NAMESPACE, "ExpectedValue", expected, own)
        ours = {"ExplainabilityMethod": window.making.method, "Label": output.label}
        score = ndcg(output.reference.mean, output.window.mean)
        if not math.isnan(score) and output.window.total > 0:
            yield MetricPoint(OWN_METRICS, "attribution_ndcg", score, ours)
        yield MetricPoint(OWN_METRICS, "attribution_level", output.window.total, ours)


def _details(window: ExplainedWindow, outputs: Sequence[Output]) -> dict[str, JsonValue]:
    found, making = window.explained, window.making
    count = 0 if found is None else len(found.places)
    is_sample = found is not None and bool(found.pointers) and count < window.row_count
    sample = f"{count:,} of {plural(window.row_count, 'row')} explained, drawn by lot"
    return {
        "method": making.method,
        "units": making.units,
        "model": making.model,
        "background": making.background,
        "explained_rows": count,
        **({"positive": window.positive} if window.positive else {}),
        **({"explained_note": sample} if is_sample else {}),
        **({"answers_note": note} if found is not None and (note := found.answers_note) else {}),
        "rows": {one.label: rows for one in outputs if (rows := _rows_behind(window, one))},
    }


def _rows_behind(window: ExplainedWindow, output: Output) -> list[JsonValue]:
    """Return the rows in which the change is largest; without one, those of largest total."""
    explained = window.explained
    if explained is None or not explained.pointers:
        return []
    assert output.reference is not None
    features = output.reference.features
    at = [explained.features.index(name) for name in features]
    values = explained.rows[output.label][:, at].astype(np.float64)
    sizes = np.abs(values)
    if moved := {one.name: np.sign(one.value - one.reference) for one in output.moved}:
        ways = [moved.get(share_name(name), 0.0) for name in features]
        sizes = (sizes - output.reference.mean) * ways
    expected = window.expected.get(output.label) or 0.0
    found: list[JsonValue] = []
    for row in np.argsort(-sizes.sum(axis=1), kind="stable")[:ROWS_SHOWN]:
        order = np.argsort(-np.abs(values[row]), kind="stable")[:FEATURES_SHOWN]
        parts: dict[str, JsonValue] = {
            features[index]: float(values[row, index]) for index in order
        }
        answer = expected + float(values[row].sum())
        found.append({**explained.pointers[row], "answer": answer, "contributions": parts})
    return found


def _violations(outputs: Sequence[Output], *, compat: bool) -> tuple[Violation, ...]:
    """Return the violations, greatest contribution first."""
    found: list[Found] = []
    for output in outputs:
        prefix = f"{output.label}: " if len(outputs) > 1 else ""
        found += [*_of_order(output, prefix, compat=compat)]
        found += [*_of_shares(output, prefix), *_of_level(output, prefix)]
    return share_blame(found)


def _of_order(output: Output, prefix: str, *, compat: bool) -> Iterator[Found]:
    if not _is_reordered(output, compat=compat) or output.note:
        return
    score = _score(output, compat=compat)
    chance = output.moved[0].p_value if output.moved else 0.0
    cause = f"the ranking of features changed (NDCG {score:.2f}): {_moves(output)}"
    if not output.spans:
        cause += NO_ERRORS
    yield _violation(
        output, prefix, "ndcg", _exceeds("drift", score, NDCG_LIMIT), cause,
        (1 - score) / (1 - NDCG_LIMIT), chance,
    )  # fmt: skip


def _of_shares(output: Output, prefix: str) -> Iterator[Found]:
    if not output.moved:
        return
    worst = output.moved[0]
    over = f" over {worst.windows} windows" if worst.windows > 1 else ""
    yield _violation(
        output,
        prefix,
        "shares",
        _exceeds(f"share of {worst.name.removeprefix('share_')}", worst.value, worst.bound),
        f"the model leans on other features{over}: {_moves(output)}",
        abs((worst.value - worst.reference) / (worst.bound - worst.reference)),
        worst.p_value,
    )


def _of_level(output: Output, prefix: str) -> Iterator[Found]:
    if (one := output.level) is None:
        return
    if one.value <= 0:
        cause = "the model answers the same whatever it is asked: all attributions are zero"
        text = "Feature attributions are all zero"
        yield _violation(output, prefix, LEVEL, text, cause, None, 0.0)
        return
    ratio = one.value / one.reference
    times = max(ratio, 1.0 / ratio)
    cause = (
        f"the model's answers depend {times:.1f} times {'more' if ratio > 1 else 'less'} on its "
        f"features: attributions sum to {one.value:.3g} (reference {one.reference:.3g})"
    )
    size = (one.value - one.reference) / (one.bound - one.reference)
    text = _exceeds(LEVEL, one.value, one.bound)
    yield _violation(output, prefix, LEVEL, text, cause, abs(size), one.p_value)


def _violation(
    output: Output,
    prefix: str,
    name: str,
    description: str,
    cause: str,
    ratio: float | None,
    p_value: float,
) -> Found:
    """Return a violation with its evidence, in nats."""
    fields = {
        "label": output.label,
        "metric_name": "shap",
        "constraint_check_type": CHECK,
        "description": description,
    }
    violation = Violation(
        prefix + name, CHECK, description, "ticket", ratio, cause=cause, fields=fields
    )
    return violation, -math.log(max(p_value, 1e-300))


def _exceeds(what: str, value: float, bound: float) -> str:
    """Write Clarify's sentence, its grammar included."""
    return f"Feature attribution {what} {value!r} exceeds threshold {round(bound, 6)!r}"


def _moves(output: Output) -> str:
    """Name the features whose shares changed most, with rank and share before and after."""
    reference, window = output.reference, output.window
    assert reference is not None
    assert window is not None
    before, now = _ranks(reference.mean), _ranks(window.mean)
    if output.moved:
        changes = {
            one.name.removeprefix("share_"): (one.reference, one.value) for one in output.moved
        }
    else:
        pairs = zip(reference.shares.tolist(), window.shares.tolist(), strict=True)
        changes = dict(zip(reference.features, pairs, strict=True))
    ordered = sorted(changes, key=lambda name: -abs(changes[name][1] - changes[name][0]))
    parts = []
    for name in ordered[:NAMED]:
        at, (old, new) = reference.features.index(name), changes[name]
        rank = f", rank {before[at]} to {now[at]}" if before[at] != now[at] else ""
        parts.append(f"{name} {percent(old)} to {percent(new)}{rank}")
    left = len(output.moved) - NAMED
    return "; ".join([*parts, *[f"and {left} more"] * (left > 0)])


def _ranks(means: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(means), dtype=np.int64)
    ranks[np.argsort(-means, kind="stable")] = np.arange(1, len(means) + 1)
    return ranks
