"""What a reference never came near over as many rows: columns that are gone, or that stand still.

One bad day among the reference's teaches the drift test so much patience that a column may come
empty for days. And weather differs so much from week to week that one reading, repeated for a
week, is no drift. Yet no stretch of the reference of half as many rows was anything like it. Pure.
Shapes: H hours, C cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.column import ColumnProfile
from driftline.monitors.drift_test.significance import MIN_ROWS

# From this share of empty rows on a column is as good as gone.
GONE_SHARE = 0.9
# What no stretch of the reference came near, simulated on outages of an hour and less: below a
# day, one outage may fill the window, and few of them do not tell how long the next one lasts.
NEAR_SHARE = 0.6
STRETCH = 0.5
DAY_H = 24
# No session fills so many rows.
LEAST_ROWS = 300


def is_gone(blocks: BlockCounts | None, profile: ColumnProfile) -> bool:
    """Whether a column is nearly empty, as no stretch of the reference was."""
    if profile.completeness > 1 - GONE_SHARE:
        return False
    hours, counts = _by_hour(blocks, profile.name)
    return _never_near(hours, counts[:, -2:-1], counts.sum(axis=1), profile.row_count)


def is_stuck(blocks: BlockCounts | None, profile: ColumnProfile) -> bool:
    """Whether all numbers are equal, as in no stretch of the reference."""
    if constant_value(profile) is None:
        return False
    hours, counts = _by_hour(blocks, profile.name)
    values = counts[:, :-2]
    return _never_near(hours, values, values.sum(axis=1), profile.moments.count)


def constant_value(profile: ColumnProfile) -> float | None:
    """Return the one value that all numbers of a column have; None for several, or few."""
    found = profile.moments
    if not profile.is_number or found.count < MIN_ROWS or found.minimum < found.maximum:
        return None
    return found.minimum if found.count == profile.present_count else None


def _by_hour(blocks: BlockCounts | None, name: str) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the reference's hours, (H,), and rows per cell, (H, C); H is 0 without hours."""
    part = None if blocks is None else blocks.of(name)
    if part is None:
        return np.zeros(0, np.int64), np.zeros((0, 2), np.int32)
    return part.hours, part.counts[name]


def _never_near(
    hours: NDArray[np.int64],
    counts: NDArray[np.int32],
    rows: NDArray[np.int64],
    window_rows: int,
) -> bool:
    """Whether no stretch of hours with half as many rows as a window had most in one cell."""
    days = max(np.unique(hours[rows > 0] // DAY_H).size, 1)
    if window_rows < max(LEAST_ROWS, rows.sum() / days):
        return False
    reached = np.concatenate([[0], np.cumsum(rows)])
    held = np.concatenate([np.zeros((1, counts.shape[1])), np.cumsum(counts, axis=0)])
    last = np.searchsorted(reached, reached[:-1] + STRETCH * window_rows)
    first = np.flatnonzero(last < reached.size)
    if not first.size:
        return False
    last = last[first]
    shares = (held[last] - held[first]) / (reached[last] - reached[first])[:, None]
    return bool(shares.max() <= NEAR_SHARE)
