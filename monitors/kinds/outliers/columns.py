"""The columns of a reference by cell: how rare a value is, and where it lies among all others.

A value's term is minus the logarithm of a share of the reference's rows, in nats: of a number those
as far out, of a level those whose level is as rare, of a gap those with gaps; at most ``ln(2n)`` of
n rows. Beyond the reference's range it grows by a power of the distance from the median, as the
tails of Student's law do.

References
----------
Li et al., "ECOD", IEEE TKDE 35, 2022 (tails); Good, Biometrika 40, 1953 (unseen values).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.predicate import UNFIT, Predicate
from driftline.formats.coercion import coerce
from driftline.monitors.results.violation import percent

Numbers = NDArray[np.float64]
Codes = NDArray[np.integer]

# A text's most frequent values have an axis each; all others lie in the origin.
LEVEL_AXES = 16
# Beyond the reference's range tails fall by this power of the distance from the median, as those of
# Student's law of so many degrees of freedom.
POWER = 3.0
# What a value beyond the range can add at most, in nats: infinite ones stay comparable.
FARTHEST = 1e4
LARGEST = np.finfo(np.float64).max
QUARTILES_OF_NORMAL = 1.349


@dataclass(frozen=True, eq=False)
class ColumnTerms:
    """What a row's cell and value say of it; shapes: C cells."""

    cells: Cells
    rare: Numbers  # How rare a cell is as such, in nats, shape (C,).
    words: tuple[str, ...]  # By cell: what it holds and how rare that is.
    # Numbers of its sample, ascending, and the shares of it up to the middle of each, shape (V,);
    # their median, and the width of their middle half over that of a normal law of 1.
    values: Numbers
    ranks: Numbers
    middle: float = 0.0
    spread: float = 1.0

    @property
    def axes(self) -> int:
        """Number of axes."""
        if self.cells.is_number:
            return min(len(self.values), 1)
        return min(len(self.cells.levels), LEVEL_AXES)

    def codes(self, batch: pa.RecordBatch) -> Codes:
        """Return each row's cell, shape (rows,)."""
        codes = self.cells.assign(batch.column(self.cells.column))
        if UNFIT in batch.schema.names:
            mask = Predicate(self.cells.column, "unfit", self.cells.type).mask(batch)
            codes[mask.to_numpy(zero_copy_only=False)] = self.cells.size - 1
        return codes

    def of_rows(self, batch: pa.RecordBatch, codes: Codes) -> tuple[Numbers, Numbers]:
        """Return terms, shape (rows,), and places, shape (rows, axes), of rows in these cells."""
        if not len(self.values):
            return self.rare[codes], np.eye(self.cells.size, self.axes)[codes]
        values = _numbers(batch.column(self.cells.column), self.cells)
        ranks = np.interp(values, self.values, self.ranks)
        tail = -np.log(np.fmin(ranks, 1.0 - ranks))
        with np.errstate(all="ignore"):
            # Halves, as numbers at both ends of float64 lie farther apart than any number is.
            far = values / 2 - self.middle / 2
            end = np.where(far < 0, self.values[0], self.values[-1]) / 2 - self.middle / 2
            tail += np.fmin(POWER * np.log(np.fmax(far / end, 1.0)), FARTHEST)
            # Far out the scale is logarithmic, so that no column hides the others.
            place = np.arcsinh(np.clip(far / self.spread * 2, -LARGEST, LARGEST))
        return np.fmax(tail, self.rare[codes]), np.nan_to_num(place)[:, None]


def column_terms(cells: Cells, column: ColumnProfile, sample: pa.Array) -> ColumnTerms:
    """Compute the terms from a reference's counts and the values of its sampled rows."""
    assert column.cell_counts is not None
    counts = column.cell_counts.astype(np.float64)
    rows, held = max(counts.sum(), 1.0), counts[:-2]
    rare, words = -np.log(np.maximum(counts, 0.5) / rows), _words(cells, counts)
    if not cells.is_number:
        # Levels that are as rare count together: of a thousand equal ones none stands out.
        together = np.where(held[:, None] >= held, held, 0.0).sum(axis=1)
        rare[:-2] = 0.0 if cells.type == "timestamp" else -np.log(np.maximum(together, 0.5) / rows)
        if cells.known is not None:
            once = np.count_nonzero(column.levels.counts == 1)
            rare[len(cells.levels) + 1] = -np.log(max(once, 0.5) / rows)
        return ColumnTerms(cells, rare, words, np.zeros(0), np.zeros(0))
    numbers = _numbers(sample, cells)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return ColumnTerms(cells, rare, words, numbers, numbers)
    # Cells without rows are as rare as half a row; how far out others lie, ranks say.
    rare[:-2] = np.where(held > 0, 0.0, rare[:-2])
    values, often = np.unique(numbers, return_counts=True)
    # No share is known to be below half a row of all.
    least = 0.5 / len(numbers)
    ranks = np.clip((np.cumsum(often) - often / 2) / len(numbers), least, 1.0 - least)
    low, middle, high = np.quantile(numbers, [0.25, 0.5, 0.75], method="lower").tolist()
    spread = (high - low) / QUARTILES_OF_NORMAL or float(np.std(values / 2)) * 2 or 1.0
    return ColumnTerms(cells, rare, words, values, ranks, middle, spread)


def _numbers(array: pa.Array, cells: Cells) -> Numbers:
    plain, _ = coerce(array, cells.type)
    return np.asarray(plain.to_numpy(zero_copy_only=False), np.float64)


def _words(cells: Cells, counts: Numbers) -> tuple[str, ...]:
    """Describe each cell: its values, and the share of the reference that is as far out."""
    found, held = [], counts[:-2]
    parts, upto = counts / max(counts.sum(), 1.0), np.cumsum(held) / max(held.sum(), 1.0)
    for index, phrase in enumerate(cells.names):
        share, how = float(parts[index]), "never in the reference"
        if cells.is_number and index < cells.size - 2:
            how = "beyond the reference" if index in (0, cells.size - 3) else how
            low, high = float(upto[index]), 1.0 - float(upto[index - 1] if index else 0.0)
            if share and not phrase.startswith("="):  # A tail has one end that matters.
                edge = cells.edges[index] if low < high else cells.edges[index - 1]
                phrase = Predicate(cells.column, "lt" if low < high else "ge", edge).phrase
            share = min(low, high) if share else 0.0
        how = f"{percent(share)} of the reference" if share else how
        # Of a text that was not seen the phrase says it all.
        how = "" if phrase.endswith("in the reference") else f" ({how})"
        found.append(f"{cells.column} {phrase}{how}")
    return tuple(found)
