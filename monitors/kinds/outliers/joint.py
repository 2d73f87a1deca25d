"""How odd a row's numbers are together: each may be ordinary, and no row has had them both.

The numbers are ranked by the reference and laid on the normal distribution, so that neither units
nor long tails count; the distance from the middle is measured along the reference's correlations
(Mahalanobis).

References
----------
Mahalanobis, Proc. National Institute of Sciences of India 2, 1936;
docs/reference/statistics.md, "Outliers".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# So much is taken off each correlation: columns that are one and the same stay measurable.
SHRINKAGE = 0.01
# Columns that hardly vary in the sample have no correlation.
LEAST_SPREAD = 0.05
# Nor have those that few rows of the sample tell apart: half of the sample may hold none of them.
LEAST_APART = 50
# Rows for each column that a correlation takes.
ROWS_PER_COLUMN = 5
# Small products stay in the cache, and wake no threads that cost more than they do.
BLOCK_ROWS = 1 << 10

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Joint:
    """How the reference's numbers hang together; shapes: J columns."""

    width: int  # How many numeric columns there are.
    columns: NDArray[np.int64]  # Which of the normal scores are used, shape (J,).
    mean: Numbers  # Of their normal scores in the sample, shape (J,).
    spread: Numbers
    precision: Numbers  # Inverse of their correlations, shape (J, J).

    def distance(self, normal: Numbers) -> Numbers:
        """Measure how far rows lie from the middle."""
        found = np.empty(normal.shape[1])
        for at in range(0, len(found), BLOCK_ROWS):
            scores = self._root @ normal[:, at : at + BLOCK_ROWS]
            scores -= self._middle
            np.multiply(scores, scores, out=scores)
            found[at : at + BLOCK_ROWS] = scores.sum(axis=0)
        found /= 2
        return found

    @cached_property
    def _root(self) -> Numbers:
        """The root of the precision for all numeric columns as they come, shape (J, columns)."""
        found = np.zeros((len(self.columns), self.width))
        found[:, self.columns] = np.linalg.cholesky(self.precision).T / self.spread
        return found

    @cached_property
    def _middle(self) -> Numbers:
        return np.asarray(self._root[:, self.columns] @ self.mean[:, None])

    def partners(self, normal: Numbers) -> tuple[NDArray[np.int64], NDArray[np.int64], Numbers]:
        """Return the number of each row that fits the others least, its worst partner, the excess.

        Places among all numeric columns, and by how many nats the first is odder beside the others
        than it is alone; shape (rows,) each.
        """
        scores = self._scaled(normal)
        pulled = self.precision @ scores
        # The square of what is left of a number once the others have foretold it, over its
        # variance, less what is odd about it alone.
        left = pulled**2 / np.diag(self.precision)[:, None] - scores**2
        odd, at = np.argmax(left, axis=0), np.arange(normal.shape[1])
        # By which other number it was foretold on the wrong side.
        misled = self.precision[odd].T * scores * np.sign(pulled[odd, at])
        misled[odd, at] = -np.inf
        other = np.argmax(misled, axis=0)
        return self.columns[odd], self.columns[other], left[odd, at] / 2

    def _scaled(self, normal: Numbers) -> Numbers:
        return np.asarray((normal[self.columns] - self.mean[:, None]) / self.spread[:, None])


def fit_joint(normal: Numbers) -> Joint | None:
    """Learn the correlations of a sample's normal scores, shape (columns, rows)."""
    return _fit(normal, _varied(normal))


def _varied(normal: Numbers) -> NDArray[np.int64]:
    """Choose the columns that vary enough to have a correlation."""
    apart = [len(one) - np.unique(one, return_counts=True)[1].max(initial=0) for one in normal]
    found = np.flatnonzero(np.array(apart, np.int64) >= LEAST_APART)
    return np.asarray(found[normal[found].std(axis=1) >= LEAST_SPREAD])


def _fit(normal: Numbers, columns: NDArray[np.int64]) -> Joint | None:
    rows, scores = normal.shape[1], normal[columns]
    if len(columns) < 2 or rows < ROWS_PER_COLUMN * len(columns):
        return None
    spread = scores.std(axis=1)
    if not spread.all():
        return None
    correlations: Numbers = (1 - SHRINKAGE) * np.asarray(np.corrcoef(scores))
    np.fill_diagonal(correlations, 1.0)
    precision = np.linalg.inv(correlations).astype(np.float64)
    return Joint(len(normal), columns, scores.mean(axis=1), spread, precision)


def cross_fitted(normal: Numbers) -> Numbers | None:
    """Measure each half of a sample along the correlations of the other, shape (rows,).

    A row is nearer to correlations that it has made itself than a new row is to them.
    """
    found, columns = np.empty(normal.shape[1]), _varied(normal)
    halves = np.arange(normal.shape[1]) % 2
    for half in (0, 1):
        other = _fit(normal[:, halves != half], columns)
        if other is None:
            return None
        found[halves == half] = other.distance(normal[:, halves == half])
    return found
