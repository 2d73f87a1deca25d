"""Scores how unusual a single level (text, boolean) is, by its rarity.

The term of a level is minus the logarithm of the share of rows whose level is as rare or rarer; for
the rarest one that is its own share. So no level of a column of a thousand equal ones stands out.
An unseen text is as rare as those seen once foretell.

References
----------
Good, Biometrika 40, 1953 (unseen values); docs/reference/statistics.md, "Outliers".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.predicate import UNFIT, Predicate
from driftline.baseline.texts import shortened
from driftline.formats.coercion import coerce, is_missing
from driftline.monitors.kinds.outliers.rarity import Codes
from driftline.monitors.kinds.outliers.terms import Floats, odds, rare_term

# Where nearly every text is new, as in ids, none is odd: only that there is one is looked at.
MOSTLY_NEW = 0.5


@dataclass(frozen=True)
class LevelTerms:
    """The terms of a text, boolean or time column."""

    cells: Cells
    # Texts whose own term is known; none where only the presence of a value counts.
    values: pa.Array
    terms: Floats  # Float32, shape (values,).
    counts: NDArray[np.int64]  # Rows of the reference that hold each, shape (values,).
    other: float  # The term of any other text.
    empty: float
    unfit: float
    words: tuple[str, ...]  # By cell: what it holds.

    @property
    def column(self) -> str:
        """The user's name."""
        return self.cells.column

    @property
    def tail_count(self) -> int:
        """Factor of ``exp(-t)`` that bounds the chance of a term of t: half a row is the least."""
        return 2

    def of_rows(self, batch: pa.RecordBatch) -> Floats:
        """Return the term of each row, shape (rows,)."""
        plain, lost = coerce(batch.column(self.column), self.cells.type)
        if not len(self.values):
            missing = is_missing(plain).to_numpy(zero_copy_only=False)
            found = np.where(missing, self.empty, 0.0).astype(np.float32)
        else:
            encoded = plain.cast(pa.string()).dictionary_encode()
            table = np.append(self._of_texts(encoded.dictionary), np.float32(self.empty))
            indices = encoded.indices
            if indices.null_count:
                indices = pc.fill_null(indices, len(encoded.dictionary))
            found = table.take(indices.to_numpy())
        if lost or UNFIT in batch.schema.names:
            mask = Predicate(self.column, "unfit", self.cells.type).mask(batch)
            found[mask.to_numpy(zero_copy_only=False)] = self.unfit
        return np.asarray(found)

    def _of_texts(self, texts: pa.Array) -> Floats:
        places = pc.index_in(shortened(texts), value_set=self.values)
        known = pc.fill_null(places, len(self.values)).to_numpy(zero_copy_only=False)
        found = np.append(self.terms, np.float32(self.other)).take(known)
        found[pc.equal(texts, "").to_numpy(zero_copy_only=False)] = self.empty
        return np.asarray(found)

    def of_codes(self, codes: Codes, random: np.random.Generator) -> Floats:
        """Return the terms of rows with known cells; rare texts are drawn by their counts."""
        by_cell = np.full(self.cells.size, 0.0, np.float32)
        by_cell[-2:] = self.empty, self.unfit
        if not len(self.values):
            return by_cell.take(codes)
        levels = len(self.cells.levels)
        by_cell[: self.cells.size - 2] = self.other
        by_cell[:levels] = self._of_texts(pa.array(self.cells.levels, pa.string()))
        found = by_cell.take(codes)
        rare = pc.invert(pc.is_in(self.values, value_set=pa.array(self.cells.levels, pa.string())))
        chosen = rare.to_numpy(zero_copy_only=False) & (self.counts > 1)
        among = codes == levels
        if chosen.any() and among.any():
            weights = self.counts[chosen] / self.counts[chosen].sum()
            found[among] = random.choice(self.terms[chosen], int(among.sum()), p=weights)
        return np.asarray(found)

    def codes(self, batch: pa.RecordBatch) -> NDArray[np.int64]:
        """Return each row's cell, shape (rows,), for its words."""
        codes = self.cells.assign(batch.column(self.column))
        mask = Predicate(self.column, "unfit", self.cells.type).mask(batch)
        codes[mask.to_numpy(zero_copy_only=False)] = self.cells.size - 1
        return codes


def level_terms(cells: Cells, column: ColumnProfile) -> LevelTerms:
    """Compute the terms from the reference's counts."""
    assert column.cell_counts is not None
    counts = column.cell_counts.astype(np.float64)
    rows = float(counts.sum())
    values, often, other = _levels(cells, column, counts, rows)
    absent = counts[-2:] / max(rows, 1.0)
    return LevelTerms(
        cells=cells,
        values=values,
        terms=_rarity(often, rows, others=0.0 if column.levels.is_exact else float(counts[-3])),
        counts=often,
        other=other,
        empty=rare_term(float(counts[-2]), rows),
        unfit=rare_term(float(counts[-1]), rows),
        words=_words(cells, counts / max(rows, 1.0), absent),
    )


def _levels(
    cells: Cells, column: ColumnProfile, counts: NDArray[np.float64], rows: float
) -> tuple[pa.Array, NDArray[np.int64], float]:
    """Return the texts with counts of their own, and the term of any other text."""
    nothing = pa.array([], pa.string()), np.zeros(0, np.int64), 0.0
    if cells.type == "timestamp" or (not cells.levels and cells.known is None):
        return nothing
    if cells.known is None:  # Too many differ: beside the frequent ones all are others.
        known = pa.array(cells.levels, pa.string())
        return known, counts[: len(known)].astype(np.int64), rare_term(float(counts[-3]), rows)
    once = float(np.count_nonzero(column.levels.counts == 1))
    if once > MOSTLY_NEW * rows:
        return nothing
    return column.levels.values, column.levels.counts, rare_term(once, rows)


def _rarity(counts: NDArray[np.int64], rows: float, *, others: float) -> Floats:
    """Return minus the logarithm of the share of rows that are as rare or rarer."""
    distinct, inverse = np.unique(counts, return_inverse=True)
    held = np.bincount(inverse, weights=counts, minlength=len(distinct))
    share = (np.cumsum(held) + others) / max(rows, 1.0)
    return np.asarray(-np.log(np.clip(share, 0.5 / max(rows, 1.0), 1.0))[inverse], np.float32)


def _words(
    cells: Cells, shares: NDArray[np.float64], absent: NDArray[np.float64]
) -> tuple[str, ...]:
    found = []
    for index, phrase in enumerate(cells.names):
        if index >= cells.size - 2 and not absent[index - cells.size]:
            how = "never in the reference"
        elif cells.known is not None and index == len(cells.levels) + 1:
            how = ""  # The phrase says it: not seen in the reference.
        elif index == len(cells.levels) and cells.type != "timestamp":
            how = "rare"
        else:
            how = odds(float(shares[index]))
        found.append(f"{cells.column} {phrase}" + (f" ({how})" if how else ""))
    return tuple(found)
