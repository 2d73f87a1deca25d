"""Hourly counts as profile.arrow holds them: by column, with the hours in its metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from driftline.baseline.blocks import HOUR_LIMIT, BlockCounts


def hour_counts(blocks: BlockCounts | None) -> dict[str, np.ndarray]:
    """Return the hourly counts of each column that has some, cell after cell."""
    parts = () if blocks is None else (blocks, *blocks.apart)
    # The counts of one cell are alike from hour to hour, and so compress well.
    return {name: counts.T.ravel() for part in parts for name, counts in part.counts.items()}


def hour_notes(blocks: BlockCounts | None) -> dict[str, Any]:
    """Return the hours as plain values: those of most columns, then others by column."""
    if blocks is None:
        return {"hours": None}
    apart = [{"hours": _runs_of(one.hours), "columns": sorted(one.counts)} for one in blocks.apart]
    return {"hours": _runs_of(blocks.hours)} | ({"apart": apart} if apart else {})


def _runs_of(hours: np.ndarray) -> list[list[int]]:
    """Return the first of each run of neighbouring hours, and how many it has."""
    first = np.flatnonzero(np.diff(hours, prepend=hours[:1] - 2) != 1)
    sizes = np.diff(first, append=len(hours))
    return [list(one) for one in zip(hours[first].tolist(), sizes.tolist(), strict=True)]


def _hours(runs: Sequence[Any]) -> np.ndarray:
    """Return the hours of the metadata; ValueError where they are invalid or too many."""
    if any(count < 1 for _, count in runs) or sum(count for _, count in runs) > HOUR_LIMIT:
        raise ValueError("hours that there are not")
    return np.concatenate(
        [np.empty(0, np.int64), *(np.arange(first, first + count) for first, count in runs)]
    )


def read_hours(notes: Mapping[str, Any], counts: Mapping[str, np.ndarray]) -> BlockCounts:
    """Read the columns that have the same hours."""
    hours = _hours(notes["hours"])
    return BlockCounts(
        hours,
        {
            name: np.ascontiguousarray(own.reshape(-1, len(hours)).T)
            if len(hours)
            else np.empty((0, 0), np.int32)
            for name, own in counts.items()
        },
    )
