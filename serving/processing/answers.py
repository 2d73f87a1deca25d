"""Rows with what a model answers to them, as columns beside theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from driftline.baseline.schema import infer_signature
from driftline.formats.coercion import coerce
from driftline.formats.source import Source
from driftline.monitors.kinds.attribution.explaining import model_columns
from driftline.monitors.kinds.attribution.predictor import ModelPredictor
from driftline.roles import Roles

# Rows of one question: what a model gets and answers stays small.
ASKED_ROWS = 10_000


def answered(rows: Source, roles: Roles, predict: ModelPredictor) -> tuple[Source, Roles]:
    """Ask a model about every row; return the rows with its answers, and their roles.

    A model of several classes answers the most probable one, of two the positive one's probability.
    """
    columns = model_columns(infer_signature(rows.schema, roles), predict)
    answers = pa.chunked_array(
        _answer(predict, pa.table({one: coerce(part[one], columns[one])[0] for one in columns}))
        for batch in rows.batches()
        for part in (batch[at : at + ASKED_ROWS] for at in range(0, batch.num_rows, ASKED_ROWS))
    )
    is_probability = predict.units == "probability" and not predict.labels
    name = "predicted_probability" if is_probability else "predicted_label"
    while name in rows.schema.names:
        name += "_"

    def batches() -> Iterator[pa.RecordBatch]:
        first = 0
        for batch in rows.batches():
            own = answers[first : first + batch.num_rows].combine_chunks()
            first += batch.num_rows
            yield batch.append_column(name, own)

    source = Source(
        rows.schema.append(pa.field(name, answers.type)), batches, row_count=len(answers)
    )
    if is_probability:
        return source, replace(roles, probability=(name,))
    return source, replace(roles, prediction=name)


def _answer(predict: ModelPredictor, rows: pa.Table) -> pa.Array:
    found = predict(rows)
    if predict.labels:
        return pa.array(np.array(predict.labels)[found.argmax(axis=1)])
    return pa.array(found)
