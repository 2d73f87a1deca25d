"""Rankings: lists of items in the order recommended, beside the items that turned out relevant.

Of each ranking is kept at which of its first places a relevant item stands; every metric of
rankings follows from that and from how many items are relevant.

References
----------
Jarvelin and Kekalainen, ACM Transactions on Information Systems 20, 2002 (NDCG; here with gain 1
for a relevant item and the discount 1 / log2(place + 1)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.outcomes import class_texts
from driftline.errors import InputError
from driftline.formats.arrow_types import is_list, is_vector
from driftline.formats.coercion import coerce
from driftline.formats.source import Source
from driftline.roles import Roles
from driftline.signature import ColumnType

Numbers = NDArray[np.float64]
Codes = NDArray[np.intp]

# How many places of a ranking count: the k of NDCG@k.
PLACES = 10
DISCOUNTS: Numbers = 1.0 / np.log2(np.arange(2.0, PLACES + 2.0))


class Rankings(NamedTuple):
    """Where relevant items stand in some rankings; a row each."""

    relevant: Codes  # How many different items are relevant, shape (rows,).
    hits: NDArray[np.bool_]  # Whether one stands at a place for the first time, (rows, PLACES).
    is_answered: NDArray[np.bool_]  # Whether the ranking holds any item, shape (rows,).
    lot: float  # Mean NDCG where labels are dealt to other rows by lot; NaN without labels.


def read_rankings(
    table: pa.Table, label: str, prediction: str, weights: Numbers | None = None
) -> Rankings:
    """Read rankings and their relevant items; a label that is no list is the one relevant item.

    An item that stands twice counts at its first place alone, and the second place is lost. By lot
    rows count by their weights, of which those that are unusable count nothing.

    Raises
    ------
    InputError
        Where predictions are no lists.
    """
    ranked = table[prediction]
    if not is_list(ranked.type) and pc.count(ranked).as_py():
        raise InputError(
            f'prediction "{prediction}" holds {ranked.type}, and the baseline rankings; expected '
            "lists of items, the first recommended first, or their JSON text"
        )
    rows = table.num_rows
    (wanted, of_label, _), (said, of_ranking, place) = (
        _items(table[name]) for name in (label, prediction)
    )
    codes = pa.concat_arrays([wanted, said]).dictionary_encode()
    code = codes.indices.to_numpy(zero_copy_only=False).astype(np.intp)
    size = max(len(codes.dictionary), 1)
    keys = np.unique(of_label * size + code[: len(wanted)])
    relevant = np.bincount(keys // size, minlength=rows)
    near = place < PLACES
    shown, at = (of_ranking * size + code[len(wanted) :])[near], place[near]
    row = of_ranking[near]
    _, first = np.unique(shown, return_index=True)
    hits = np.zeros((rows, PLACES), dtype=np.bool_)
    hits[row[first], at[first]] = np.isin(shown[first], keys)
    # What each item is worth in the label of any row, on average.
    counted = np.ones(rows) if weights is None else weights
    counted = np.where(np.isfinite(counted) & (counted > 0.0), counted, 0.0)
    labelled = float(counted[relevant > 0].sum()) or 1.0
    by_row = counted / _ideal(relevant) / labelled
    worth = np.bincount(keys % size, by_row[keys // size], size)
    gained = DISCOUNTS[at[first]] * worth[shown[first] % size]
    lot = float((gained * counted[row[first]]).sum()) / (float(counted.sum()) or 1.0)
    return Rankings(
        relevant,
        hits,
        np.bincount(of_ranking, minlength=rows) > 0,
        lot if len(keys) else float("nan"),
    )


def ndcg(relevant: Codes, hits: NDArray[np.bool_]) -> Numbers:
    """Return each ranking's NDCG over the first places, shape (rows,); each has a relevant item."""
    found: Numbers = np.einsum("ij,j->i", hits, DISCOUNTS) / _ideal(relevant)
    return found


def _ideal(relevant: Codes) -> Numbers:
    """Return what the best ranking of so many relevant items gains, at least that of one."""
    found: Numbers = np.cumsum(DISCOUNTS)[np.clip(relevant, 1, PLACES) - 1]
    return found


def _items(column: pa.ChunkedArray) -> tuple[pa.StringArray, Codes, Codes]:
    """Return all items as texts, the row and the place of each; without those of no value."""
    if is_list(column.type):
        lists = coerce(column, "list<string>")[0]
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        flat = lists.flatten()
    else:
        flat = class_texts(column).dictionary_decode()
        lengths = np.ones(len(flat), np.intp)
    lengths = lengths.astype(np.intp)
    row = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    has_value = pc.fill_null(pc.not_equal(flat, ""), fill_value=False)
    known = has_value.to_numpy(zero_copy_only=False)
    return flat.filter(has_value), row[known], place[known]


def find_rankings(source: Source, roles: Roles) -> tuple[Roles, Mapping[str, ColumnType]]:
    """Return roles that say so where data holds rankings, and which of its columns are lists.

    That is where its user says so, or where the first label and prediction are lists of texts.

    Raises
    ------
    InputError
        Where the user says so, and predictions are no lists.
    """
    is_asked, names = roles.problem == "ranking", source.schema.names
    if roles.prediction not in names or (roles.problem is not None and not is_asked):
        return roles, {}
    named = [one for one in (roles.prediction, roles.label) if one in names and one is not None]
    if not is_asked and (roles.probability or len(named) < 2):
        return roles, {}
    if not is_asked and not all(pa.types.is_string(source.schema.field(one).type) for one in named):
        return roles, {}
    first = next((one for one in source.batches() if one.num_rows), None)
    found: dict[str, ColumnType] = {
        name: "list<string>"
        for name in named
        if first is not None and _are_lists(first.column(name), is_asked=is_asked)
    }
    if is_asked and roles.prediction not in found:
        raise InputError(
            f'prediction "{roles.prediction}" holds no lists; a ranking is a list of items, the '
            "first recommended first, or its JSON text"
        )
    if not is_asked and len(found) < len(named):
        return roles, {}
    return replace(roles, problem="ranking"), found


def hold_rankings(columns: Sequence[pa.ChunkedArray]) -> bool:
    """Whether a label and a prediction are lists of texts, as such or as their JSON texts."""
    return all(_are_lists(one, is_asked=False) for one in columns)


def _are_lists(column: pa.Array | pa.ChunkedArray, *, is_asked: bool) -> bool:
    """Whether a column holds lists of texts and nothing else; of anything, where that is asked."""
    if is_vector(column.type):
        return is_asked
    if not pa.types.is_string(column.type) or not len(column.drop_null()):
        return False
    is_text = pc.any(pc.match_substring(column, '"')).as_py()
    if not is_asked and not is_text:
        return False  # Numbers: forecasts.
    lists, unfit = coerce(column, "list<string>")
    return not unfit and lists.null_count < len(lists)
