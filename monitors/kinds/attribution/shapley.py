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
Mitchell and others, JMLR 23, 2022 (antithetic pairs);
docs/why/attribution.md (own permutation for every row, fixed background).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.errors import InputError
from driftline.estimators.own_methods import Contributions
from driftline.monitors.check_context import Predictor

BACKGROUND_ROWS = 10
# Of a window: rows explained, and rows that the model is asked about for them, at most.
WINDOW_ROWS, WINDOW_MODEL_ROWS = 1_000, 60_000
# Model rows of what is drawn together, between two reports of progress.
PART_ROWS = 5_000
# Values that it gets in one call: on their way to a worker they are there several times.
CALL_VALUES = 100_000
# Attributions are kept in single precision (3.4e38 at most).
LARGEST = 1e30

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]


def asked_rows(features: int, background: int) -> int:
    """Return about how many model rows one explained row costs at most."""
    return max(1, 2 * background * max(features - 1, 0))


def affordable_rows(features: int, background: int = BACKGROUND_ROWS) -> int:
    """Return how many rows of a window are explained by permutations at most."""
    return max(1, min(WINDOW_ROWS, WINDOW_MODEL_ROWS // asked_rows(features, background)))


def explain(
    rows: pa.Table,
    background: pa.Table,
    predict: Predictor,
    *,
    seed: int,
    moved: Callable[[int, int | None], None] | None = None,
) -> Contributions:
    """Explain the model's answers to rows against the mean over background rows.

    ``values.sum(axis=2) + expected`` is the answers, but for rounding. InputError when the answer
    to a background row is no number. `moved` is called with rows explained and in total.
    """
    whole = pa.concat_tables([rows, background.select(rows.column_names)]).combine_chunks()
    codes = _codes(whole)
    call_rows = max(1, CALL_VALUES // max(1, whole.num_columns))
    ends = np.concatenate(
        [ask(predict, whole.slice(at, call_rows)) for at in range(0, whole.num_rows, call_rows)]
    )
    count, depth = rows.num_rows, background.num_rows
    if not is_number(ends).any():
        raise no_number("row")
    if lacking := int(np.count_nonzero(~is_number(ends[count:]).reshape(depth, -1).all(axis=1))):
        raise InputError(
            f"the model answered no number to {lacking} of {depth} background rows, to which the "
            "baseline's answered one and with which all others are compared; mend what the model "
            "answers, or make the baseline again with it: that leaves such rows out"
        )
    random = np.random.default_rng(seed)
    parts, step = [], max(1, PART_ROWS // asked_rows(codes.shape[1], depth))
    for first in range(0, count, step):
        last = min(first + step, count)
        walks = _Walks.draw(codes, np.arange(first, last), count, depth, random)
        asked = [
            ask(predict, _table(whole, walks, slice(at, at + call_rows)))
            for at in range(0, len(walks.walk), call_rows)
        ]
        parts.append(walks.contributions(np.concatenate([ends, *asked])))
        if moved is not None:
            moved(last, count)
    return Contributions(np.concatenate(parts), ends[count:].mean(axis=0))


def is_number(values: Numbers) -> NDArray[np.bool_]:
    """Mark the comparable values: not NaN, infinite or nearly infinite."""
    return np.asarray(np.abs(values) <= LARGEST)


def no_number(rows: str) -> InputError:
    """Return the error of a model without numeric predictions for any of some rows."""
    return InputError(
        f"the model answered no number to any {rows} (only NaN, infinite values or ones above "
        f"{LARGEST:g}), so there is nothing to explain: see what the function returns"
    )


def _codes(whole: pa.Table) -> Integers:
    """Return the values of each feature as numbers, equal for equal values; shape (rows, M)."""
    found = np.empty((whole.num_rows, whole.num_columns), dtype=np.int64)
    for place, column in enumerate(whole.columns):
        coded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        found[:, place] = coded.indices.to_numpy(zero_copy_only=False)
    return found


def ask(predict: Predictor, rows: pa.Table) -> Numbers:
    """Call the model; return its predictions as numbers of shape (n, K)."""
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
    return found.reshape(rows.num_rows, -1)


@dataclass(frozen=True, slots=True)
class _Walks:
    """Walks from background rows to rows: W = 2 x pairs, forward ones, then backward ones."""

    row: Integers  # Numbers of the two ends in the whole table, shape (W,).
    start: Integers
    rank: Integers  # When each feature goes, shape (W, M).
    walk: Integers  # The states to be asked: which walk, after how many features; shape (E,).
    step: Integers
    # Place of each state's answer: both ends first, then those asked; shape (W, M + 1).
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

    def contributions(self, answers: Numbers) -> Numbers:
        """Sum the differences along the walks by feature, shape (rows, K, M)."""
        with np.errstate(invalid="ignore"):  # Of infinite answers, which are no numbers.
            steps = np.diff(answers[self.index], axis=1)  # (W, M, K), in the order of the walk.
        own = np.take_along_axis(steps, self.rank[:, :, None], axis=1)
        forth, back = np.split(own, 2)
        pairs = (forth + back) / 2
        rows = len(np.unique(self.row))
        found: Numbers = pairs.reshape(rows, -1, *pairs.shape[1:]).mean(axis=1)
        return found.transpose(0, 2, 1)


def _table(whole: pa.Table, walks: _Walks, some: slice) -> pa.Table:
    """Return the states to predict: each visited feature has the row's value, else the start's."""
    walk, step = walks.walk[some], walks.step[some]
    row, start = walks.row[walk], walks.start[walk]
    arrays = []
    for place, column in enumerate(whole.columns):
        chosen = np.where(walks.rank[walk, place] < step, row, start)
        arrays.append(column.take(pa.array(chosen)))
    return pa.Table.from_arrays(arrays, schema=whole.schema)
