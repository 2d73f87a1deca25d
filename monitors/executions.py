"""Stores and finds executions.

One transaction records a run, supersedes older runs of its window, and replaces the window's
datapoints and window history.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    and_,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.capture.tables.storage import list_folders
from driftline.capture.windows.window import Window
from driftline.database.dialects import advisory_lock
from driftline.database.engine import read_connection
from driftline.database.paging import Place, is_behind
from driftline.errors import NotFoundError, UnavailableError
from driftline.formats.location import locate
from driftline.monitors.schedule import Schedule, windows_from
from driftline.monitors.tables import definitions, executions

log = logging.getLogger(__name__)

COMPLETED, VIOLATED, FAILED = "Completed", "CompletedWithViolations", "Failed"
# Nothing is violated, but nothing could be judged either: no pass.
INSUFFICIENT = "InsufficientData"
# No row fell into the window: nothing went wrong, and there is nothing to show.
EMPTY = "NoData"
# Somebody cancelled it before it had a result.
STOPPED = "Stopped"
WITHOUT_REPORT = (FAILED, EMPTY, STOPPED)
UNJUDGED = (*WITHOUT_REPORT, INSUFFICIENT)
# The same question is asked again.
UNFINISHED = (FAILED, STOPPED)
Status = Literal[
    "Completed", "CompletedWithViolations", "InsufficientData", "NoData", "Stopped", "Failed"
]


WindowState = Literal[
    "ok", "partly", "worse", "violations", "failed", "stopped", "unlabelled", "insufficient",
    "empty", "waiting",
]  # fmt: skip
"""``partly``: not all could be judged; ``worse``: a metric is worse than the reference beyond
chance, within its bound; ``unlabelled``: no label has come yet; ``waiting``: before the first
window."""

JUDGED_STATES = ("ok", "partly", "worse", "violations")
STATES: Mapping[str, WindowState] = {
    VIOLATED: "violations", FAILED: "failed", EMPTY: "empty", STOPPED: "stopped",
    INSUFFICIENT: "insufficient",
}  # fmt: skip

NO_LABELS = "no ground truth has come for this window yet; it is judged again when it has"


class Overtaken(Exception):  # noqa: N818 - no error: others were faster, with newer rows perhaps.
    """Another execution of the window was recorded since this one read its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run, as stored."""

    id: str
    monitor: str
    kind: str
    endpoint: str
    definition_version: int
    baseline: str
    baseline_version: str
    window_start: datetime
    window_end: datetime
    digest: str
    # "Completed", "CompletedWithViolations", "InsufficientData", "NoData", "Stopped" or "Failed".
    status: str = FAILED
    failure_reason: str | None = None
    failure_type: str | None = None  # Of the error that a failed run ended with.
    failure_record: int | None = None  # The record, from 1, that a script failed on.
    is_current: bool = (
        True  # False once a newer run of the same window has replaced its datapoints.
    )
    row_count: int = 0
    request_count: int = 0
    violation_count: int = 0
    page_count: int = 0
    # Metrics worse than the reference beyond chance, within their bounds.
    worse_count: int = 0
    unjudged_count: int = 0  # Columns or metrics that could not be judged.
    # Rows with a label, and violations annotated as expected; None: not counted.
    labelled_count: int | None = None
    expected_count: int | None = None
    max_drift_ratio: float | None = (
        None  # Largest distance over its bound; None when no drift was judged.
    )
    # The result in one line: what was found, and how much could not be judged; empty without one.
    headline: str = ""
    cause: str = ""  # Empty without violations.
    folder: str = ""  # Of its documents, relative to the storage root; empty when there are none.
    started_at: datetime
    finished_at: datetime

    @property
    def window(self) -> Window:
        """The window that was judged."""
        return Window(self.window_start, self.window_end)

    @property
    def judged_rows(self) -> int | None:
        """Rows that were judged; None where there is no report."""
        return None if self.status in WITHOUT_REPORT else self.row_count

    @property
    def state(self) -> WindowState:
        """The state of its window in a word: what could not be judged is no pass."""
        if self.status in UNJUDGED and (self.failure_reason or "").startswith(NO_LABELS):
            return "unlabelled"
        if self.status != COMPLETED:
            return STATES[self.status]
        return "worse" if self.worse_count else "partly" if self.unjudged_count else "ok"


# Without what was told, for later windows, and what is read of one execution at a time.
COLUMNS = tuple(executions.c[one.name] for one in fields(Execution))


def get_execution(connection: Connection, identity: str) -> Execution:
    """Return one execution; NotFoundError when there is none of that id."""
    found = find(connection, identity)
    if found is None:
        raise NotFoundError(f'execution "{identity}" does not exist; expected the id of a run')
    return found


def list_executions(
    connection: Connection,
    monitor: str,
    *,
    statuses: Sequence[Status] = (),
    start: datetime | None = None,
    end: datetime | None = None,
    only_current: bool = False,
    after: Place | None = None,
    limit: int,
) -> list[Execution]:
    """Return executions of windows that begin in [start, end), the newest window first."""
    table = executions.c
    order = [table.window_start, table.started_at, table.id]
    query = select(*COLUMNS).where(
        table.monitor == monitor, is_behind(after, order, descending=True)
    )
    if statuses:
        query = query.where(table.status.in_(statuses))
    if start is not None:
        query = query.where(table.window_start >= start)
    if end is not None:
        query = query.where(table.window_start < end)
    if only_current:
        query = query.where(table.is_current)
    query = query.order_by(*(one.desc() for one in order)).limit(limit)
    return select_executions(connection, query)


def select_executions(connection: Connection, query: Select[Any]) -> list[Execution]:
    """Return the executions that a query of `COLUMNS` selects."""
    return [execution_of(row) for row in connection.execute(query).mappings()]


def execution_of(row: RowMapping) -> Execution:
    """Return the execution of a row that holds `COLUMNS`."""
    return Execution(**{column.name: row[column.name] for column in COLUMNS})


def require_storage(engine: Engine, root: str) -> None:
    """Refuse to read a storage root, or a part of it, that has gone although executions used it.

    Otherwise its records would be reported as deleted; an empty folder is what a mount leaves. Rows
    of external tables lie elsewhere. In a bucket a folder exists as long as something is in it, so
    no part can be missing.
    """
    folders, wrote = list_folders(root, ""), executions.c.folder != ""
    if folders and not locate(root).is_local:
        return
    own = executions.c.monitor.in_(select(definitions.c.name).where(definitions.c.source.is_(None)))
    used = {
        "executions": ("wrote documents there", wrote),
        "capture": ("read rows there", wrote & own & (executions.c.row_count > 0)),
    }
    for name, (what, is_one) in used.items():
        if name in folders:
            continue
        with read_connection(engine) as connection:
            found = connection.scalar(select(executions.c.id).where(is_one).limit(1))
        if found is not None:
            where = f"{root}/{name} is missing" if folders else f"{root} is missing or empty"
            raise UnavailableError(
                f"the store is not reachable: {where}, and executions {what}; mount it, or move "
                "it back"
            )


def inputs_of(connection: Connection, identity: str) -> dict[str, Any]:
    """Return what an execution read, by versions and digests; empty where it noted nothing."""
    query = select(executions.c.inputs).where(executions.c.id == identity)
    return connection.scalar(query) or {}


def answers_judged(connection: Connection, identity: str) -> Mapping[str, str | None]:
    """Return the variant and the target model whose answers alone an execution judged."""
    rows = inputs_of(connection, identity).get("rows", {})
    return {name: rows.get(name) for name in ("variant", "target_model")}


def record(
    engine: Engine,
    execution: Execution,
    points: list[Datapoint],
    *also: Callable[[Connection], None],
    timetable: Schedule,
    before: str | None,
    notes: Mapping[str, object] = MappingProxyType({}),
) -> Execution:
    """Store the run, supersede older ones of its window, replace their datapoints: atomically.

    `also` are done in the same transaction; `notes` are the log and the inputs. A part of a window
    of the timetable that was judged leaves that one's datapoints alone.
    """
    values = {one.name: getattr(execution, one.name) for one in fields(execution)} | dict(notes)
    try:
        with engine.begin() as connection:
            # Two runs of one window at once would each find the other's row not there yet.
            advisory_lock(connection, _source(execution))
            if _is_judged(connection, execution, before):
                stale = or_(executions.c.folder == "", executions.c.is_current.is_(False))
                connection.execute(delete(executions).where(executions.c.id == execution.id, stale))
                others = (
                    _of_window(execution.monitor, execution.window),
                    executions.c.id != execution.id,
                )
                connection.execute(update(executions).where(*others).values(is_current=False))
            connection.execute(insert(executions).values(values))
            if not _is_part(connection, execution, timetable):
                metrics.put(connection, points, source=_source(execution))
            for do in also:
                do(connection)
    except IntegrityError:
        # Another process has recorded the same run meanwhile: the same id has the same answer.
        with read_connection(engine) as connection:
            return get_execution(connection, execution.id)
    log.info(
        "execution=%s monitor=%s window=%s status=%s rows=%d violations=%d",
        execution.id,
        execution.monitor,
        execution.window.stamp,
        execution.status,
        execution.row_count,
        execution.violation_count,
    )
    return execution


def _is_part(connection: Connection, execution: Execution, timetable: Schedule) -> bool:
    """Whether a window begins as one of the timetable's that was judged, and is another one."""
    window = execution.window
    whole = next(windows_from(timetable, window.start), None) if timetable.is_recurring else None
    if whole is None or whole.start != window.start or whole == window:
        return False
    return current(connection, execution.monitor, whole) is not None


def set_aside_open(connection: Connection, monitor: str, now: datetime) -> int:
    """Supersede executions whose windows have not ended, with their results; return how many.

    A clock that was ahead ran them.
    """
    table = executions.c
    is_open = (table.monitor == monitor) & (table.window_end > now)
    found = select_executions(connection, select(*COLUMNS).where(is_open, table.is_current))
    for execution in found:
        metrics.put(connection, (), source=_source(execution))
    connection.execute(update(executions).where(is_open).values(is_current=False))
    return len(found)


def note_log(engine: Engine, identity: str, lines: list[dict[str, str]]) -> None:
    """Store the log of a run that ended after its execution was recorded."""
    with engine.begin() as connection:
        connection.execute(update(executions).where(executions.c.id == identity).values(log=lines))


def log_of(connection: Connection, execution: str) -> list[dict[str, str]]:
    """Return the log of an execution: time and text of each line; empty where none was kept."""
    return connection.scalar(select(executions.c.log).where(executions.c.id == execution)) or []


def current(connection: Connection, monitor: str, window: Window) -> str | None:
    """Return the id of the execution whose datapoints count for a window; None before the first."""
    query = select(executions.c.id).where(_of_window(monitor, window), executions.c.is_current)
    return connection.scalar(query)


def _of_window(monitor: str, window: Window) -> ColumnElement[bool]:
    """Select the executions of a monitor on one window."""
    return and_(
        executions.c.monitor == monitor,
        executions.c.window_start == window.start,
        executions.c.window_end == window.end,
    )


def _is_judged(connection: Connection, execution: Execution, before: str | None) -> bool:
    """Whether the window was judged before; Overtaken where that changed since it was read."""
    query = select(executions.c.id, executions.c.is_current).where(
        _of_window(execution.monitor, execution.window)
    )
    known = {row.id: row.is_current for row in connection.execute(query)}
    standing = next((identity for identity, is_current in known.items() if is_current), None)
    if standing not in (before, execution.id):
        raise Overtaken
    return bool(known)


def _source(execution: Execution) -> str:
    """Name the source of datapoints: one for each monitor and window."""
    return f"monitor:{execution.monitor}/{execution.window.stamp}"


def find(connection: Connection, identity: str) -> Execution | None:
    """Return one execution, or None."""
    found = select_executions(connection, select(*COLUMNS).where(executions.c.id == identity))
    return found[0] if found else None
