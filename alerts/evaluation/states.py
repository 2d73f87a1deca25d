"""Manual changes of alarms: set their state, switch their actions, change their tags."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import get_args

from sqlalchemy import Connection, update

from driftline.alerts.alarms.alarm import State, StateChange
from driftline.alerts.alarms.composite import AnyDefinition, CompositeDefinition
from driftline.alerts.alarms.composite_records import (
    AnyRecord,
    CompositeRecord,
    change_of,
    get_any,
    states_since,
)
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import (
    LOOK_AGAIN,
    AlarmRecord,
    hold_for_change,
    later,
    update_row,
)
from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation import wording
from driftline.alerts.evaluation.composites import CompositePass, follow
from driftline.alerts.notify.pipeline import notify
from driftline.alerts.tables import alarms

# CloudWatch API, SetAlarmState.
_REASON_MAX = 1023
_REASON_DATA_MAX = 4000


def set_state(
    connection: Connection,
    name: str,
    state: str,
    reason: str,
    now: datetime,
    *,
    reason_data: str | None = None,
    dashboard_url: str = "",
) -> list[StateChange]:
    """Put an alarm into a state and run its actions, as SetAlarmState does.

    The next evaluation, mostly within seconds, restores a metric alarm; a composite alarm stays
    until one of its children changes.
    """
    new = _checked(name, state, reason, reason_data)
    hold_for_change(connection, [name])
    record = get_any(connection, name)
    if record.state == new:
        values: dict[str, object] = {
            "state_reason": reason,
            "state_reason_data": reason_data,
            "state_updated_at": now,
        }
        _write(connection, record, values)
        return []
    change = change_of(record, new, reason, reason_data or "", now)
    if isinstance(record, CompositeRecord):
        return _set_composite(connection, record, change, dashboard_url)
    return _set_metric(connection, record, change, dashboard_url)


def set_actions_enabled(
    connection: Connection, names: Sequence[str], now: datetime, *, enabled: bool
) -> None:
    """Switch the actions of alarms on or off, all or none; their states go on changing."""
    hold_for_change(connection, names)
    for record in [get_any(connection, name) for name in dict.fromkeys(names)]:
        if record.definition.actions_enabled != enabled:
            _redefine(connection, record, now, {"actions_enabled": enabled})


def _checked(name: str, state: str, reason: str, reason_data: str | None) -> State:
    where = f'alarm "{name}"'
    if len(reason) > _REASON_MAX:
        raise AlarmError(
            f"{where}: reason of {len(reason)} characters; expected {_REASON_MAX} or fewer"
        )
    if reason_data is not None:
        if len(reason_data) > _REASON_DATA_MAX:
            raise AlarmError(
                f"{where}: reason data of {len(reason_data)} characters; expected "
                f"{_REASON_DATA_MAX} or fewer"
            )
        try:
            json.loads(reason_data)
        except (ValueError, RecursionError) as error:
            raise AlarmError(f"{where}: reason data; expected JSON ({error})") from error
    for known in get_args(State):
        if state == known:
            return known  # type: ignore[no-any-return] # get_args loses the type
    raise AlarmError(f'{where}: state "{state}"; expected one of {", ".join(get_args(State))}')


def _set_metric(
    connection: Connection, record: AlarmRecord, change: StateChange, dashboard_url: str
) -> list[StateChange]:
    """Set a metric alarm's state, queue its messages, and go on above it."""
    wording.add_state_update(connection, change, record)
    _write(connection, record, wording.state_columns(change))
    notify(
        connection,
        change,
        record.definition,
        dashboard_url=dashboard_url,
        configured_at=record.updated_at,
    )
    return [change, *follow(connection, [change], change.time, dashboard_url=dashboard_url)]


def _set_composite(
    connection: Connection, record: CompositeRecord, change: StateChange, dashboard_url: str
) -> list[StateChange]:
    """Set a composite's state, its actions held by its suppressor as ever, and go on above it."""
    work = CompositePass(connection, change.time, dashboard_url)
    suppressor = record.definition.suppressor_name
    work.act(record, change, states_since(connection, [] if suppressor is None else [suppressor]))
    return [change, *work.judge((), [change])]


def _write(connection: Connection, record: AnyRecord, values: Mapping[str, object]) -> None:
    """Write a state; a metric alarm is looked at again, though no datapoint came."""
    again = {} if isinstance(record, CompositeRecord) else {"seen_revision": LOOK_AGAIN}
    query = update(alarms).where(alarms.c.id == record.id)
    connection.execute(query.values(**values, **again))


def _redefine(
    connection: Connection, record: AnyRecord, now: datetime, values: Mapping[str, object]
) -> None:
    """Change some fields of a definition, checked as a whole."""
    fields = record.definition.as_dict() | dict(values)
    new: AnyDefinition
    if isinstance(record, CompositeRecord):
        new = CompositeDefinition.from_dict(fields)
    else:
        new = AlarmDefinition.from_dict(fields)
    row = {"definition": new.as_dict(), "updated_at": later(now, record.updated_at)}
    update_row(connection, record.id, new, row, now)
