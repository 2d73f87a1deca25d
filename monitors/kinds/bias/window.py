"""A window's rows, counted by group and prediction, and its unusable rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa

from driftline.baseline.answers import read_times
from driftline.baseline.foreign_values import foreign_classes, named_values, words_for_numbers
from driftline.baseline.outcomes import (
    NEIGHBOUR_ROWS,
    held_classes,
    keep_spaced,
    outcome_classes,
    outcome_columns,
)
from driftline.baseline.schema import column_type
from driftline.baseline.spacing import SpacedRows
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.bias.counts import (
    FacetCounts,
    count_rows,
    impossible_predictions,
    infinite_labels,
    labelled_count,
)
from driftline.monitors.kinds.bias.plan import Plan, bucket_of, unusable_of
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
    unfit: int  # Labels that are infinite.
    unfit_words: str  # Which: '"price" = inf (3x)'.
    near: pa.Table  # Some of them with what the flip test compares; empty without features.
    lacking: str  # That the data has no column of predictions, or of labels, in words.
    untimed: int  # Rows without a time, of those whose window is not known.


def count_window(plan: Plan, context: CheckContext) -> CountedWindow:
    """Count the judged rows by facet; InputError when a needed column is missing."""
    seen: set[str] = set()
    ids: list[pa.Array] = []
    impossible = unknown = timed = 0
    classes, texts, infinite = Counter[str](), Counter[str](), Counter[str]()
    known = () if plan.outcomes is None else outcome_classes(plan.outcomes)
    numbers, heard = plan.numbers, _heard(plan)
    times: list[np.int64] = []
    near = SpacedRows(NEIGHBOUR_ROWS)

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal impossible, unknown, classes, times, timed
        for batch in context.rows.read(_needed(plan, context)):
            seen.update(batch.schema.names)
            if plan.tries_flips:
                keep_spaced(near, batch, _plain_types(batch, plan.features))
            impossible += impossible_predictions(batch, plan.roles)
            infinite.update(infinite_labels(batch, plan.roles))
            count, foreign = foreign_classes(batch, heard, known)
            unknown, classes = unknown + count, classes + foreign
            texts.update(words_for_numbers(batch, numbers))
            if plan.roles.id_column in batch.schema.names:
                ids.append(batch.column(plan.roles.id_column))
            if context.rows.length is None and batch.num_rows:
                found = read_times(pa.Table.from_batches([batch]), plan.roles)
                if found is not None:
                    found = found[found != NO_TIME]
                    times += [found.min(), found.max()]
                    timed += len(found)
            yield batch

    counts, rows = count_rows(batches(), plan.roles, plan.counted, bucket_of, known)
    if rows:
        _require_columns(plan, seen, context)
    counts = {
        facet: one.known_as(plan.reference[facet].values) if facet in plan.reference else one
        for facet, one in counts.items()
    }
    length = context.rows.length
    if times:
        length = rows_length(int(np.ptp(times)), timed, rows)
    unfit = infinite.total()
    unusable = replace(
        unusable_of(counts, impossible, plan.roles, seen), texts=named_values(texts),
        unknown=unknown, unknown_words=named_values(classes), unfit=unfit,
        labels=labelled_count(counts) + unfit, lost=context.rows.lost_labels,
        repeated=repeated_rows(ids), id_column=plan.roles.id_column,
    )  # fmt: skip
    answer = plan.roles.prediction or "".join(plan.roles.probability[-1:])
    absent = [one for one in (answer, plan.roles.label) if one and one not in seen]
    lacking = "; ".join(f'the data has no column "{one}"' for one in absent * bool(rows))
    return CountedWindow(
        counts, rows, length, unusable, unfit, named_values(infinite), near.table(),
        lacking, rows - timed if context.rows.length is None else 0,
    )  # fmt: skip


def _heard(plan: Plan) -> Roles:
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


def _needed(plan: Plan, context: CheckContext) -> tuple[str, ...]:
    """Return the counted columns, each once."""
    when = () if context.rows.length is not None else (EVENT_TIME,)
    named = (
        *outcome_columns(plan.roles),
        *(column for one in plan.counted for column in one.columns),
    )
    ids = () if plan.roles.id_column is None else (plan.roles.id_column,)
    near = plan.features if plan.tries_flips else ()
    return tuple(dict.fromkeys((*named, *ids, *when, *near)))


def _plain_types(batch: pa.RecordBatch, features: Sequence[str]) -> dict[str, ColumnType]:
    """Return the columns of a batch in their own types, and features as numbers."""
    return {
        one.name: "double" if one.name in features else column_type(one.type)
        for one in batch.schema
        if not pa.types.is_null(one.type)
    }


def _require_columns(plan: Plan, names: Set[str], context: CheckContext) -> None:
    """Refuse rows in which a whole column is missing: nothing could be found."""
    for column in (column for facet in plan.counted for column in facet.columns):
        if column not in names:
            # Read again for all names: of `names` are those alone that were asked for.
            first = next(context.rows.batches(), None)
            found = [] if first is None else first.schema.names
            shown = ", ".join(found[:COLUMNS_SHOWN]) + ", …" * (len(found) > COLUMNS_SHOWN)
            raise InputError(
                f'facet "{column}": the data has no such column, but {shown or "none"}; rows '
                "without names need a header row, or a baseline that knows their columns"
            )
    roles = plan.roles
    answers = [roles.prediction, *roles.probability[-1:], roles.label]
    wanted = [name for name in answers if name is not None]
    if names.isdisjoint(wanted):
        shown = ", ".join(f'"{name}"' for name in wanted)
        raise InputError(f"bias: the data has neither answers nor labels; expected {shown}")
