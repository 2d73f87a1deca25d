"""Sentences on names that nothing has, with those that may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from sqlalchemy import Connection, Table, exists, func, select

from driftline.alerts import tables
from driftline.alerts.errors import UnknownAlarm

# To find the names that are most alike takes time, and some ask within a lock.
_NAMES_MAX = 500
_NEAR_MAX = 3
_ALIKE = 3
_SHOWN_MAX = 255


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence on a name that nothing of a kind has."""
    by_key = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name[:_SHOWN_MAX].casefold(), by_key, n=_NEAR_MAX)
    said = f'{kind} "{name[:_SHOWN_MAX]}" does not exist; expected the name of one'
    if not by_key:
        return f"{said}, and there is none yet"
    if near:
        quoted = ", ".join(f'"{by_key[one]}"' for one in near)
        return f"{said}, such as {quoted}"
    return f"{said}; driftline get {kind} shows them"


def names_in(connection: Connection, table: Table, wanted: str = "") -> list[str]:
    """Return names of a table; of very many some, and first those that begin as the wanted."""
    begin = wanted[:_ALIKE].lower()
    is_other = func.lower(func.substr(table.c.name, 1, _ALIKE)) != begin
    query = select(table.c.name).order_by(is_other, table.c.name).limit(_NAMES_MAX)
    return list(connection.scalars(query))


def unknown_alarm(connection: Connection, name: str) -> UnknownAlarm:
    """Make the error for a name that no alarm has."""
    return UnknownAlarm(unknown_name("alarm", name, names_in(connection, tables.alarms, name)))


def require_alarm(connection: Connection, name: str) -> None:
    """Refuse a name that no alarm has, of any kind: UnknownAlarm."""
    if not connection.scalar(select(exists().where(tables.alarms.c.name == name))):
        raise unknown_alarm(connection, name)


def require_past(connection: Connection, name: str) -> None:
    """Refuse a name that no alarm has or ever had, as far as history and messages go back."""
    for column in (tables.history.c.alarm_name, tables.outbox.c.alarm_name):
        if connection.scalar(select(exists().where(column == name))):
            return
    require_alarm(connection, name)
