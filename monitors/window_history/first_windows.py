"""The first windows of a monitor whose reference has no times: they show how much windows vary."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import Connection, func, select

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.times import EPOCH
from driftline.capture.windows.window import Window
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.significance import Numbers
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.tables import window_counts
from driftline.monitors.window_history.store import Key, read, unpack

# The first windows end when both are reached: a fortnight holds each day of the week twice, and
# fewer windows do not show how much windows differ (docs/reference/statistics.md).
FIRST_SPAN = timedelta(days=14)
FIRST_COUNT = 14

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class FirstWindows:
    """The first windows of a monitor, all of them once they are over."""

    windows: tuple[WindowCounts, ...] = ()  # In order of time; empty while they last.

    @property
    def are_over(self) -> bool:
        """Whether they show how much windows vary."""
        return bool(self.windows)

    @property
    def identity(self) -> tuple[Hashable, ...]:
        """What tells these windows from those of another monitor, or evaluated again."""
        return tuple((window.start, window.row_count) for window in self.windows)

    def blocks(self, references: Mapping[str, ReferenceColumn]) -> BlockCounts | None:
        """Return the windows as the blocks that the reference lacks; None while they last."""
        return production_blocks(self.windows, references) if self.are_over else None


def read_first_windows(
    connection: Connection, key: Key, window: Window, cell_ids: Mapping[str, str]
) -> FirstWindows:
    """Return the first windows as they are known when a window is evaluated."""
    span = first_span(connection, key, cell_ids)
    if span is None or window.start < span.end:
        return FirstWindows()
    return FirstWindows(read(connection, key, span.end, cell_ids, since=span.start))


def first_span(connection: Connection, key: Key, cell_ids: Mapping[str, str]) -> Window | None:
    """Return the time of the first windows; None while they last.

    They begin with the oldest window counted on the baseline's current cells, at least half of
    them: a version with one new column continues the earlier one.
    """
    table = window_counts.c
    own = table.monitor == key.monitor, table.source == key.source, table.counts.is_not(None)
    query = select(table.window_start, table.counts).where(*own).order_by(table.window_start)
    query = query.execution_options(yield_per=16)  # Nearly always the first is one.
    begin = next(
        (start for start, counts in connection.execute(query) if _is_of(counts, cell_ids)), None
    )
    if begin is None:
        return None
    last = connection.scalar(
        select(table.window_end)
        .where(*own, table.window_start >= begin)
        .order_by(table.window_end)
        .offset(FIRST_COUNT - 1)
        .limit(1)
    )
    if last is None:
        return None
    end: datetime | None = connection.scalar(
        select(func.min(table.window_end)).where(
            *own, table.window_start >= begin, table.window_end >= max(last, begin + FIRST_SPAN)
        )
    )
    return None if end is None else Window(begin, end)


def _is_of(counts: bytes, cell_ids: Mapping[str, str]) -> bool:
    """Whether at least half of the counted columns have the same cells."""
    ids = [cell_ids.get(name) == column[0] for name, column in unpack(counts).items()]
    return bool(2 * sum(ids) >= len(ids))


def production_blocks(
    windows: Sequence[WindowCounts], references: Mapping[str, ReferenceColumn]
) -> BlockCounts:
    """Return the windows as blocks of a reference with the reference's own shares.

    Differences between windows, season among them, are production's; the mean is the reference's,
    so that a difference since the first window remains one.
    """
    first = [(window.start - EPOCH) // HOUR for window in windows if window.start is not None]
    hours, at = np.unique(np.array(first, dtype=np.int64), return_inverse=True)
    counts = {}
    for name, reference in references.items():
        if not reference.row_count or not all(name in window.cells for window in windows):
            continue
        blocks = np.zeros((hours.size, reference.counts.size))
        np.add.at(blocks, at, np.stack([window.cells[name] for window in windows]).astype(float))
        counts[name] = _centred(blocks, reference.counts / reference.row_count)
    return BlockCounts(hours, counts)


def _centred(counts: Numbers, shares: Numbers) -> np.ndarray:
    """Move the shares of blocks, of counts of shape (B, C), so that their mean is (C,) `shares`."""
    rows = counts.sum(axis=1, keepdims=True)
    block_shares = counts / np.maximum(rows, 1.0)
    moved = np.maximum(block_shares - counts.sum(axis=0) / max(rows.sum(), 1.0) + shares, 0.0)
    moved /= np.maximum(moved.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    centred: np.ndarray = np.rint(moved * rows).astype(np.int32)
    return centred
