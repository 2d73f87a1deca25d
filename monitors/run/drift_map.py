"""How far columns lay from their bounds over time, by the runs that are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import ColumnElement, Connection, func, select

from driftline.capture.windows.window import Window
from driftline.monitors.executions import is_of
from driftline.monitors.tables import executions

MAP_WINDOWS = 90
MAP_FEATURES = 50  # Of a page: the farthest from their bounds come first.
# What a violation without a distance counts for: it lies beyond the bound, nobody knows how far.
BY_CHECK = float(np.nextafter(1.0, 2.0))


@dataclass(frozen=True, slots=True)
class DriftMap:
    """How far columns lay from their bounds, over a monitor's newest windows.

    ``ratios`` are distances over bounds, shape (features, windows), NaN where nothing was judged
    and infinite where another check than drift was violated; the features are those of page
    ``number``, the farthest of all ``total`` first, those that only other windows judged last.
    ``beyond`` counts those of all pages that were beyond their bounds in some window.
    """

    windows: tuple[Window, ...]
    features: tuple[str, ...]
    ratios: np.ndarray
    total: int
    beyond: int
    number: int
    size: int
    window_count: int  # Of the time shown, of which these are the newest.

    @property
    def peaks(self) -> np.ndarray:
        """The window in which each column lay farthest from its bound, shape (features,)."""
        return np.asarray(np.nan_to_num(_known(self.ratios), nan=-1.0).argmax(axis=1))

    def ends(self, at: int) -> tuple[int | None, int | None, tuple[float, float]]:
        """Return a column's first window in violation, its peak's, and the peak and last ratios."""
        ratios, peak = self.ratios[at], int(self.peaks[at])
        beyond = np.flatnonzero(ratios > 1).tolist()
        known: list[float] = ratios[~np.isnan(ratios)].tolist()
        ends = float(ratios[peak]), known[-1] if known else np.nan
        return beyond[0] if beyond else None, peak if known else None, ends


def drift_map(
    connection: Connection,
    monitor: str,
    text: str | None,
    number: int,
    endpoints: Collection[str] | None = None,
    *where: ColumnElement[bool],
) -> DriftMap:
    """Return how far a monitor's columns lay from their bounds, over its newest windows.

    ``endpoints``: of those alone; ``where`` narrows the executions further.
    """
    table = executions.c
    standing = table.monitor == monitor, table.is_current, is_of(endpoints)
    newest = (
        select(table.window_start, table.window_end, table.drift_ratios)
        .where(*standing)
        .order_by(table.window_start.desc(), table.window_end.desc())
        .limit(MAP_WINDOWS)
    )
    by_start: dict[datetime, tuple[Window, Mapping[str, float]]] = {}
    for start, end, kept in connection.execute(newest.where(*where)):
        by_start.setdefault(start, (Window(start, end), kept or {}))
    entries = [*reversed(by_start.values())]
    count = len(entries)
    if count == MAP_WINDOWS:
        starts = select(func.count(table.window_start.distinct())).where(*standing, *where)
        count = connection.scalar(starts) or count
    low = (text or "").casefold()
    # A stored null stands for another check, which has no distance.
    known = [
        {name: np.inf if it is None else it for name, it in kept.items()} for _, kept in entries
    ]
    measured = set[str]().union(*known)
    if where and measured:  # What other windows judge is grey in these, and not left out.
        measured.update(*(kept or {} for *_, kept in connection.execute(newest)))
    names = sorted(name for name in measured if low in name.casefold())
    values = [[kept.get(name, np.nan) for name in names] for kept in known]
    ratios = np.array(values, dtype=np.float64).reshape(len(entries), len(names)).T
    worst = np.nanmax(_known(ratios), axis=1, initial=0.0)
    order = sorted(range(len(names)), key=lambda at: (-worst[at], names[at]))
    number = max(1, min(number, -(-len(names) // MAP_FEATURES)))
    shown = order[MAP_FEATURES * (number - 1) : MAP_FEATURES * number]
    return DriftMap(
        windows=tuple(window for window, _ in entries),
        features=tuple(names[at] for at in shown),
        ratios=ratios[shown],
        total=len(names),
        beyond=int((worst > 1).sum()),
        number=number,
        size=MAP_FEATURES,
        window_count=count,
    )


def _known(ratios: np.ndarray) -> np.ndarray:
    """Return ratios that can be compared: a check without a distance is just beyond its bound."""
    return np.where(np.isinf(ratios), BY_CHECK, ratios)
