"""What clients of AWS said of a resource or a job, and are shown again: tags, roles, networks.

Of a kind of ours, or of AWS's where we have none. What is kept of a declared resource is deleted
with it. Nothing here changes what a resource does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import to_jsonable_python
from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from driftline.serving.resources.resources import ALARM_KINDS
from driftline.serving.tables import echo

Document = dict[str, Any]


def put(connection: Connection, kind: str, name: str, document: Mapping[str, Any]) -> None:
    """Keep a document, in the place of the last; times in it become text."""
    values = {"document": to_jsonable_python(dict(document))}
    if not connection.execute(update(echo).where(*_of(kind, name)).values(values)).rowcount:
        connection.execute(insert(echo).values(kind=kind, key=_key(kind, name), **values))


def get(connection: Connection, kind: str, name: str) -> Document:
    """Return the document that is kept; {} where there is none."""
    query = select(echo.c.document).where(*_of(kind, name))
    return dict(connection.execute(query).scalar_one_or_none() or {})


def get_many(connection: Connection, kind: str, names: Iterable[str]) -> dict[str, Document]:
    """Return the documents that are kept of some names of a kind, by name."""
    keys = {_key(kind, name): name for name in names}
    query = select(echo.c.key, echo.c.document).where(echo.c.kind == kind, echo.c.key.in_(keys))
    return {keys[row.key]: dict(row.document) for row in connection.execute(query)}


def remove(connection: Connection, kind: str, name: str) -> None:
    """Forget what is kept of a name, if anything is."""
    connection.execute(delete(echo).where(*_of(kind, name)))


def _of(kind: str, name: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return echo.c.kind == kind, echo.c.key == _key(kind, name)


def _key(kind: str, name: str) -> str:
    return name if kind in ALARM_KINDS else name.casefold()
