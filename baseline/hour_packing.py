"""Counts by hour as profile.arrow holds them: packed by column, with the hours among its notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from driftline.baseline.blocks import HOUR_LIMIT, HOURS_OF_WEEK, BlockCounts, LetGo
from driftline.baseline.packing import pack, pack_counts, unpack, unpack_counts

LET_GO = ("days", "weeks")
COUNT, SUM = "<i4", "<i8"
# In place of the fullest cell's counts, which are what the others leave of an hour's rows.
REST = -1


def packed_hours(blocks: BlockCounts | None, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the counts by hour of each column that has some."""
    found: dict[str, dict[str, Any]] = {}
    for part in () if blocks is None else (blocks, *blocks.apart):
        rows: np.ndarray | None = None
        for name in (one for one in names if one in part.counts):
            counts, gone = part.counts[name], part.let_go
            own: dict[str, Any] = {"blocks": pack_counts(_less_fullest(counts, rows).T)}
            if gone is None:
                own |= dict.fromkeys((*LET_GO, "hour_rows"))
            else:
                own |= {"days": pack(gone.counts[name].T, COUNT)}
                own |= {"weeks": pack(gone.weeks[name].T, SUM)}
                own |= {"hour_rows": None if rows is not None else pack(gone.rows, SUM)}
            rows = counts.sum(axis=1) if rows is None else rows
            found[name] = own
    return found


def _less_fullest(counts: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    """Leave the fullest cell out where the hours' rows, of the first column, tell it."""
    if rows is None or not len(rows) or not np.array_equal(counts.sum(axis=1), rows):
        return counts
    left = counts.copy()
    left[:, counts.sum(axis=0).argmax()] = REST
    return left


def hour_notes(blocks: BlockCounts | None) -> dict[str, Any]:
    """Return the hours as plain values: of most columns, then of those with hours of their own.

    Without any of the latter the second key is not there.
    """
    if blocks is None:
        return {"hours": None}
    apart = [{**_part_notes(one), "columns": sorted(one.counts)} for one in blocks.apart]
    return _part_notes(blocks) | ({"apart": apart} if apart else {})


def _part_notes(part: BlockCounts) -> dict[str, Any]:
    """Return the hours; where some were let go, all hours and the days of those, too."""
    found: dict[str, Any] = {"hours": _runs_of(part.hours)}
    if part.let_go is not None:
        found |= {"all_hours": _runs_of(part.let_go.hours), "days": _runs_of(part.let_go.days)}
    return found


def _runs_of(hours: np.ndarray) -> list[list[int]]:
    """Return the first of each run of neighbouring hours, and how many it has."""
    first = np.flatnonzero(np.diff(hours, prepend=hours[:1] - 2) != 1)
    sizes = np.diff(first, append=len(hours))
    return [list(one) for one in zip(hours[first].tolist(), sizes.tolist(), strict=True)]


def _hours(runs: Sequence[Any]) -> np.ndarray:
    """Return the hours that notes hold; ValueError where they are none, or too many."""
    if any(count < 1 for _, count in runs) or sum(count for _, count in runs) > HOUR_LIMIT:
        raise ValueError("hours that there are not")
    return np.concatenate(
        [np.empty(0, np.int64), *(np.arange(first, first + count) for first, count in runs)]
    )


def read_hours(notes: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> BlockCounts:
    """Read the columns that have the same hours."""
    hours = _hours(notes["hours"])
    counts: dict[str, np.ndarray] = {}
    total: np.ndarray | None = None
    for row in rows:
        counts[row["name"]] = own = _block(row["blocks"], len(hours))
        if total is not None:
            lacks = (own == REST).all(axis=0) & bool(len(hours))
            own[:, lacks] = (total - own[:, ~lacks].sum(axis=1))[:, None]
        total = own.sum(axis=1) if total is None else total
    if "days" not in notes:
        return BlockCounts(hours, counts)
    days, every = _hours(notes["days"]), _hours(notes["all_hours"])

    def table(packed: np.ndarray, kind: str, lines: int) -> np.ndarray:
        return np.ascontiguousarray(unpack(packed, kind).reshape(-1, lines).T)

    hour_rows = unpack(rows[0]["hour_rows"], SUM)
    if len(hour_rows) != len(every):
        raise ValueError("rows of hours that there are not")
    gone = {row["name"]: table(row["days"], COUNT, len(days)) for row in rows}
    weeks = {row["name"]: table(row["weeks"], SUM, HOURS_OF_WEEK) for row in rows}
    return BlockCounts(hours, counts, let_go=LetGo(every, hour_rows, days, gone, weeks))


def _block(values: np.ndarray, lines: int) -> np.ndarray:
    """Return a column's counts, int32, shape (hours, cells)."""
    if not lines:
        return np.empty((0, 0), np.int32)
    return np.ascontiguousarray(unpack_counts(values).reshape(-1, lines).T, dtype=np.int32)
