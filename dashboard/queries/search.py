"""What has a text in its name: endpoints, monitors, alarms and columns."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from driftline.access.principal import CURRENT
from driftline.alerts.alarms.composite_records import any_record
from driftline.alerts.tables import alarms as alarms_table
from driftline.dashboard.address import (
    Address,
    alarm_link,
    column_link,
    endpoint_link,
    monitor_link,
)
from driftline.dashboard.queries import reach
from driftline.dashboard.queries.stores import Stores
from driftline.database.engine import read_connection
from driftline.monitors.executions import is_of
from driftline.monitors.tables import executions, states

MOST = 25
"""Of each kind."""


@dataclass(frozen=True, slots=True)
class Found:
    """One thing of a name: its kind, where it is, and what it belongs to."""

    kind: str
    name: str
    link: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class SearchView:
    """What was found, those whose names begin with the text first; ``left`` are not listed."""

    text: str
    found: tuple[Found, ...] = ()
    left: int = 0


def read_search(stores: Stores, asked: Address) -> SearchView:
    """Find a text in names, whatever the case; nothing without a text."""
    if not (text := asked.text):
        return SearchView("")
    table, endpoints, low = executions.c, CURRENT.get().endpoints, text.casefold()
    with read_connection(stores.engine) as connection:
        monitors = reach.monitors(connection)
        named = select(alarms_table).where(
            reach.alarm_rows(), alarms_table.c.search_text.contains(low, autoescape=True)
        )
        alarms = [one for one in connection.execute(named) if reach.is_shown(any_record(one))]
        newest = select(table.monitor, table.drift_ratios).where(is_of(endpoints))
        rows = connection.execute(newest.join(states, states.c.execution == table.id)).all()
    known = {one.name for one in monitors}
    names = {one.endpoint for one in monitors} | stores.endpoint_names()
    everything = [
        *(Found("endpoint", name, endpoint_link(name)) for name in names if name),
        *(Found("monitor", one.name, monitor_link(one.name), one.endpoint) for one in monitors),
        *(Found("alarm", one.name, alarm_link(one.name), one.monitor or "") for one in alarms),
        *(
            Found("column", name, column_link(row.monitor, name), row.monitor)
            for row in rows
            if row.monitor in known
            for name in row.drift_ratios or ()
        ),
    ]
    fit = [one for one in everything if low in one.name.casefold()]
    fit.sort(key=lambda one: (not one.name.casefold().startswith(low), one.name, one.of))
    shown: list[Found] = []
    for kind in ("endpoint", "monitor", "alarm", "column"):
        shown += [one for one in fit if one.kind == kind][:MOST]
    return SearchView(text, tuple(shown), len(fit) - len(shown))
