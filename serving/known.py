"""Monitors and endpoints by the names that requests use: declared, or known by what they left."""

from __future__ import annotations

from sqlalchemy import Connection, select

from driftline.capture.tables.dataset import list_endpoints
from driftline.database.engine import read_connection
from driftline.monitors.definitions import MonitorDefinition, definition_made_at, get_definition
from driftline.monitors.tables import executions
from driftline.serving.context import ServerContext
from driftline.serving.resources import store


def declared_monitor(context: ServerContext, name: str) -> MonitorDefinition:
    """Return the definition of a declared monitor; NotFoundError names the nearest."""
    with read_connection(context.engine) as connection:
        row = store.get(connection, "Monitor", name)
        if definition_made_at(connection, row.name) is None:
            raise store.not_ready(row)
        return get_definition(connection, row.name)


def known_monitor(connection: Connection, name: str) -> str:
    """Return the name of a monitor as it is declared, or of one that was deleted and left runs."""
    row = store.find(connection, "Monitor", name)
    if row is None:
        ran = select(executions.c.id).where(executions.c.monitor == name).limit(1)
        if connection.scalar(ran) is not None:
            return name
    return store.get(connection, "Monitor", name).name


def known_endpoint(context: ServerContext, name: str) -> str:
    """Return the endpoint's name as it is declared, or as it was captured."""
    with read_connection(context.engine) as connection:
        found = store.find(connection, "Endpoint", name)
        if found is None and name in list_endpoints(context.root):
            return name
        return store.get(connection, "Endpoint", name).name
