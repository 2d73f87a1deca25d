"""How much of a model's added loss lies in each segment of rows, and whether that may be chance.

The mean loss of all rows grows because answers became worse within segments, or because segments
grew that were always hard. What a segment holds is its loss beyond its own mean in the reference,
beside what it would hold if all rows had become worse alike, or all losses in proportion.

References
----------
Kitagawa, "Components of a difference between two rates", JASA 50, 1955 (within and mix).
Welch, "The generalization of Student's problem", Biometrika 34, 1947 (two variances).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.stats.decomposition import HALF, LIFT, TINY

# Fewer rows of the window are no segment whose mean loss can be told.
MIN_ROWS = 10
# Chance of a false name for each window, over all segments of all columns.
FALSE_NAME = 4e-3

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class AddedLoss:
    """What each segment holds of the added loss, shape (segments,)."""

    share: Floats  # Of the added loss, 0-1.
    base: Floats  # What it would hold if no segment were behind it, 0-1.
    evidence: Floats  # Against that, in nats; 0 where it holds less.
    rows: Floats
    rest: Floats  # Loss added in all other segments, in deviations.

    @property
    def score(self) -> Floats:
        """What segments are ranked by."""
        return self.share - self.base

    def stands(self, tried: int) -> Bools:
        """Return which segments are to be named, where so many were tried."""
        found = (self.share >= HALF) & (self.share >= LIFT * self.base) & (self.rows >= MIN_ROWS)
        return np.asarray(found & (self.evidence > np.log(max(tried, 1) / FALSE_NAME)))


def added_loss(window: Floats, reference: Floats, usual: float, *, effect: float) -> AddedLoss:
    """Measure what each segment of a column holds of the loss that a window has more.

    Parameters
    ----------
    window, reference
        Rows, sum of losses, and sum of their squares by segment, shape (3, segments). Segments of
        the window are disjoint and hold all of its rows; of the reference several may stand for
        the same rows, where it did not tell them apart.
    usual
        Mean loss of all rows of the reference.
    effect
        How many times more than that of independent rows the variance of a mean loss is, from 1.
    """
    rows, losses, _ = window
    known = reference[0]
    before = (reference[1] + usual) / (known + 1)
    within = losses - rows * before
    total, column = losses.sum() - usual * rows.sum(), within.sum()
    # Less than this is what rounding leaves of sums that are equal, in any unit of loss.
    least = max(TINY * (losses.sum() + usual * rows.sum()), np.finfo(float).tiny)
    share = np.minimum(within / max(total, least), within / max(column, least))
    expected = rows * before
    base = np.maximum(rows / rows.sum(), expected / max(expected.sum(), TINY))
    spread = rows * _variances(window) + rows**2 * _variances(reference) / (known + 1)
    beyond = (1 - base) ** 2 * spread + base**2 * (spread.sum() - spread)
    far = (within - base * column) / np.sqrt(effect * np.maximum(beyond, TINY))
    rest = np.sqrt(effect * np.maximum(spread.sum() - spread, TINY))
    return AddedLoss(
        share=np.clip(share, 0.0, 1.0) if total > least else np.zeros_like(rows),
        base=base,
        evidence=np.maximum(far, 0.0) ** 2 / 2,
        rows=rows,
        rest=(column - within) / rest,
    )


def _variances(sums: Floats) -> Floats:
    """Return the variance of a row's loss in each segment, shrunk by one row like all of them.

    A few rows that are all wrong are no proof that no other would be right.
    """
    rows, losses, squares = sums
    count = max(rows.sum(), 1.0)
    mean = (losses + losses.sum() / count) / (rows + 1)
    return np.asarray(np.maximum((squares + squares.sum() / count) / (rows + 1) - mean**2, 0.0))
