"""The kind "attribution": whether the model still uses its features as on the reference.

A seeded sample of the window is explained by the same method, against the same background rows as
the reference. The engine compares the features' shares and the level of attributions. Attributions
made in another way are shown, never judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from hashlib import blake2b

from driftline.baseline.schema import column_type
from driftline.baseline.store import ANALYSIS, Baseline
from driftline.errors import InputError
from driftline.formats.arrow_types import missing_of, unit_of
from driftline.monitors.check_context import CheckContext, Predictor
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.engine.block_test import Tested, judge
from driftline.monitors.engine.intervals import intervals
from driftline.monitors.engine.pooling import (
    DAY,
    WindowSums,
    block_length,
    judge_spans,
    judged_spans,
    smallest_p_value,
)
from driftline.monitors.engine.reference import Reference
from driftline.monitors.kind import InapplicableKindError
from driftline.monitors.kinds.attribution.attributions import (
    GIVEN,
    Attributions,
    Explained,
    Making,
    unnamed_labels,
)
from driftline.monitors.kinds.attribution.documents import (
    Explanation,
    read_explanations,
    write_explanations,
)
from driftline.monitors.kinds.attribution.explaining import (
    PERMUTATION,
    ModelPredictor,
    explain_rows,
    positive_of,
    read_given,
    told_once,
)
from driftline.monitors.kinds.attribution.metrics import attribution_metrics
from driftline.monitors.kinds.attribution.report import (
    ExplainedWindow,
    Output,
    attribution_report,
)
from driftline.monitors.kinds.attribution.sampling import as_known, pointed_sample
from driftline.monitors.kinds.attribution.shapley import WINDOW_ROWS, affordable_rows
from driftline.monitors.kinds.attribution.sums import Importance, joined, sums_by_block
from driftline.monitors.kinds.attribution.tree_methods import explaining_itself
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import INSUFFICIENT


@dataclass(frozen=True)
class _Expected:
    """The attributions of the reference, by label."""

    importances: Mapping[str, Importance]
    expected: Mapping[str, float | None]
    stored: Attributions | None  # None for a folder that SageMaker wrote.


def suggest(baseline: Baseline) -> Mapping[str, str]:
    """Return Clarify's document of the reference, analysis.json; none without attributions."""
    if baseline.attributions is None:
        return {}
    stored = Attributions.from_arrow(baseline.attributions)
    found = {
        label: Explanation(
            dict(zip(one.features, one.mean.tolist(), strict=True)), stored.expected.get(label)
        )
        for label, one in stored.importances.items()
    }
    return {ANALYSIS: write_explanations(found)}


def evaluate(context: CheckContext) -> Report:
    """Judge a window: rows, ready attributions or a document of them."""
    if context.predict is not None:
        context = replace(context, predict=explaining_itself(context.predict))
    expected = context.kept(("attributions",), partial(_expected, context.baseline))
    window = _explained_window(context, expected)
    if not window.importances:
        return attribution_report(context, window, [Output(one) for one in expected.importances])
    outputs = _pairs(expected.importances, window)
    is_document = any(
        side is not None and side.is_document
        for one in outputs
        for side in (one.reference, one.window)
    )
    if window.reason or context.compat or is_document or expected.stored is None:
        return attribution_report(context, window, outputs)
    outputs, sums, spans = _judged(context, expected.stored, window, outputs)
    return attribution_report(context, window, outputs, sums, spans)


def _expected(baseline: Baseline) -> _Expected:
    """Read driftline's stored attributions, or the document of a folder that SageMaker wrote."""
    if baseline.attributions is not None:
        stored = Attributions.from_arrow(baseline.attributions)
        return _Expected(stored.importances, dict(stored.expected), stored)
    written = read_explanations(baseline.documents.get(ANALYSIS, "{}"))
    if not written:
        raise InapplicableKindError(
            "the baseline has no attributions; make it again with the model"
        )
    importances = {label: Importance.of_means(one.values) for label, one in written.items()}
    return _Expected(importances, {label: one.expected for label, one in written.items()}, None)


def _explained_window(context: CheckContext, expected: _Expected) -> ExplainedWindow:
    """Explain the window, or read its explanations."""
    if (document := _document(context)) is not None:
        means = {label: Importance.of_means(one.values) for label, one in document.items()}
        base = {label: one.expected for label, one in document.items()}
        return ExplainedWindow(means, base, 1)
    stored = expected.stored
    if context.predict is None:
        features = next(iter(expected.importances.values())).features
        if context.rows.unfit is not None:
            raise InputError(
                "captured rows are explained by asking the model, and this endpoint has none here"
            )
        if stored is not None and stored.making.method != GIVEN:
            raise InapplicableKindError(
                "this baseline was made by asking a model, and so must the rows be; name the model"
            )
        found, total = read_given(context.rows.batches, features, tuple(expected.importances))
        return _seen(found, total)
    if stored is None or stored.background is None:
        raise InputError(
            "the baseline has no background rows to explain against; make it again with the "
            "model, or give ready attributions"
        )
    predict = context.predict
    offered = predict.method if isinstance(predict, ModelPredictor) else PERMUTATION
    if stored.making.method not in (PERMUTATION, offered):
        total = sum(batch.num_rows for batch in context.rows.batches())
        reason = (
            f'incomparable: the reference was explained by "{stored.making.method}", which this '
            "model does not offer; make the baseline again with this model"
        )
        nothing = Explained(stored.features, {}, {}, stored.making)
        return ExplainedWindow({}, {}, total, nothing, reason=reason)
    found, total = _explained(context, stored, predict)
    reason = stored.making.difference(found.making)
    window = _seen(found, total)
    return replace(
        window,
        positive=positive_of(predict) or found.positive,
        reason=f"incomparable: {reason}" if reason else "",
    )


def _explained(
    context: CheckContext, stored: Attributions, predict: Predictor
) -> tuple[Explained, int]:
    """Explain a sample of the window as the reference was; also return the window's row count."""
    background, method = stored.background, stored.making.method
    assert background is not None
    columns = {field.name: column_type(field.type) for field in background.schema}
    limit = WINDOW_ROWS
    if method == PERMUTATION:
        limit = affordable_rows(len(stored.features), background.num_rows)
    drawn, total = pointed_sample(context.rows.batches, columns, limit=limit, seed=context.seed)
    if drawn.rows.num_rows == 0:
        return Explained(stored.features, {}, {}, stored.making), 0
    notes = {field.name: (unit_of(field), missing_of(field)) for field in background.schema}
    found = explain_rows(
        as_known(drawn.rows, notes),
        background,
        predict,
        seed=context.seed,
        method=method,
        moved=context.explained or context.rows.progress,
    )
    if len(stored.labels) == 1 and len(found.rows) == 2:  # The reference has one of two classes.
        label = stored.labels[0]
        found = found.only(label) if label in found.rows else told_once(found)
    # The background is the stored one, whatever it is written as.
    making = replace(found.making, background=stored.making.background)
    pointers = [drawn.pointers[at] for at in found.places.tolist()]
    return replace(found, making=making, pointers=pointers), total


def _seen(found: Explained, total: int) -> ExplainedWindow:
    """Add the rows up."""
    importances = {
        label: Importance.of_rows(found.features, rows)
        for label, rows in found.rows.items()
        if len(rows)
    }
    return ExplainedWindow(importances, dict(found.expected), total, found)


def _document(context: CheckContext) -> dict[str, Explanation] | None:
    """Read the data as an analysis.json, if it is one: one row with the explanations as text."""
    first = next(context.rows.batches(), None)
    if first is None or "explanations" not in first.schema.names:
        return None
    text = first.column("explanations")[0].as_py()
    return read_explanations(f'{{"explanations": {text}}}')


def _pairs(ours: Mapping[str, Importance], window: ExplainedWindow) -> list[Output]:
    """Pair the outputs of the model, those without names by index."""
    theirs = window.importances
    names = {label: label for label in ours if label in theirs}
    if len(ours) != len(theirs) and tuple(theirs) == unnamed_labels(len(theirs)):
        names = {}  # An index among others is no name.
    unnamed = unnamed_labels(len(ours))
    if len(ours) == len(theirs) and (len(ours) == 1 or unnamed in (tuple(ours), tuple(theirs))):
        names = dict(zip(ours, theirs, strict=True))
    if len(names) != len(ours):
        raise InputError(
            f"the reference explains {', '.join(ours)}; the data explain {', '.join(theirs)}; "
            "expected the same outputs of the model"
        )
    found = []
    for label, its in names.items():
        one = theirs[its]
        if missing := sorted(set(ours[label].features) ^ set(one.features)):
            raise InputError(
                f'feature "{missing[0]}" is explained on one side only; expected the same features '
                "in the reference and in the data"
            )
        found.append(Output(its, ours[label], one.only(ours[label].features)))
    return found


def _judged(
    context: CheckContext, stored: Attributions, window: ExplainedWindow, outputs: list[Output]
) -> tuple[list[Output], WindowSums | None, tuple[int, ...]]:
    """Test a window, and the spans that end with it; also return what later windows need.

    Last come the spans over which something was judged.
    """
    making = window.making
    has_level = stored.making.has_level_of(making)
    length = context.rows.length or DAY
    block_us = block_length(length) // timedelta(microseconds=1)
    reference = context.kept(
        ("attribution", has_level, block_us), partial(_reference, stored, block_us, has_level)
    )
    buckets = joined([one.window for one in outputs if one.window is not None])
    level, facts, past = context.budget.per_window, context.rows.facts, context.past.sums
    if facts is None:
        blocks = 1.0 if reference.days is None else max(length / DAY, 1.0)
        tested = judge(reference, buckets, length=blocks, level=level)
        return _with_tests(outputs, reference, tested), None, ()
    sums = WindowSums(facts.window.start, facts.window.end, buckets, _layout(stored, making))
    tested = judge_spans(reference, sums, past, level=level)
    kept = None if past is None else replace(sums, p_value=smallest_p_value(tested))
    return _with_tests(outputs, reference, tested), kept, judged_spans(tested)


def _reference(stored: Attributions, block_us: int, has_level: bool) -> Reference:
    metrics = attribution_metrics(stored.features, len(stored.labels), has_level=has_level)
    rows, days = [*stored.rows.values()], None
    if stored.time_us is not None:
        days = sums_by_block(rows, stored.time_us, block_us)
    return Reference(metrics, joined([*stored.importances.values()]), days)


def _layout(stored: Attributions, making: Making) -> str:
    """Name what the sums are of: those of another model are never added to them."""
    parts = (stored.labels, stored.features, making)
    return f"attribution {blake2b(repr(parts).encode(), digest_size=8).hexdigest()}"


def _with_tests(
    outputs: list[Output], reference: Reference, tested: Sequence[Tested]
) -> list[Output]:
    """Give each output its tests, of the window alone first, and the reference's intervals."""
    size = len(reference.value)
    width = size // len(outputs)
    lows, highs = intervals(reference.value, reference.rows, reference.support, reference)
    found = []
    for at, one in enumerate(outputs):
        own = slice(at * width, (at + 1) * width)
        spans = [tuple(tested[first : first + size][own]) for first in range(0, len(tested), size)]
        assert one.reference is not None
        assert one.window is not None
        is_few = min(one.reference.count, one.window.count) < MIN_ROWS
        limits = tuple(zip(lows[own].tolist(), highs[own].tolist(), strict=True))
        found.append(replace(one, spans=tuple(spans), limits=limits, note=INSUFFICIENT * is_few))
    return found
