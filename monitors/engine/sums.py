"""From rows to sums by group."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.formats.hashing import hash_integers
from driftline.monitors.engine.metric import Array
from driftline.stats.blocks import NO_TIME

# A variance of 127 degrees of freedom: a bound at 1e-4 lies 3% farther out than with a known one.
GROUPS = 128
# Blocks of a reference that are kept apart, the newest. Blocks that lie farther from the others
# than there are blocks, and this many more, are stray where they hold so small a share of rows.
MOST_BLOCKS, LONGEST_GAP, STRAY_SHARE = 1_000, 100, 0.01

Groups = NDArray[np.intp]


def groups_of(rows: int, first: int = 0) -> Groups:
    """Return the group of each row, by a hash of its index: (rows,), from 0 to below GROUPS.

    Rows that follow one another fall into different groups. `first` is the index of the first row.
    """
    return groups_of_units(np.arange(first, first + rows, dtype=np.int64))


def groups_of_units(units: NDArray[np.int64]) -> Groups:
    """Return the group of each row by its unit's number: all rows of a unit fall into one group.

    A unit is what is drawn anew: a customer, a forecast. `units` are integers of shape (rows,).
    """
    return (hash_integers(units) % np.uint64(GROUPS)).astype(np.intp)


def add_up(columns: Array, index: NDArray[np.integer], size: int = GROUPS) -> Array:
    """Add rows (N, K) up by index, from 0 to below `size`, as of groups or blocks: (size, K)."""
    return np.stack([np.bincount(index, column, size) for column in columns.T], axis=-1)


def block_index(block: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64], int]:
    """Count the blocks of time in which rows lie, from 0.

    Returns the rows that are kept, each one's block from 0, and how many blocks there are. Blocks
    with few rows far from all others, such as those of one stray time, are left out, and so are
    blocks before the newest MOST_BLOCKS. `block` is each row's, shape (rows,), at least one.
    """
    found, counts = np.unique(block, return_counts=True)
    run = np.cumsum(np.diff(found, prepend=found[0]) > len(found) + LONGEST_GAP)
    rows = np.bincount(run, counts)
    found = found[(rows >= min(STRAY_SHARE * len(block), rows.max()))[run]]
    last = int(found[-1])
    first = max(int(found[0]), last - MOST_BLOCKS + 1)
    kept = np.flatnonzero((block >= first) & (block <= last))
    return kept, block[kept] - first, last - first + 1


def time_blocks(
    time_us: NDArray[np.int64] | None, block: timedelta
) -> tuple[NDArray[np.intp], NDArray[np.int64], int] | None:
    """Return the rows in blocks of time, the block of each, and how many blocks there are.

    `time_us` are microseconds since 1970, `NO_TIME` where unknown. None without any time.
    """
    timed = np.zeros(0, np.intp) if time_us is None else np.flatnonzero(time_us != NO_TIME)
    if time_us is None or not len(timed):
        return None
    kept, index, count = block_index(time_us[timed] // (block // timedelta(microseconds=1)))
    return timed[kept], index, count


def sums_by_day(columns: Array, day: NDArray[np.int64]) -> Array:
    """Add rows (N, K) up by day number: (B, K), in order as `block_index` has them."""
    kept, index, days = block_index(day)
    return add_up(columns[kept], index, days)


def ratio(over: Array, under: Array) -> Array:
    """Divide; NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(under > 0, over / under, np.nan)


def harmonic(first: Array, second: Array) -> Array:
    """Return the rows that a difference of two sides rests on; 0 where a side has none."""
    return np.nan_to_num(ratio(first * second, first + second))
