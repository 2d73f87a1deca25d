"""Stretches of periods, walked in bulk: read once for many alarms, then judged one by one."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.walk import Grid, Standing, step, walk
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.reading import BandsOf, Question, answer, requests_of
from driftline.alerts.evaluation.verdicts import Standpoint
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.metrics.summary import Summary

__all__ = ["Stretch", "walk_periods"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The periods of one alarm that are to be judged.

    Parameters
    ----------
    before, created_at
        Where the alarm stands, and when it was made.
    entry
        What it is.
    grid, periods
        Numbers of the periods on its grid, each to be judged at its end; may be none.
    values
        What is set in its row when they are judged.
    """

    before: Standpoint
    created_at: datetime
    entry: Entry
    grid: Grid
    periods: range
    values: Mapping[str, object]

    @property
    def base(self) -> int:
        """The first period that an evaluation looks at."""
        return self.periods.start - self.entry.definition.range_periods + 1

    def requests(self) -> list[SeriesRequest]:
        """Say what has to be read: each metric once, from the base to the end."""
        if not len(self.periods):
            return []
        start, end = self.grid.start(self.base), self.grid.start(self.periods.stop)
        return requests_of(self.entry.definition, self.entry.plan, (start, end))


def walk_periods(
    connection: Connection,
    stretches: Sequence[Stretch],
    now: datetime,
    bands: BandsOf | None = None,
) -> Iterator[tuple[Stretch, list[StateChange] | Exception]]:
    """Judge each alarm along its periods.

    Yields
    ------
    tuple
        The stretch and the changes of state, oldest first; or why it could not be judged.
    """
    wanted: dict[SeriesRequest, int] = {}
    asked = [[wanted.setdefault(one, len(wanted)) for one in each.requests()] for each in stretches]
    found = read_many(connection, list(wanted))
    for stretch, places in zip(stretches, asked, strict=True):
        series = [found[place] for place in places]
        try:
            yield stretch, _walk(connection, stretch, series, now, bands)
        except Exception as error:  # noqa: BLE001 - handed on with the alarm it belongs to
            yield stretch, error


def _walk(
    connection: Connection,
    stretch: Stretch,
    series: Sequence[Mapping[int, Summary]],
    now: datetime,
    bands: BandsOf | None,
) -> list[StateChange]:
    before, definition = stretch.before, stretch.entry.definition
    standing = Standing(before.id, before.state, before.state_seq, stretch.created_at)
    if not len(stretch.periods):
        return []
    # Read from the base on; the grid counts from 1970.
    based = [{stretch.base + number: one for number, one in found.items()} for found in series]
    if stretch.entry.plan is None:
        periods, grid = stretch.periods, stretch.grid
        return walk(definition, standing, based[0], grid, periods, now=now)
    return _walk_math(connection, stretch, standing, based, now, bands)


def _walk_math(
    connection: Connection,
    stretch: Stretch,
    standing: Standing,
    series: Sequence[Mapping[int, Summary]],
    now: datetime,
    bands: BandsOf | None,
) -> list[StateChange]:
    """Judge metric math: as live alarms, each time over the evaluation range alone."""
    definition, grid, stop = stretch.entry.definition, stretch.grid, stretch.periods.stop
    numbers = sorted({number for found in series for number in found})
    changes: list[StateChange] = []
    index = stretch.periods.start
    while index < stop:
        first = index - definition.range_periods + 1
        edges = tuple(grid.start(number) for number in range(first, index + 2))
        window = [
            {
                place: found[first + place]
                for place in range(len(edges) - 1)
                if first + place in found
            }
            for found in series
        ]
        question = Question(definition, stretch.entry.plan, edges)
        judged = answer(connection, question, window, bands)
        judgement, standing, change = step(definition, standing, judged, end=edges[-1], now=now)
        if change is not None:
            changes.append(change)
        index += 1
        if not any(window) and judgement.rule != "warm_up":
            # Silence goes on saying the same: on to the next period with data.
            position = bisect.bisect_left(numbers, index)
            index = numbers[position] if position < len(numbers) else stop
    return changes
