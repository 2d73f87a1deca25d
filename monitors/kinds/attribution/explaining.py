"""Computes attributions: chooses the rows, the method and the background.

A model that explains itself (trees of xgboost, lightgbm and, with shap, scikit-learn; linear
models) does; all others are explained by permutations.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.captured_ids import CAPTURED
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.estimators.own_methods import TREES
from driftline.formats.source import Source
from driftline.monitors.check_context import Predictor
from driftline.monitors.kinds.attribution.attributions import (
    GIVEN,
    LABEL,
    Attributions,
    unnamed_labels,
)
from driftline.monitors.kinds.attribution.predictor import (
    PERMUTATION,
    ModelPredictor,
    as_predictor,
)
from driftline.monitors.kinds.attribution.sampling import as_known, evenly, sample_rows
from driftline.monitors.kinds.attribution.shapley import (
    BACKGROUND_ROWS,
    LARGEST,
    ask,
    explain,
    is_number,
    no_number,
)
from driftline.monitors.results.violation import plural
from driftline.monitors.rows import BatchMaker
from driftline.signature import ColumnType, Signature, names_among
from driftline.stats.blocks import NO_TIME

log = logging.getLogger(__name__)

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
    signature = baseline.signature
    names = [one.name for one in signature.columns if one.role == "timestamp"]
    time: dict[str, ColumnType] = {name: "timestamp" for name in names if name in rows.schema.names}
    if predict is None:
        features = [one.name for one in signature.inputs]
        found, _ = read_given(rows.batches, features, (LABEL,), time=time)
    else:
        model = as_predictor(predict)
        columns = model_columns(signature, model)
        wanted = _wanted_rows(model, len(columns))
        drawn = (max(wanted, REFERENCE_ROWS * TIMED_DRAWS) if time else wanted) + background
        ids: dict[str, ColumnType] = {CAPTURED: "int64"} if CAPTURED in rows.schema.names else {}
        sample, *_ = sample_rows(rows.batches, {**columns, **time, **ids}, limit=drawn, seed=SEED)
        if sample.num_rows == 0:
            raise InputError("the reference holds no rows to explain")
        notes = {one.name: (one.unit, one.missing) for one in signature.inputs}
        asked = as_known(sample.select([*columns]), notes)
        usable = _usable_background(asked.slice(0, background).combine_chunks(), model)
        behind = asked.slice(0, background).combine_chunks().filter(usable)
        chosen = np.arange(background if sample.num_rows > background else 0, sample.num_rows)
        time_us = _times(sample, time)
        if time_us is not None:
            chosen = chosen[evenly(time_us[chosen], wanted)]
        taken = asked.take(pa.array(chosen))
        found, places = explain_rows(taken, behind, model, seed=SEED, moved=moved)
        if time_us is not None:
            found = replace(found, time_us=time_us[chosen[places]])
        if ids:
            found = _with_ids(found, sample[CAPTURED], chosen[places], usable)
    if found.left_out:
        told(found.left_out_note)
    if not any(one.any() for one in found.rows.values()):
        told(ALL_SAME)
    return replace(baseline, attributions=found.to_arrow())


def _wanted_rows(model: ModelPredictor, columns: int) -> int:
    """Return how many rows of a reference are explained."""
    if model.method == PERMUTATION:
        return REFERENCE_ROWS
    values = max(1, columns) * max(1, len(model.labels))
    return min(max(OWN_REFERENCE_VALUES // values, REFERENCE_ROWS), OWN_REFERENCE_ROWS)


def _with_ids(
    found: Attributions, ids: pa.ChunkedArray, rows: np.ndarray, usable: pa.Array
) -> Attributions:
    """Return attributions with the ids of their rows and of the background, which came first."""
    behind = found.background
    if behind is not None and len(behind):  # Trees need none.
        behind = behind.append_column(CAPTURED, ids.slice(0, len(usable)).filter(usable))
    return replace(found, background=behind, ids=ids.take(pa.array(rows)).combine_chunks())


def _usable_background(background: pa.Table, model: ModelPredictor) -> pa.Array:
    """Return which background rows have a numeric prediction; InputError without any."""
    is_usable = is_number(ask(model, background)).all(axis=1)
    if not is_usable.any():
        raise no_number(f"of {plural(background.num_rows, 'background row')}")
    return pa.array(is_usable)


def _times(sample: pa.Table, time: Mapping[str, object]) -> np.ndarray | None:
    """Return the times of rows, microseconds since 1970, NO_TIME where unknown; None without."""
    for name in time:
        return np.asarray(pc.fill_null(sample[name].cast(pa.int64()), NO_TIME))
    return None


def explain_rows(
    rows: pa.Table,
    background: pa.Table,
    model: ModelPredictor,
    *,
    seed: int,
    stored: Attributions | None = None,
    moved: Moved | None = None,
) -> tuple[Attributions, np.ndarray]:
    """Explain rows by the model's own method, or by permutations, which report progress to `moved`.

    A window is explained as what is `stored` of its reference. Rows for which the model returns no
    number are left out; InputError where all are. Also returns which rows have attributions.
    """
    if (model.method if stored is None else stored.method) == PERMUTATION:
        method, units = PERMUTATION, model.units
        found = explain(rows, background, model, seed=seed, moved=moved)
    else:
        method, units = model.method, model.method_units
        found = model.contributions(rows, background)
    places = np.flatnonzero(is_number(found.values).all(axis=(1, 2)))
    if not len(places):
        raise no_number("row")
    values, expected, labels = found.values[places], found.expected, model.labels
    if len(labels) != values.shape[1]:
        labels = unnamed_labels(values.shape[1])
    positive = model.positive
    if len(labels) == 2 and (
        _are_complements(values, expected) if stored is None else len(stored.labels) == 1
    ):  # The second says what the first says.
        values, expected, labels = values[:, 1:], expected[1:], labels[1:]
    return Attributions(
        tuple(rows.column_names),
        {label: values[:, at].astype(np.float32) for at, label in enumerate(labels)},
        {label: float(expected[at]) for at, label in enumerate(labels)},
        method, units, model.model, positive,
        # Trees need none, and rows that nobody needs are not kept.
        background=background.slice(0, 0 if method == TREES else None),
        left_out=rows.num_rows - len(places),
    ), places  # fmt: skip


def _are_complements(values: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two outputs sum to one."""
    is_one = abs(expected.sum() - 1.0) <= SUM_ERROR
    return bool(is_one) and np.allclose(values[:, 0], -values[:, 1], rtol=1e-3, atol=SUM_ERROR)


def read_given(
    batches: BatchMaker,
    features: Sequence[str],
    labels: Sequence[str],
    *,
    time: Mapping[str, ColumnType] | None = None,
) -> tuple[Attributions, int]:
    """Read rows that are attributions already: one column a feature, or ``<feature>_<label>``.

    Rows with a missing attribution are left out; InputError where all are. Also returns how many
    rows there are.
    """
    schema = next((batch.schema for batch in batches()), pa.schema([]))
    wanted = {
        label: [one if (one := f"{name}_{label}") in schema.names else name for name in features]
        for label in labels
    }
    columns: dict[str, ColumnType] = {}
    for name in (name for some in wanted.values() for name in some):
        columns[name] = "double"
        kind = schema.field(name).type if name in schema.names else None
        if schema.names and not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            what = "is not there" if kind is None else f"holds {kind}"
            raise InputError(
                f'column "{name}" {what}, so the rows are no ready attributions (one number for '
                "each feature); to explain rows name the model"
            )
    times = time or {}
    table, _, total = sample_rows(batches, {**columns, **times}, limit=GIVEN_ROWS, seed=SEED)
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
    time_us = _times(table, times)
    return Attributions(
        tuple(features),
        {label: one[usable].astype(np.float32) for label, one in found.items()},
        {},
        GIVEN,
        time_us=None if time_us is None else time_us[usable],
        left_out=int(np.count_nonzero(~usable)),
    ), total


def model_columns(signature: Signature, model: ModelPredictor) -> dict[str, ColumnType]:
    """Return the columns that the model takes, with their types in the reference."""
    known = {one.name: one.type for one in signature.as_sent().inputs}
    if model.features is None:
        return known
    wanted = names_among(model.features, known)
    for name in wanted:
        if name not in known:
            raise InputError(
                f'the model takes "{name}", which is no feature of the reference; '
                f"known: {', '.join(known)}"
            )
    return {name: known[name] for name in wanted}
