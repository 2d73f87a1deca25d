"""Stretches of periods, walked in bulk: read once for many alarms, then judged one by one."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from driftline.alerts import tables
from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.reason import untrained_reason
from driftline.alerts.alarms.walk import Grid, Standing, step, walk
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.reading import BandsOf, Question, answer, requests_of
from driftline.alerts.evaluation.verdicts import Standpoint
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.metrics.summary import Summary


@dataclass(frozen=True, slots=True)
class Stretch:
    """The periods of one alarm that are to be judged.

    Parameters
    ----------
    before
        Where the alarm stands.
    entry
        What it is.
    grid, periods
        Numbers of the periods on its grid, each to be judged at its end; may be none.
    values
        What is set in its row when they are judged.
    created_at, watched_from
        When it was made, and from when on missing periods count as breaching; see Standing.
    """

    before: Standpoint
    entry: Entry
    grid: Grid
    periods: range
    values: Mapping[str, object]
    created_at: datetime | None = None
    watched_from: datetime | None = None

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


@dataclass(frozen=True, slots=True)
class Walked:
    """What became of a stretch.

    Parameters
    ----------
    changes
        The changes of state, oldest first.
    untrained
        The reason of the state it ends in, where that is a band that is not trained.
    """

    changes: Sequence[StateChange]
    untrained: str | None = None


def first_datapoint(
    connection: Connection, metric_ids: Sequence[int], start_at: datetime | None
) -> tuple[datetime, int] | None:
    """Return time and length of an alarm's first datapoint; None before there is one."""
    table = tables.datapoints.c
    query = (
        select(table.time, table.period_s)
        .where(table.metric_id.in_(metric_ids))
        .order_by(table.time)
        .limit(1)
    )
    if start_at is not None:
        query = query.where(table.time >= start_at)
    found = connection.execute(query).first()
    return (found.time, found.period_s) if found is not None else None


def watched_from(
    connection: Connection,
    metric_ids: Sequence[int],
    start_at: datetime | None,
    created_at: datetime,
) -> datetime:
    """Return the time from which missing datapoints are silence: nothing was awaited before.

    That is the alarm's creation, or an earlier first datapoint of history that was added since.
    """
    first = first_datapoint(connection, metric_ids, None) if start_at is None else None
    return created_at if first is None else min(created_at, first[0])


def walk_periods(
    connection: Connection,
    stretches: Sequence[Stretch],
    now: datetime,
    bands: BandsOf | None = None,
) -> Iterator[tuple[Stretch, Walked | Exception]]:
    """Judge each alarm along its periods.

    Yields
    ------
    tuple
        The stretch and what became of it; or why it could not be judged.
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
) -> Walked:
    before, definition = stretch.before, stretch.entry.definition
    standing = Standing(
        before.id, before.state, before.state_seq, stretch.created_at, stretch.watched_from
    )
    if not len(stretch.periods):
        return Walked([])
    # Read from the base on; the grid counts from 1970.
    based = [{stretch.base + number: one for number, one in found.items()} for found in series]
    if stretch.entry.plan is None:
        periods, grid = stretch.periods, stretch.grid
        return Walked(walk(definition, standing, based[0], grid, periods, now=now))
    return _walk_math(connection, stretch, standing, based, now, bands)


def _walk_math(
    connection: Connection,
    stretch: Stretch,
    standing: Standing,
    series: Sequence[Mapping[int, Summary]],
    now: datetime,
    bands: BandsOf | None,
) -> Walked:
    """Judge metric math: as live alarms, each time over the evaluation range alone."""
    definition, grid, stop = stretch.entry.definition, stretch.grid, stretch.periods.stop
    numbers = sorted({number for found in series for number in found})
    changes: list[StateChange] = []
    untrained: str | None = None
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
        untrained = untrained_reason(definition, judgement)
        index += 1
        if not any(window) and not judgement.is_passing:
            # Silence goes on saying the same: on to the next period with data.
            position = bisect.bisect_left(numbers, index)
            index = numbers[position] if position < len(numbers) else stop
    return Walked(changes, untrained)
