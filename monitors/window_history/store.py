"""Window history in the database: counts stored with the execution, read for the next windows.

A new judgement replaces a window's counts. Counts of another endpoint, schedule or script are not
mixed; those of an older baseline version serve where its cells are the same. They hold nothing of a
row: only counts by cell, how long the last value has lasted, and sums of a day's scores.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, and_, delete, insert, not_, select

from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.window_counts import LastRun, WindowCounts
from driftline.monitors.tables import window_counts
from driftline.stats.day_scores import DaySums

WINDOW_COUNTS_FORMAT = 3

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Key:
    """Whose counts they are."""

    monitor: str
    source: str  # Digest of what decides which rows a window has.
    baseline_version: str

    @classmethod
    def of(cls, definition: MonitorDefinition, baseline_version: str) -> Key:
        """Return the key of a monitor's windows."""
        parts = (
            definition.kind,
            definition.endpoint.lower(),
            definition.schedule,
            definition.preprocess or "",
            *([] if definition.source is None else [json.dumps(definition.source, sort_keys=True)]),
            definition.time_zone,
            *([] if definition.variant is None else [f"variant {definition.variant}"]),
            *([] if definition.target_model is None else [f"model {definition.target_model}"]),
        )
        digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=8)
        return cls(definition.name, digest.hexdigest(), baseline_version)


def put(
    connection: Connection, key: Key, counts: WindowCounts, cell_ids: Mapping[str, str]
) -> None:
    """Keep the counts of a window in place of older ones of the same window."""
    assert counts.start is not None
    assert counts.end is not None
    table = window_counts.c
    same = (table.monitor == key.monitor, table.window_start == counts.start)
    connection.execute(delete(window_counts).where(*same, table.window_end == counts.end))
    connection.execute(
        insert(window_counts).values(
            monitor=key.monitor,
            window_start=counts.start,
            window_end=counts.end,
            source=key.source,
            baseline_version=key.baseline_version,
            row_count=counts.row_count,
            counts=pack(counts, cell_ids),
        )
    )


def read(
    connection: Connection,
    key: Key,
    before: datetime,
    cell_ids: Mapping[str, str],
    *,
    limit: int | None = None,
    since: datetime | None = None,
) -> tuple[WindowCounts, ...]:
    """Return the windows that end by a moment, in order of time, none of which overlap."""
    table = window_counts.c
    query = (
        select(window_counts)
        .where(
            table.counts.is_not(None),
            table.monitor == key.monitor,
            table.source == key.source,
            # By both, for the primary key begins with the first; no window is without length.
            table.window_start < before,
            table.window_end <= before,
        )
        .order_by(table.window_start.desc(), table.window_end.desc())
        .limit(limit)
    )
    if since is not None:
        query = query.where(table.window_start >= since)
    found: list[WindowCounts] = []
    for row in connection.execute(query):
        if found and found[-1].start is not None and row.window_end > found[-1].start:
            continue  # Two runs asked for overlapping windows; rows must not count twice.
        is_same = row.baseline_version == key.baseline_version
        found.append(_read(row, cell_ids, is_same=is_same))
    return tuple(reversed(found))


def _read(row: Row[Any], cell_ids: Mapping[str, str], *, is_same: bool) -> WindowCounts:
    """Return the counts of the columns that have the same cells, of the same version or not."""
    cells: dict[str, Counts] = {}
    runs: dict[str, LastRun] = {}
    scores: dict[str, DaySums] = {}
    for name, (identity, counts, run, days) in unpack(row.counts).items():
        if cell_ids.get(name, identity if is_same else "") != identity:
            continue
        cells[name] = np.array(counts, np.int64)
        if run is not None:
            runs[name] = LastRun(*run)
        # Scores are those of a version of the baseline, whatever its cells.
        if days is not None and is_same:
            scores[name] = DaySums(np.array(days[0], np.int64), *map(np.array, days[1:]))
    return WindowCounts(row.window_start, row.window_end, row.row_count, cells, runs, scores)


def forget(
    connection: Connection, monitor: str, before: datetime, *, save: Window | None = None
) -> int:
    """Delete the counts of windows that end by a moment, except within a span; return how many.

    They are kept as long as the captured rows are, so that a backtest finds them.
    """
    table = window_counts.c
    old = [table.monitor == monitor, table.window_start < before, table.window_end <= before]
    if save is not None:
        old.append(not_(and_(table.window_start >= save.start, table.window_end <= save.end)))
    return connection.execute(delete(window_counts).where(*old)).rowcount


def pack(counts: WindowCounts, cell_ids: Mapping[str, str]) -> bytes:
    """Write the counts of a window: of each column its cells, their counts, last run and days."""
    columns = {}
    for name, cells in sorted(counts.cells.items()):
        run, days = counts.last_runs.get(name), counts.days.get(name)
        columns[name] = (
            cell_ids[name],
            cells.tolist(),
            None if run is None else (run.cell, run.length),
            None if days is None else _pack_days(days),
        )
    return bytes([WINDOW_COUNTS_FORMAT]) + zlib.compress(json.dumps(columns).encode())


def unpack(data: bytes) -> dict[str, Any]:
    """Read what `pack` wrote, by column."""
    if data[:1] != bytes([WINDOW_COUNTS_FORMAT]):
        raise InputError(
            f"counts of a window begin with {data[:1].hex() or 'nothing'}; expected format "
            f"{WINDOW_COUNTS_FORMAT}: another version of driftline wrote them"
        )
    return dict(json.loads(zlib.decompress(data[1:])))


def _pack_days(days: DaySums) -> tuple[object, ...]:
    """Return the days, their sums to seven digits, and the rows behind them."""
    sums = [[float(f"{one:.7g}") for one in day] for day in days.sums.tolist()]
    return days.days.tolist(), sums, days.rows.astype(np.int64).tolist()
