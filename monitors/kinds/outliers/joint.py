"""How odd a row's numbers are together: each may be ordinary, and no row has had them both.

The numbers are ranked by the reference and laid on the normal distribution, so that neither units
nor long tails count; the distance from the middle is measured along the reference's correlations
(Mahalanobis). A number that a row lacks, NaN here, says nothing of the others.

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
# Relative error of sums that should be equal.
ROUNDING = 1e-9

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
        """Measure how far rows lie from the middle.

        A number that a row lacks counts as what it adds on average: half of its squared deviation
        from what the others foretell.
        """
        lost = np.isnan(normal)
        known = self.completed(normal) if lost.any() else normal
        found = np.empty(normal.shape[1])
        for at in range(0, len(found), BLOCK_ROWS):
            scores = self._root @ known[:, at : at + BLOCK_ROWS]
            scores -= self._middle
            np.multiply(scores, scores, out=scores)
            found[at : at + BLOCK_ROWS] = scores.sum(axis=0)
        found += np.count_nonzero(lost[self.columns], axis=0)
        found /= 2
        return found

    def completed(self, normal: Numbers) -> Numbers:
        """Return scores in which the others foretell what rows lack (the conditional mean)."""
        lost = np.isnan(normal[self.columns])
        found = np.where(np.isnan(normal), 0.0, normal)
        at = np.flatnonzero(lost.any(axis=0))
        scores = np.where(lost[:, at], 0.0, self._scaled(found[:, at]))
        packed = np.packbits(lost[:, at], axis=0)
        pattern = np.unique(packed, axis=1, return_inverse=True)[1].ravel()
        ends = np.cumsum(np.bincount(pattern))[:-1]
        # Rows that lack the same are foretold together.
        for rows in np.split(np.argsort(pattern, kind="stable"), ends) if len(at) else ():
            gone = np.flatnonzero(lost[:, at[rows[0]]])
            pulled = self.precision[gone] @ scores[:, rows]
            part = self.precision[np.ix_(gone, gone)]
            scores[np.ix_(gone, rows)] = -np.linalg.solve(part, pulled)
        foretold = scores * self.spread[:, None] + self.mean[:, None]
        found[np.ix_(self.columns, at)] = np.where(
            lost[:, at], foretold, found[np.ix_(self.columns, at)]
        )
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
        lost = np.isnan(normal[self.columns])
        scores = self._scaled(self.completed(normal))
        pulled = self.precision @ scores
        # The square of what is left of a number once the others have foretold it, over its
        # variance, less what is odd about it alone.
        left = pulled**2 / np.diag(self.precision)[:, None] - scores**2
        # Of two columns alone each fits the other as little: the first, whatever the last bits say.
        most = left.max(axis=0)
        odd = np.argmax(left >= most - ROUNDING * (1.0 + np.abs(most)), axis=0)
        at = np.arange(normal.shape[1])
        # By which other number it was foretold on the wrong side.
        misled = self.precision[odd].T * scores * np.sign(pulled[odd, at])
        misled[odd, at] = -np.inf
        misled[lost] = -np.inf
        other = np.argmax(misled, axis=0)
        return self.columns[odd], self.columns[other], left[odd, at] / 2

    def _scaled(self, normal: Numbers) -> Numbers:
        return np.asarray((normal[self.columns] - self.mean[:, None]) / self.spread[:, None])


def fit_joint(normal: Numbers) -> Joint | None:
    """Learn the correlations of a sample's normal scores, shape (columns, rows)."""
    return _fit(normal, _varied(normal))


def _varied(normal: Numbers) -> NDArray[np.int64]:
    """Choose the columns that vary enough to have a correlation."""
    found = []
    for place, one in enumerate(normal):
        known = one[~np.isnan(one)]
        apart = len(known) - np.unique(known, return_counts=True)[1].max(initial=0)
        if apart >= LEAST_APART and known.std() >= LEAST_SPREAD:
            found.append(place)
    return np.array(found, np.int64)


def _fit(normal: Numbers, columns: NDArray[np.int64]) -> Joint | None:
    rows, scores = normal.shape[1], normal[columns]
    if len(columns) < 2 or rows < ROWS_PER_COLUMN * len(columns):
        return None
    known = ~np.isnan(scores)
    counts = known.sum(axis=1)
    mean = np.where(known, scores, 0.0).sum(axis=1) / np.maximum(counts, 1)
    scores = np.where(known, scores - mean[:, None], 0.0)
    spread = np.sqrt(np.square(scores).sum(axis=1) / np.maximum(counts, 1))
    if not spread.all():
        return None
    correlations: Numbers = (1 - SHRINKAGE) * _correlations(scores, known)
    np.fill_diagonal(correlations, 1.0)
    precision = np.linalg.inv(correlations).astype(np.float64)
    return Joint(len(normal), columns, mean, spread, precision)


def _correlations(scores: Numbers, known: NDArray[np.bool_]) -> Numbers:
    """Return the correlations of centred scores, 0 where a row lacks one, shape (J, J).

    Each pair is measured on the rows that have both, and is 0 without any.
    """
    squares = np.square(scores) @ known.T
    scale = np.sqrt(squares * squares.T)
    found: Numbers = scores @ scores.T / np.where(scale > 0, scale, 1.0)
    if not known.all():  # Pairs of different rows need not be correlations of anything.
        excess = max(0.0, -float(np.linalg.eigvalsh(found)[0]))
        found = (found + excess * np.eye(len(found))) / (1.0 + excess)
    return found


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
