"""Scores how unusual a single number is, in both tails of the reference, by cell.

A term is minus the logarithm of a share of the reference's rows, in nats: 0 for the ordinary, 6.9
for one row in a thousand, at most ``ln(2n)`` within n rows. Beyond the range the distance adds, as
if the tail went on as from its 99th percentile to its end: by a power of the distance from the
median, the slowest usual law.

References
----------
Li et al., "ECOD", IEEE TKDE 35, 2022 (tails); docs/reference/statistics.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.cells import FEW_VALUES, Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.predicate import UNFIT, Predicate
from driftline.formats.coercion import coerce
from driftline.monitors.kinds.outliers.rarity import Codes, counted_below
from driftline.monitors.results.violation import percent

Floats = NDArray[np.float32]
# What a value beyond the range can add at most, in nats: infinite ones stay comparable.
FARTHEST = 1e4
# The share from which a tail's fall to the reference's end is measured.
TAIL_SHARE = 0.01
# The greatest of k values of an exponential tail lies ln k beyond its begin, and by chance less: so
# much less than that, in nats, only once in twenty times (Gumbel's law).
LEAST_END = 1.1
# Below this, shares are said as odds.
LEAST_PERCENT = 0.001


@dataclass(frozen=True)
class NumberTerms:
    """The terms of a numeric column, by cell; shapes: C cells."""

    cells: Cells
    left: Floats  # Minus logarithm of the share of rows below, above; float32, shape (C,).
    right: Floats
    words: tuple[str, ...]  # By cell: what it holds and how rare that is.
    below: float  # Powers by which the tails fall; 0 where the reference does not tell.
    above: float

    @property
    def column(self) -> str:
        """The user's name."""
        return self.cells.column

    @property
    def tail_count(self) -> int:
        """Factor of ``exp(-t)`` that bounds the chance of a term of t: mean ranks halve a cell."""
        return 5

    def codes(self, batch: pa.RecordBatch) -> tuple[Codes, NDArray[np.float64]]:
        """Return each row's cell and number, shape (rows,); NaN where there is no number."""
        array = batch.column(self.column)
        plain, lost = coerce(array, self.cells.type)
        values = plain.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        codes = counted_below(values, np.asarray(self.cells.edges))
        codes[np.isnan(values)] = self.cells.size - 2
        if lost or UNFIT in batch.schema.names:
            mask = Predicate(self.column, "unfit", self.cells.type).mask(batch)
            codes[mask.to_numpy(zero_copy_only=False)] = self.cells.size - 1
        return codes, values

    def tails(
        self, codes: Codes, values: NDArray[np.float64] | None = None
    ) -> tuple[Floats, Floats]:
        """Return both terms of each row, shape (rows,), of cells and, beyond the range, values."""
        left, right = self.left.take(codes), self.right.take(codes)
        if values is not None and self.cells.edges:
            low, high = self.cells.edges[0], float(self.cells.maximum or 0.0)
            # Halves, as numbers at both ends of float64 lie farther apart than any number is.
            middle, half = float(self.cells.median or 0.0) / 2, values / 2
            _reach(left, codes == 0, middle - half, middle - low / 2, self.below)
            _reach(
                right, codes == len(self.cells.edges), half - middle, high / 2 - middle, self.above
            )
        return left, right


def number_terms(cells: Cells, column: ColumnProfile) -> NumberTerms:
    """Compute the terms from the reference's exact counts."""
    assert column.cell_counts is not None
    counts = column.cell_counts.astype(np.float64)
    rows = max(counts.sum(), 1.0)
    inside = counts[:-2]
    present = max(float(inside.sum()), 1.0)
    before = np.concatenate([[0.0], np.cumsum(inside)[:-1]])
    rank = before + inside / 2
    # No share is known to be below half a row of all.
    left = -np.log(np.maximum(rank, 0.5) / present)
    right = -np.log(np.maximum(present - rank, 0.5) / present)
    gap = _gap_term(column, rows)
    empty = (inside == 0) & (before > 0) & (before < present)
    left, right = (
        np.where(empty, np.maximum(left, gap), left),
        np.where(empty, np.maximum(right, gap), right),
    )
    absent = [rare_term(float(one), rows) for one in counts[-2:]]
    below, above = _powers(cells, column, inside)
    return NumberTerms(
        cells=cells,
        left=np.array([*left, *absent], np.float32),
        right=np.array([*right, *absent], np.float32),
        words=_words(cells, inside, before, counts[-2:] / rows),
        below=below,
        above=above,
    )


def rare_term(count: float, rows: float) -> float:
    """Return the term of a share of rows, in nats; at most ``ln(2 rows)``."""
    return float(-np.log(min(1.0, max(count, 0.5) / max(rows, 1.0))))


def odds(share: float) -> str:
    """Write a share as odds of two digits: ``1 in 2,000``; "" when it is not rare."""
    if share > 0.2:
        return ""
    one_in = 1.0 / max(share, 1e-15)
    digits = 1 - int(np.floor(np.log10(one_in)))
    return f"1 in {round(one_in, digits):,.0f}"


def share_words(share: float) -> str:
    """Write a share of rows so that small ones differ: ``1.2%``, ``1 in 40,000``, ``0%``."""
    return percent(share) if share >= LEAST_PERCENT or not share else odds(share)


def _reach(
    terms: Floats,
    chosen: NDArray[np.bool_],
    distances: NDArray[np.float64],
    end: float,
    power: float,
) -> None:
    """Add the distance beyond the range, in place; measured in half distances from the median."""
    at = np.flatnonzero(chosen) if power else chosen[:0]
    if len(at):
        with np.errstate(over="ignore"):
            beyond = power * np.log(np.maximum(distances[at] / end, 1.0))
        terms[at] += np.minimum(beyond, FARTHEST).astype(np.float32)


def _gap_term(column: ColumnProfile, rows: float) -> float:
    """Return the term of a number between two known ones; 0 where not all numbers are known.

    As of an unseen text, the rate follows from values seen once (Good, Biometrika 40, 1953). It
    applies to codes and ratings alone: a measured number may take any value between two others.
    """
    if not column.numbers.is_complete or len(column.numbers.values) > FEW_VALUES:
        return 0.0
    return rare_term(float(np.count_nonzero(column.numbers.counts == 1)), rows)


def _powers(
    cells: Cells, column: ColumnProfile, inside: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the powers by which the tails fall from their last percent to the reference's ends.

    0 where unknown: a tail that does not fall, few rows, or infinite values beyond the range.
    """
    present = float(inside.sum())
    fall = np.log(max(present * TAIL_SHARE, 1.0)) - LEAST_END
    if not cells.edges or fall <= 0:
        return 0.0, 0.0
    found = column.quantiles([TAIL_SHARE, 1 - TAIL_SHARE])
    middle = float(cells.median or 0.0)
    powers = []
    for quantile, end, outside in (
        (found[0].value, cells.edges[0], inside[0]),
        (found[1].value, float(cells.maximum or 0.0), inside[-1]),
    ):
        near, far = abs(quantile / 2 - middle / 2), abs(end / 2 - middle / 2)
        powers.append(float(fall / np.log(far / near)) if not outside and far > near > 0 else 0.0)
    return powers[0], powers[1]


def _words(
    cells: Cells,
    inside: NDArray[np.float64],
    before: NDArray[np.float64],
    absent: NDArray[np.float64],
) -> tuple[str, ...]:
    """Describe each cell: its values, and the share of the reference as far out."""
    present = max(float(inside.sum()), 1.0)
    found = []
    for index, phrase in enumerate(cells.names):
        text = phrase
        if index >= len(inside):
            share = float(absent[index - len(inside)])
            how = odds(share) if share else "never in the reference"
        elif not inside[index]:
            how = "beyond the reference" if index in (0, len(inside) - 1) else "in none of it"
        else:
            low = float(before[index] + inside[index]) / present
            high = 1.0 - float(before[index]) / present
            how = odds(min(low, high))
            if how and not phrase.startswith("="):  # A tail has one end that matters.
                is_low = low < high
                edge = cells.edges[index] if is_low else cells.edges[index - 1]
                text = Predicate(cells.column, "lt" if is_low else "ge", edge).phrase
        found.append(f"{cells.column} {text}" + (f" ({how})" if how else ""))
    return tuple(found)
