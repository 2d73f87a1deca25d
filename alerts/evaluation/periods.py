"""Pending periods of alarms, walked in bulk: read once for many, then judged one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from driftline.alerts import tables
from driftline.alerts.alarms.alarm import Point
from driftline.alerts.alarms.period_evaluation import (
    EvaluationOutcome,
    Grid,
    Standing,
    evaluate_periods,
)
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.reading import BandsOf, Question, answer, requests_of
from driftline.alerts.evaluation.verdicts import Standpoint
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.metrics.summary import Summary


@dataclass(frozen=True, slots=True)
class PendingPeriods:
    """The periods of one alarm that are due."""

    before: Standpoint
    entry: Entry
    grid: Grid
    periods: range  # Each to be judged at its end; may be none.
    values: Mapping[str, object]  # What is set in its row when they are judged.
    created_at: datetime | None = None
    watched_from: datetime | None = None  # See Standing.

    @property
    def base(self) -> int:
        """The first period that an evaluation looks at."""
        return self.periods.start - self.entry.definition.range_periods + 1

    def requests(self) -> list[SeriesRequest]:
        """Return the requests for data: each metric once, from the base to the end."""
        if not len(self.periods):
            return []
        start, end = self.grid.start(self.base), self.grid.start(self.periods.stop)
        return requests_of(self.entry.definition, self.entry.plan, (start, end))


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
    pending: Sequence[PendingPeriods],
    now: datetime,
    bands: BandsOf | None = None,
) -> Iterator[tuple[PendingPeriods, EvaluationOutcome | Exception]]:
    """Judge each alarm along its periods; an error is handed on with its alarm."""
    wanted: dict[SeriesRequest, int] = {}
    asked = [[wanted.setdefault(one, len(wanted)) for one in each.requests()] for each in pending]
    found = read_many(connection, list(wanted))
    for due, places in zip(pending, asked, strict=True):
        series = [found[place] for place in places]
        try:
            yield due, _walk(connection, due, series, now, bands)
        except Exception as error:  # noqa: BLE001 - handed on with the alarm it belongs to
            yield due, error


def _walk(
    connection: Connection,
    due: PendingPeriods,
    series: Sequence[Mapping[int, Summary]],
    now: datetime,
    bands: BandsOf | None,
) -> EvaluationOutcome:
    before, definition = due.before, due.entry.definition
    standing = Standing(before.id, before.state, before.state_seq, due.created_at, due.watched_from)
    if not len(due.periods):
        return EvaluationOutcome([])
    # Read from the base on; the grid counts from 1970.
    based = [{due.base + number: one for number, one in found.items()} for found in series]

    def measure(
        edges: tuple[datetime, ...], window: Sequence[Mapping[int, Summary]]
    ) -> Sequence[Point]:
        return answer(connection, Question(definition, due.entry.plan, edges), window, bands)

    judged = None if due.entry.plan is None else measure
    return evaluate_periods(
        definition, standing, based, due.grid, due.periods, now=now, measure=judged
    )
