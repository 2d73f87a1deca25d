"""The kind "attribution": whether the model still uses its features as on the reference.

A seeded sample of the window is explained by the same method, against the same background rows as
the reference, and compared in order, shares and level. Attributions made in another way are shown
or refused, never judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from driftline.baseline.schema import column_type
from driftline.baseline.store import ANALYSIS, Baseline
from driftline.errors import InputError
from driftline.formats.arrow_types import missing_of, unit_of
from driftline.monitors.check_context import CheckContext, Predictor
from driftline.monitors.kind import InapplicableKindError
from driftline.monitors.kinds.attribution.blocks import (
    Spread,
    block_spread,
)
from driftline.monitors.kinds.attribution.drift import (
    Comparison,
    compare,
    settle,
    settle_by_limit,
)
from driftline.monitors.kinds.attribution.explained import GIVEN, Explained, unnamed_labels
from driftline.monitors.kinds.attribution.explaining import (
    PERMUTATION,
    ModelPredictor,
    explain_rows,
    positive_of,
    read_given,
    told_once,
)
from driftline.monitors.kinds.attribution.explanations import (
    Explanation,
    read_explanations,
    write_explanations,
)
from driftline.monitors.kinds.attribution.importance import Attributions, Importance, Making
from driftline.monitors.kinds.attribution.report import (
    ExplainedWindow,
    attribution_report,
    incomparable_report,
)
from driftline.monitors.kinds.attribution.sampling import as_known, pointed_sample
from driftline.monitors.kinds.attribution.shapley import WINDOW_ROWS, affordable_rows
from driftline.monitors.kinds.attribution.tree_methods import explaining_itself
from driftline.monitors.report.report import Report
from driftline.stats.blocks import block_length


@dataclass(frozen=True)
class _Reference:
    """The reference of a window, by label."""

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
    baseline = context.baseline
    reference = context.kept(("attributions",), partial(_reference, baseline))
    reference = _comparable(reference, context.predict)
    window, reason = _look(context, reference)
    if not window.importances:
        return incomparable_report(context, window, tuple(reference.importances), reason)
    spreads = _spreads(context, reference, window)
    pairs = _pairs(reference, window, spreads)
    if not context.compat:
        settled = settle(list(pairs.values()), context.budget.per_window)
        if window.units_note:  # All zero is so in any units.
            settled = [
                replace(
                    one,
                    level=one.level and (one.comparison.is_all_zero or one.comparison.is_new),
                )
                for one in settled
            ]
    else:  # Clarify does not ask what either side was made with.
        settled, reason = settle_by_limit(list(pairs.values())), ""
    findings = dict(zip(pairs, settled, strict=True))
    is_plain = reference.stored is None and not context.compat
    return attribution_report(context, window, findings, reason, plain=is_plain)


def _reference(baseline: Baseline) -> _Reference:
    """Read driftline's stored attributions, or the document of a folder that SageMaker wrote."""
    if baseline.attributions is None:
        written = read_explanations(baseline.documents.get(ANALYSIS, "{}"))
        if not written:
            raise InapplicableKindError(
                "the baseline has no attributions; make it again with the model"
            )
        importances = {label: Importance.of_means(one.values) for label, one in written.items()}
        expected = {label: one.expected for label, one in written.items()}
        return _Reference(importances, expected, None)
    stored = Attributions.from_arrow(baseline.attributions)
    return _Reference(stored.importances, dict(stored.expected), stored)


def _comparable(reference: _Reference, predict: Predictor | None) -> _Reference:
    """Return the reference's permutation attributions where the model has no exact method."""
    stored = reference.stored
    if predict is None or stored is None or stored.permuted is None:
        return reference
    if _method(stored.making.method, predict) is not None:
        return reference
    own = stored.permuted
    return _Reference(own.importances, dict(own.expected), own)


def _look(context: CheckContext, reference: _Reference) -> tuple[ExplainedWindow, str]:
    """Explain the window, or read its explanations; return also why it may not be judged."""
    empty = ExplainedWindow({}, {}, {}, Making(GIVEN), 0)
    if (document := _document(context)) is not None:
        means = {label: Importance.of_means(one.values) for label, one in document.items()}
        expected = {label: one.expected for label, one in document.items()}
        return ExplainedWindow(means, expected, {}, Making(GIVEN), 1), ""
    if context.predict is None:
        first = next(iter(reference.importances.values()))
        if context.rows.unfit is not None:
            raise InputError(
                "captured rows are explained by asking the model, and this endpoint has none here"
            )
        if reference.stored is not None and reference.stored.making.method != GIVEN:
            raise InapplicableKindError(
                "this baseline was made by asking a model, and so must the rows be; name the model"
            )
        found, total = read_given(
            context.rows.batches, first.features, tuple(reference.importances)
        )
        return _seen(found, total), ""
    if reference.stored is None or reference.stored.background is None:
        raise InputError(
            "the baseline has no background rows to explain against; make it again with the "
            "model, or give ready attributions"
        )
    stored, predict = reference.stored, context.predict
    method = _method(stored.making.method, predict)
    if method is None:
        total = sum(batch.num_rows for batch in context.rows.batches())
        return (
            replace(empty, row_count=total),
            f'incomparable: the reference was explained by "{stored.making.method}", which this '
            "model does not offer",
        )
    found, total = _explained(context, stored, predict, method)
    reason = stored.making.difference(found.making)
    change, unit = stored.making.changed_model(found.making), found.making.units
    positive = positive_of(predict) or found.positive
    seen = _seen(found, total)
    seen = replace(seen, change=change, positive=positive)
    if change:
        seen = replace(seen, units_note="incomparable: another model")
    elif unit != stored.making.units:
        seen = replace(seen, units_note="incomparable: the units of a function are not known")
    return seen, f"incomparable: {reason}" if reason else ""


def _explained(
    context: CheckContext, stored: Attributions, predict: Predictor, method: str
) -> tuple[Explained, int]:
    background = stored.background
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
    if stored.is_one_of_two:
        found = _second_of_two(found, stored.labels[0])
    elif tuple(stored.labels) == unnamed_labels(1):  # A function's: its output has no name.
        found = told_once(found)
    # The background is the stored one, whatever it is written as.
    making = replace(found.making, background=stored.making.background)
    pointers = [drawn.pointers[at] for at in found.places.tolist()]
    return replace(found, making=making, pointers=pointers), total


def _second_of_two(found: Explained, label: str) -> Explained:
    """Return the window's output that matches the reference's only one; all where unknown."""
    theirs = tuple(found.rows)
    if len(theirs) != 2:
        return found
    if label in theirs:
        return found.only(label)
    unnamed = unnamed_labels(2)
    return found.only(theirs[1]) if theirs == unnamed or label in unnamed else found


def _method(wanted: str, predict: Predictor) -> str | None:
    """Return the method if this predictor supports it; permutations are always supported."""
    if wanted == PERMUTATION:
        return PERMUTATION
    offered = predict.method if isinstance(predict, ModelPredictor) else PERMUTATION
    return wanted if wanted == offered else None


def _seen(found: Explained, total: int) -> ExplainedWindow:
    """Summarise the rows."""
    importances = {
        label: Importance.of_rows(found.features, rows)
        for label, rows in found.rows.items()
        if len(rows)
    }
    return ExplainedWindow(
        importances, dict(found.expected), found.rows, found.making, total,
        signed=found.signed, pointers=found.pointers,
        answers_note=found.answers_note, is_log_odds=found.is_log_odds,
    )  # fmt: skip


def _document(context: CheckContext) -> dict[str, Explanation] | None:
    """Read the data as an analysis.json, if it is one: one row with the explanations as text."""
    first = next(context.rows.batches(), None)
    if first is None or "explanations" not in first.schema.names:
        return None
    text = first.column("explanations")[0].as_py()
    return read_explanations(f'{{"explanations": {text}}}')


def _spreads(
    context: CheckContext, reference: _Reference, window: ExplainedWindow
) -> dict[str, Spread | None]:
    """Estimate the between-block variance of the reference for the window's length, by label."""
    stored = reference.stored
    if stored is None or (time_us := stored.time_us) is None or not (time_us >= 0).any():
        return {}
    profile = context.baseline.profile
    total = profile.row_count if profile else len(time_us)
    known = time_us[time_us >= 0]
    length_us = block_length(
        int(known.max() - known.min()) + 1, context.rows.length, window.row_count / max(1, total)
    )
    return {
        label: context.kept(
            ("attribution spread", stored.making.method, label, length_us),
            partial(block_spread, stored.rows[label], time_us, length_us),
        )
        for label in stored.labels
    }


def _pairs(
    reference: _Reference,
    window: ExplainedWindow,
    spreads: Mapping[str, Spread | None],
) -> dict[str, Comparison]:
    """Pair the outputs of the model, those without names by index."""
    ours, theirs = reference.importances, window.importances
    names = {label: label for label in ours if label in theirs}
    if len(ours) != len(theirs) and tuple(theirs) == unnamed_labels(len(theirs)):
        names = {}  # A place among others is no name.
    unnamed = unnamed_labels(len(ours))
    if len(ours) == len(theirs) and (len(ours) == 1 or unnamed in (tuple(ours), tuple(theirs))):
        names = dict(zip(ours, theirs, strict=True))
    if len(names) != len(ours):
        raise InputError(
            f"the reference explains {', '.join(ours)}; the data explain {', '.join(theirs)}; "
            "expected the same outputs of the model"
        )
    found = {}
    for label, its in names.items():
        one = theirs[its]
        if missing := sorted(set(ours[label].features) ^ set(one.features)):
            raise InputError(
                f'feature "{missing[0]}" is explained on one side only; expected the same features '
                "in the reference and in the data"
            )
        found[its] = compare(ours[label], one.only(ours[label].features), spreads.get(label))
    return found
