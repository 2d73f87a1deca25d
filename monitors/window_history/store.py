"""Window history in the database: counts stored with the execution, read for the next windows.

A new judgement replaces a window's counts. Counts of another endpoint, schedule or script are not
mixed; those of an older baseline version serve where its cells are the same. They hold nothing of a
row: only counts by cell, how long the last value has lasted, and sums of a day's scores.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import starmap

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, and_, delete, insert, not_, select

from driftline.capture.windows.window import Window
from driftline.database.dialects import upsert
from driftline.errors import InputError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.window_counts import LastRun, WindowCounts
from driftline.monitors.tables import count_layouts, window_counts
from driftline.stats.day_scores import DaySums

WINDOW_COUNTS_FORMAT = 2
# Bytes of one count: the fewest that hold the window's greatest.
WIDTHS = (1, 2, 4, 8)
HEAD_SIZE = 2
# The counts begin with the number of their bytes; scores of days come last.
COUNTS_SIZE = 4
NO_RUN, NO_COUNTS = LastRun(0, 0), np.empty(0, np.int64)

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
    layout = Layout.of(counts, cell_ids)
    connection.execute(
        upsert(connection, count_layouts)
        .values(id=layout.id, columns=[list(column) for column in layout.columns])
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
            counts=pack(counts, layout),
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
        cells, runs, days = unpack(row.counts, layout)
        for name, identity, _ in layout.columns:
            if cell_ids.get(name, identity if is_same else "") != identity:
                del cells[name]
                runs.pop(name, None)
        # Scores are those of a version of the baseline, whatever its cells.
        own = days if is_same else {}
        start, end = row.window_start, row.window_end
        found.append(WindowCounts(start, end, row.row_count, cells, runs, own))
    return tuple(reversed(found))


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


@dataclass(frozen=True)
class Layout:
    """Which columns were counted, in order, and on which cells."""

    columns: tuple[tuple[str, str, int], ...]  # Name, id of the cells, number of cells.

    @classmethod
    def of(cls, counts: WindowCounts, cell_ids: Mapping[str, str]) -> Layout:
        """Return how the counts of a window lie, given the ids of the cells by column."""
        return cls(
            tuple((name, cell_ids[name], len(counts.cells[name])) for name in sorted(counts.cells))
        )

    @cached_property
    def id(self) -> str:
        """Digest of the columns, 16 hex digits."""
        text = json.dumps(self.columns, ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def cell_count(self) -> int:
        """Number of cells of all columns."""
        return sum(size for _, _, size in self.columns)


def pack(counts: WindowCounts, layout: Layout) -> bytes:
    """Write the counts of a window, each column's last run, and scores of days."""
    names = [name for name, _, _ in layout.columns]
    runs = [counts.last_runs.get(name, NO_RUN) for name in names]
    arrays = [counts.cells[name] for name in names]
    flat = np.concatenate([*arrays, *(np.array([run.cell, run.length]) for run in runs), NO_COUNTS])
    greatest = int(flat.max(initial=0))
    width = next(one for one in WIDTHS if greatest < 1 << (8 * one))
    packed = zlib.compress(flat.astype(f"<u{width}").tobytes(), 9)
    days = _pack_days(counts.days, names) if counts.days else b""
    return bytes([WINDOW_COUNTS_FORMAT, width]) + _with_size(packed) + days


def unpack(
    data: bytes, layout: Layout
) -> tuple[
    dict[str, Counts],
    dict[str, LastRun],
    dict[str, DaySums],
]:
    """Read what `pack` wrote by column: counts, last runs, scores of days."""
    if len(data) < HEAD_SIZE or data[0] != WINDOW_COUNTS_FORMAT or data[1] not in WIDTHS:
        raise InputError(
            f"counts of a window begin with {bytes(data[:HEAD_SIZE]).hex() or 'nothing'}; expected "
            f"format {WINDOW_COUNTS_FORMAT}: another version of driftline wrote them"
        )
    packed, days = _sized(data[HEAD_SIZE:])
    flat = np.frombuffer(zlib.decompress(packed), f"<u{data[1]}").astype(np.int64)
    names, size = [name for name, _, _ in layout.columns], layout.cell_count
    expected = size + 2 * len(names)
    if flat.size != expected:
        raise InputError(
            f"counts of a window are {flat.size} numbers; expected {expected}, as their layout says"
        )
    runs = dict(zip(names, starmap(LastRun, flat[size:].reshape(-1, 2).tolist()), strict=False))
    return (
        dict(zip(names, _parts(flat[:size], layout), strict=True)),
        {name: run for name, run in runs.items() if run.length},
        _unpack_days(days, names) if days else {},
    )


def _with_size(part: bytes) -> bytes:
    return len(part).to_bytes(COUNTS_SIZE, "little") + part


def _sized(data: bytes) -> tuple[bytes, bytes]:
    """Split bytes that begin with the length of the first part."""
    end = COUNTS_SIZE + int.from_bytes(data[:COUNTS_SIZE], "little")
    return data[COUNTS_SIZE:end], data[end:]


def _pack_days(days: Mapping[str, DaySums], names: Sequence[str]) -> bytes:
    """Write, column by column: days, scores, each day, and their sums and rows."""
    empty = DaySums(NO_COUNTS, np.empty((0, 0)), np.empty((0, 0)))
    columns = [days.get(name, empty) for name in names]
    shapes = [size for one in columns for size in one.sums.shape]
    whole = [np.array(shapes, np.int64)]
    whole += [part for one in columns for part in (one.days, one.rows.ravel().astype(np.int64))]
    sums = np.concatenate([one.sums.ravel() for one in columns]).astype("<f4")
    flat = np.concatenate(whole).astype("<i4")
    return zlib.compress(flat.tobytes() + sums.tobytes(), 9)


def _unpack_days(data: bytes, names: Sequence[str]) -> dict[str, DaySums]:
    """Read what `_pack_days` wrote."""
    numbers = np.frombuffer(zlib.decompress(data), "<i4")
    shapes = numbers[: 2 * len(names)].reshape(-1, 2).tolist()
    at = 2 * len(names)
    first_sum = at + sum(days + days * scores for days, scores in shapes)
    sums = numbers[first_sum:].view("<f4").astype(np.float64)
    found, begin = {}, 0
    for name, (days, scores) in zip(names, shapes, strict=True):
        own, size = numbers[at : at + days + days * scores].astype(np.int64), days * scores
        if size:
            shape = (days, scores)
            rows = own[days:].reshape(shape).astype(np.float64)
            found[name] = DaySums(own[:days], sums[begin : begin + size].reshape(shape), rows)
        at, begin = at + len(own), begin + size
    return found


def _parts(flat: Counts, layout: Layout) -> Sequence[Counts]:
    ends = np.cumsum([size for _, _, size in layout.columns])
    return np.split(flat, ends[:-1]) if layout.columns else []
