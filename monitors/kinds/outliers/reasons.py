"""Why a row is odd, in words: the columns that make it so, and pairs that do not go together.

The words name cells of the reference, nothing that it does not hold: ``distance above 4983 (beyond
the reference); carrier not seen in the reference``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.monitors.kinds.outliers.scorer import RowScorer

# Columns that a reason names.
NAMED = 3
# A column is named from one in ten on: what is less rare makes nothing odd.
LEAST_TERM = 2.3
# Nor is it beside another that is so much rarer.
LEAST_PART = 1 / 3
# A pair does not go together when one is so much odder beside the other than alone: 1 in 50.
LEAST_PAIR = 3.9
# One in a thousand tells enough by itself.
TELLING_TERM = 6.9
LONELY = "no row of the reference is near"
# Of a row that has company without one column, so much at most of what made it odd is left.
LEAST_LEFT = 1 / 2


@dataclass(frozen=True, eq=False)
class Reasons:
    """Of each row, what makes it odd; shapes: (rows,)."""

    words: pa.Array  # Up to three columns, the oddest first; "" for an ordinary row.
    column: NDArray[np.int64]  # The oddest column's place in `columns`; -1 for none.
    columns: tuple[str, ...]

    def tally(self) -> Counter[str]:
        """Count the rows by their oddest column; by "" those that none makes odd by itself."""
        held = np.bincount(self.column + 1, minlength=len(self.columns) + 1)
        names = ("", *self.columns)
        return Counter({names[at]: int(held[at]) for at in np.flatnonzero(held)})


def reasons_of(scorer: RowScorer, batch: pa.RecordBatch) -> Reasons:
    """Describe why rows are odd; meant for the few that are."""
    names, rows = set(batch.schema.names), batch.num_rows
    columns = scorer.columns
    terms = np.zeros((len(columns), rows), np.float32)
    words = np.full((len(columns), rows), None, dtype=object)
    normal = np.full((len(scorer.numbers), rows), np.nan)
    for place, number in enumerate(scorer.numbers):
        if number.column in names:
            codes, values = number.codes(batch)
            both = number.tails(codes, values)
            terms[place] = np.maximum(*both)
            words[place] = np.array(number.words, dtype=object)[codes]
            normal[place] = number.normal.of_rows(codes, values, both)
    for place, level in enumerate(scorer.levels, start=len(scorer.numbers)):
        if level.column in names:
            terms[place] = level.of_rows(batch)
            words[place] = np.array(level.words, dtype=object)[level.codes(batch)]
    order = np.argsort(-terms, axis=0, kind="stable")[:NAMED]
    at = np.arange(rows)
    top, nothing = terms[order[0], at], np.full(rows, None, dtype=object)
    least = np.maximum(LEAST_TERM, np.minimum(top, 2 * TELLING_TERM) * LEAST_PART)
    chosen = [np.where(terms[one, at] >= least, words[one, at], nothing) for one in order]
    first = np.where(top >= LEAST_TERM, order[0], -1)
    pairs, lonely = nothing.copy(), nothing.copy()
    by_parts = scorer.surprises(batch)
    if scorer.joint is not None and scorer.distance is not None:
        apart = by_parts.distance >= by_parts.tails
        odd, other, nats = scorer.joint.partners(normal)
        apart &= nats >= LEAST_PAIR
        pairs[apart] = _pair_words(columns, odd[apart], other[apart])
        first = np.where(apart & (top < TELLING_TERM), odd, first)
    # A column that tells enough by itself stands in front of what it does not go with.
    before = np.where(top < TELLING_TERM, pairs, nothing)
    after = np.where(top >= TELLING_TERM, pairs, nothing)
    is_far = by_parts.density >= np.maximum(by_parts.tails, by_parts.distance)
    # Arrow leaves out a row of which nothing is said, and moves those after it.
    is_far |= np.all([one == None for one in (before, *chosen, after)], axis=0)  # noqa: E711 - By element.
    lonely[is_far] = LONELY
    # What is only a little rare by itself is not what keeps a row from company.
    alone = np.flatnonzero(is_far & (top < TELLING_TERM) & (pairs == None))  # noqa: E711
    if len(alone):
        first[alone] = _loneliest(scorer, batch.take(pa.array(alone)))
        before[alone], lonely[alone] = LONELY, None
    parts = [pa.array(one, pa.string()) for one in (before, *chosen, after, lonely)]
    joined = pc.binary_join_element_wise(*parts, "; ", null_handling="skip")
    return Reasons(joined, first, columns)


def _loneliest(scorer: RowScorer, batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Return the one column without which each row has company, shape (rows,); -1 for none.

    Where it has company without any of several numbers, as in a ring's hole, they are odd together;
    of texts that never came together, one is named.
    """
    names = batch.schema.names
    left = [
        scorer.surprises(batch.select([name for name in names if name != one])).density
        for one in scorer.columns
    ]
    least = np.argmin(left, axis=0)
    has_company = np.array(left) <= LEAST_LEFT * scorer.surprises(batch).density
    of_numbers = has_company[: len(scorer.numbers)].sum(axis=0)
    is_together = (of_numbers > 1) & (of_numbers == has_company.sum(axis=0))
    return np.where(has_company.any(axis=0) & ~is_together, least, -1)


def _pair_words(
    columns: tuple[str, ...], odd: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.object_]:
    """Write each pair's sentence once."""
    keys, places = np.unique(odd * len(columns) + other, return_inverse=True)
    texts = [
        f"{columns[key // len(columns)]} and {columns[key % len(columns)]} "
        "do not go together as in the reference"
        for key in keys.tolist()
    ]
    return np.array(texts, dtype=object)[places]
