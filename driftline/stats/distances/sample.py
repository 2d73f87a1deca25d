"""One side of a comparison: what is known of a column of rows, or of its profile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from driftline.stats.distances.counts import Counts

SampleKind = Literal["numbers", "levels"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """The finite numbers of one side.

    Parameters
    ----------
    values, weights
        Distinct values, ascending, and the rows that each stands for, shape (V,).
    rank_error
        By what share of the rows a rank may be off; 0 when every row is counted.
    """

    values: Counts
    weights: Counts
    rank_error: float = 0.0

    @property
    def count(self) -> float:
        """Rows that hold a finite number."""
        return float(self.weights.sum())


@dataclass(frozen=True, slots=True)
class Levels:
    """The texts or truth values of one side.

    Parameters
    ----------
    values, counts
        Distinct texts and the rows that hold each, shape (L,); of driftline's own an Arrow array.
    count
        Rows that hold a value, with those of values that are not listed.
    error
        By how much a count may be too small; 0 when all values are listed with their counts.
    codes
        Place of each value among the distinct values of both sides of a pair, shape (L,).
    """

    values: Iterable[object]
    counts: Counts
    count: int
    error: int = 0
    codes: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))


@dataclass(frozen=True, slots=True)
class CellCounts:
    """Rows that hold a value, by the cells of a baseline.

    Parameters
    ----------
    id
        Only counts of equal ids are on the same cells.
    counts
        Rows in each cell, shape (C,).
    """

    id: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of one side.

    Parameters
    ----------
    kind
        None for a column without a single value and without a type.
    row_count, missing_count
        All rows; those without a value (null, NaN, empty text).
    numbers, levels
        The one that fits the kind.
    cells
        The rows on the reference's cells, where they were counted.
    """

    kind: SampleKind | None
    row_count: int
    missing_count: int
    numbers: Numbers | None = None
    levels: Levels | None = None
    cells: CellCounts | None = None
