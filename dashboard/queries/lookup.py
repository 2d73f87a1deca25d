"""What several pages look up: monitors by name, runs, changes of an alarm, the time shown."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, true

from driftline.access.audit import deletions
from driftline.alerts.alarms.composite_records import AnyRecord
from driftline.alerts.alarms.records import HistoryItem, history
from driftline.dashboard.address import RANGE
from driftline.dashboard.words import moment
from driftline.errors import NotFoundError
from driftline.monitors.definitions import MonitorDefinition, get_definition
from driftline.monitors.run.planning import list_states


class DeletedError(NotFoundError):
    """The monitor was there once."""


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
    """Return the newest changes of this alarm's state, not of an earlier one of its name."""
    return history(connection, record.name, alarm_id=record.id, type="StateUpdate", limit=limit)


def monitors(connection: Connection) -> list[MonitorDefinition]:
    """Return the monitors, by name."""
    return [one.definition for one in list_states(connection)]


def monitor(connection: Connection, name: str) -> MonitorDefinition:
    """Return a monitor; DeletedError where it was there once."""
    try:
        return get_definition(connection, name)
    except NotFoundError:
        if (at := deletions(connection, "Monitor", [name]).get(name)) is None:
            raise
        kept = "its runs and what they found are kept, its pages are not"
        raise DeletedError(f'monitor "{name}" was deleted on {moment(at)}; {kept}') from None
