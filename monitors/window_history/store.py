"""Counts of judged windows in the database: put with the execution, read for the next windows.

A window's counts are replaced when it is judged anew. Those of another endpoint, schedule or script
are not mixed with them; those of an older version of the baseline serve where its cells are the
same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, delete, insert, not_, select
from sqlalchemy.dialects import postgresql, sqlite

from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.tables import count_layouts, window_counts
from driftline.monitors.window_history.packing import Layout, pack, unpack


@dataclass(frozen=True, slots=True)
class Key:
    """Whose counts they are.

    Parameters
    ----------
    monitor
        Its name.
    source
        Digest of what decides which rows a window has, 16 hex digits.
    baseline_version
        Against which they were judged.
    """

    monitor: str
    source: str
    baseline_version: str

    @classmethod
    def of(cls, definition: MonitorDefinition, baseline_version: str) -> Key:
        """Give the key of a monitor's windows."""
        parts = (
            definition.kind,
            definition.endpoint.lower(),
            definition.schedule,
            definition.preprocess or "",
        )
        digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=8)
        return cls(definition.name, digest.hexdigest(), baseline_version)


def put(
    connection: Connection, key: Key, counts: WindowCounts, cell_ids: Mapping[str, str]
) -> None:
    """Keep the counts of a window in place of older ones of the same window.

    Parameters
    ----------
    counts
        Of a window with start and end.
    cell_ids
        By column: the id of the cells it was counted on.
    """
    assert counts.start is not None
    assert counts.end is not None
    layout = Layout.of(counts, cell_ids)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(
        dialect.insert(count_layouts)
        .values(id=layout.id, columns=[list(one) for one in layout.columns])
        .on_conflict_do_nothing(index_elements=["id"])
    )
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
            layout=layout.id,
            counts=pack(counts.cells, layout),
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
    """Give the windows that end by a moment, in order of time, none of which overlap.

    Parameters
    ----------
    cell_ids
        By column: the id of the baseline's cells. Counts on other cells are left out; those of a
        column that it does not name are taken of the same version of the baseline only.
    limit
        So many at most, the newest; all without it.
    since
        Only windows that start then or later.
    """
    table = window_counts.c
    query = (
        select(window_counts, count_layouts.c.columns)
        .join(count_layouts, count_layouts.c.id == table.layout)
        .where(
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
    layouts: dict[str, Layout] = {}
    found: list[WindowCounts] = []
    for row in connection.execute(query):
        if found and found[-1].start is not None and row.window_end > found[-1].start:
            continue  # Two runs asked for overlapping windows; rows must not count twice.
        layout = layouts.setdefault(row.layout, Layout(tuple(map(tuple, row.columns))))
        is_same = row.baseline_version == key.baseline_version
        cells = unpack(row.counts, layout)
        for name, identity, _ in layout.columns:
            if cell_ids.get(name, identity if is_same else "") != identity:
                del cells[name]
        found.append(WindowCounts(row.window_start, row.window_end, row.row_count, cells))
    return tuple(reversed(found))


def forget(
    connection: Connection, monitor: str, before: datetime, *, save: Window | None = None
) -> int:
    """Remove the counts of windows that end by a moment, but for those within a span; say how many.

    They are kept as long as the captured rows are, so that a backtest finds them.
    """
    table = window_counts.c
    old = [table.monitor == monitor, table.window_start < before, table.window_end <= before]
    if save is not None:
        old.append(not_(and_(table.window_start >= save.start, table.window_end <= save.end)))
    return connection.execute(delete(window_counts).where(*old)).rowcount
