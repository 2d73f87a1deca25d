"""Computes attributions: chooses the rows, the method and the background.

The model is called through a `Predictor`. A `ModelPredictor` offers an exact method (trees of
xgboost, lightgbm and, with shap, scikit-learn; linear models); all others are explained by
permutations.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.estimators.own_methods import Contributions
from driftline.formats.source import Source
from driftline.monitors.check_context import Predictor
from driftline.monitors.kinds.attribution.asking import classes_of, taking_tables
from driftline.monitors.kinds.attribution.attributions import (
    GIVEN,
    LABEL,
    Attributions,
    Explained,
    Making,
    table_digest,
    unnamed_labels,
)
from driftline.monitors.kinds.attribution.sampling import (
    as_known,
    evenly,
    hours_of,
    sample_rows,
    time_column,
    timed_sample,
)
from driftline.monitors.kinds.attribution.shapley import (
    BACKGROUND_ROWS,
    LARGEST,
    ask,
    explain,
    is_number,
    no_number,
)
from driftline.monitors.kinds.attribution.tree_methods import explaining_itself
from driftline.monitors.results.violation import plural
from driftline.monitors.rows import BatchMaker
from driftline.signature import ColumnType, Signature, names_among

log = logging.getLogger(__name__)

PERMUTATION = "permutation"
Moved = Callable[[int, int | None], None]  # Hears of rows explained, and of all.
ALL_SAME = (
    "all attributions of the reference are zero (the model answers the same for all rows), and no "
    "window with such a model can be judged; check that it is the model you mean"
)
# A hundred and fifty for each of thirteen weeks: half of what a window is judged by. A model that
# explains itself is asked for more, as far as their values are few: how much days differ is known
# the better, the more rows each of them has (docs/measured.md).
REFERENCE_ROWS, OWN_REFERENCE_ROWS, OWN_REFERENCE_VALUES = 2_000, 5_000, 500_000
# Rows are drawn at random, so many times more than wanted, and then taken evenly spaced in time.
TIMED_DRAWS = 10
# All rows that are kept of ready attributions.
GIVEN_ROWS = 10_000
# Of what is drawn of a reference.
SEED = 0
# By how much two outputs of single precision may miss a sum of one.
SUM_ERROR = 1e-6


@runtime_checkable
class ModelPredictor(Protocol):
    """A predictor that knows its model's columns, classes and exact method."""

    @property
    def features(self) -> tuple[str, ...] | None:
        """The columns that the model takes; None where it takes them by position."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, when the answer has one column for each; else empty."""

    @property
    def units(self) -> str:
        """The units of the predictions: "probability", "value", "class"."""

    @property
    def model(self) -> str:
        """Digest of the model."""

    @property
    def method(self) -> str:
        """Method of `contributions`; "permutation" when there is no exact one."""

    @property
    def method_units(self) -> str:
        """The units of `contributions`."""

    def __call__(self, rows: pa.Table, /) -> np.ndarray:
        """Return the model's predictions."""

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        """Explain rows by the model's own method."""


@runtime_checkable
class TwoClassPredictor(ModelPredictor, Protocol):
    """A predictor that returns one of two classes' outputs."""

    @property
    def positive(self) -> str:
        """The class of its output; "" where there are not two."""


def explain_reference(
    rows: Source,
    baseline: Baseline,
    predict: Predictor | None,
    *,
    background: int = BACKGROUND_ROWS,
    moved: Moved | None = None,
    told: Callable[[str], None] = log.warning,
) -> Baseline:
    """Return the baseline with the attributions of its reference.

    `moved` is called with rows explained and rows in total; `told` with notes.
    """
    time = time_column(rows.batches, baseline.signature)
    if predict is None:
        features = tuple(one.name for one in baseline.signature.inputs)
        explained, _ = read_given(rows.batches, features, (LABEL,), time=time)
        if explained.answers_note:
            told(explained.answers_note)
        return replace(baseline, attributions=_told(_kept(explained, None), told).to_arrow())
    predict = explaining_itself(predict)
    columns = model_columns(baseline.signature, predict)
    wanted = _wanted_rows(predict, len(columns))
    drawn = (max(wanted, REFERENCE_ROWS * TIMED_DRAWS) if time else wanted) + background
    sample, hours = timed_sample(rows.batches, columns, time, limit=drawn, seed=SEED)
    if sample.num_rows == 0:
        raise InputError("the reference holds no rows to explain")
    sample = as_known(
        sample, {one.name: (one.unit, one.missing) for one in baseline.signature.inputs}
    )
    behind = _answered(sample.slice(0, background).combine_chunks(), predict, told)
    chosen = sample.slice(background) if sample.num_rows > background else sample
    if hours is not None:
        hours = hours[-chosen.num_rows :]
        places = evenly(hours, wanted)
        chosen, hours = chosen.take(pa.array(places)), hours[places]
    explained = explain_rows(chosen, behind, predict, seed=SEED, moved=moved)
    explained = replace(explained, hours=None if hours is None else hours[explained.places])
    if explained.answers_note:
        told(explained.answers_note)
    needs_background = explained.making.background != ""
    explained = told_once(explained)
    found = _told(_kept(explained, behind if needs_background else behind.slice(0, 0)), told)
    found = replace(found, positive=positive_of(predict) or explained.positive)
    return replace(baseline, attributions=found.to_arrow())


def _wanted_rows(predict: Predictor, columns: int) -> int:
    """Return how many rows of a reference are explained."""
    if not isinstance(predict, ModelPredictor) or predict.method == PERMUTATION:
        return REFERENCE_ROWS
    values = max(1, columns) * max(1, len(predict.labels))
    return min(max(OWN_REFERENCE_VALUES // values, REFERENCE_ROWS), OWN_REFERENCE_ROWS)


def explain_rows(
    rows: pa.Table,
    background: pa.Table,
    predict: Predictor,
    *,
    seed: int,
    method: str | None = None,
    moved: Moved | None = None,
) -> Explained:
    """Explain rows by the model's own method, or by permutations, which report progress to `moved`.

    Rows for which the model returns no number are left out and counted; InputError where all are.
    """
    known = predict if isinstance(predict, ModelPredictor) else None
    own_method = known.method if known is not None else PERMUTATION
    chosen = method or own_method
    if known is not None and chosen == known.method != PERMUTATION:
        found, units = known.contributions(rows, background), known.method_units
    else:
        chosen, units = PERMUTATION, known.units if known is not None else "answer"
        asked = predict if known is not None else taking_tables(predict, rows)
        found = explain(rows, background, asked, seed=seed, moved=moved)
    has_number = np.asarray(is_number(found.values).all(axis=(1, 2)))
    if not has_number.any():
        raise no_number("row")
    labels = known.labels if known is not None else classes_of(predict)
    outputs = found.values.shape[1]
    if len(labels) != outputs:
        labels = unnamed_labels(outputs)
    making = Making(
        chosen,
        units,
        known.model if known is not None else "",
        "" if chosen == "tree_path_dependent" else table_digest(background),
    )
    values, places = found.values[has_number], np.flatnonzero(has_number)
    return Explained(
        tuple(rows.column_names),
        {label: values[:, at].astype(np.float32) for at, label in enumerate(labels)},
        {label: float(found.expected[at]) for at, label in enumerate(labels)},
        making,
        places=places,
        asked_count=len(has_number),
    )


def _answered(background: pa.Table, predict: Predictor, told: Callable[[str], None]) -> pa.Table:
    """Return the background rows with a numeric prediction; InputError where few have one."""
    asked = predict if isinstance(predict, ModelPredictor) else taking_tables(predict, background)
    has_number = is_number(ask(asked, background)).all(axis=1)
    lacking = int(np.count_nonzero(~has_number))
    if not lacking:
        return background
    if lacking == background.num_rows:
        raise no_number(f"of {plural(lacking, 'background row')}")
    rows = f"{lacking} of {plural(background.num_rows, 'background row')}"
    if 2 * lacking > background.num_rows:
        raise InputError(
            f"the model answered no number to {rows}, which all others are compared with; leave "
            "the rows out that it has no number for, and make the baseline again"
        )
    told(f"{rows} left out: the model answered no number to them")
    return background.filter(pa.array(has_number))


def told_once(explained: Explained) -> Explained:
    """Keep the second of two outputs that sum to one, since both say the same."""
    if len(explained.rows) != 2:
        return explained
    first, second = explained.rows.values()
    is_one = math.isclose(sum(explained.expected.values()), 1.0, abs_tol=SUM_ERROR)
    if not is_one or not np.allclose(first, -second, rtol=1e-3, atol=SUM_ERROR):
        return explained
    return explained.only(list(explained.rows)[1])


def positive_of(predict: Predictor) -> str:
    """Return the class that a model's output is for, of two; "" where unknown."""
    return predict.positive if isinstance(predict, TwoClassPredictor) else ""


def read_given(
    batches: BatchMaker,
    features: Sequence[str],
    labels: Sequence[str],
    *,
    time: str | None = None,
) -> tuple[Explained, int]:
    """Read rows that are attributions already: one column a feature, or ``<feature>_<label>``.

    Rows with a missing attribution are left out and counted; InputError where all are.
    """
    names: list[str] = next((batch.schema.names for batch in batches()), [])
    wanted = {
        label: [f"{name}_{label}" if f"{name}_{label}" in names else name for name in features]
        for label in labels
    }
    columns: dict[str, ColumnType] = dict.fromkeys(
        (name for some in wanted.values() for name in some), "double"
    )
    _require_attributions(batches, columns)
    when: dict[str, ColumnType] = {time: "timestamp"} if time else {}
    table, total = sample_rows(batches, {**columns, **when}, limit=GIVEN_ROWS, seed=SEED)
    found = {
        label: np.column_stack([table[name].to_numpy() for name in some])
        for label, some in wanted.items()
    }
    usable = np.all([is_number(one).all(axis=1) for one in found.values()], axis=0)
    if total and not usable.any():
        raise InputError(
            f"none of {plural(len(usable), 'row')} has a number for each of "
            f"{', '.join([*columns][:5])}; expected attributions between {-LARGEST:g} and "
            f"{LARGEST:g}"
        )
    return Explained(
        tuple(features),
        {label: one[usable].astype(np.float32) for label, one in found.items()},
        {},
        Making(GIVEN),
        hours_of(table[time])[usable] if time else None,
        places=np.flatnonzero(usable),
        asked_count=len(usable),
    ), total


def _require_attributions(batches: BatchMaker, columns: Mapping[str, ColumnType]) -> None:
    """Refuse rows of features, which need a model."""
    schema = next((batch.schema for batch in batches()), None)
    if schema is None:
        return
    for name in columns:
        at = schema.get_field_index(name)
        is_number = at >= 0 and (
            pa.types.is_floating(schema.field(at).type)
            or pa.types.is_integer(schema.field(at).type)
        )
        if not is_number:
            what = "is not there" if at < 0 else f"holds {schema.field(at).type}"
            raise InputError(
                f'column "{name}" {what}, so the rows are no ready attributions (one number for '
                "each feature); to explain rows name the model"
            )


def model_columns(signature: Signature, predict: Predictor) -> dict[str, ColumnType]:
    """Return the columns that the model takes, with their types in the reference."""
    known = {one.name: one.type for one in signature.as_sent().inputs}
    wanted = predict.features if isinstance(predict, ModelPredictor) else None
    wanted = None if wanted is None else names_among(wanted, known)
    for name in wanted or ():
        if name not in known:
            raise InputError(
                f'the model takes "{name}", which is no feature of the reference; '
                f"known: {', '.join(known)}"
            )
    return known if wanted is None else {name: known[name] for name in wanted}


def _told(found: Attributions, told: Callable[[str], None]) -> Attributions:
    if not any(rows.any() for rows in found.rows.values()):
        told(ALL_SAME)
    return found


def _kept(explained: Explained, background: pa.Table | None) -> Attributions:
    return Attributions(
        features=explained.features,
        rows={label: np.abs(rows) for label, rows in explained.rows.items()},
        expected=explained.expected,
        making=explained.making,
        background=background,
        hours=explained.hours,
    )
