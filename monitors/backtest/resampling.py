"""The rule on the reference itself: its days drawn anew, in a calendar that never changes.

What alarms here is no drift. The reference knows its own rows, so this is a lower estimate of what
unchanged data bring; and its interval is that of the count alone, not of another reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.times import EPOCH
from driftline.monitors.backtest.rate import Rate
from driftline.monitors.backtest.replay import ALARM, replay
from driftline.monitors.backtest.spans import YEAR
from driftline.monitors.drift_test.drift_test import DriftTest
from driftline.monitors.drift_test.window_counts import WindowCounts

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# Drawn windows: more than two years of days, a month of hours.
WINDOWS = 750
# The fewest chunks of the reference that are worth drawing from.
LEAST_CHUNKS = 5
# A first or last chunk with fewer rows than this share of the usual is a ragged end.
PARTIAL_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some windows of the reference that stay together: a day, or one window that is longer."""

    weekday: int
    windows: tuple[WindowCounts, ...]


def resampled_alarms(
    drift_test: DriftTest, blocks: BlockCounts | None, *, windows: int = WINDOWS, seed: int = 0
) -> Rate | None:
    """Count the windows that alarm where nothing has changed."""
    length = drift_test.length
    parts = _drawn(blocks, length, windows, np.random.default_rng(seed))
    if not parts or length is None:
        return None
    verdicts = list(replay(drift_test, _joined(parts), with_bounds=False))
    return Rate(
        sum(verdict.state == ALARM for verdict in verdicts), len(verdicts) * (length / YEAR)
    )


def _cuts(length: timedelta) -> bool:
    """Return whether such windows are hours, and fill whole days or are filled by them."""
    return length % HOUR == timedelta(0) and (
        DAY % length == timedelta(0) or length % DAY == timedelta(0)
    )


def _chunks_of(blocks: BlockCounts, length: timedelta) -> list[_Chunk]:
    """Cut the reference into days, or windows that are longer, and leave ragged ones out."""
    step, width = length // HOUR, max(length, DAY) // HOUR
    blocks = blocks.of_length(step)
    places, first = np.unique(blocks.hours // step, return_index=True)
    tables = {
        name: np.add.reduceat(counts.astype(np.int64), first, axis=0)
        for name, counts in blocks.counts.items()
        if len(first)
    }
    if not tables:
        return []
    rows = np.max([table.sum(axis=1) for table in tables.values()], axis=0)
    found: dict[int, list[WindowCounts]] = {}
    for at, place in enumerate(places):
        start = EPOCH + int(place) * length
        counts = {name: table[at] for name, table in tables.items()}
        window = WindowCounts(start, start + length, int(rows[at]), counts)
        found.setdefault(int(place) * step // width, []).append(window)
    total = {key: sum(one.row_count for one in own) for key, own in found.items()}
    least = PARTIAL_SHARE * float(np.median(list(total.values())))
    # A weekend may have few rows, too: only the ends may lack a part.
    held = Counter((np.unique(blocks.hours // 24) * 24 // width).tolist())
    ragged = {
        key for key in (min(found), max(found)) if total[key] < least or held[key] * 24 < width
    }
    return [
        _Chunk((EPOCH + key * max(length, DAY)).weekday(), tuple(own))
        for key, own in sorted(found.items())
        if key not in ragged
    ]


def _drawn(
    blocks: BlockCounts | None,
    length: timedelta | None,
    count: int,
    generator: np.random.Generator,
) -> list[list[WindowCounts]]:
    """Draw so many windows, from the reference's end on.

    Columns that were counted over other hours, since they were made anew, are drawn from their own:
    a list for each part of the columns. Parts that know too few days are left out.
    """
    if blocks is None or length is None or not _cuts(length):
        return []
    every = [_chunks_of(part, length) for part in (blocks, *blocks.apart)]
    parts = [one for one in every if len(one) >= LEAST_CHUNKS]
    if not parts:
        return []
    width = max(length, DAY)
    last = max(_end_of(one) for part in parts for one in part)
    begin = EPOCH + (-((EPOCH - last) // width)) * width
    first = list(islice(_laid(parts[0], width, begin, generator), count))
    end = max(map(_start_of, first))
    others = [
        list(takewhile(lambda one: _start_of(one) <= end, _laid(part, width, begin, generator)))
        for part in parts[1:]
    ]
    return [first, *filter(None, others)]


def _laid(
    chunks: list[_Chunk], width: timedelta, begin: datetime, generator: np.random.Generator
) -> Iterator[WindowCounts]:
    """Lay drawn chunks one after the other without end, weekday by weekday."""
    moment = begin
    while True:
        same = [chunk for chunk in chunks if chunk.weekday == moment.weekday()]
        pool = same or chunks
        chosen = pool[int(generator.integers(len(pool)))]
        shift = moment - (EPOCH + (_start_of(chosen.windows[0]) - EPOCH) // width * width)
        for window in chosen.windows:
            assert window.start is not None and window.end is not None
            yield replace(window, start=window.start + shift, end=window.end + shift)
        moment += width


def _joined(parts: Sequence[Sequence[WindowCounts]]) -> list[WindowCounts]:
    """Add the columns of the others to the first part's windows; no rows where those have none."""
    if not parts:
        return []
    nothing = {
        name: np.zeros_like(counts) for part in parts[1:] for name, counts in part[0].cells.items()
    }
    found = {_start_of(one): replace(one, cells={**one.cells, **nothing}) for one in parts[0]}
    for part in parts[1:]:
        for one in part:
            if (known := found.get(_start_of(one))) is not None:
                rows = max(known.row_count, one.row_count)
                cells = {**known.cells, **one.cells}
                found[_start_of(one)] = replace(known, row_count=rows, cells=cells)
    return list(found.values())


def _start_of(window: WindowCounts) -> datetime:
    assert window.start is not None
    return window.start


def _end_of(chunk: _Chunk) -> datetime:
    end = chunk.windows[-1].end
    assert end is not None
    return end
