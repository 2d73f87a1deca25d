"""Whether features move the model's answers the way they did in the reference. Pure.

Sizes of attributions cannot see a model that answers the opposite. So of each feature the reference
keeps its mean attribution by cells of its values, and a window's attributions are correlated with
the means of the cells that its values lie in: 1 for a model that goes the same way, -1 for the
opposite, whatever the curve.

Shapes: N rows, M features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import special

from driftline.stats.intervals import Z95

Numbers = NDArray[np.float64]

# Cells of a feature's values, besides the one of missing values or other texts.
CELLS = 10
# Weaker correlations are the scatter of a feature that works by others.
LEAST_AGREEMENT = 0.3
# Of one feature by chance. A thousandth of a window's budget for three features: the other tests
# need not share theirs with it.
TURN_CHANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Effect:
    """How one feature moves one output: its mean attribution by cells of its values."""

    cells: tuple[float, ...] | tuple[str, ...]  # Inner edges of a number's, or texts.
    means: tuple[float, ...]  # The last one of missing values and of other texts.
    agreement: float  # Correlation of the reference's own attributions with these, 0-1.


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a window's attributions agree with the reference's effects, each shape (M,)."""

    before: Numbers  # Correlations in the reference itself.
    now: Numbers
    errors: Numbers  # Standard errors of those now.
    chances: Numbers  # One-sided p-values of going the opposite way.

    @property
    def half_widths(self) -> Numbers:
        """Half of each 95% interval of the correlations now."""
        return Z95 * self.errors


def effects_of(rows: pa.Table, signed: NDArray[np.float32]) -> tuple[Effect, ...]:
    """Learn how each feature moves an output from attributions with their signs, shape (N, M)."""
    found = []
    for column, values in zip(rows.columns, signed.T.astype(np.float64), strict=True):
        cells = _cells(column)
        places = _places(column, cells)
        counts = np.bincount(places, minlength=len(cells) + 2)
        sums = np.bincount(places, values, minlength=len(cells) + 2)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), values.mean())
        agreement, *_ = _correlation(means[places], values)
        found.append(Effect(cells, tuple(means.tolist()), max(0.0, agreement)))
    return tuple(found)


def agreement_of(
    effects: Sequence[Effect], rows: pa.Table, signed: NDArray[np.float32]
) -> Agreement:
    """Correlate a window's attributions, shape (N, M), with what its values did before."""
    pairs = [
        _correlation(np.array(one.means)[_places(column, one.cells)], values)
        for one, column, values in zip(
            effects, rows.columns, signed.T.astype(np.float64), strict=True
        )
    ]
    now, errors, freedom = np.array(pairs).T
    before = np.array([one.agreement for one in effects])
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(now == 0, 0.0, now / errors)
        chances = np.where(freedom > 0, special.stdtr(np.maximum(freedom, 0.1), scores), 0.5)
    return Agreement(before, now, errors, np.asarray(chances, dtype=np.float64))


def _cells(column: pa.ChunkedArray) -> tuple[float, ...] | tuple[str, ...]:
    if not _is_text(column):
        values = _numbers(column)
        values = values[np.isfinite(values)]
        if not len(values):
            return ()
        edges = np.quantile(values, np.arange(1, CELLS) / CELLS, method="higher")
        # Of a flag that few rows have, all quantiles are the same.
        edges = np.append(edges, np.unique(values)[1:2])
        return tuple(np.unique(edges[edges > values.min()]).tolist())
    counted = pc.value_counts(column.drop_null().combine_chunks()).to_pylist()
    counted.sort(key=lambda one: (-one["counts"], one["values"]))
    return tuple(one["values"] for one in counted[:CELLS])


def _places(column: pa.ChunkedArray, cells: Sequence[float] | Sequence[str]) -> NDArray[np.intp]:
    """Return the cell of each value, shape (N,); the last one of missing values."""
    if not _is_text(column):
        values = _numbers(column)
        found = np.searchsorted(np.array(cells, dtype=np.float64), values, side="right")
        return np.asarray(np.where(np.isnan(values), len(cells) + 1, found), dtype=np.intp)
    known = pc.index_in(column, value_set=pa.array(cells, column.type))
    return np.asarray(pc.fill_null(known, len(cells) + 1).to_numpy(), dtype=np.intp)


def _is_text(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(column.type))


def _numbers(column: pa.ChunkedArray) -> Numbers:
    if pa.types.is_list(column.type):  # Of which none is more than another.
        return np.full(len(column), np.nan)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _correlation(expected: Numbers, values: Numbers) -> tuple[float, float, float]:
    """Return the correlation, its standard error by rows, and the error's degrees of freedom.

    Each row is compared with what the others say (HC3), and the freedom is that of the rows that
    the slope hangs on: one row in a rare cell tells nothing, and two next to nothing. All are 0
    where either side is constant.

    References
    ----------
    MacKinnon and White, Journal of Econometrics 29 (1985), HC3.
    """
    mine, own = expected - expected.mean(), values - values.mean()
    size = float(np.sqrt((mine @ mine) * (own @ own)))
    if len(values) < 2 or min(np.ptp(expected), np.ptp(values)) <= 0 or size <= 0:
        return 0.0, 0.0, 0.0
    weights = mine**2 / (mine @ mine)
    slope = float(mine @ own / (mine @ mine))
    left = np.maximum(1.0 - weights - 1.0 / len(values), 1e-9)
    error = float(np.sqrt(np.square(mine * (own - slope * mine) / left).sum()))
    freedom = 1.0 / float(weights @ weights) - 1.0
    return float(mine @ own) / size, error / size, max(0.0, freedom)
