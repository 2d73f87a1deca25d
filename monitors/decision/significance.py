"""When a difference is too much: one scan of shares per column, with a budget of false alarms.

A column is cut into sets of rows (below a quantile, equal to a level, empty, never seen ...) whose
shares are compared with the reference's. The window's share is first moved towards the reference's
by a tolerance, so that what is tested is an effect beyond the tolerance, never "exactly equal".
The strength of the strongest set is weighed against the number of sets, columns and windows of a
year, and against how much the reference itself varies from block to block (the design effect), so
that a monitor gives at most ``false_alarms_per_year`` of them on data that do not change.

Pure functions of counts; shapes: S scanned sets, B blocks of the reference.

References
----------
Berk and Jones, Zeitschrift fuer Wahrscheinlichkeitstheorie 47, 1979 (the scan);
Kish, Survey Sampling, 1965 (design effect); Wilson, JASA 22, 1927 (interval).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = [
    "MIN_ROWS",
    "BlockTable",
    "Scan",
    "alpha_per_column",
    "blame",
    "design_effect",
    "evidence",
    "scan",
    "usual_effect",
    "wilson_interval",
]

# Fewer rows than this are not judged: a share of them has no meaningful tolerance.
MIN_ROWS = 30

# Below so many blocks the design effect of longer blocks is extrapolated from shorter ones, and
# below the second number it is not believed to be under 2 (drift-methods.md section 6.3).
BLOCKS_TRUSTED = 40
BLOCKS_WANTED = 14
# How much of the usual variation a set is taken to have at least: with less, slow processes that
# leave the range of a short reference alarm (bench/false_alarms.py); with more, summer after a
# winter's reference is not found.
COMMON_WEIGHT = 0.45
# Sets of at least this share, and at most its complement, say how a column usually varies.
INNER_SHARE = 0.05
# From so many blocks on, a block's neighbours are left out of the reference together with it, so
# that a slow process is not compared with itself.
BLOCKS_TO_LEAVE_OUT_NEIGHBOURS = 10

# Halvings of [0, 1] that leave less than 2e-8.
BISECTIONS = 26

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BlockTable:
    """What the reference's own blocks of one length hold.

    Parameters
    ----------
    counts
        Rows per block and scanned set, shape (B, S), in order of time.
    rows
        Rows per block, shape (B,), all above 0.
    """

    counts: Numbers
    rows: Numbers


@dataclass(frozen=True, slots=True)
class Scan:
    """What the scan of one column found.

    Parameters
    ----------
    index
        The strongest set.
    distance
        |window share - reference share| of that set, 0-1.
    bound
        The distance at which that set would just be a violation; ``drifted`` iff above it.
    p_value
        Chance of an evidence at least as strong in any set of this column, without drift.
    evidence
        Strength of the strongest set beyond the tolerance, in nats over the design effect.
    needed
        The evidence at which a violation begins.
    share_reference, share_window
        Shares of the strongest set, 0-1.
    share_interval
        95 % interval of ``share_window`` (Wilson), as for independent rows.
    design_effect
        How many times more the strongest set varies than independent rows would.
    set_evidence
        Evidence of each set over its design effect, shape (S,).
    """

    index: int
    distance: float
    bound: float
    p_value: float
    evidence: float
    needed: float
    share_reference: float
    share_window: float
    share_interval: tuple[float, float]
    design_effect: float
    set_evidence: Numbers

    @property
    def drifted(self) -> bool:
        """Whether the distance exceeds its bound."""
        return self.distance > self.bound


def alpha_per_column(false_alarms_per_year: float, windows_per_year: float, columns: int) -> float:
    """Divide a year's budget of false alarms among the tests of that year.

    Returns
    -------
    float
        The p-value below which one column of one window is a violation: by linearity the expected
        number a year is then at most the budget, however the columns hang together.
    """
    return false_alarms_per_year / (windows_per_year * max(columns, 1))


def evidence(
    reference_share: Numbers,
    reference_rows: float | Numbers,
    window_share: Numbers,
    window_rows: float | Numbers,
    *,
    tolerance: Numbers | float,
) -> Numbers:
    """Weigh each set's difference beyond a tolerance: log-likelihood ratio of two binomials.

    Parameters
    ----------
    reference_share, window_share
        Shares in [0, 1]; shapes that broadcast against each other.
    reference_rows, window_rows
        Rows behind them, above 0.
    tolerance
        How far the window's share may lie from the reference's at no cost, in share.

    Returns
    -------
    numpy.ndarray
        G >= 0 in nats, 0 within the tolerance, rising with the difference on either side.
        Without drift P(G >= g) is at most about 2 exp(-g).

    References
    ----------
    drift-methods.md section 6.2: p' = (pn + 1/2)/(n + 1), a = (mq + np')/(m + n),
    G = m kl(q, a) + n kl(p', a).
    """
    p, n, m = reference_share, reference_rows, window_rows
    gap = window_share - p
    moved = p + np.sign(gap) * np.maximum(np.abs(gap) - tolerance, 0.0)
    smoothed = (p * n + 0.5) / (n + 1.0)
    # Between p and its smoothed self there is nothing to tell: without this, G would first fall.
    moved = np.where(gap > 0, np.maximum(moved, smoothed), np.minimum(moved, smoothed))
    middle = (m * moved + n * smoothed) / (m + n)
    found = m * _divergence(moved, middle) + n * _divergence(smoothed, middle)
    return np.where(np.abs(gap) <= tolerance, 0.0, np.maximum(found, 0.0))


def design_effect(
    reference_counts: Numbers,
    reference_rows: float,
    tables: tuple[BlockTable, ...],
    *,
    window_rows: float,
) -> Numbers:
    """Learn from the reference's blocks how much more shares vary than independent rows' would.

    Parameters
    ----------
    reference_counts
        Reference rows per set, shape (S,).
    reference_rows
        All reference rows.
    tables
        Blocks of the window's length, of half of it, of a quarter ..., in this order; empty when
        the reference has no times.
    window_rows
        Rows of the window; more than a block usually has add to the effect in proportion, because
        what a block's rows share does not average out within it.

    Returns
    -------
    numpy.ndarray
        Factors >= 1, shape (S,); 1 without blocks.
    """
    found = np.ones(reference_counts.size)
    if not tables:
        return found
    shorter = found
    for place, table in enumerate(reversed(tables)):
        own = _effect_of(reference_counts, reference_rows, table)
        if table.rows.size < BLOCKS_TRUSTED and place > 0:
            # A process with memory varies more over longer spans, up to its own time scale.
            growth = np.clip(found / shorter, 1.0, 2.0) if place > 1 else 1.0
            own = np.maximum(own, found * growth)
        shorter, found = found, own
    blocks = tables[0].rows.size
    if blocks < BLOCKS_WANTED:
        found = np.maximum(found, 2.0)
    usual = float(np.median(tables[0].rows)) if blocks else float(window_rows)
    spread = 1.0 + (found - 1.0) * max(1.0, window_rows / usual)
    # What moves whole blocks moves their tails, too, even if the reference has too few rows there
    # to show it; a set varies at least as its column usually does.
    inner = _inner(reference_counts, reference_rows)
    common = float(np.median(spread[inner])) if inner.any() else float(spread.max())
    return np.maximum(spread, 1.0 + COMMON_WEIGHT * (common - 1.0))


def usual_effect(reference_counts: Numbers, reference_rows: float, effect: Numbers) -> float | None:
    """Give the median design effect of a column's inner sets; None when it has none."""
    inner = _inner(reference_counts, reference_rows)
    return float(np.median(effect[inner])) if inner.any() else None


def scan(
    reference_counts: Numbers,
    reference_rows: float,
    window_counts: Numbers,
    window_rows: float,
    *,
    alpha: float,
    tolerance: float,
    effect: Numbers,
) -> Scan:
    """Judge one column of one window.

    Parameters
    ----------
    reference_counts, window_counts
        Rows per scanned set, shape (S,); sets may overlap.
    reference_rows, window_rows
        All rows of either side; at least ``MIN_ROWS`` in the window.
    alpha
        As ``alpha_per_column`` gives it.
    tolerance
        SageMaker's comparison_threshold, in share at the median: a set of share p may move by
        ``2 tolerance sqrt(p (1 - p))``, which is the threshold itself at p = 1/2.
    effect
        As ``design_effect`` gives it, shape (S,).

    Returns
    -------
    Scan
        ``drifted`` iff ``p_value < alpha`` iff ``distance > bound``.
    """
    p = np.clip(reference_counts / reference_rows, 0.0, 1.0)
    q = np.clip(window_counts / window_rows, 0.0, 1.0)
    free = 2.0 * tolerance * np.sqrt(p * (1.0 - p))
    weighed = evidence(p, reference_rows, q, window_rows, tolerance=free) / effect
    needed = math.log(2.0 * p.size / alpha)
    bounds = _bounds(p, reference_rows, q >= p, window_rows, free=free, target=needed * effect)
    distances = np.abs(q - p)
    ratios = distances / bounds
    index = int(np.lexsort((ratios, weighed))[-1])
    strongest = float(weighed[index])
    distance, bound = float(distances[index]), float(bounds[index])
    # Rounding of the bisection must not part the two forms of the same decision.
    if strongest > needed:
        bound = min(bound, math.nextafter(distance, 0.0))
    else:
        bound = max(bound, distance)
    return Scan(
        index=index,
        distance=distance,
        bound=bound,
        p_value=min(1.0, 2.0 * p.size * math.exp(-strongest)),
        evidence=strongest,
        needed=needed,
        share_reference=float(p[index]),
        share_window=float(q[index]),
        share_interval=wilson_interval(float(window_counts[index]), window_rows),
        design_effect=float(effect[index]),
        set_evidence=weighed,
    )


def wilson_interval(count: float, rows: float) -> tuple[float, float]:
    """Give the 95 % interval of a share (Wilson), (0, 1) for no rows."""
    if rows <= 0:
        return 0.0, 1.0
    z = float(special.ndtri(0.975))
    share = count / rows
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    half /= 1 + z * z / rows
    return max(0.0, centre - half), min(1.0, centre + half)


def blame(excess: dict[str, float]) -> dict[str, float]:
    """Share out the blame by each feature's evidence beyond what a violation needs.

    Parameters
    ----------
    excess
        Evidence minus the needed evidence, in nats, per violating feature; whatever is below one
        nat counts as one, so that each violating feature carries some.

    Returns
    -------
    dict
        Shares per feature that sum to 1, or an empty dict.
    """
    weights = {name: max(1.0, value) for name, value in excess.items()}
    total = math.fsum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _inner(counts: Numbers, rows: float) -> NDArray[np.bool_]:
    """Mark the sets that are neither rare nor nearly everything."""
    share = counts / max(rows, 1.0)
    return np.asarray((share >= INNER_SHARE) & (share <= 1.0 - INNER_SHARE))


def _divergence(first: Numbers, second: Numbers) -> Numbers:
    """Binary Kullback-Leibler divergence in nats."""
    found = special.rel_entr(first, second) + special.rel_entr(1.0 - first, 1.0 - second)
    return np.asarray(found, dtype=np.float64)


def _effect_of(counts: Numbers, rows: float, table: BlockTable) -> Numbers:
    """Over-dispersion of one block length, each block against the reference without it."""
    blocks, sets = table.counts.shape
    if blocks < 3:
        return np.ones(sets)
    out_counts, out_rows = _neighbourhoods(table)
    left_rows = np.maximum(rows - out_rows, 1.0)[:, None]
    left = np.clip((counts[None, :] - out_counts) / left_rows, 0.0, 1.0)
    share = np.clip(table.counts / table.rows[:, None], 0.0, 1.0)
    found = evidence(left, left_rows, share, table.rows[:, None], tolerance=0.0)
    mean: Numbers = (2.0 * found).mean(axis=0) * (1.0 + 2.0 * math.sqrt(2.0 / blocks))
    # The reference's most surprising block must not look surprising: calibrates the tail.
    tail = float(found.max()) / math.log(4.0 * sets * blocks)
    return np.maximum(np.maximum(mean, tail), 1.0)


def _neighbourhoods(table: BlockTable) -> tuple[Numbers, Numbers]:
    """Add to each block's counts and rows its two neighbours' (not when blocks are few)."""
    counts, rows = table.counts.astype(np.float64), table.rows.astype(np.float64)
    if rows.size < BLOCKS_TO_LEAVE_OUT_NEIGHBOURS:
        return counts, rows
    wide_counts, wide_rows = counts.copy(), rows.copy()
    wide_counts[1:] += counts[:-1]
    wide_counts[:-1] += counts[1:]
    wide_rows[1:] += rows[:-1]
    wide_rows[:-1] += rows[1:]
    return wide_counts, wide_rows


def _bounds(
    p: Numbers,
    n: float,
    above: NDArray[np.bool_],
    m: float,
    *,
    free: Numbers,
    target: Numbers,
) -> Numbers:
    """Find per set the distance on the window's side at which the evidence reaches the target."""
    room = np.where(above, 1.0 - p, p)
    side = np.where(above, 1.0, -1.0)
    low, high = np.minimum(free, room), room.copy()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        reached = evidence(p, n, p + side * middle, m, tolerance=free) > target
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle)
    within = evidence(p, n, p + side * room, m, tolerance=free) > target
    # Where not even a share of 0 or 1 would do, nothing exceeds the bound.
    return np.where(within, np.maximum(high, np.finfo(np.float64).tiny), 1.0)
