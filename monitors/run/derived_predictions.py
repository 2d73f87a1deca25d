"""Reads what an endpoint that answers with probabilities alone left out.

A model that answers ``predict_proba`` has no prediction by design, and it is derived as the
reference does. Where one came within the month before, its absence is a fault.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.outcomes import class_texts, probability_classes
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import WindowRead, was_answered
from driftline.classes import known_classes
from driftline.formats.coercion import coerce
from driftline.roles import Roles
from driftline.signature import ColumnType, Signature

# How long a prediction that does not come any more is missed.
LOOK_BACK = timedelta(days=31)
# A few of a reference's predictions may lie on the threshold, or have been rounded.
AGREEING = 0.999


@dataclass(frozen=True, slots=True)
class PredictionRule:
    """How a prediction is derived from probabilities."""

    name: str
    type: ColumnType
    probability: tuple[str, ...]  # One column, of the last class; or one of each class.
    classes: tuple[str, ...]
    threshold: float  # One probability above it means the last class.

    def fill(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Write the predictions of a batch that holds the columns."""
        names = batch.schema.names
        if self.name not in names or not set(self.probability) <= set(names):
            return batch
        place = names.index(self.name)
        values, _ = coerce(self.predict(batch), self.type)
        return batch.set_column(place, batch.schema.field(place), values.cast(batch[place].type))

    def predict(self, rows: pa.RecordBatch | pa.Table) -> pa.Array:
        """Return the predicted class of each row as text; null without probabilities."""
        columns = [self._numbers(rows, name) for name in self.probability]
        if len(columns) == 1:
            place = (columns[0] > self.threshold).astype(np.int64)
        else:
            place = np.nan_to_num(np.column_stack(columns)).argmax(axis=1)
        missing = np.isnan(np.column_stack(columns)).any(axis=1)
        return pa.array(self.classes, pa.string()).take(pa.array(place, mask=missing))

    @staticmethod
    def _numbers(rows: pa.RecordBatch | pa.Table, name: str) -> NDArray[np.float64]:
        column = rows.column(name)
        plain = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        values, _ = coerce(plain, "double")
        found: NDArray[np.float64] = values.to_numpy(zero_copy_only=False).astype(np.float64)
        return found


def with_predictions(
    read: WindowRead, root: str, endpoint: str, signature: Signature, baseline: Baseline
) -> WindowRead:
    """Return a window with derived predictions where its endpoint answers with probabilities alone.

    Predictions that cannot be derived are left out, as in a reference without them.
    """
    roles = None if baseline.outcomes is None else baseline.outcomes.roles
    outputs = {output.name: output for output in signature.outputs}
    if roles is not None and roles.prediction is None and len(roles.probability) == 1:
        return _with_probability(read, root, endpoint, signature, roles.probability[0])
    if roles is None or roles.prediction is None or not roles.probability:
        return read
    prediction = outputs.get(roles.prediction)
    named = {prediction.name, *roles.probability} if prediction is not None else set()
    chance = outputs.get(roles.probability[-1])
    if prediction is None or chance is None or not named <= set(read.schema.names):
        return read
    if was_answered(root, endpoint, read, prediction, read.window.start - LOOK_BACK):
        return read
    if not was_answered(root, endpoint, read, chance, read.window.start):
        return read  # Neither came: that is no design.
    rule = prediction_rule(baseline, roles)
    if rule is None:
        return replace(
            read.without((prediction.name,)),
            note=f"{prediction.name} is not judged: the endpoint answers with probabilities alone, "
            "and the reference does not show how its predictions follow from them",
        )
    how = "the most probable class" if len(rule.probability) > 1 else (
        f"{rule.classes[-1]} where {rule.probability[0]} is above {rule.threshold:g}"
    )  # fmt: skip
    return replace(
        read,
        derive=replace(rule, type=prediction.type).fill,
        note=f"{prediction.name} is derived, for the endpoint answers with probabilities alone: "
        f"{how}",
    )


def _with_probability(
    read: WindowRead, root: str, endpoint: str, signature: Signature, name: str
) -> WindowRead:
    """Return a window whose probability is the first output, if that alone was ever answered.

    A single value is captured as the first output, whatever the reader takes it for.
    """
    chance = signature.get(name)
    if chance is None or chance not in signature.outputs[1:] or name not in read.schema.names:
        return read
    first = signature.outputs[0]
    since = read.window.start - LOOK_BACK
    if was_answered(root, endpoint, read, chance, since):
        return read
    if not was_answered(root, endpoint, read, first, read.window.start):
        return read
    note = f"{name} is the single value that the endpoint answers"
    return replace(read.filled(name, first), note=note)


def prediction_rule(baseline: Baseline, roles: Roles) -> PredictionRule | None:
    """Return the rule that the reference's own predictions follow; None when there is none."""
    assert baseline.outcomes is not None
    assert roles.prediction is not None
    column = baseline.signature.get(roles.prediction)
    if column is None or not column.classes:
        return None
    classes: tuple[str, ...]
    if roles.problem == "binary":
        if len(column.classes) != 2:
            return None
        names, classes = roles.probability[-1:], tuple(column.classes)
    else:
        of = probability_classes(baseline.signature)
        names = roles.probability
        if len(names) < 2 or not set(names) <= set(of):
            return None
        classes = known_classes([of[name] for name in names], column.classes)
    rule = PredictionRule(column.name, column.type, names, classes, roles.positive_above)
    rows = baseline.outcomes.table
    texts = class_texts(rows[column.name])
    meant = pa.array(known_classes(texts.dictionary.to_pylist(), classes), pa.string())
    said = meant.take(texts.indices)
    if _agreement(rule, rows, said) >= AGREEING:
        return rule
    if len(names) > 1:
        return None
    is_positive = pc.fill_null(pc.equal(said, classes[-1]), False).to_numpy(zero_copy_only=False)
    chance = PredictionRule._numbers(rows, names[0])
    others = chance[~is_positive & ~np.isnan(chance)]
    rule = replace(rule, threshold=float(others.max()) if len(others) else rule.threshold)
    return rule if _agreement(rule, rows, said) >= AGREEING else None


def _agreement(rule: PredictionRule, rows: pa.Table, said: pa.Array) -> float:
    """Share of a reference's predictions that a rule gives, 0-1; 0 without any."""
    same = pc.equal(rule.predict(rows), said)
    return float(pc.mean(same).as_py() or 0.0) if len(same) > same.null_count else 0.0
