"""Production's own windows in the place of a reference by the hour that tells nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.significance import Numbers
from driftline.monitors.drift_test.window_counts import WindowCounts

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def production_blocks(
    windows: Sequence[WindowCounts], references: Mapping[str, ReferenceColumn]
) -> BlockCounts:
    """Give the windows as blocks of a reference whose shares are the reference's own.

    What windows differ by from each other, season among it, is production's; what they are all
    together is the reference's, so that a difference that was there from the first window on is
    still one.

    Parameters
    ----------
    windows
        In order of time, with times; each stands in its first hour.
    references
        The judged columns.

    Returns
    -------
    BlockCounts
        Of the columns that all windows have.
    """
    first = [(one.start - EPOCH) // HOUR for one in windows if one.start is not None]
    hours, at = np.unique(np.array(first, dtype=np.int64), return_inverse=True)
    counts = {}
    for name, reference in references.items():
        if not reference.row_count or not all(name in one.cells for one in windows):
            continue
        found = np.zeros((hours.size, reference.counts.size))
        np.add.at(found, at, np.stack([one.cells[name] for one in windows]).astype(np.float64))
        counts[name] = _centred(found, reference.counts / reference.row_count)
    return BlockCounts(hours, counts)


def _centred(counts: Numbers, shares: Numbers) -> np.ndarray:
    """Move the blocks' shares, of counts of shape (B, C), so that their mean is (C,) given ones."""
    rows = counts.sum(axis=1, keepdims=True)
    own = counts / np.maximum(rows, 1.0)
    moved = np.maximum(own - counts.sum(axis=0) / max(rows.sum(), 1.0) + shares, 0.0)
    moved /= np.maximum(moved.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    found: np.ndarray = np.rint(moved * rows).astype(np.int32)
    return found
