"""A simulated history: the counts of each column, hour by hour, on the reference's own cells.

Cells are chosen by the product's functions from the rows of the reference. Where a window has too
many rows to draw them one by one, the counts are drawn from the cells' shares.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from scipy import special

from driftline.baseline.cells import Cells, number_cells, text_cells
from driftline.monitors.drift_test.drift import ReferenceColumn
from tests.monitors.drift_test.simulation.rows import Rows

# Of so many values cells are chosen; the product's sketch is about as exact.
CELL_SAMPLE = 100_000


@dataclass(frozen=True)
class ColumnHistory:
    """One column's counts.

    Parameters
    ----------
    cells
        Chosen on the reference.
    hours
        int32, shape (hours, cells): reference first, then what is judged.
    reference_hours
        How many hours the reference has.
    once_count
        Texts that the reference holds once.
    means
        Numbers: mean of the reference's values in each cell of values, shape (cells - 2,); for
        rules that need values.
    deviation, distinct_count
        Of the reference's values.
    """

    cells: Cells
    hours: np.ndarray
    reference_hours: int
    once_count: int = 0
    means: np.ndarray = field(default_factory=lambda: np.empty(0))
    deviation: float = 0.0
    distinct_count: int = 0

    @cached_property
    def reference(self) -> ReferenceColumn:
        """What the decision knows of the column."""
        known = self.hours[: self.reference_hours].sum(axis=0)
        return ReferenceColumn(self.cells, known.astype(np.float64), self.once_count)

    def windows(self, length_h: int) -> np.ndarray:
        """Merge the hours after the reference: int64, shape (windows, cells)."""
        after = self.hours[self.reference_hours :]
        kept = len(after) // length_h * length_h
        parts = after[:kept].reshape(-1, length_h, after.shape[1])
        return np.asarray(parts.sum(axis=1, dtype=np.int64))

    def blocks(self, length_h: int) -> np.ndarray:
        """Merge the reference's hours: int64, shape (blocks, cells)."""
        before = self.hours[: self.reference_hours]
        kept = len(before) // length_h * length_h
        parts = before[:kept].reshape(-1, length_h, before.shape[1])
        return np.asarray(parts.sum(axis=1, dtype=np.int64))


def counted(
    name: str, values: np.ndarray, rows: Rows, reference_hours: int, rng: np.random.Generator
) -> ColumnHistory:
    """Choose cells on the reference's values and count all values on them.

    Parameters
    ----------
    values
        float64, shape (rows,), NaN where there is none; or int64 codes of levels, -1 for none.
    """
    known = values[: rows.first_of(reference_hours)]
    once = 0
    if values.dtype.kind == "f":
        cells = _number_cells(name, known, rng)
        codes = cells.assign(pa.array(values, pa.float64(), from_pandas=True))
    else:
        found, often = np.unique(known[known >= 0], return_counts=True)
        once = int(np.sum(often == 1))
        levels = {f"v{code}": int(count) for code, count in zip(found, often, strict=True)}
        rows_known = int(often.sum())
        cells = text_cells(name, "string", levels, complete=True, row_count=rows_known)
        distinct, at = np.unique(values, return_inverse=True)
        words = pa.array([None if code < 0 else f"v{code}" for code in distinct.tolist()])
        codes = cells.assign(words)[at]
        # As a baseline is counted (repeated_cells): what came once was new to the rest of it.
        repeated = tuple(sorted(name for name, count in levels.items() if count > 1))
        codes[: known.size] = replace(cells, known=repeated).assign(words)[at[: known.size]]
    size, hours = cells.size, rows.counts.size
    flat = np.bincount(rows.hour * size + codes, minlength=hours * size)
    table = flat.reshape(hours, size).astype(np.int32)
    found = ColumnHistory(cells, table, reference_hours, once)
    return _with_values(found, known, codes[: known.size])


def _with_values(column: ColumnHistory, known: np.ndarray, codes: np.ndarray) -> ColumnHistory:
    """Add what the reference's values say beside their cells."""
    if known.dtype.kind != "f":
        return replace(column, distinct_count=np.unique(known[known >= 0]).size)
    size = column.cells.size
    often = np.bincount(codes, minlength=size)
    sums = np.bincount(codes, np.nan_to_num(known), minlength=size)
    # Beyond the ends the reference has no values: they stand for what lies there.
    edges = np.asarray(column.cells.edges)
    ends = np.append(edges, edges[-1]) if edges.size else np.zeros(1)
    means = np.where(often[:-2] > 0, sums[:-2] / np.maximum(often[:-2], 1), ends)
    present = known[~np.isnan(known)]
    deviation = float(present.std()) if present.size else 0.0
    few = min(np.unique(present[:CELL_SAMPLE]).size, 1000)
    return replace(column, means=means, deviation=deviation, distinct_count=few)


def _number_cells(name: str, known: np.ndarray, rng: np.random.Generator) -> Cells:
    present = known[~np.isnan(known)]
    ends = np.array([present.min(), present.max()]) if present.size else present
    few = present.size <= CELL_SAMPLE
    sample = present if few else np.concatenate([rng.choice(present, CELL_SAMPLE), ends])
    values, weights = np.unique(sample, return_counts=True)
    return number_cells(name, "double", values, weights, few=values.size <= 1000)


def spread(
    column: ColumnHistory,
    rows: Rows,
    rng: np.random.Generator,
    *,
    slow: np.ndarray | None = None,
    concentration: float | None = None,
    empty: np.ndarray | None = None,
) -> ColumnHistory:
    """Draw a column anew on its own cells, with as many rows as asked for.

    Parameters
    ----------
    column
        Gives the cells and, by all its hours together, their true shares.
    rows
        Rows of each hour; as many hours as the column has.
    slow
        Shape (hours,): how far the hour moves the column's normal scores, in standard deviations.
    concentration
        The hour's shares are a Dirichlet draw around the true ones, as of so many independent
        rows: what rows of one hour share. None: they are the true ones.
    empty
        Shape (hours,): the share of rows without a value in each hour.
    """
    total = column.hours.sum(axis=0).astype(np.float64)
    shares = total / total.sum()
    by_hour = np.broadcast_to(shares, (rows.counts.size, shares.size))
    if slow is not None:
        by_hour = _moved(shares, slow)
    if empty is not None:
        by_hour = np.outer(1.0 - empty, shares / (1.0 - shares[-2]))
        by_hour[:, -2] = empty
    if concentration is not None:
        weights = rng.gamma(np.maximum(by_hour * concentration, 1e-300))
        by_hour = weights / weights.sum(axis=1, keepdims=True)
    drawn = rng.multinomial(rows.counts, by_hour).astype(np.int32)
    return replace(column, hours=drawn, once_count=0)


def _moved(shares: np.ndarray, slow: np.ndarray) -> np.ndarray:
    """Move a normal variable cut at the cells' shares: the shares it then has in the cells."""
    cuts = special.ndtri(np.clip(np.cumsum(shares)[:-1], 0.0, 1.0))
    below = special.ndtr(cuts[None, :] - slow[:, None])
    moved = np.diff(below, axis=1, prepend=0.0, append=1.0)
    return np.asarray(moved / moved.sum(axis=1, keepdims=True))
