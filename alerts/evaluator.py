"""The evaluator: takes each alarm from period to period and queues what has to be told.

One transaction holds the new state, its history and its messages; where the alarm stood is
compared and set, so that two evaluators cannot both tell; where the database locks rows, an alarm
that another evaluator is judging is passed over.

When a period is judged: when datapoints have come in up to its end, or when they are overdue, that
is one more period and a grace time after its end. The grace also counts from the last arrival and
from the start of the process, so that a backlog being worked off is not taken for silence.
Datapoints that come late, for periods already judged, lead to one more look at the newest range.
A clock that was far ahead for a moment leaves marks in the future; they are taken back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, select, update
from sqlalchemy.exc import InterfaceError, OperationalError

from driftline.alerts import metrics, outbox, tables
from driftline.alerts.alarm import StateChange
from driftline.alerts.alarms import LOOK_AGAIN, HistoryItem, add_history
from driftline.alerts.definition import AlarmDefinition
from driftline.alerts.walk import Grid, Standing, walk

__all__ = ["Evaluator"]

log = logging.getLogger(__name__)

_GRACE_MAX_S = 900
_ROWS_PER_PASS = 20_000

_Row = Row[Any]


class Evaluator:
    """Judges all alarms; one call of :meth:`step` is one pass.

    Parameters
    ----------
    engine
        The database.
    now
        Gives the time, aware.
    dashboard_url
        What links in messages begin with.
    grace_s
        Longest grace for overdue datapoints; alarms of shorter periods give one period.
    poll_s
        Time between two passes of :meth:`run`.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], datetime],
        dashboard_url: str = "",
        grace_s: int = _GRACE_MAX_S,
        poll_s: float = 1.0,
    ) -> None:
        self._engine = engine
        self._now = now
        self._dashboard_url = dashboard_url
        self._grace_s = grace_s
        self._poll_s = poll_s
        self._started_at: datetime | None = None
        self.failure_count = 0

    def run(self, stop: threading.Event) -> None:
        """Evaluate until told to stop; a failed pass is counted, logged and tried again."""
        while not stop.is_set():
            try:
                self.step()
            except Exception:  # The top of the loop: what stops it would silence every alarm.
                self.failure_count += 1
                log.exception("evaluator_failed count=%d", self.failure_count)
            stop.wait(self._poll_s)

    def step(self) -> list[StateChange]:
        """Judge every period that is due, of every alarm; give the changes in the order found."""
        now = self._now()
        self._started_at = min(self._started_at or now, now)
        with self._engine.connect() as connection:
            rows = connection.execute(_alarms_and_metrics()).all()
        changes: list[StateChange] = []
        for row in rows:
            try:
                if not self._has_work(row, now):
                    continue
                with self._engine.begin() as connection:
                    changes += self._evaluate(connection, row.id, now)
            except (OperationalError, InterfaceError):
                raise  # The database is away, or an alarm's row is held: the next pass tries again.
            except Exception:  # One alarm that cannot be judged must not silence those after it.
                self.failure_count += 1
                log.exception("alarm_failed alarm=%r count=%d", row.name, self.failure_count)
        for change in changes:
            log.info(
                "alarm_state_changed alarm=%r seq=%d old=%s new=%s period_end=%s",
                change.alarm_name,
                change.seq,
                change.old,
                change.new,
                change.period_end.isoformat(),
            )
        return changes

    def _has_work(self, row: _Row, now: datetime) -> bool:
        """Say whether an alarm has anything to judge, from its row alone."""
        if _has_arrivals(row):
            return True
        if row.evaluated_until is None and row.covered_until is not None:
            return True
        definition = row.definition
        grid = Grid(definition["period"], row.phase_s or 0)
        if _is_ahead(row, grid.period_s, now):
            return True
        begin = row.evaluated_until or (
            row.created_at if _begins_without_data(definition) else None
        )
        if begin is None:
            return False
        return self._until(row, grid, row.seen_at, now, first=grid.index(begin)) > grid.index(begin)

    def _until(self, row: _Row, grid: Grid, seen_at: datetime, now: datetime, *, first: int) -> int:
        """Give the first period, at least ``first``, that is neither covered nor overdue."""
        assert self._started_at is not None
        until = first
        if row.covered_until is not None:
            until = max(until, grid.index(min(row.covered_until, now)))
        period = timedelta(seconds=grid.period_s)
        grace = min(period, timedelta(seconds=self._grace_s))
        heard = max(seen_at, self._started_at) if seen_at <= now else self._started_at
        if now > heard + grace:
            # The strict side: at exactly the end of the grace nothing is overdue yet.
            until = max(until, grid.index(now - period - grace - timedelta(microseconds=1)))
        return until

    def _evaluate(self, connection: Connection, alarm_id: int, now: datetime) -> list[StateChange]:
        """Take one alarm as far as it goes, in the transaction that is open."""
        query = _alarms_and_metrics().where(tables.alarms.c.id == alarm_id)
        query = query.with_for_update(of=tables.alarms, skip_locked=True)
        row = connection.execute(query).one_or_none()
        if row is None:
            return []
        definition = AlarmDefinition.from_dict(row.definition)
        seen_at = now if _has_arrivals(row) else row.seen_at
        start = _start(connection, row, definition, now)
        if start is None:
            return []
        grid, first = start
        periods = self._periods(row, grid, first, seen_at, now)
        found: dict[int, metrics.Summary] = {}
        is_whole = True
        if row.metric_id is not None:
            base = periods.start - definition.range_periods + 1
            periods, is_whole = _bounded(connection, row.metric_id, grid, base, periods)
            found = _summaries(connection, row.metric_id, definition, grid, base, periods.stop)
        standing = Standing(row.id, row.state, row.state_seq)
        changes = walk(definition, standing, found, grid, periods, now=now)
        values: dict[str, object] = {
            "seen_revision": (row.revision or 0) if is_whole else LOOK_AGAIN,
            "seen_at": seen_at,
        }
        if len(periods):
            values |= {"evaluated_until": grid.start(periods.stop), "phase_s": grid.phase_s}
        return self._store(connection, row, definition, changes, values)

    def _periods(
        self, row: _Row, grid: Grid, first: int, seen_at: datetime, now: datetime
    ) -> range:
        """Give the periods to judge; with nothing new, the newest once more if data changed."""
        until = self._until(row, grid, seen_at, now, first=first)
        if until == first and row.evaluated_until is not None:
            return range(first - 1, first)
        return range(first, until)

    def _store(
        self,
        connection: Connection,
        row: _Row,
        definition: AlarmDefinition,
        changes: Sequence[StateChange],
        values: Mapping[str, object],
    ) -> list[StateChange]:
        """Write the state, the history and the messages, unless the alarm has moved meanwhile."""
        table = tables.alarms.c
        state: dict[str, object] = {}
        if changes:
            last = changes[-1]
            state = {
                "state": last.new,
                "state_reason": last.reason,
                "state_reason_data": last.reason_data,
                "state_changed_at": last.time,
                "state_seq": last.seq,
            }
        result = connection.execute(
            update(tables.alarms)
            .where(
                table.id == row.id,
                table.state_seq == row.state_seq,
                table.updated_at == row.updated_at,
                table.evaluated_until.is_not_distinct_from(row.evaluated_until),
            )
            .values(**values, **state)
        )
        if not result.rowcount:
            log.warning("alarm_moved_meanwhile alarm=%r", definition.alarm_name)
            return []
        before = _state(row.state, row.state_reason, row.state_reason_data)
        for change in changes:
            after = _state(change.new, change.reason, change.reason_data)
            _add_state_update(connection, change, before, after)
            outbox.enqueue(
                connection,
                change,
                definition,
                dashboard_url=self._dashboard_url,
                configured_at=row.updated_at,
            )
            before = after
        return list(changes)


def _alarms_and_metrics() -> Select[Any]:
    alarms, metric = tables.alarms, tables.metrics
    return (
        select(alarms, metric.c.id.label("metric_id"), metric.c.revision, metric.c.covered_until)
        .outerjoin(metric, metric.c.key == alarms.c.metric_key)
        .order_by(alarms.c.name)
    )


def _has_arrivals(row: _Row) -> bool:
    """Say whether datapoints were put, or the alarm changed, since it was last judged."""
    return row.revision is not None and bool(row.revision != row.seen_revision)


def _begins_without_data(definition: Mapping[str, Any]) -> bool:
    """Say whether silence alone decides the state, so that the walk begins at the creation."""
    return definition.get("treat_missing_data") in ("breaching", "notBreaching")


def _is_ahead(row: _Row, period_s: int, now: datetime) -> bool:
    """Say whether periods were judged that are still to come, so that the clock went back since.

    Steps back of less than a period only wait: the same periods would be judged twice.
    """
    until = row.evaluated_until
    return until is not None and bool(until > now + timedelta(seconds=period_s))


def _start(
    connection: Connection, row: _Row, definition: AlarmDefinition, now: datetime
) -> tuple[Grid, int] | None:
    """Give the grid and the first period that was not judged yet; None before there is any."""
    period = definition.period
    if row.evaluated_until is not None:
        grid = Grid(period, row.phase_s or 0)
        begin = now if _is_ahead(row, period, now) else row.evaluated_until
        return grid, grid.index(begin)
    first = _first_datapoint(connection, row)
    if first is None:
        if not _begins_without_data(row.definition):
            return None
        return Grid(period), Grid(period).index(row.created_at)
    time, length = first
    grid = Grid.through(period, time) if length == period else Grid(period)
    if row.start_at is None and _begins_without_data(row.definition):
        time = min(time, row.created_at)
    return grid, grid.index(time)


def _first_datapoint(connection: Connection, row: _Row) -> tuple[datetime, int] | None:
    """Give time and length of the datapoint with which the alarm begins."""
    table = tables.datapoints.c
    query = (
        select(table.time, table.period_s)
        .where(table.metric_id == row.metric_id)
        .order_by(table.time)
        .limit(1)
    )
    if row.start_at is not None:
        query = query.where(table.time >= row.start_at)
    found = connection.execute(query).first()
    return (found.time, found.period_s) if found is not None else None


def _bounded(
    connection: Connection, metric_id: int, grid: Grid, base: int, periods: range
) -> tuple[range, bool]:
    """Cut the periods where they would need too many rows in one pass; say if they are whole."""
    table = tables.datapoints.c
    time = connection.scalar(
        select(table.time)
        .where(table.metric_id == metric_id, table.time >= grid.start(base))
        .order_by(table.time)
        .offset(_ROWS_PER_PASS)
        .limit(1)
    )
    if time is None:
        return periods, True
    stop = min(max(grid.index(time), periods.start + 1), periods.stop)
    return range(periods.start, stop), stop == periods.stop


def _summaries(
    connection: Connection,
    metric_id: int,
    definition: AlarmDefinition,
    grid: Grid,
    base: int,
    stop: int,
) -> dict[int, metrics.Summary]:
    """Read the periods from ``base`` up to ``stop``, by their numbers on the grid."""
    found = metrics.summaries(
        connection,
        metric_id,
        grid.start(base),
        grid.start(stop),
        grid.period_s,
        unit=definition.unit,
    )
    return {base + number: summary for number, summary in found.items()}


def _state(value: str, reason: str, data: str | None) -> dict[str, object]:
    return {"stateValue": value, "stateReason": reason, "stateReasonData": data}


def _add_state_update(
    connection: Connection,
    change: StateChange,
    before: Mapping[str, object],
    after: Mapping[str, object],
) -> None:
    data = {
        "version": "1.0",
        "oldState": dict(before),
        "newState": dict(after),
        "periodEnd": change.period_end.isoformat(),
        "seq": change.seq,
    }
    summary = f"Alarm updated from {change.old} to {change.new}"
    item = HistoryItem(change.alarm_name, change.time, "StateUpdate", summary, data)
    add_history(connection, alarm_id=change.alarm_id, item=item)
