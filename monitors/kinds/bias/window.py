"""A window's rows, counted by group and prediction, and its unusable rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import read_times
from driftline.baseline.foreign_values import foreign_classes, named_values, words_for_numbers
from driftline.baseline.outcomes import (
    NEIGHBOUR_ROWS,
    held_classes,
    outcome_classes,
    outcome_columns,
)
from driftline.baseline.sample import RowKeeper
from driftline.baseline.schema import column_type
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.monitors.check_context import CheckContext
from driftline.monitors.engine.sums import GROUPS, groups_of
from driftline.monitors.kinds.bias.counts import FacetCounts, count_rows
from driftline.monitors.kinds.bias.plan import Plan, unusable_of
from driftline.monitors.results.unusable import Unusable, repeated_rows, rows_length
from driftline.monitors.rows import EVENT_TIME
from driftline.roles import Facet, Roles
from driftline.signature import ColumnType
from driftline.stats.blocks import NO_TIME

# Columns of the data that a refusal names.
COLUMNS_SHOWN = 20


@dataclass(frozen=True)
class CountedWindow:
    """The judged rows, counted."""

    counts: Mapping[Facet, FacetCounts]  # Under the reference's names of values.
    rows: int
    length: timedelta | None  # Of the window, or by its rows' times; None where too few say.
    unusable: Unusable  # What of them cannot be used.
    near: pa.Table  # Some of them with what the flip test compares; empty without features.
    absent: tuple[str, ...]  # Columns of predictions, or of labels, that the data do not have.


def count_window(plan: Plan, context: CheckContext) -> CountedWindow:
    """Count the judged rows by facet; InputError when a needed column is missing."""
    table, near = _read(plan, context)
    roles, rows, seen = plan.roles, len(table), table.column_names
    known = () if plan.outcomes is None else outcome_classes(plan.outcomes)
    counts = count_rows(
        table, roles, plan.counted, groups_of(rows), GROUPS, classes=known, known=plan.reference
    )
    if rows:
        _require_columns(plan, seen, context)
    length = context.rows.length
    times = read_times(table, roles) if length is None else None
    if times is not None:
        times = times[times != NO_TIME]
        length = rows_length(int(np.ptp(times)), len(times), rows)
    unknown, classes = foreign_classes(table, _compared(plan), known)
    unusable = replace(
        unusable_of(counts, table, roles),
        texts=named_values(words_for_numbers(table, plan.numbers)),
        unknown=unknown, unknown_words=named_values(classes),
        lost=context.rows.lost_labels,
        repeated=repeated_rows(table[roles.id_column].chunks) if roles.id_column in seen else 0,
        id_column=roles.id_column,
    )  # fmt: skip
    answer = roles.prediction or "".join(roles.probability[-1:])
    absent = tuple(one for one in (answer, roles.label) if one and one not in seen) * bool(rows)
    return CountedWindow(counts, rows, length, unusable, near, absent)


def _read(plan: Plan, context: CheckContext) -> tuple[pa.Table, pa.Table]:
    """Read the counted columns of all rows, and some rows with the flip test's features."""
    counted = (
        *outcome_columns(plan.roles), *(column for one in plan.counted for column in one.columns),
        plan.roles.id_column, EVENT_TIME,
    )  # fmt: skip
    wanted = dict.fromkeys(name for name in counted if name is not None)
    features = plan.features if plan.tries_flips else ()
    parts, near = [], RowKeeper({}, NEIGHBOUR_ROWS)
    for batch in context.rows.read(tuple({**wanted, **dict.fromkeys(features)})):
        if features:
            types = {one.name: column_type(one.type) for one in batch.schema}
            near.keep(batch, partial(_coerced, batch, types | dict.fromkeys(features, "double")))
        parts.append(
            pa.table({name: _plain(batch[name]) for name in wanted if name in batch.schema.names})
        )
    found = pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})
    return found, near.table()


def _coerced(
    batch: pa.RecordBatch, types: Mapping[str, ColumnType], places: NDArray[np.int64]
) -> dict[str, pa.Array]:
    at = pa.array(places)
    return {
        name: coerce(batch[name].take(at), kind)[0]
        for name, kind in types.items()
        if name in batch.schema.names
    }


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _compared(plan: Plan) -> Roles:
    """Leave out a column whose classes the reference lacks, where it may have names of its own."""
    roles, outcomes = plan.roles, plan.outcomes
    if outcomes is None or not roles.also_positive:
        return roles
    table, own = outcomes.table, outcomes.roles
    return replace(
        roles,
        label=roles.label if held_classes(table, own.label) else None,
        prediction=roles.prediction if held_classes(table, own.prediction) else None,
    )


def _require_columns(plan: Plan, names: list[str], context: CheckContext) -> None:
    """Refuse rows in which a whole column is missing: nothing could be found."""
    for column in (column for facet in plan.counted for column in facet.columns):
        if column not in names:
            # Read again for all names: of `names` are those alone that were asked for.
            found = next(context.rows.batches()).schema.names
            shown = ", ".join(found[:COLUMNS_SHOWN]) + ", …" * (len(found) > COLUMNS_SHOWN)
            raise InputError(
                f'facet "{column}": the data has no such column, but {shown}; rows '
                "without names need a header row, or a baseline that knows their columns"
            )
    roles = plan.roles
    answers = [roles.prediction, *roles.probability[-1:], roles.label]
    wanted = [name for name in answers if name is not None]
    if not {*names} & {*wanted}:
        shown = ", ".join(f'"{name}"' for name in wanted)
        raise InputError(f"bias: the data has neither answers nor labels; expected {shown}")
