"""Runs of all monitors, one of them, and what comes next; read from the database alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, select

from driftline.capture.windows.window import Window
from driftline.dashboard.address import Address, read_range
from driftline.dashboard.queries import lookup
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.queries.views import page_within
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError
from driftline.monitors import executions as kept
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import (
    COLUMNS,
    Execution,
    get_execution,
    log_of,
    select_executions,
)
from driftline.monitors.run.backfill import MissedWindows, missed_windows
from driftline.monitors.run.judged_windows import newest_windows
from driftline.monitors.run.planning import MonitorState, states_of
from driftline.monitors.run.window_queue import (
    QueuedWindow,
    RunState,
    first_scheduled,
    list_runs,
    requested,
)
from driftline.monitors.tables import executions

SIZE = 100
WAITING_SHOWN = 20
STATUSES = {
    "failed": kept.FAILED, "violations": kept.VIOLATED, "worse": kept.COMPLETED,
    "partly": kept.COMPLETED, "ok": kept.COMPLETED, "insufficient": kept.INSUFFICIENT,
    "empty": kept.EMPTY, "stopped": kept.STOPPED,
}  # fmt: skip
"""What the list can be narrowed to, by the words of the pages."""


@dataclass(frozen=True, slots=True)
class ScheduleLine:
    """A monitor, when its next window is run, and how the newest one went."""

    state: MonitorState
    due_at: datetime | None  # None: no window comes.
    # How often that window could not be run, and why the last time.
    attempts: int
    failure: str | None
    newest: Execution | None = None  # The newest judged window.


@dataclass(frozen=True, slots=True)
class BackfillView:
    """The windows that a backfill would run; ``why_not`` says what is wrong with the request."""

    monitor: MonitorDefinition
    start: str
    end: str
    again: bool
    span: Window | None = None
    missed: MissedWindows | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsView:
    """A page of the runs, or of the schedules, and what is running and waits."""

    now: datetime
    tab: str
    running: Sequence[RunState]
    asked: Sequence[QueuedWindow]
    asked_count: int
    jobs: Sequence[Execution] = ()
    schedules: Sequence[ScheduleLine] = ()
    total: int = 0
    number: int = 1
    text: str | None = None
    state: str | None = None
    backfill: BackfillView | None = None


@dataclass(frozen=True, slots=True)
class JobView:
    """One run, its log, and the others of its window; ``may_run``: its monitor is still there."""

    now: datetime
    job: Execution
    log: Sequence[Mapping[str, str]]
    others: Sequence[Execution]
    may_run: bool
    is_waiting: bool


def read_jobs(stores: Stores, at: Address) -> JobsView:
    """Return a page of the runs, the newest first, or of the schedules, by name."""
    backfill = read_backfill(stores, at) if at.monitor else None
    with read_connection(stores.engine) as connection:
        known = {one.name: one for one in lookup.monitors(connection)}
        running = list_runs(connection, None)
        asked, asked_count = requested(connection, known, WAITING_SHOWN)
        view = JobsView(
            now=stores.now(), tab=at.tab, text=at.text, state=at.state, number=at.number,
            running=running[:WAITING_SHOWN], asked=asked, asked_count=asked_count,
            backfill=backfill,
        )  # fmt: skip
        if not at.tab:
            return _with_runs(connection, view)
        named = [one for one in known if (at.text or "").casefold() in one.casefold()]
        return _with_schedules(connection, view, named)


def _with_runs(connection: Connection, view: JobsView) -> JobsView:
    table = executions.c
    chosen: list[ColumnElement[bool]] = [lookup.in_range(table.window_start, table.window_end)]
    low = (view.text or "").casefold()  # Also of monitors that were deleted since.
    names = connection.scalars(select(table.monitor).distinct()) if low else ()
    chosen += [table.monitor.in_([one for one in names if low in one.casefold()])] if low else []
    chosen += [table.status == STATUSES.get(view.state, view.state)] if view.state else []
    if view.state in ("ok", "partly", "worse"):
        chosen.append((table.worse_count > 0) == (view.state == "worse"))
    if view.state in ("ok", "partly"):
        chosen.append((table.unjudged_count > 0) == (view.state == "partly"))
    total = connection.scalar(select(func.count()).select_from(executions).where(*chosen)) or 0
    number = page_within(view.number, total, SIZE)
    query = (
        select(*COLUMNS).where(*chosen)
        .order_by(table.started_at.desc(), table.window_start.desc(), table.id)
        .offset(SIZE * (number - 1)).limit(SIZE)
    )  # fmt: skip
    return replace(view, jobs=select_executions(connection, query), total=total, number=number)


def _with_schedules(connection: Connection, view: JobsView, named: Sequence[str]) -> JobsView:
    number = page_within(view.number, len(named), SIZE)
    page = sorted(named)[SIZE * (number - 1) : SIZE * number]
    shown = sorted(states_of(connection, page), key=lambda one: one.definition.name)
    newest = newest_windows(connection, [one.definition.name for one in shown], 1)
    lines, queued = [], first_scheduled(connection)
    for one in shown:
        waiting, last = queued.get(one.definition.name), newest[one.definition.name][:1]
        window = waiting.window if waiting else one.next_window()
        due_at = None if window is None else window.end + timedelta(seconds=one.definition.delay_s)
        failure = waiting.failure_reason if waiting else None
        attempts = waiting.attempts if waiting and failure else 0
        lines.append(ScheduleLine(one, due_at, attempts, failure, *last))
    return replace(view, schedules=lines, total=len(named), number=number)


def read_backfill(stores: Stores, at: Address) -> BackfillView:
    """Return what a backfill of a span would run; nothing is run."""
    with read_connection(stores.engine) as connection:
        definition = lookup.monitor(connection, at.monitor)
    view = BackfillView(definition, at.start, at.end, at.again)
    if not (at.start and at.end):
        return view
    try:
        asked, root = read_range(at.start, at.end, stores.now()), stores.storage.root
        assert asked.start is not None and asked.end is not None
        span = Window(asked.start, asked.end)
        missed = missed_windows(stores.engine, root, definition, span, again=at.again)
    except (DriftlineError, ValueError) as error:
        return replace(view, why_not=str(error))
    return replace(view, span=span, missed=missed)


def read_job(stores: Stores, at: Address) -> JobView:
    """Return one run; NotFoundError where there is none of the id."""
    table = executions.c
    with read_connection(stores.engine) as connection:
        job = get_execution(connection, at.job)
        query = (
            select(*COLUMNS)
            .where(
                table.monitor == job.monitor, table.window_start == job.window_start,
                table.window_end == job.window_end, table.id != job.id,
            )
            .order_by(table.started_at.desc())
            .limit(WAITING_SHOWN)
        )  # fmt: skip
        others = select_executions(connection, query)
        known = [one.name for one in lookup.monitors(connection) if one.name == job.monitor]
        waits, log = (
            bool(requested(connection, known, 1, job.window)[1]),
            log_of(connection, job.id),
        )
        return JobView(stores.now(), job, log, others, bool(known), waits)
