"""Finer bins than the baseline's cells, for rules that look at whole distributions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.column import ColumnProfile
from driftline.baseline.profile import Profile
from driftline.baseline.texts import shortened
from driftline.formats.coercion import coerce, is_missing

Numbers = NDArray[np.float64]
# So many equal parts of a number's distribution; with fewer distinct values each has a bin.
PARTS = 100
FEW_VALUES = 100


@dataclass(frozen=True, eq=False)
class FineBins:
    """How the rows of one column are binned; M bins."""

    column: str
    type: str
    is_number: bool  # Cut by value; else a bin for each known level and one for all others.
    edges: Numbers  # Ascending; bin k holds what is below edge k and not below the one before.
    levels: pa.Array
    counts: Numbers  # The reference's rows, shape (M,); the last bin is of rows without a value.
    sums: Numbers  # The sums of their numbers.
    deviation: float
    distinct_count: int

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.counts)

    def place(self, array: pa.Array) -> tuple[NDArray[np.int64], Numbers]:
        """Return each row's bin and its number, 0 where it has none; shape (rows,)."""
        plain, _ = coerce(array, self.type)  # type: ignore[arg-type] # A type of the signature.
        codes = np.full(len(plain), self.size - 1, dtype=np.int64)
        values = np.zeros(len(plain))
        present = ~is_missing(plain).to_numpy(zero_copy_only=False)
        if self.is_number:
            numbers = plain.cast(
                pa.float64(), safe=False
            )  # Of huge ones the nearest that there is.
            found = pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False)
            present = np.isfinite(found)
            values[present] = found[present]
            codes[present] = np.searchsorted(self.edges, found[present], side="right")
        else:
            encoded = shortened(plain.cast(pa.string())).dictionary_encode()
            known = pc.fill_null(pc.index_in(encoded.dictionary, self.levels), len(self.levels))
            table = known.to_numpy(zero_copy_only=False).astype(np.int64)
            at = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
            codes[present] = table[at[present]]
        return codes, values


def fine_bins_of(profile: Profile, columns: Iterable[str]) -> dict[str, FineBins]:
    """Return the fine bins of these columns; those without any value in the reference have none."""
    found = {}
    for name in columns:
        column = profile.columns[name]
        made = _of_numbers(column) if column.is_number else _of_levels(column)
        if made is not None:
            found[name] = made
    return found


def _of_numbers(column: ColumnProfile) -> FineBins | None:
    if column.numbers.is_complete:
        values, weights = column.numbers.values, column.numbers.counts.astype(np.float64)
    else:
        values, weights = column.sketch.weighted()
    if not len(values):
        return None
    weights = weights / weights.sum() * column.moments.count
    if len(values) <= FEW_VALUES:
        cuts = values
    else:
        shares = np.cumsum(weights) / weights.sum()
        at = np.searchsorted(shares, np.arange(1, PARTS) / PARTS)
        cuts = values[np.minimum(at, len(values) - 1)]
    ends = [values[0], values[-1]]
    inner = np.unique(np.concatenate([cuts, ends]))
    # Above and below a value that many rows share are two places: half of the steps lie there.
    edges = np.unique(np.concatenate([inner, np.nextafter(inner, np.inf)]))
    place = np.searchsorted(edges, values, side="right")
    size = len(edges) + 2
    counts = np.bincount(place, weights=weights, minlength=size).astype(np.float64)
    sums = np.bincount(place, weights=weights * values, minlength=size).astype(np.float64)
    deviation = float(column.moments.deviation)
    distinct = int(column.distinct.value)
    return FineBins(
        column.name, column.type, True, edges, pa.array([], pa.string()), counts, sums, deviation,
        distinct,
    )  # fmt: skip


def _of_levels(column: ColumnProfile) -> FineBins | None:
    levels, counts = column.levels.values, column.levels.counts.astype(np.float64)
    if not len(levels):
        return None
    rest = max(0.0, column.present_count - column.unfit_count - float(counts.sum()))
    counts = np.concatenate([counts, [rest, 0.0]])
    distinct = int(column.distinct.value) or len(levels)
    nothing = np.zeros(0)
    return FineBins(
        column.name, column.type, False, nothing, pa.array(levels, pa.string()), counts,
        np.zeros(len(counts)), 0.0, distinct,
    )  # fmt: skip
