"""How well the reference's main directions still rebuild the rows (PCA, squared error).

The directions come from one half of the reference's sample, the expected error from the other, and
the other way round: rows that a direction was fitted to are rebuilt too well, and the blocks of one
half alone are too few to tell how blocks differ. Shapes: n rows, S score columns.

References
----------
Jolliffe, Principal Component Analysis, 2002; docs/reference/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.kinds.multivariate.blocks import Numbers
from driftline.monitors.kinds.multivariate.scores import Matrix, Score
from driftline.stats.blocks import variation_of_means
from driftline.stats.intervals import Z95
from driftline.stats.tails import tail_scale

# Share of the variance that the kept directions explain, as NannyML's default.
KEPT_VARIANCE = 0.65
# The mean error may change by so much of itself.
TOLERANCE = 0.05
FEWEST_ROWS = 100
# With a smaller error for each column all is rebuilt: there is nothing to compare with.
LEAST_ERROR = 1e-6
NAMED = 3


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """The mean squared error of rebuilt rows, over that of the reference."""

    ratio: float  # Of the window, with its 95% interval; 1 is as in the reference.
    low: float
    high: float
    bound: float  # On the side of the change.
    p_value: float
    evidence: float  # In nats; a violation iff evidence > needed.
    needed: float
    directions: int  # How many were kept.
    columns: tuple[tuple[str, float], ...]  # With their share of the change, 0-1, most first.

    @property
    def drifted(self) -> bool:
        """Whether rows are rebuilt otherwise than the reference's."""
        return self.evidence > self.needed


def judge_reconstruction(
    plan: Sequence[Score],
    reference: Matrix,
    window: Matrix,
    blocks: NDArray[np.int64],
    *,
    alpha: float,
) -> Reconstruction | None:
    """Judge a window; both sides scored by the reference's ranks, a gap is the mean.

    None when there are too few rows or columns, or nothing is left to rebuild.
    """
    # Whole blocks on either side, where there are some; by the parity of their bits, since every
    # other one may be a half of the day or of the week.
    places = blocks if blocks.max(initial=-1) >= 0 else np.arange(len(reference))
    odd = np.bitwise_count(places) % 2 == 1
    smallest = min(int(odd.sum()), int((~odd).sum()), len(window))
    errors = _cross_errors(reference, window, odd) if smallest >= FEWEST_ROWS else None
    if errors is None or len(plan) < 3:
        return None
    rows, total = errors.reference, errors.window
    variance, ratio = max(float(rows.var()), 1e-12), float(total.mean())
    law = variation_of_means(rows - 1.0, blocks)
    by_rows = variance * (1.0 / len(rows) + 1.0 / len(total))
    heaviest = max(tail_scale(rows - 1.0), tail_scale(total - ratio))
    scale = heaviest / min(len(rows), len(total))
    needed = math.log(2.0 / alpha)
    nats = law.nats(abs(ratio - 1.0) - TOLERANCE, by_rows, scale)
    reach = law.reach(alpha / 2.0, by_rows, scale)
    side = 1.0 if ratio >= 1 else -1.0
    # No error is below 0: where even that would be usual, only a larger one is a violation.
    bound = 1.0 + side * (TOLERANCE + reach)
    bound = bound if bound > 0 else 1.0 + TOLERANCE + reach
    error = Z95 * math.sqrt(float(total.var()) / len(total))
    return Reconstruction(
        ratio=ratio,
        low=max(0.0, ratio - error),
        high=ratio + error,
        bound=bound,
        p_value=min(1.0, 2.0 * math.exp(-nats)),
        evidence=nats,
        needed=needed,
        directions=errors.directions,
        columns=_contributors(plan, errors.change, side),
    )


@dataclass(frozen=True, slots=True)
class _Errors:
    """Squared errors over the expected one, each row rebuilt by directions of other rows."""

    reference: Numbers  # By row; shape (n,). The reference's mean is 1.
    window: Numbers
    change: Numbers  # Of the mean, by score column, shape (S,).
    directions: int  # How many were kept, at most.


def _cross_errors(reference: Matrix, window: Matrix, odd: NDArray[np.bool_]) -> _Errors | None:
    """Rebuild each half of the reference by the other's directions, and the window by both."""
    known, found = np.nan_to_num(reference), np.nan_to_num(window)
    rows, total = np.empty(len(known)), np.zeros(len(found))
    change, most = np.zeros(known.shape[1]), 0
    for half in (odd, ~odd):
        kept = _directions(known[half])
        errors, now = _errors(known[~half], kept), _errors(found, kept)
        alone = errors.sum(axis=1, dtype=np.float64)
        usual, share = float(alone.mean()), float((~half).mean())
        if kept.shape[1] == known.shape[1] or usual < LEAST_ERROR * known.shape[1]:
            return None
        rows[~half] = alone / usual
        total += now.sum(axis=1, dtype=np.float64) * (share / usual)
        change += (now.mean(axis=0) - errors.mean(axis=0)) * (share / usual)
        most = max(most, kept.shape[1])
    return _Errors(rows, total, change, most)


def _directions(scores: Matrix) -> Matrix:
    """Return the fewest directions that explain the wanted share, as columns, shape (S, K)."""
    values, vectors = np.linalg.eigh((scores.T @ scores).astype(np.float64) / len(scores))
    explained = np.cumsum(values[::-1]) / max(float(values.sum()), 1e-300)
    count = int(np.searchsorted(explained, KEPT_VARIANCE)) + 1
    return np.asarray(vectors[:, ::-1][:, :count], np.float32)


def _errors(scores: Matrix, kept: Matrix) -> Matrix:
    """Return the squared error of each row and column."""
    return np.asarray((scores - (scores @ kept) @ kept.T) ** 2)


def _contributors(
    plan: Sequence[Score], change: Numbers, side: float
) -> tuple[tuple[str, float], ...]:
    """Share the change among the columns that went the same way."""
    sums: dict[str, float] = {}
    for one, value in zip(plan, change.tolist(), strict=True):
        sums[one.column] = sums.get(one.column, 0.0) + max(0.0, side * value)
    total = math.fsum(sums.values())
    ranked = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    return tuple((name, value / total) for name, value in ranked[:NAMED] if value > 0)
