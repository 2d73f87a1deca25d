"""Words why a row is an outlier: the columns that make it one, and one that does not fit the rest.

The words name only cells of the reference: ``distance above 4983 (beyond the reference); carrier
not seen in the reference``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.monitors.kinds.outliers.scorer import RowScorer

# Columns that a reason names.
NAMED = 3
# A column is named from one in ten on: what is less rare makes nothing odd.
LEAST_TERM = 2.3
# Nor is it beside another that is so much rarer.
LEAST_PART = 1 / 3
APART = "{} does not go with the other columns as in the reference"


@dataclass(frozen=True, eq=False)
class Reasons:
    """Why each row is unusual; shapes: (rows,)."""

    words: pa.Array  # Up to three columns, the oddest first; "" for an ordinary row.
    column: NDArray[np.int64]  # The oddest column's place in `columns`; -1 for none.
    columns: tuple[str, ...]

    def tally(self) -> Counter[str]:
        """Count the rows by their most unusual column; "" where no single one is."""
        held = np.bincount(self.column + 1, minlength=len(self.columns) + 1)
        names = ("", *self.columns)
        return Counter({names[at]: int(held[at]) for at in np.flatnonzero(held)})


def reasons_of(scorer: RowScorer, batch: pa.RecordBatch) -> Reasons:
    """Describe why rows are unusual; meant for few rows."""
    names, rows, columns = set(batch.schema.names), batch.num_rows, scorer.columns
    terms = np.zeros((len(columns), rows), np.float32)
    words = np.full((len(columns), rows), None, dtype=object)
    for place, number in enumerate(scorer.numbers):
        if number.column in names:
            codes, values = number.codes(batch)
            terms[place] = np.maximum(*number.tails(codes, values))
            words[place] = np.array(number.words, dtype=object)[codes]
    for place, level in enumerate(scorer.levels, start=len(scorer.numbers)):
        if level.column in names:
            terms[place] = level.of_rows(batch)
            words[place] = np.array(level.words, dtype=object)[level.codes(batch)]
    order = np.argsort(-terms, axis=0, kind="stable")[:NAMED]
    at, top = np.arange(rows), terms.max(axis=0)
    least = np.maximum(LEAST_TERM, top * LEAST_PART)
    chosen = [np.where(terms[one, at] >= least, words[one, at], None) for one in order]
    first = np.where(top >= LEAST_TERM, order[0], -1)
    alone, together = scorer.parts(batch)
    apart = np.full(rows, None, dtype=object)
    if scorer.joint is not None and len(odd := np.flatnonzero(together > np.maximum(alone, 0.0))):
        found = scorer.joint.farthest(*scorer.placed(batch.take(pa.array(odd))))
        apart[odd] = [APART.format(name) for name in found]
        first[odd] = [columns.index(name) for name in found]
    said = ["; ".join(filter(None, one)) for one in zip(apart, *chosen, strict=True)]
    return Reasons(pa.array(said, pa.string()), first, columns)
