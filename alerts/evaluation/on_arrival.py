"""Alarms that follow their datapoints: on monitors, and on driftline's own numbers.

A period is judged when datapoints have come in up to its end, or when they are overdue, that is one
more period and a grace time after its end. The grace also counts from the last arrival and from the
start of the process, so that a backlog is not taken for silence. Late datapoints, for periods
already judged, cause one more look at the newest range. Marks in the future, of a clock that
jumped, are taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, update

from driftline.alerts import tables
from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.period_evaluation import EvaluationOutcome, Grid
from driftline.alerts.alarms.records import LOOK_AGAIN
from driftline.alerts.evaluation.catalog import Catalog, Entry
from driftline.alerts.evaluation.due import EVALUATION_ERROR, ON_ARRIVAL
from driftline.alerts.evaluation.news import News
from driftline.alerts.evaluation.periods import (
    PendingPeriods,
    first_datapoint,
    walk_periods,
    watched_from,
)
from driftline.alerts.evaluation.reading import BandsOf
from driftline.alerts.evaluation.verdicts import (
    Failed,
    Standpoint,
    UntrainedReasons,
    Verdict,
    store_each,
)
from driftline.alerts.metrics.identity import chunks
from driftline.database.engine import read_connection

_ROWS_PER_PASS = 20_000
_MANY_PERIODS = 2_000  # Fewer hold no more rows than that, whatever they are.

_Row = Row[Any]


@dataclass(frozen=True, slots=True)
class _Arrivals:
    """The state of an alarm's metrics: ids, how often they changed, and up to where they go."""

    ids: tuple[int, ...]
    revision: int
    covered_until: datetime | None

    @classmethod
    def of(cls, keys: Sequence[str], metrics: Mapping[str, _Row]) -> _Arrivals:
        """Put together the metrics of an alarm; those that nothing was put for are not there."""
        found = [metrics[key] for key in dict.fromkeys(keys) if key in metrics]
        covered = [row.covered_until for row in found if row.covered_until is not None]
        is_whole = bool(covered) and len(covered) == len(set(keys))
        return cls(
            tuple(row.id for row in found),
            sum(row.revision for row in found),
            min(covered) if is_whole else None,
        )


@dataclass(frozen=True, slots=True)
class _Case:
    """An alarm that may have work."""

    row: _Row
    entry: Entry
    arrivals: _Arrivals

    @property
    def has_arrivals(self) -> bool:
        """Whether datapoints were put, or the alarm changed, since it was last judged."""
        return bool(self.arrivals.ids) and self.arrivals.revision != self.row.seen_revision

    @property
    def begins_without_data(self) -> bool:
        """Whether silence alone decides the state, so that evaluation begins at the creation."""
        return self.entry.definition.treatment in ("breaching", "notBreaching")

    def is_ahead(self, now: datetime) -> bool:
        """Whether periods were judged that are still to come: the clock went back since.

        Steps back of less than a period only wait: the same periods would be judged twice.
        """
        until, period = self.row.evaluated_until, self.entry.definition.period
        return until is not None and bool(until > now + timedelta(seconds=period))


class OnArrival:
    """Judges the alarms that follow their datapoints."""

    def __init__(
        self,
        engine: Engine,
        *,
        dashboard_url: str,
        grace_s: int,  # For overdue datapoints, at most; shorter periods give one period.
        failed: Failed,
        bands: BandsOf | None = None,
    ) -> None:
        self._engine = engine
        self._dashboard_url = dashboard_url
        self._grace_s = grace_s
        self._failed = failed
        self._bands = bands
        self._catalog = Catalog()
        self._news = News()
        self._started_at: datetime | None = None
        self._reasons = UntrainedReasons()

    def step(self, now: datetime) -> list[StateChange]:
        """Judge every period that is due, of every alarm; return the changes in the order found."""
        self._started_at = min(self._started_at or now, now)
        with read_connection(self._engine) as connection:
            found, unreadable = self._cases(connection, self._news.begin(connection, now))
        if unreadable:
            self._hand_over(unreadable)
        cases = []
        for case in found:
            has_work = self._has_work(case, now)
            self._news.watch(case.row, case.entry.metric_keys, has_work=has_work)
            if has_work:
                cases.append(case)
        changes: list[StateChange] = []
        for some in chunks(cases):
            changes += self._judge(some, now)
        return changes

    def _cases(
        self, connection: Connection, wanted: set[int] | None
    ) -> tuple[list[_Case], list[int]]:
        """Return the alarms that follow their datapoints, and the ids of those nobody can read.

        All of them, or those of some ids.
        """
        table = tables.alarms.c
        more = ("created_at", "start_at", "phase_s", "seen_at", "evaluation_problem")
        names = (*Standpoint.__slots__, *more)
        query = select(*(table[name] for name in names)).where(table.cadence_s == ON_ARRIVAL)
        if wanted is None:
            rows = list(connection.execute(query))
        else:
            parts = (query.where(table.id.in_(some)) for some in chunks(sorted(wanted)))
            rows = [row for part in parts for row in connection.execute(part)]
        rows.sort(key=lambda row: row.name)
        is_part = wanted is not None
        entries, problems = self._catalog.load(connection, rows, is_part=is_part)
        keys = {key for entry in entries.values() for key in entry.metric_keys}
        metrics = _metrics(connection, sorted(keys))
        cases = [
            _Case(row, entry, _Arrivals.of(entry.metric_keys, metrics))
            for row in rows
            if (entry := entries.get(row.id)) is not None
        ]
        return cases, sorted(problems)

    def _hand_over(self, ids: Sequence[int]) -> None:
        """Leave alarms to the clock, which tells once, and in their rows, why it cannot either."""
        table = tables.alarms
        query = update(table).where(table.c.id.in_(ids), table.c.cadence_s == ON_ARRIVAL)
        with self._engine.begin() as connection:
            connection.execute(query.values(cadence_s=None))

    def _has_work(self, case: _Case, now: datetime) -> bool:
        """Whether an alarm has anything to judge, from its row alone."""
        row = case.row
        if case.has_arrivals or case.is_ahead(now) or case.entry.cadence_s != ON_ARRIVAL:
            return True
        if row.evaluated_until is None and case.arrivals.covered_until is not None:
            return True
        grid = Grid(case.entry.definition.period, row.phase_s or 0)
        if row.evaluated_until is not None:
            first = grid.index(row.evaluated_until)
        elif case.begins_without_data:
            first = grid.index(row.created_at)
        else:
            return False
        return self._until(case, grid, row.seen_at, now, first=first) > first

    def _until(
        self, case: _Case, grid: Grid, seen_at: datetime, now: datetime, *, first: int
    ) -> int:
        """Return the first period, at least ``first``, that is neither covered nor overdue."""
        assert self._started_at is not None
        until = first
        covered = case.arrivals.covered_until
        if covered is not None:
            until = max(until, grid.index(min(covered, now)))
        period = timedelta(seconds=grid.period_s)
        grace = min(period, timedelta(seconds=self._grace_s))
        heard = max(seen_at, self._started_at) if seen_at <= now else self._started_at
        if now > heard + grace:
            # The strict side: at exactly the end of the grace nothing is overdue yet.
            until = max(until, grid.index(now - period - grace - timedelta(microseconds=1)))
        return until

    def _judge(self, cases: Sequence[_Case], now: datetime) -> list[StateChange]:
        """Take some alarms as far as they go."""
        with read_connection(self._engine) as connection:
            pending = [
                due for case in cases if (due := self._pending(connection, case, now)) is not None
            ]
            noted = {case.row.id: case.row.evaluation_problem for case in cases}
            verdicts = [
                self._verdict(due, found, noted[due.before.id])
                for due, found in walk_periods(connection, pending, now, self._bands)
            ]
        return store_each(
            self._engine,
            verdicts,
            now=now,
            dashboard_url=self._dashboard_url,
            failed=self._failed,
        )

    def _verdict(
        self, due: PendingPeriods, found: EvaluationOutcome | Exception, noted: str | None
    ) -> Verdict:
        """Return what is to be stored; errors are logged once and stored in the row."""
        before, definition = due.before, due.entry.definition
        if not isinstance(found, Exception):
            sound = {"evaluation_state": None, "evaluation_problem": None} if noted else {}
            values = {**due.values, **sound, **self._reasons.news(before, found.untrained)}
            return Verdict(before, definition, tuple(found.changes), values)
        problem = str(found) or type(found).__name__
        if problem == noted:
            return Verdict(before, definition)
        self._failed(before.name, found)
        values = {"evaluation_state": EVALUATION_ERROR, "evaluation_problem": problem}
        return Verdict(before, definition, (), values)

    def _pending(self, connection: Connection, case: _Case, now: datetime) -> PendingPeriods | None:
        """Return which periods of an alarm to judge; None before there is any."""
        row = case.row
        if case.entry.cadence_s != ON_ARRIVAL:  # Its definition has changed: it is scheduled now.
            values: dict[str, object] = {"cadence_s": None}
            return PendingPeriods(Standpoint.of(row), case.entry, Grid(60), range(0), values)
        seen_at = now if case.has_arrivals else row.seen_at
        start = _start(connection, case, now)
        if start is None:
            return None
        grid, first = start
        until = self._until(case, grid, seen_at, now, first=first)
        # With nothing new, the newest once more: data changed.
        again = until == first and row.evaluated_until is not None
        periods = range(first - 1, first) if again else range(first, until)
        periods, is_whole = _bounded(connection, case, grid, periods)
        values = {
            "seen_revision": case.arrivals.revision if is_whole else LOOK_AGAIN,
            "seen_at": seen_at,
        }
        if len(periods):
            values |= {"evaluated_until": grid.start(periods.stop), "phase_s": grid.phase_s}
        return PendingPeriods(
            Standpoint.of(row),
            case.entry,
            grid,
            periods,
            values,
            created_at=row.created_at,
            watched_from=_watched_from(connection, case),
        )


def _metrics(connection: Connection, keys: Sequence[str]) -> dict[str, _Row]:
    table = tables.metrics.c
    found: dict[str, _Row] = {}
    query = select(table.key, table.id, table.revision, table.covered_until)
    for some in chunks(keys):
        rows = connection.execute(query.where(table.key.in_(some)))
        found |= {row.key: row for row in rows}
    return found


def _start(connection: Connection, case: _Case, now: datetime) -> tuple[Grid, int] | None:
    """Return the grid and the first period that was not judged yet; None before there is any."""
    row, period = case.row, case.entry.definition.period
    if row.evaluated_until is not None:
        grid = Grid(period, row.phase_s or 0)
        return grid, grid.index(now if case.is_ahead(now) else row.evaluated_until)
    first = first_datapoint(connection, case.arrivals.ids, row.start_at)
    if first is None:
        if not case.begins_without_data:
            return None
        return Grid(period), Grid(period).index(row.created_at)
    time, length = first
    grid = Grid.through(period, time) if length == period else Grid(period)
    index = grid.index(time)
    if row.start_at is None and case.begins_without_data:
        index = min(index, grid.index(row.created_at))
    return grid, index


def _watched_from(connection: Connection, case: _Case) -> datetime | None:
    """Return the time from which missing periods may alarm; None where they never do."""
    if case.entry.definition.treatment != "breaching":
        return None
    return watched_from(connection, case.arrivals.ids, case.row.start_at, case.row.created_at)


def _bounded(connection: Connection, case: _Case, grid: Grid, periods: range) -> tuple[range, bool]:
    """Cut the periods where they would need too many rows in one pass; say if they are whole."""
    base = periods.start - case.entry.definition.range_periods + 1
    if periods.stop - base <= _MANY_PERIODS:
        return periods, True
    table = tables.datapoints.c
    time = connection.scalar(
        select(table.time)
        .where(table.metric_id.in_(case.arrivals.ids), table.time >= grid.start(base))
        .order_by(table.time)
        .offset(_ROWS_PER_PASS)
        .limit(1)
    )
    if time is None:
        return periods, True
    stop = min(max(grid.index(time), periods.start + 1), periods.stop)
    return range(periods.start, stop), stop == periods.stop
