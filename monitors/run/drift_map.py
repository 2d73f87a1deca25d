"""Drift ratios of columns over time, from stored runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from sqlalchemy import ColumnElement, Connection, Float, case, func, literal, select

from driftline.alerts.metrics.identity import chunks
from driftline.capture.windows.window import Window
from driftline.monitors.run.stored_report import DISTANCE
from driftline.monitors.state import UNJUDGED as UNJUDGED_STATES
from driftline.monitors.tables import executions, results

MAP_WINDOWS = 90
"""So many windows, or days, a map has room for."""
WINDOWS_READ, CELLS_READ = 2_400, 100_000
"""At most so many windows are read, and so many columns of all of them: a quarter of a second."""
MAP_FEATURES = 50  # Of a page: the farthest from their bounds come first.
# What a violation without a distance counts for: it lies beyond the bound, nobody knows how far.
BY_CHECK = float(np.nextafter(1.0, 2.0))
UNJUDGED = -1.0  # Below all that is judged.


@dataclass(frozen=True, slots=True)
class DriftMap:
    """Drift ratios of columns over a monitor's newest windows, `MAP_WINDOWS` days of them.

    ``ratios`` are distances over bounds, (features, windows), NaN where nothing was judged and
    infinite where a check other than drift was violated. The features are those of page ``number``,
    the largest of all ``total`` first, unjudged ones last. ``beyond`` counts, over all pages, those
    beyond their bounds in some window, ``unjudged`` those judged in none.
    """

    windows: tuple[Window, ...]
    features: tuple[str, ...]
    ratios: np.ndarray
    total: int
    beyond: int
    unjudged: int
    number: int
    size: int
    window_count: int  # Of the time shown, of which these are the newest.

    @property
    def is_by_day(self) -> bool:
        """Whether a map has no room for the windows, and shows the worst of each day."""
        return len(self.windows) > MAP_WINDOWS

    def folded(self) -> tuple[list[Window], np.ndarray]:
        """Return the displayed spans, and the window of each with the largest ratio.

        The spans are windows, or days; the indices have shape (features, spans).
        """
        days = (one.start.date() if self.is_by_day else one.start for one in self.windows)
        parts = [[at for at, _ in part] for _, part in groupby(enumerate(days), lambda one: one[1])]
        known = np.nan_to_num(_known(self.ratios), nan=UNJUDGED)
        worst = [part[0] + known[:, part[0] : part[-1] + 1].argmax(axis=1) for part in parts]
        spans = [Window(self.windows[one[0]].start, self.windows[one[-1]].end) for one in parts]
        return spans, np.array(worst, dtype=np.intp).reshape(len(spans), len(self.ratios)).T

    def ends(self, at: int) -> tuple[int | None, int | None, tuple[float, float]]:
        """Return a column's first window in violation, its peak's, and the peak and last ratios."""
        ratios = self.ratios[at]
        peak = int(np.nan_to_num(_known(ratios), nan=UNJUDGED).argmax())
        beyond = np.flatnonzero(ratios > 1).tolist()
        known: list[float] = ratios[~np.isnan(ratios)].tolist()
        ends = float(ratios[peak]), known[-1] if known else np.nan
        return beyond[0] if beyond else None, peak if known else None, ends


def drift_map(
    connection: Connection,
    monitor: str,
    text: str | None,
    number: int,
    *where: ColumnElement[bool],
) -> DriftMap:
    """Return the drift ratios of a monitor's columns over its newest windows.

    ``where`` narrows the executions.
    """
    table = executions.c
    standing = table.monitor == monitor, table.is_current, *where
    newest = (
        select(table.window_start, table.window_end, table.id)
        .where(*standing)
        .order_by(table.window_start.desc(), table.window_end.desc())
        .limit(WINDOWS_READ)
    )
    windows: dict[str, Window] = {}
    starts = set()
    for start, end, identity in connection.execute(newest):
        if start not in starts:
            starts.add(start)
            windows[identity] = Window(start, end)
    days = sorted({one.date() for one in starts})[-MAP_WINDOWS:]
    windows = {key: one for key, one in windows.items() if one.start.date() >= days[0]}
    cells, read = _read(connection, list(windows))
    entries = [*reversed([windows[identity] for identity in read])]
    count = len(entries)
    if count < len(windows) or len(starts) == WINDOWS_READ:
        every = select(func.count(table.window_start.distinct())).where(*standing)
        count = connection.scalar(every) or count
    low = (text or "").casefold()
    names = sorted({name for _, name, _ in cells if low in name.casefold()})
    column = {name: at for at, name in enumerate(names)}
    place = {identity: at for at, identity in enumerate(reversed(read))}
    ratios = np.full((len(names), len(entries)), np.nan)
    for identity, name, ratio in cells:
        if name in column and ratio is not None:
            ratios[column[name], place[identity]] = ratio
    worst = np.nanmax(_known(ratios), axis=1, initial=UNJUDGED)
    order = sorted(range(len(names)), key=lambda at: (-worst[at], names[at]))
    number = max(1, min(number, -(-len(names) // MAP_FEATURES)))
    shown = order[MAP_FEATURES * (number - 1) : MAP_FEATURES * number]
    return DriftMap(
        windows=tuple(entries),
        features=tuple(names[at] for at in shown),
        ratios=ratios[shown],
        total=len(names),
        beyond=int((worst > 1).sum()),
        unjudged=int((worst == UNJUDGED).sum()),
        number=number,
        size=MAP_FEATURES,
        window_count=count,
    )


def _read(
    connection: Connection, newest_first: list[str]
) -> tuple[list[tuple[str, str, float | None]], list[str]]:
    """Read the ratio of each column in executions, and the executions that were read.

    It is infinite where a check without a distance is violated, None where nothing was judged.
    """
    table, read = results.c, list[str]()
    cells: list[tuple[str, str, float | None]] = []
    ratio = table.value / func.nullif(table.bound, 0.0)
    is_beyond = func.coalesce(ratio, 0.0) > 1.0
    shown = case(
        (table.is_violated & ~is_beyond, literal(math.inf, Float)),
        (table.is_violated | table.state.not_in(UNJUDGED_STATES), ratio),
    )
    for some in chunks(newest_first, MAP_WINDOWS):
        if len(cells) > CELLS_READ:
            break
        query = select(table.execution, table.key, shown).where(
            table.execution.in_(some), table.key.startswith(DISTANCE)
        )
        cells += [
            (identity, key.removeprefix(DISTANCE), found)
            for identity, key, found in connection.execute(query)
        ]
        read += some
    return cells, read


def _known(ratios: np.ndarray) -> np.ndarray:
    """Return ratios that can be compared: a check without a distance is just beyond its bound."""
    return np.where(np.isinf(ratios), BY_CHECK, ratios)
