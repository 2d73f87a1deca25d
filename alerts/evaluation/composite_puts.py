"""Composite alarms are stored: what they name is checked, cycles are noted, states follow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, update

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.composite_records import (
    CompositeRecord,
    crowds,
    list_composites,
    set_links,
    standings,
)
from driftline.alerts.alarms.order import order
from driftline.alerts.alarms.records import (
    COMPOSITE,
    COMPOSITES,
    LOOK_AGAIN,
    METRIC,
    check_channels,
    create_row,
    later,
    update_row,
)
from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation.composites import CYCLE, CompositePass
from driftline.alerts.tables import alarms
from driftline.database.locks import advisory_lock

_CYCLE_PROBLEM: Final = (
    "its rule leads back to itself, so it is not evaluated and keeps its state; change one of the "
    "rules on the way, for example to FALSE"
)
# CloudWatch User Guide, "Composite alarms".
_PARENTS_MAX = 150


def put_composites(
    connection: Connection,
    definitions: Sequence[CompositeDefinition],
    now: datetime,
    *,
    dashboard_url: str = "",
) -> list[StateChange]:
    """Store composite alarms, or overwrite those of their names, and judge them.

    They may name each other, in any order. The state of one that exists is kept until its rule
    says otherwise; with another suppressor a wait begins anew, without one it is over.
    """
    advisory_lock(connection, COMPOSITES)
    known = {one.name: one for one in list_composites(connection)}
    fresh: dict[str, bool] = {}
    for definition in definitions:
        check_channels(connection, definition)
        before = known.get(definition.alarm_name)
        if before is None or before.definition != definition:
            fresh[definition.alarm_name] = before is None
            _put(connection, definition, before, now)
    _check_references(connection, [one for one in definitions if one.alarm_name in fresh])
    freed = _mark_cycles(connection)
    work = CompositePass(connection, now, dashboard_url)
    work.fresh = {**dict.fromkeys(freed, False), **fresh}
    return work.judge(work.fresh, ())


def _put(
    connection: Connection,
    definition: CompositeDefinition,
    before: CompositeRecord | None,
    now: datetime,
) -> None:
    """Write one definition and whom it looks at."""
    values: dict[str, object] = {"definition": definition.as_dict(), "updated_at": now}
    if before is None:
        name = definition.alarm_name
        row = connection.execute(
            select(alarms.c.id, alarms.c.kind, alarms.c.updated_at).where(alarms.c.name == name)
        ).one_or_none()
        if row is not None and row.kind == METRIC:
            raise AlarmError(
                f'alarm "{name}": a metric alarm has this name; expected a name that is unique '
                "among alarms of all kinds"
            )
        if row is None:
            values |= {"metric_key": "", "seen_revision": LOOK_AGAIN, "seen_at": now}
            alarm_id = create_row(connection, definition, COMPOSITE, values, now)
        else:  # What cannot be read is replaced as a whole.
            values |= {"updated_at": later(now, row.updated_at)}
            values |= {"suppressed_by": None, "suppressed_until": None}
            alarm_id = row.id
            update_row(connection, alarm_id, definition, values, now)
    else:
        alarm_id = before.id
        values["updated_at"] = later(now, before.updated_at)
        if before.definition.suppressor_name != definition.suppressor_name:
            values |= {"suppressed_by": None, "suppressed_until": None}
        update_row(connection, alarm_id, definition, values, now)
    set_links(connection, alarm_id, definition)


def _check_references(connection: Connection, definitions: Sequence[CompositeDefinition]) -> None:
    """Refuse names of alarms that do not exist, and children with too many parents."""
    names = {name for one in definitions for name in (*one.rule.names, one.suppressor_name or "")}
    known = standings(connection, names)
    crowded = crowds(connection, names, _PARENTS_MAX)
    for one in definitions:
        if missing := [name for name in one.rule.names if name not in known]:
            # CloudWatch's own sentence.
            raise AlarmError(
                f"Could not save the composite alarm as alarms [{', '.join(missing)}] in the alarm "
                "rule do not exist"
            )
        if one.suppressor_name is not None and one.suppressor_name not in known:
            raise AlarmError(
                f'alarm "{one.alarm_name}": actions_suppressor "{one.suppressor_name}" does not '
                "exist; expected the name or ARN of an alarm"
            )
        for name in one.rule.names:
            if name in crowded:
                raise AlarmError(
                    f'alarm "{one.alarm_name}": {crowded[name]} composite alarms look at "{name}"; '
                    f"expected {_PARENTS_MAX} or fewer"
                )


def _mark_cycles(connection: Connection) -> list[str]:
    """Note which composites are on a cycle; name those that are on none any more."""
    found = list_composites(connection)
    on_cycle = order({one.name: one.definition.rule.names for one in found}).on_cycle
    freed = []
    for one in found:
        is_on = one.name in on_cycle
        if is_on == (one.evaluation_state == CYCLE):
            continue
        values = {
            "evaluation_state": CYCLE if is_on else None,
            "evaluation_problem": _CYCLE_PROBLEM if is_on else None,
        }
        connection.execute(update(alarms).where(alarms.c.id == one.id).values(**values))
        if not is_on:
            freed.append(one.name)
    return freed
