"""The cause that a monitor wrote with the datapoint that put an alarm into ALARM.

For an alarm in ALARM it comes from the datapoints; for a recovered one from the datapoint of its
window while that is kept, else from its history, which keeps no values of rows.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.composite_records import AnyRecord
from driftline.alerts.documents import Time, iso
from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.notify.event import cause_source
from driftline.alerts.tables import datapoints, history, metrics

Note = Mapping[str, object]

_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause in one sentence, the start of the monitor's window that has it, and where to look."""

    cause: str | None = None
    window: Time | None = None
    page: str | None = None  # The window's, on the dashboard.
    rows: str | None = None  # The command that lists the rows; None where there are none.


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAlarm(Cause):
    """When an alarm that has recovered was last in ALARM, and why."""

    since: Time
    until: Time


def explained_cause(
    connection: Connection, record: AnyRecord, note: Note | None, dashboard_url: str
) -> dict[str, Any]:
    """Return an explanation's fields on the cause: of the ALARM that is, or of the last one.

    ``note`` is that of the datapoint which decides now; without one, the history's is taken.
    """
    fired = _last_fired(connection, record)
    if record.state == "ALARM":
        kept = {} if fired is None else fired.data.get("note", {})
        return asdict(_cause(note or kept, dashboard_url))
    if fired is None:
        return {}
    note = fired.data.get("note", {})
    cause = _cause(_kept_note(connection, record, note) or note, dashboard_url)
    if cause.cause is None:
        cause = replace(cause, cause=fired.data["newState"]["stateReason"])
    query = _updates(record, history.c.time).where(history.c.id > fired.id)
    until = connection.scalar(query.order_by(history.c.id).limit(1))
    last = LastAlarm(**asdict(cause), since=fired.time, until=until or record.state_changed_at)
    return {"last_alarm": last}


def _last_fired(connection: Connection, record: AnyRecord) -> Row[Any] | None:
    """Find the history's newest line of a change to ALARM."""
    columns = (history.c.id, history.c.time, history.c.data)
    query = _updates(record, *columns).where(history.c.summary.like("% to ALARM"))
    return connection.execute(query.order_by(history.c.id.desc()).limit(1)).one_or_none()


def _kept_note(connection: Connection, record: AnyRecord, note: Note) -> Note | None:
    """Return the datapoint's own note, values and all; None where it is gone."""
    source, rule = cause_source(note), record.definition
    if isinstance(rule, CompositeDefinition) or not rule.metric_name or "window" not in source:
        return None
    key = metric_key(rule.namespace or "", rule.metric_name, rule.dimensions)
    query = (
        select(datapoints.c.note)
        .join(metrics, metrics.c.id == datapoints.c.metric_id)
        .where(metrics.c.key == key, datapoints.c.time == _start_of(source))
    )
    kept = connection.scalars(query.order_by(datapoints.c.id.desc()).limit(1)).first()
    return kept if kept and kept.get("cause") and cause_source(kept) == source else None


def _start_of(source: Note) -> datetime:
    return datetime.strptime(str(source["window"]), _STAMP).replace(tzinfo=UTC)


def _updates(record: AnyRecord, *columns: Any) -> Select[Any]:  # noqa: ANN401 - columns of SQL
    """Select changes of state of this alarm, not of an earlier one of its name."""
    return select(*columns).where(
        history.c.alarm_name == record.name,
        history.c.alarm_id == record.id,
        history.c.type == "StateUpdate",
    )


def _cause(note: Note, dashboard_url: str) -> Cause:
    cause, link = str(note.get("cause") or "") or None, str(note.get("link") or "")
    if not link:
        return Cause(cause=cause)
    page = f"{dashboard_url.rstrip('/')}/{link.lstrip('/')}"
    source = cause_source(note)
    if "window" not in source:
        return Cause(cause=cause, page=page)
    window = _start_of(source)
    if "rows_of" not in source:
        return Cause(cause=cause, window=window, page=page)
    words = ["driftline", "monitor", "rows", str(source["monitor"]), "--window", iso(window)]
    if feature := source["rows_of"]:
        words += ["--feature", str(feature)]
    return Cause(cause=cause, window=window, page=page, rows=shlex.join(words))
