"""Reads the rows of a window: their predictions, and those that have a label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from driftline.baseline.answers import Answers, needed_columns, read_answers
from driftline.baseline.outcomes import kept_columns
from driftline.baseline.predicate import UNFIT
from driftline.classes import known_classes
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.model_quality.expectation import Expectation


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The judged rows of a window."""

    table: pa.Table
    has_label: bool  # Whether any of the rows came with a column of labels.
    read: Callable[..., Answers]  # Reads answers of rows as the reference's are read.
    answers: Answers  # Of the labelled rows.
    every: Answers  # Of all rows, where predictions are judged before labels come.


def read_window(context: CheckContext, expected: Expectation) -> Window:
    """Read the rows, their predictions, and those with a label."""
    table, has_label = _rows(context)
    known = expected.answers.classes if expected.answers else ()
    is_known = not set(known).isdisjoint(known_classes(expected.roles.positives, known))
    if expected.problem == "binary" and not is_known:
        known = ()  # The caller's classes are others than the reference's.
    read = partial(
        read_answers, roles=expected.roles, problem=expected.problem, classes=known,
        chances=expected.chances, reference=expected.classes,
        limits=None if expected.answers is None else expected.answers.limits,
    )  # fmt: skip
    every = answers = read(table)
    if expected.answers is not None and answers.labelled_count < table.num_rows:
        every = read(table, any_label=True)
    return Window(table, has_label, read, answers, every)


def _rows(context: CheckContext) -> tuple[pa.Table, bool]:
    """Read the columns of outcomes and segments; also return whether there was a label column."""
    wanted = set(kept_columns(context.roles)) | {"event_time", context.roles.id_column, UNFIT}
    features = [one for one in context.baseline.signature.columns if one.role == "feature"]
    texts = {one.name for one in features if one.type == "string"} - wanted
    wanted |= texts | {one.name for one in features if one.type == "bool"}
    estimation, label = context.baseline.estimation, context.roles.label
    if estimation is not None:
        wanted |= {*estimation.cells}
    parts, has_label = [], False
    for batch in context.rows.read(sorted(filter(None, wanted))):
        has_label |= label in batch.schema.names
        if label is not None and label not in batch.schema.names:
            # Labels are to come, and until then quality is estimated where it can be.
            batch = batch.append_column(label, pa.nulls(len(batch)))
        needed_columns(context.roles, batch.schema.names)
        parts.append(pa.table({name: _held(batch[name], is_text=name in texts)
                               for name in batch.schema.names}))  # fmt: skip
    if parts:
        whole = pa.concat_tables(parts, promote_options="permissive")
        return whole.unify_dictionaries(), has_label
    roles = context.roles
    names = [name for name in kept_columns(roles) if name != roles.timestamp]
    return pa.table({name: pa.array([], pa.float64()) for name in names}), True


def _held(column: pa.Array, *, is_text: bool) -> pa.Array:
    """Return texts of features as dictionary arrays, to save memory."""
    if is_text:
        return column.dictionary_encode() if pa.types.is_string(column.type) else column
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
