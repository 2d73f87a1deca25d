"""What clients of AWS said of a resource, and are shown again: tags, roles, networks.

Of a kind of ours, or of AWS's where we have none. What is kept of a declared resource is deleted
with it. Nothing here changes what a resource does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_jsonable_python
from sqlalchemy import Connection, bindparam, delete, insert, select

from driftline.serving.resources.resources import ALARM_KINDS
from driftline.serving.tables import echo

Document = dict[str, Any]
_IS_OF = echo.c.kind == bindparam("of_kind"), echo.c.key == bindparam("of_key")
_GET, _REMOVE = select(echo.c.document).where(*_IS_OF), delete(echo).where(*_IS_OF)


def put(connection: Connection, kind: str, name: str, document: Mapping[str, Any]) -> None:
    """Keep a document, in the place of the last; times in it become text."""
    remove(connection, kind, name)
    values = {"kind": kind, "key": _key(kind, name), "document": to_jsonable_python(document)}
    connection.execute(insert(echo).values(values))


def get(connection: Connection, kind: str, name: str) -> Document:
    """Return the document that is kept; {} where there is none."""
    return connection.scalar(_GET, {"of_kind": kind, "of_key": _key(kind, name)}) or {}


def remove(connection: Connection, kind: str, name: str) -> None:
    """Forget what is kept of a name, if anything is."""
    connection.execute(_REMOVE, {"of_kind": kind, "of_key": _key(kind, name)})


def _key(kind: str, name: str) -> str:
    return name if kind in ALARM_KINDS else name.casefold()
