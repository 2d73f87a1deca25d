"""What the current user may see of an installation: all of it, or their endpoints.

Pages read monitors and alarms through here. For a user with endpoints everything else answers as if
it never existed: alarms of several metrics or of other alarms, monitors of tables, notifications,
and whatever a sentence might quote of others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, true

from driftline.access.audit import deletions
from driftline.access.principal import CURRENT
from driftline.alerts.alarms.composite_records import AnyRecord, get_any
from driftline.alerts.alarms.records import (
    ENDPOINT_DIMENSIONS,
    AlarmRecord,
    HistoryItem,
    history,
    list_alarms,
)
from driftline.alerts.evaluation.explain import Explanation
from driftline.alerts.tables import alarms as alarms_table
from driftline.dashboard.address import RANGE
from driftline.dashboard.words import moment
from driftline.errors import NotFoundError
from driftline.monitors.definitions import MonitorDefinition, get_definition
from driftline.monitors.executions import COLUMNS, Execution, is_of
from driftline.monitors.run.status import MonitorState, kept_states
from driftline.monitors.run.upstream import MonitorNames
from driftline.monitors.tables import executions

# Pages that hold nothing but what is filtered here; a new one is refused until it stands here.
PAGES = frozenset((
    "overview", "endpoint", "alarms", "alarm", "monitor", "column", "explain", "jobs", "job",
    "missing", "window",
))  # fmt: skip
UNTOLD = "Notifications are about all endpoints, and you are for some."
CHANGED = "In this state since before the alarm was changed."
Listed = TypeVar("Listed", bound=AnyRecord)
Named = TypeVar("Named", AlarmRecord, MonitorDefinition)


class DeletedError(NotFoundError):
    """The monitor was there once."""


def is_limited() -> bool:
    """Whether the caller is for some endpoints only."""
    return CURRENT.get().endpoints is not None


def refused_page(page: str) -> str:
    """Return why the caller may not see a page; "" when they may."""
    who = CURRENT.get()
    if who.endpoints is None or page in PAGES:
        return ""
    own = ", ".join(sorted(who.endpoints))
    return f"{who.subject} is for {own} only, and this page is about all endpoints."


def is_reached(endpoint: str) -> bool:
    """Whether the caller may see an endpoint; "" belongs to no endpoint in particular."""
    return not is_limited() or (bool(endpoint) and CURRENT.get().reaches(endpoint))


def is_shown(record: AnyRecord) -> bool:
    """Whether an alarm is about one metric of an endpoint in reach."""
    if not is_limited():
        return True
    if not isinstance(record, AlarmRecord) or record.definition.metrics:
        return False
    dimensions = record.definition.dimensions
    named = [dimensions[name] for name in ENDPOINT_DIMENSIONS if name in dimensions]
    return bool(named) and all(map(is_reached, named))


def alarm_rows() -> ColumnElement[bool]:
    """Select the rows of alarms that the caller may see; what `shown` leaves is among them."""
    endpoints = CURRENT.get().endpoints
    return true() if endpoints is None else func.lower(alarms_table.c.endpoint).in_(endpoints)


def shown(records: Iterable[Listed]) -> list[Listed]:
    """Return the alarms that the caller may see, as they may be seen."""
    found = filter(is_shown, records)
    return [_of_now(one) for one in found] if is_limited() else [*found]


def _of_now(record: Listed) -> Listed:
    """Return an alarm without what it said before it was changed: it may have watched others."""
    if isinstance(record, AlarmRecord) and record.state_changed_at < record.updated_at:
        return replace(record, state_reason=CHANGED, state_reason_data=None)
    return record


def in_range(
    begin: ColumnElement[Any], end: ColumnElement[Any] | None = None
) -> ColumnElement[bool]:
    """Select what lies, in part at least, in the time that is shown; a moment has no end."""
    shown = RANGE.get()
    since = None if shown.start is None else (
        begin >= shown.start if end is None else end > shown.start)  # fmt: skip
    until = None if shown.end is None else begin < shown.end
    return and_(true(), *(one for one in (since, until) if one is not None))


def changes_of_state(connection: Connection, record: AnyRecord, limit: int) -> list[HistoryItem]:
    """Return the newest changes of this alarm's state; what it was changed from may be others'."""
    return history(
        connection, record.name, alarm_id=record.id, type="StateUpdate", limit=limit,
        start=record.updated_at if is_limited() else None,
    )  # fmt: skip


def alarms(connection: Connection, monitor: str | None = None) -> list[AlarmRecord]:
    """Return the metric alarms that the caller may see, all or those on a monitor, by name."""
    return shown(list_alarms(connection, monitor=monitor))


def alarm(connection: Connection, name: str) -> AnyRecord:
    """Return an alarm; NotFoundError where the caller has none of the name."""
    if not is_limited():
        return get_any(connection, name)
    return _named(name, alarms(connection), "alarm")


def monitors(
    connection: Connection, known: Iterable[MonitorState] | None = None
) -> list[MonitorDefinition]:
    """Return the monitors that the caller may see, by name; ``known`` are all of them."""
    names = MonitorNames(connection, CURRENT.get().endpoints)
    found = (one.definition for one in (kept_states(connection) if known is None else known))
    return [
        replace(one, depends_on=names.some(one.depends_on)) if one.depends_on else one
        for one in found
        if is_reached(one.endpoint)
    ]


def monitor(connection: Connection, name: str) -> MonitorDefinition:
    """Return a monitor; NotFoundError where the caller has none of the name."""
    if is_limited():
        return _named(name, monitors(connection), "monitor")
    try:
        return get_definition(connection, name)
    except NotFoundError:
        if (at := deletions(connection, "Monitor", [name]).get(name)) is None:
            raise
        kept = "its runs and what they found are kept, its pages are not"
        raise DeletedError(f'monitor "{name}" was deleted on {moment(at)}; {kept}') from None


def _named(name: str, shown: Iterable[Named], kind: str) -> Named:
    for one in shown:
        if one.name == name:
            return one
    # Not as others are told, with the names that are nearest.
    raise NotFoundError(f'{kind} "{name}" does not exist among those of your endpoints')


def job(connection: Connection, identity: str) -> Execution:
    """Return a run of a monitor; NotFoundError where the caller has none of the id."""
    found = runs(connection, select(*COLUMNS).where(executions.c.id == identity))
    if not found:
        raise NotFoundError(f'run "{identity}" does not exist; expected the id of an execution')
    return found[0]


def runs(connection: Connection, query: Select[Any]) -> list[Execution]:
    """Return executions that a query selects, those that the caller may see."""
    endpoints = CURRENT.get().endpoints
    names = MonitorNames(connection, endpoints)
    return [
        Execution(**{**row, "failure_reason": names.reason(row["failure_reason"])})
        for row in connection.execute(query.where(is_of(endpoints))).mappings()
    ]


def told(why: Explanation, changed_at: datetime) -> Explanation:
    """Return of an explanation what may be seen: its findings name metrics that are alike."""
    if not is_limited():
        return why
    why = replace(why, findings=(), actions=(), actions_reason=UNTOLD)
    if why.last_alarm is not None and why.last_alarm.since < changed_at:
        why = replace(why, last_alarm=None)
    if why.since >= changed_at:
        return why
    return replace(why, reason=CHANGED, cause=None, window=None, page=None, rows=None)
