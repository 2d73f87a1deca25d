"""Tests correlations of pairs of columns against the reference.

Both sides are ranked on their own (`score_tables`), so a shift of one column is no finding here. A
correlation is judged on Fisher's scale by the influence of its rows, all pairs at once by products
of matrices. Shapes: n rows, S score columns, P judged pairs.

References
----------
Fisher, 1915 (z-transform); Hampel, JASA 69, 1974 (influence);
docs/reference/statistics.md, "Joint drift".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.monitors.kinds.joint.scores import Matrix, Score
from driftline.stats.blocks import Numbers, laws_of_means
from driftline.stats.intervals import Z95
from driftline.stats.tails import bernstein_nats, bernstein_reach, tail_scale

# A correlation may change by so much: less has no meaning for anybody.
TOLERANCE = 0.05
# Correlations beyond are taken as this: what is nearly certain has no finite Fisher z.
NEARLY_ONE = 0.995
# Pairs with fewer rows that hold both are not judged.
FEWEST_PAIRED = 100
# Where one side's scores lie in few cells, as after a great shift, ranks say little of the rest.
KEPT_SPREAD = 0.75
# Of Student's tail: smaller ones are none.
LEAST_CHANCE = 1e-300
# The strongest pairs, whose rows are looked up.
LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class Pairs:
    """Correlations of one side's rows, all of shape (S, S)."""

    rho: Numbers  # -1 to 1; NaN where either column does not vary.
    # Of the influence of one row on Fisher's z, at least 1: that of normal values.
    variance: Numbers
    rows: Numbers  # Rows that hold both columns.
    scales: Numbers  # Mean square of the first column over the rows that hold both.


@dataclass(frozen=True, slots=True)
class PairChange:
    """One pair of columns."""

    first: Score
    second: Score
    reference: float
    window: float
    low: float  # 95% interval of the window's correlation.
    high: float
    bound: float  # On the side of the change.
    p_value: float  # Chance of so much in any of the pairs without a change.
    evidence: float  # In nats; a violation iff evidence > needed.
    needed: float
    row_count: int  # Rows of the window that hold both.
    windows: int = 1  # Number of windows it was found in, the judged one the last.

    @property
    def drifted(self) -> bool:
        """Whether the pair's correlation has changed."""
        return self.evidence > self.needed

    @property
    def name(self) -> str:
        """The pair in words: ``a × b``."""
        return f"{self.first.label} × {self.second.label}"

    @property
    def ratio(self) -> float:
        """Change of the correlation over its bound."""
        room = abs(self.bound - self.reference)
        return abs(self.window - self.reference) / room if room else math.inf


def correlations(scores: Matrix) -> Pairs:
    """Measure all pairs of one side, each on the rows that hold both."""
    held = (~np.isnan(scores)).astype(np.float32)
    first = np.nan_to_num(scores)
    second = first * first
    third = second * first

    def mean(left: Matrix, right: Matrix) -> Numbers:
        return np.asarray((left.T @ right).astype(np.float64) / np.maximum(rows, 1.0))

    rows = (held.T @ held).astype(np.float64)
    scales = mean(second, held)
    with np.errstate(invalid="ignore", divide="ignore"):
        units = np.sqrt(scales * scales.T)
        rho = np.clip(mean(first, first) / units, -1.0, 1.0)
        skew = mean(third, first) / (units * scales)
        fourth = mean(second * second, held) / scales**2
        even = mean(second, second) / units**2
        variance = even - rho * (skew + skew.T) + rho**2 / 4 * (fourth + fourth.T + 2 * even)
        variance /= (1.0 - np.minimum(np.abs(rho), NEARLY_ONE) ** 2) ** 2
    return Pairs(rho, np.maximum(np.nan_to_num(variance), 1.0), rows, scales)


def judge_pairs(
    plan: Sequence[Score],
    reference: Matrix,
    window: Matrix,
    spreads: tuple[Numbers, Numbers],
    blocks: NDArray[np.int64],
    *,
    known: Pairs,
    alpha: float,
    looks: int = 1,
    newest: Pairs | None = None,
) -> list[PairChange]:
    """Judge every pair of different columns.

    Parameters
    ----------
    plan
        The score columns.
    reference, window
        Scores by each side's own ranks, shape (n, S).
    spreads
        Of reference and window, as `score_tables` gives them.
    blocks
        Blocks of the reference's rows, as `sample_blocks` gives them.
    known
        The reference's correlations.
    alpha
        Chance of a false violation among all pairs of this window, in all looks.
    looks
        In so many ways the same pairs are judged of this window.
    newest
        Where rows are of several windows: the last one's correlations, which may say it is over.

    Returns
    -------
    list of PairChange
        The strongest pairs, most evidence first, at most 50; empty when no pair can be judged.
    """
    found = correlations(window)
    first, second = _judged(plan, known, found, spreads)
    if not len(first):
        return []
    rho, now = known.rho[first, second], found.rho[first, second]
    sums, counts = _block_sums(reference, known, blocks, first, second)
    rows = 1.0 / known.rows[first, second] + 1.0 / found.rows[first, second]
    bound, estimate, freedom = laws_of_means(sums, counts, rows, known.variance[first, second])
    of_row = np.maximum(
        known.variance[first, second], np.minimum(found.variance[first, second], 4.0)
    )
    variance = bound * of_row
    last = (newest.rho[first, second], newest.rows[first, second]) if newest else None
    side, begin, distance = _beyond(rho, now, last)
    # Within the tolerance nothing is evidence; then the clearest difference is shown first.
    plain = np.abs(_fisher(now) - _fisher(rho)) / np.sqrt(variance)
    strongest = np.lexsort((-plain, -distance / np.sqrt(variance)))[:LOOKED_AT]
    trials = len(first) * looks
    needed = math.log(2.0 * trials / alpha)
    changes = []
    for at in strongest.tolist():
        pair = (int(first[at]), int(second[at]))
        scale = _scale(pair, (reference, known), (window, found))
        # By a bound of the variance, and by its estimate with Student's law: both must agree.
        error, degrees = math.sqrt(estimate[at] * of_row[at]), freedom[at]
        chance = max(special.stdtr(degrees, -distance[at] / error), LEAST_CHANCE)
        nats = bernstein_nats(float(distance[at]), float(variance[at]), scale)
        nats = min(nats, -math.log(chance))
        reach = bernstein_reach(math.exp(-needed), float(variance[at]), scale)
        reach = max(reach, -error * special.stdtrit(degrees, math.exp(-needed)))
        now_z = _fisher(now[at])
        error = Z95 * math.sqrt(float(found.variance[pair]) / max(found.rows[pair], 4))
        changes.append(
            PairChange(
                first=plan[pair[0]],
                second=plan[pair[1]],
                reference=float(rho[at]),
                window=float(now[at]),
                low=math.tanh(now_z - error),
                high=math.tanh(now_z + error),
                bound=math.tanh(begin[at] + side[at] * reach),
                p_value=min(1.0, 2.0 * trials * math.exp(-nats)),
                evidence=nats,
                needed=needed,
                row_count=int(found.rows[pair]),
            )
        )
    return sorted(changes, key=lambda change: -change.evidence)


def _beyond(
    rho: Numbers, now: Numbers, last: tuple[Numbers, Numbers] | None
) -> tuple[Numbers, Numbers, Numbers]:
    """Return each pair's side of the reference, the end of its tolerance, and its distance beyond.

    The last two are on Fisher's scale. A pair whose change is over, by the last window's
    correlations and rows, is not beyond.
    """
    side = np.where(now >= rho, 1.0, -1.0)
    end = _fisher(rho + side * TOLERANCE)
    distance = np.maximum(side * (_fisher(now) - end), 0.0)
    if last is not None:
        newest, rows = _fisher(last[0]), last[1]
        is_over = np.abs(newest - _fisher(rho)) < np.abs(newest - _fisher(now))
        distance[is_over & (rows >= FEWEST_PAIRED)] = 0.0
    return side, end, distance


def _judged(
    plan: Sequence[Score], known: Pairs, found: Pairs, spreads: tuple[Numbers, Numbers]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Choose the pairs with enough information on both sides."""
    columns = np.array([score.column for score in plan], dtype=object)
    comparable = (spreads[1] >= KEPT_SPREAD * spreads[0]) & (spreads[0] > 0)
    for place, one in enumerate(plan):
        if one.cell is not None:  # Of levels a window may hold more or fewer, but must hold some.
            comparable[place] = min(spreads[0][place], spreads[1][place]) > 0
    usable = comparable[:, None] & comparable[None, :]
    usable &= np.minimum(known.rows, found.rows) >= FEWEST_PAIRED
    usable &= columns[:, None] != columns[None, :]
    usable &= ~np.isnan(known.rho) & ~np.isnan(found.rho)
    first, second = np.nonzero(np.triu(usable, 1))
    return first, second


def _block_sums(
    scores: Matrix,
    known: Pairs,
    blocks: NDArray[np.int64],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
) -> tuple[Numbers, Numbers]:
    """Return each block's sums of the pairs' influences, and its rows that hold both: (B, P)."""
    count = int(blocks.max(initial=-1)) + 1
    rho = known.rho[first, second]
    units = np.sqrt(known.scales * known.scales.T)[first, second]
    left, right = known.scales[first, second], known.scales[second, first]
    sums, rows = np.zeros((count, len(first))), np.zeros((count, len(first)))
    for block in range(count):
        part = scores[blocks == block]
        held = (~np.isnan(part)).astype(np.float32)
        values = np.nan_to_num(part)
        squares = (values * values).T @ held
        product = (values.T @ values)[first, second] / units
        sums[block] = product - rho / 2 * (
            squares[first, second] / left + squares[second, first] / right
        )
        rows[block] = (held.T @ held)[first, second]
    sums /= 1.0 - np.minimum(np.abs(rho), NEARLY_ONE) ** 2
    return sums, rows


def _scale(pair: tuple[int, int], *sides: tuple[Matrix, Pairs]) -> float:
    """Return the scale of the tails of one pair's difference between two sides."""
    heaviest = max(tail_scale(_influence(*side, pair)) for side in sides)
    return heaviest / min(float(side.rows[pair]) for _, side in sides)


def _influence(scores: Matrix, side: Pairs, pair: tuple[int, int]) -> Numbers:
    """Return the influence of each row on Fisher's z of one pair, NaN where it lacks either."""
    rho, other = float(side.rho[pair]), (pair[1], pair[0])
    left = scores[:, pair[0]].astype(np.float64) / math.sqrt(side.scales[pair])
    right = scores[:, pair[1]].astype(np.float64) / math.sqrt(side.scales[other])
    room = 1.0 - min(abs(rho), NEARLY_ONE) ** 2
    return np.asarray((left * right - rho / 2 * (left**2 + right**2)) / room)


def _fisher(rho: Numbers | float) -> Numbers:
    return np.asarray(np.arctanh(np.clip(rho, -NEARLY_ONE, NEARLY_ONE)))
