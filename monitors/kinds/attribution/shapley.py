"""Which feature made how much of a prediction: Shapley values of any model, by asking it.

A row's value of a feature is how much the model's answer changes when the feature goes from a
background row's value to the row's own, averaged over the orders in which features may go. Every
pair of row and background row draws one order of its own and walks it forth and back (antithetic);
all walks are asked together, in few big batches. What each step adds sums to the whole difference,
so that additivity is exact whatever the sampling; only how it is shared out is estimated.

Shapes: N rows, B background rows, M features, K outputs of the model.

References
----------
Strumbelj and Kononenko, Knowledge and Information Systems 41, 2014 (sampling of permutations);
Mitchell and others, JMLR 23, 2022 (antithetic pairs); bias-and-attribution.md section 8 (own
permutation for every row, fixed background, measured errors).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.errors import InputError
from driftline.monitors.check_context import Predictor

# Rows that the model is asked about in one call.
MODEL_ROWS = 150_000

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Contributions:
    """What each feature contributed to each answer.

    Parameters
    ----------
    values
        Shape (N, K, M), in units of the model's answer.
    expected
        The answer that they are counted from, shape (K,): the mean over the background.
    """

    values: Numbers
    expected: Numbers


def asked_rows(features: int, background: int) -> int:
    """Say about how many model rows one explained row costs at most."""
    return max(1, 2 * background * max(features - 1, 0))


def explain(
    rows: pa.Table,
    background: pa.Table,
    predict: Predictor,
    *,
    seed: int,
    groups: Mapping[str, Sequence[str]] | None = None,
    max_rows: int = MODEL_ROWS,
) -> Contributions:
    """Explain the model's answers to rows against the mean over background rows.

    Parameters
    ----------
    rows, background
        The model's columns, of the same names and types, at least one row each.
    predict
        Gives answers of shape (n,) or (n, K).
    seed
        Of the orders in which features go.
    groups
        Feature to its columns, which go together, as those of a one-hot code do; None: each
        column is a feature.
    max_rows
        Model rows of one call.

    Returns
    -------
    Contributions
        With ``values.sum(axis=2) + expected`` the model's answers, but for rounding. A feature
        whose value equals the background's contributes exactly 0, and costs nothing.

    Raises
    ------
    InputError
        When the model's answer has another shape, or is no number.
    """
    whole = pa.concat_tables([rows, background.select(rows.column_names)]).combine_chunks()
    feature_of = _feature_of(rows.column_names, groups)
    codes = _codes(whole, feature_of)
    ends = np.concatenate(
        [_ask(predict, whole.slice(at, max_rows)) for at in range(0, whole.num_rows, max_rows)]
    )
    count, depth = rows.num_rows, background.num_rows
    random = np.random.default_rng(seed)
    parts = []
    for first, last in pairwise(_cuts(count, asked_rows(codes.shape[1], depth), max_rows)):
        walks = _Walks.draw(codes, np.arange(first, last), count, depth, random)
        asked = [
            _ask(predict, _table(whole, feature_of, walks, some))
            for some in _slices(walks.asked_count, max_rows)
        ]
        parts.append(walks.contributions(np.concatenate([ends, *asked])))
    return Contributions(np.concatenate(parts), ends[count:].mean(axis=0))


def _feature_of(
    columns: Sequence[str], groups: Mapping[str, Sequence[str]] | None
) -> NDArray[np.int64]:
    """Give each column the number of its feature."""
    if groups is None:
        return np.arange(len(columns))
    number = {column: place for place, members in enumerate(groups.values()) for column in members}
    return np.array([number[column] for column in columns])


def _codes(whole: pa.Table, feature_of: Integers) -> Integers:
    """Give the values of each feature as numbers, equal for equal values; shape (rows, M)."""
    found = np.zeros((whole.num_rows, int(feature_of.max()) + 1), dtype=np.int64)
    for column, feature in zip(whole.columns, feature_of, strict=True):
        coded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        own = coded.indices.to_numpy(zero_copy_only=False)
        pairs = found[:, feature] * max(len(coded.dictionary), 1) + own
        found[:, feature] = np.unique(pairs, return_inverse=True)[1]
    return found


def _ask(predict: Predictor, rows: pa.Table) -> Numbers:
    """Ask the model; answers as numbers of shape (n, K)."""
    answers = predict(rows)
    try:
        found = np.asarray(answers, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the model's answers are no numbers ({error}); expected values or probabilities, as "
            "predict_proba gives them"
        ) from error
    if found.ndim not in (1, 2) or len(found) != rows.num_rows:
        raise InputError(
            f"the model answered {found.shape} to {rows.num_rows} rows; "
            f"expected ({rows.num_rows},) or ({rows.num_rows}, classes)"
        )
    if not np.isfinite(found).all():
        raise InputError("the model answered no number; attributions need one for every row")
    return found.reshape(rows.num_rows, -1)


def _cuts(count: int, cost: int, limit: int) -> list[int]:
    """Cut rows into parts that one call answers, or into single rows."""
    step = max(1, limit // cost)
    return [*range(0, count, step), count]


def _slices(count: int, limit: int) -> Iterator[slice]:
    for first in range(0, count, limit):
        yield slice(first, min(first + limit, count))


@dataclass(frozen=True, slots=True)
class _Walks:
    """Walks from background rows to rows: W = 2 x pairs, forth ones and then back ones.

    Parameters
    ----------
    row, start
        Numbers of the two ends in the whole table, shape (W,).
    rank
        When each feature goes, shape (W, M).
    walk, step
        The states that have to be asked: which walk, after how many features; shape (E,).
    index
        Where each state's answer will stand: both ends' first, then those asked; shape (W, M + 1).
    """

    row: Integers
    start: Integers
    rank: Integers
    walk: Integers
    step: Integers
    index: Integers

    @classmethod
    def draw(
        cls, codes: Integers, rows: Integers, count: int, depth: int, random: np.random.Generator
    ) -> _Walks:
        """Draw one order for each pair of a row and a background row."""
        row = np.repeat(rows, depth)
        start = np.tile(np.arange(count, count + depth), len(rows))
        width = codes.shape[1]
        order = np.argsort(random.random((len(row), width)), axis=1)
        order = np.concatenate([order, order[:, ::-1]])
        row, start = np.tile(row, 2), np.tile(start, 2)
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(width)[None, :], axis=1)
        # A step that changes nothing needs no answer: its state is the one before.
        changes = np.take_along_axis(codes[row] != codes[start], order, axis=1)
        done = np.cumsum(changes, axis=1)
        total = done[:, -1:]
        walk, place = np.nonzero(changes & (done < total))
        asked = np.maximum(total[:, 0] - 1, 0)
        first = count + depth + np.cumsum(asked) - asked
        middle = np.where(done == total, row[:, None], first[:, None] + done - 1)
        index = np.column_stack([start, np.where(done == 0, start[:, None], middle)])
        return cls(row, start, rank, walk, place + 1, index)

    @property
    def asked_count(self) -> int:
        """How many model rows these walks need."""
        return len(self.walk)

    def contributions(self, answers: Numbers) -> Numbers:
        """Share out the differences along the walks, shape (rows, K, M)."""
        steps = np.diff(answers[self.index], axis=1)  # (W, M, K), in the order of the walk.
        own = np.take_along_axis(steps, self.rank[:, :, None], axis=1)
        forth, back = np.split(own, 2)
        pairs = (forth + back) / 2
        rows = len(np.unique(self.row))
        found: Numbers = pairs.reshape(rows, -1, *pairs.shape[1:]).mean(axis=1)
        return found.transpose(0, 2, 1)


def _table(whole: pa.Table, feature_of: Integers, walks: _Walks, some: slice) -> pa.Table:
    """Put the asked states together: each feature is the row's once it has gone, else the start's.

    Columns of one feature go together, as the source feature that they are.
    """
    walk, step = walks.walk[some], walks.step[some]
    row, start = walks.row[walk], walks.start[walk]
    arrays = []
    for column, feature in zip(whole.columns, feature_of, strict=True):
        chosen = np.where(walks.rank[walk, feature] < step, row, start)
        arrays.append(column.take(pa.array(chosen)))
    return pa.Table.from_arrays(arrays, names=whole.column_names)
