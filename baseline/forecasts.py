"""Forecasts: lists of numbers, one for each step ahead, compared value by value with what came.

Each known value is a row of the answers, beside its step; that the values of one forecast err
together is minded where metrics are measured (`influence.Rows`).

References
----------
Hyndman and Koehler, International Journal of Forecasting 22, 2006 (MASE: errors in units of the
naive forecast's, here the mean step from one value to the next within the reference's labels).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.errors import InputError
from driftline.formats.arrow_types import is_list
from driftline.formats.coercion import coerce
from driftline.formats.source import Source
from driftline.roles import Roles
from driftline.signature import ColumnType

Numbers = NDArray[np.float64]
Codes = NDArray[np.intp]


class Forecasts(NamedTuple):
    """Values of forecasts with their labels, row by row and step by step; shape (values,) each."""

    label: Numbers
    answer: Numbers  # NaN where the forecast holds no value for the step.
    row: Codes  # Which row of the table each value is of, rising.
    step: Codes  # How many steps ahead, from 1.
    naive_error: float  # Mean size of the steps within labels; NaN where none has two values.


def holds_lists(table: pa.Table, name: str | None) -> bool:
    """Whether a column of a table holds lists."""
    return name is not None and name in table.column_names and is_list(table[name].type)


def look_like_items(table: pa.Table, label: str | None, prediction: str | None) -> bool:
    """Whether lists look like numbered items: all whole, and each label shorter than its answer."""
    if label is None or not (holds_lists(table, label) and holds_lists(table, prediction)):
        return False
    (known, lengths), (said, held) = (_flat(table[name]) for name in (label, prediction))
    both = (lengths > 0) & (held > 0)
    are_whole = all((one == np.floor(one)).all() for one in (known, said))
    return bool(both.any() and (lengths[both] < held[both]).all() and are_whole)


def find_forecasts(source: Source, roles: Roles) -> Mapping[str, ColumnType]:
    """Return which columns of data hold forecasts as JSON texts, as those of CSV files do.

    That is where the first label, prediction and quantiles are texts of lists of numbers.
    """
    named = [roles.prediction, roles.label, *roles.quantile_columns]
    if roles.problem not in (None, "regression") or roles.probability:
        return {}
    schema = source.schema
    if not all(
        name in schema.names and pa.types.is_string(schema.field(name).type) for name in named
    ):
        return {}
    first = next((one for one in source.batches() if one.num_rows), None)
    if first is None:
        return {}
    for name in named:
        lists, unfit = coerce(first.column(name), "list<double>")
        if unfit or lists.null_count == len(lists):
            return {}
    return {name: "list<double>" for name in named if name is not None}


def read_forecasts(table: pa.Table, label: str, prediction: str) -> Forecasts:
    """Read the values of forecasts whose labels are known.

    A label may hold fewer values than its forecast, or nulls: what is still to come. Where it holds
    more, or the forecast has no value, the answer is NaN.

    Raises
    ------
    InputError
        Where one of the two columns holds lists and the other does not.
    """
    for name, other in ((label, prediction), (prediction, label)):
        if not holds_lists(table, name) and pc.count(table[name]).as_py():
            raise InputError(
                f'"{other}" holds lists, one value for each step, and "{name}" holds '
                f"{table[name].type}; expected lists in both"
            )
    (known, lengths), (said, held) = (_flat(table[name]) for name in (label, prediction))
    rows = np.repeat(np.arange(len(lengths)), lengths)
    step = np.arange(len(known)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    has_answer = step < held[rows]
    answers = np.full(len(known), np.nan)
    answers[has_answer] = said[((np.cumsum(held) - held)[rows] + step)[has_answer]]
    next_to = (np.diff(rows) == 0) & ~np.isnan(known[1:]) & ~np.isnan(known[:-1])
    naive = np.abs(np.diff(known))[next_to]
    came = ~np.isnan(known)
    return Forecasts(
        known[came],
        answers[came],
        rows[came],
        step[came] + 1,
        float(naive.mean()) if len(naive) else float("nan"),
    )


def unknown_labels(column: pa.ChunkedArray) -> pa.Array:
    """Return a label of zeros for each forecast, where only what is predicted is asked for.

    One that holds nothing gets one value, so that it counts as unanswered.
    """
    lists = coerce(column, "list<double>")[0]
    lengths = np.maximum(_lengths(lists), 1)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(np.zeros(int(lengths.sum()))))


def has_steps(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return which lists hold a number at any step, shape (rows,)."""
    known, lengths = _flat(column)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return np.bincount(rows[~np.isnan(known)], minlength=len(lengths)) > 0


def _lengths(lists: pa.ListArray) -> Codes:
    found = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.asarray(found, dtype=np.intp)


def _flat(column: pa.ChunkedArray) -> tuple[Numbers, Codes]:
    """Return all values of a column of lists, nulls as NaN, and how many each list has."""
    lists = coerce(column, "list<double>")[0]
    return lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64), _lengths(lists)
