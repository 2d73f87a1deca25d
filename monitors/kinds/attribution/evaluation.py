"""The kind "attribution": whether the model still uses its features as on the reference.

A seeded sample of the window is explained by the same method, against the same background rows as
the reference. The engine compares the features' shares and the level of attributions. Attributions
made in another way are never compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import blake2b

from driftline.baseline.schema import column_type
from driftline.baseline.store import ANALYSIS, Baseline
from driftline.errors import InputError
from driftline.estimators.own_methods import TREES
from driftline.formats.arrow_types import missing_of, unit_of
from driftline.monitors.check_context import CheckContext, Predictor
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.engine.block_test import Tested
from driftline.monitors.engine.intervals import intervals
from driftline.monitors.engine.pooling import DAY, WindowSums, block_length
from driftline.monitors.engine.reference import Reference
from driftline.monitors.kind import InapplicableKindError
from driftline.monitors.kinds.attribution.attributions import GIVEN, Attributions, unnamed_labels
from driftline.monitors.kinds.attribution.documents import (
    Explanation,
    read_explanations,
    write_explanations,
)
from driftline.monitors.kinds.attribution.explaining import explain_rows, read_given
from driftline.monitors.kinds.attribution.metrics import attribution_metrics
from driftline.monitors.kinds.attribution.predictor import PERMUTATION, as_predictor
from driftline.monitors.kinds.attribution.report import ExplainedRows, Output, attribution_report
from driftline.monitors.kinds.attribution.sampling import as_known, sample_rows
from driftline.monitors.kinds.attribution.shapley import WINDOW_ROWS, affordable_rows
from driftline.monitors.kinds.attribution.sums import Importance, joined, sums_by_block
from driftline.monitors.report.report import Report


def suggest(baseline: Baseline) -> Mapping[str, str]:
    """Return Clarify's document of the reference, analysis.json; none without attributions."""
    if baseline.attributions is None:
        return {}
    stored = Attributions.from_arrow(baseline.attributions)
    found = {
        label: Explanation(one.means, stored.expected.get(label))
        for label, one in stored.importances.items()
    }
    return {ANALYSIS: write_explanations(found)}


def evaluate(context: CheckContext) -> Report:
    """Judge a window: rows, ready attributions or a document of them."""
    reference = context.kept(("attributions",), lambda: _reference_rows(context.baseline))
    window = _window_rows(context, reference)
    outputs = _pairs(reference.importances, window.importances)
    if context.compat or reference.rows is None or window.rows is None or not outputs:
        return attribution_report(context, window, outputs)
    outputs, sums = _judged(context, reference.rows, window.rows, outputs)
    return attribution_report(context, window, outputs, sums)


def _reference_rows(baseline: Baseline) -> ExplainedRows:
    """Read driftline's stored attributions, or the document of a folder that SageMaker wrote."""
    if baseline.attributions is not None:
        return ExplainedRows.of_rows(Attributions.from_arrow(baseline.attributions))
    written = read_explanations(baseline.documents.get(ANALYSIS, "{}"))
    if not written:
        raise InapplicableKindError(
            "the baseline has no attributions; make it again with the model"
        )
    return ExplainedRows.of_document(written)


def _window_rows(context: CheckContext, reference: ExplainedRows) -> ExplainedRows:
    """Explain the window, or read its explanations."""
    first = next(context.rows.batches(), None)
    if first is not None and "explanations" in first.schema.names:  # A document is one row.
        text = first.column("explanations")[0].as_py()
        return ExplainedRows.of_document(read_explanations(f'{{"explanations": {text}}}'))
    stored = reference.rows
    if context.predict is not None:
        background = None if stored is None else stored.background
        if stored is None or background is None or not (len(background) or stored.method == TREES):
            raise InputError(
                "the baseline has no background rows to explain against; make it again with the "
                "model, or give ready attributions"
            )
        return _explained(context, stored, context.predict)
    if context.rows.unfit is not None:
        raise InputError(
            "captured rows are explained by asking the model, and this endpoint has none here"
        )
    if stored is not None and stored.method != GIVEN:
        raise InapplicableKindError(
            "this baseline was made by asking a model, and so must the rows be; name the model"
        )
    importances = reference.importances
    features = next(iter(importances.values())).features
    found, total = read_given(context.rows.batches, features, tuple(importances))
    return ExplainedRows.of_rows(found, total)


def _explained(context: CheckContext, stored: Attributions, predict: Predictor) -> ExplainedRows:
    """Explain a sample of the window as the reference was."""
    model, background = as_predictor(predict), stored.background
    assert background is not None
    if stored.method not in (PERMUTATION, model.method):
        raise InputError(
            f'the reference was explained by "{stored.method}", which this model does not offer; '
            "make the baseline again with this model"
        )
    columns = {field.name: column_type(field.type) for field in background.schema}
    limit = WINDOW_ROWS
    if stored.method == PERMUTATION:
        limit = affordable_rows(len(stored.features), background.num_rows)
    sample, pointers, total = sample_rows(
        context.rows.batches, columns, limit=limit, seed=context.seed
    )
    if not total:
        return ExplainedRows({}, {}, 0)
    notes = {field.name: (unit_of(field), missing_of(field)) for field in background.schema}
    found, places = explain_rows(
        as_known(sample, notes), background, model, seed=context.seed, stored=stored,
        moved=context.explained or context.rows.progress,
    )  # fmt: skip
    found = replace(found, pointers=[pointers[at] for at in places.tolist()])
    return ExplainedRows.of_rows(found, total)


def _pairs(ours: Mapping[str, Importance], theirs: Mapping[str, Importance]) -> list[Output]:
    """Pair the outputs of the model, those without names by index; none where nothing came."""
    if not theirs:
        return []
    unnamed = unnamed_labels(len(theirs))
    if len(ours) == len(theirs) == 1 or tuple(theirs) == unnamed or tuple(ours) == unnamed:
        names = dict(zip(ours, theirs, strict=False))
    else:
        names = {label: label for label in ours}
    if {*names.values()} != {*theirs} or len(names) != len(ours):
        raise InputError(
            f"the reference explains {', '.join(ours)}; the data explain {', '.join(theirs)}; "
            "expected the same outputs of the model"
        )
    found = []
    for label, its in names.items():
        if missing := sorted(set(ours[label].features) ^ set(theirs[its].features)):
            raise InputError(
                f'feature "{missing[0]}" is explained on one side only; expected the same features '
                "in the reference and in the data"
            )
        found.append(Output(its, ours[label], theirs[its].only(ours[label].features)))
    return found


def _judged(
    context: CheckContext, stored: Attributions, window: Attributions, outputs: list[Output]
) -> tuple[list[Output], WindowSums | None]:
    """Test a window, and the spans that end with it; also return what later windows need."""
    # Sums of attributions compare for the same model, in the same units.
    has_level = (stored.model, stored.units) == (window.model, window.units)
    length = context.rows.length or DAY
    block = block_length(length)
    reference = context.kept(
        ("attribution", has_level, block), lambda: _reference(stored, block, has_level)
    )
    buckets = joined([one.window for one in outputs])
    parts = (stored.labels, stored.features, window.method, window.units, window.model)
    layout = f"attribution {blake2b(repr(parts).encode(), digest_size=8).hexdigest()}"
    tested, sums = context.judge(reference, buckets, layout, length=length)
    return _with_tests(outputs, reference, tested), sums


def _reference(stored: Attributions, block: timedelta, has_level: bool) -> Reference:
    metrics = attribution_metrics(stored.features, len(stored.labels), has_level=has_level)
    days = sums_by_block([*stored.rows.values()], stored.time_us, block)
    return Reference(metrics, joined([*stored.importances.values()]), days)


def _with_tests(
    outputs: list[Output], reference: Reference, tested: Sequence[Tested]
) -> list[Output]:
    """Return outputs with tests, of the window alone first, and the reference's intervals."""
    size = len(reference.value)
    width = size // len(outputs)
    lows, highs = intervals(reference.value, reference.rows, reference.support, reference)
    found = []
    for at, one in enumerate(outputs):
        own = slice(at * width, (at + 1) * width)
        spans = [[*tested[first : first + size][own]] for first in range(0, len(tested), size)]
        is_few = min(one.reference.count, one.window.count) < MIN_ROWS
        if is_few:  # Few rows may still end a span of many.
            spans[0] = [replace(test, violated=False) for test in spans[0]]
        limits = [*zip(lows[own].tolist(), highs[own].tolist(), strict=True)]
        found.append(replace(one, spans=spans, limits=limits, is_few=is_few))
    return found
