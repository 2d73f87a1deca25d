"""What clients of AWS said of a resource, and are shown again: tags, roles, networks.

It is deleted with the resource. Nothing here changes what a resource does. Writers hold all
resources (`store.hold_all`). CloudWatch's dashboards are kept here, and are resources nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_jsonable_python
from sqlalchemy import Connection, bindparam, delete, select

from driftline.database.dialects import upsert
from driftline.serving.resources.resources import ALARM_KINDS
from driftline.serving.tables import echo

Document = dict[str, Any]
DASHBOARD = "Dashboard"
_IS_OF = echo.c.kind == bindparam("of_kind"), echo.c.key == bindparam("of_key")
_GET, _REMOVE = select(echo.c.document).where(*_IS_OF), delete(echo).where(*_IS_OF)


def put(connection: Connection, kind: str, name: str, document: Mapping[str, Any]) -> None:
    """Keep a document beside the members that are kept already; times in it become text."""
    members = {**get(connection, kind, name), **to_jsonable_python(document)}
    values = {"document": members}
    new = upsert(connection, echo).values(kind=kind, key=_key(kind, name), **values)
    connection.execute(new.on_conflict_do_update(index_elements=["kind", "key"], set_=values))


def get(connection: Connection, kind: str, name: str) -> Document:
    """Return the document that is kept; {} where there is none."""
    return connection.scalar(_GET, {"of_kind": kind, "of_key": _key(kind, name)}) or {}


def remove(connection: Connection, kind: str, name: str) -> bool:
    """Forget what is kept of a name; return whether anything was."""
    found = connection.execute(_REMOVE, {"of_kind": kind, "of_key": _key(kind, name)})
    return found.rowcount > 0


def _key(kind: str, name: str) -> str:
    return name if kind in (*ALARM_KINDS, DASHBOARD) else name.casefold()
