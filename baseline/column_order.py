"""Pairs of numeric columns that keep an order, such as a part and its total.

Candidates come from a sample; how often each holds is counted as a derived column. Shapes: n rows,
C columns, P pairs.
"""

from __future__ import annotations

from itertools import compress

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# So long the reference is: in a shorter one any two columns of one season keep an order
# (docs/why/drift-test.md).
LEAST_DAYS = 330
# Candidates hold in so many of the sampled rows, and in half of them one column is truly above.
CANDIDATE_SHARE = 0.99
ABOVE_SHARE = 0.5
# A column of which fewer sampled rows hold a number is in no pair.
KNOWN_SHARE = 0.5
# Rows that each pair of columns is laid beside, and those that passed beside all of these.
FIRST_ROWS, MOST_ROWS = 64, 1024
# Pairs kept, those whose ranges overlap most: what a check costs stays bounded in any table.
PAIR_CAP = 64
# Pairs that are laid beside all sampled rows at once.
PAIRS_AT_ONCE = 4096
TAILS = (0.05, 0.95)

Pair = tuple[str, str]  # The column that is at least the other, then that other.
Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]


def candidate_pairs(sample: pa.Table) -> tuple[Pair, ...]:
    """Find the pairs whose sampled rows keep an order, and whose ranges overlap.

    C squared pairs are compared on 64 rows; only those that pass are compared on all rows.
    """
    names = sample.column_names
    if sample.num_rows < FIRST_ROWS or len(names) < 2:
        return ()
    sample = sample.take(pa.array(np.arange(0, len(sample), -(-len(sample) // MOST_ROWS))))
    rows = np.column_stack([sample.column(name).to_numpy() for name in names])
    rows = np.where(np.isfinite(rows), rows, np.nan)
    # Where half is missing, hardly a pair has rows enough, and all of them would be candidates.
    has_numbers = np.isfinite(rows).mean(axis=0) >= KNOWN_SHARE
    rows, names = rows[:, has_numbers], [*compress(names, has_numbers)]
    if len(names) < 2:
        return ()
    low, high = np.nanquantile(rows, TAILS, axis=0)
    uppers, lowers = _first_pairs(rows[:: len(rows) // FIRST_ROWS][:FIRST_ROWS], low, high)
    cuts = range(PAIRS_AT_ONCE, len(uppers), PAIRS_AT_ONCE)
    parts = zip(np.split(uppers, cuts), np.split(lowers, cuts), strict=True)
    kept = np.concatenate([_holds(rows, *part) for part in parts])
    uppers, lowers = uppers[kept], lowers[kept]
    # The share of the upper column's range that the lower one reaches into.
    overlap = (high[lowers] - low[uppers]) / np.maximum(high[uppers] - low[uppers], 1e-300)
    best = np.sort(np.argsort(-overlap, kind="stable")[:PAIR_CAP])
    return tuple((names[uppers[at]], names[lowers[at]]) for at in best)


def _first_pairs(rows: Numbers, low: Numbers, high: Numbers) -> tuple[Counts, Counts]:
    """Return the pairs, by column, with overlapping ranges and hardly a reversed row."""
    allowed = (1.0 - CANDIDATE_SHARE) * 2.0 * len(rows) + 1.0
    uppers, lowers = [], []
    for upper in range(rows.shape[1]):
        others = np.flatnonzero((low[upper] < high) & (low < high[upper]))
        others = others[others != upper]
        reversed_count = (rows[:, upper, None] < rows[:, others]).sum(axis=0)
        found = others[reversed_count <= allowed]
        uppers.append(np.full(len(found), upper))
        lowers.append(found)
    return np.concatenate(uppers), np.concatenate(lowers)


def _holds(rows: Numbers, uppers: Counts, lowers: Counts) -> NDArray[np.bool_]:
    """Return which pairs keep their order in the sampled rows, shape (P,)."""
    gaps = rows[:, uppers] - rows[:, lowers]
    known = np.isfinite(gaps).sum(axis=0)
    reversed_count, above = (gaps < 0).sum(axis=0), (gaps > 0).sum(axis=0)
    is_kept = reversed_count <= (1.0 - CANDIDATE_SHARE) * known
    return np.asarray((known >= FIRST_ROWS) & is_kept & (above >= ABOVE_SHARE * known))
