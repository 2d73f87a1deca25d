"""Drift ratios of columns over time, from stored runs."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple, cast

import numpy as np
import orjson
from sqlalchemy import ColumnElement, Connection, Select, Text, func, select
from sqlalchemy import cast as sql_cast

from driftline.capture.windows.window import Window
from driftline.monitors.tables import executions

MAP_WINDOWS = 90
"""So many windows, or days, a map has room for."""
WINDOWS_READ, CELLS_READ = 2_400, 600_000
"""At most so many windows are read, and so many columns of all of them: an eighth of a second."""
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
    watched: Collection[str] = (),
) -> DriftMap:
    """Return the drift ratios of a monitor's columns over its newest windows.

    ``where`` narrows the executions. ``watched`` columns are listed even if no window judged them.
    """
    table = executions.c
    standing = table.monitor == monitor, table.is_current
    newest = (
        select(table.window_start, table.window_end, sql_cast(table.drift_ratios, Text))
        .where(*standing)
        .order_by(table.window_start.desc(), table.window_end.desc())
    )
    entries, is_cut = _read(connection, newest.where(*where).limit(WINDOWS_READ))
    count = len(entries)
    if is_cut:
        starts = select(func.count(table.window_start.distinct())).where(*standing, *where)
        count = connection.scalar(starts) or count
    days = sorted({one.window.start.date() for one in entries})
    if len(days) > MAP_WINDOWS:
        entries = [one for one in entries if one.window.start.date() >= days[-MAP_WINDOWS]]
    low = (text or "").casefold()
    lists = {id(one.names): one.names for one in entries}
    measured = set[str]().union(*lists.values())
    if where and measured:  # What other windows judge is grey in these, and not left out.
        measured.update(*(one.names for one in _read(connection, newest.limit(MAP_WINDOWS))[0]))
    measured.update(watched if measured else ())
    names = sorted(name for name in measured if low in name.casefold())
    place = {name: at for at, name in enumerate(names)}
    known = np.full((len(entries), len(names) + 1), np.nan)  # The last place is of no name here.
    places = {key: [place.get(name, -1) for name in own] for key, own in lists.items()}
    for own, one in zip(known, entries, strict=True):
        own[places[id(one.names)]] = one.ratios
    ratios = known[:, :-1].T
    worst = np.nanmax(_known(ratios), axis=1, initial=UNJUDGED)
    order = sorted(range(len(names)), key=lambda at: (-worst[at], names[at]))
    number = max(1, min(number, -(-len(names) // MAP_FEATURES)))
    shown = order[MAP_FEATURES * (number - 1) : MAP_FEATURES * number]
    return DriftMap(
        windows=tuple(one.window for one in entries),
        features=tuple(names[at] for at in shown),
        ratios=ratios[shown],
        total=len(names),
        beyond=int((worst > 1).sum()),
        unjudged=int((worst == UNJUDGED).sum()),
        number=number,
        size=MAP_FEATURES,
        window_count=count,
    )


def newest_folder(connection: Connection, monitor: str) -> str:
    """Return the folder of a monitor's newest document; empty where it has written none."""
    table = executions.c
    wrote = table.monitor == monitor, table.is_current, table.row_count > 0
    newest = select(table.folder).where(*wrote, table.folder != "")
    return connection.scalar(newest.order_by(table.window_start.desc()).limit(1)) or ""


class _Kept(NamedTuple):
    """The stored ratios of a window: infinite where a check without a distance was violated."""

    window: Window
    names: list[str]
    ratios: np.ndarray


def _read(connection: Connection, newest_first: Select[Any]) -> tuple[list[_Kept], bool]:
    """Read windows with their ratios, oldest first, and whether there are more than are read."""
    by_start: dict[datetime, _Kept] = {}
    rows = cells = 0
    names: list[str] = []
    with connection.execute(newest_first, execution_options={"yield_per": MAP_WINDOWS}) as found:
        for start, end, text in found:
            if cells >= CELLS_READ:
                return [*reversed(by_start.values())], True
            kept = _ratios(text) if text else {}
            rows, cells = rows + 1, cells + len(kept)
            if (own := list(kept)) != names:  # Of most windows the same, which is kept once.
                names = own
            ratios = np.fromiter(kept.values(), np.float64, len(kept))
            by_start.setdefault(start, _Kept(Window(start, end), names, ratios))
    return [*reversed(by_start.values())], rows == WINDOWS_READ


def _ratios(text: str) -> dict[str, float]:
    try:
        kept = orjson.loads(text)  # A third of the time of the standard library's.
    except orjson.JSONDecodeError:  # An infinite ratio is not JSON.
        kept = json.loads(text)
    if None in kept.values():
        return {name: np.inf if it is None else it for name, it in kept.items()}
    return cast("dict[str, float]", kept)


def _known(ratios: np.ndarray) -> np.ndarray:
    """Return ratios that can be compared: a check without a distance is just beyond its bound."""
    return np.where(np.isinf(ratios), BY_CHECK, ratios)
