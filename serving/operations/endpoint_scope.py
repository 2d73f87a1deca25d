"""Which endpoint an operation is about, for people and programs that are for some endpoints only.

An operation that is not in the table is about all endpoints, or about none, and is refused to them.
So is one about a monitor that has to do with another endpoint as well: nothing that it answers has
to be left out or said in other words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import select

from driftline.capture.tables.dataset import list_endpoints
from driftline.database.engine import read_connection
from driftline.monitors.run.progress import list_runs
from driftline.monitors.run.upstream import named_in_reasons
from driftline.monitors.tables import definitions, executions
from driftline.serving.context import ServerContext
from driftline.serving.operations.registry import OPERATIONS
from driftline.serving.resources import store

Find = Callable[[ServerContext, str], str | None]
"""Returns the one endpoint that something is about, by its name; None where there is none."""


def of_endpoint(context: ServerContext, name: str) -> str | None:
    """Return an endpoint that is declared or captured; of none the route would name the nearest."""
    with read_connection(context.engine) as connection:
        found = store.find(connection, "Endpoint", name)
    if found is None:
        return name if name in list_endpoints(context.root) else None
    return found.name


def of_new_endpoint(_: ServerContext, name: str) -> str | None:
    """Return an endpoint by its name: what is sent may be the first that is heard of it."""
    return name


def of_monitor(context: ServerContext, name: str) -> str | None:
    """Return a monitor's endpoint; None where its past or what it waits for is of another one."""
    with read_connection(context.engine) as connection:
        found = store.find(connection, "Monitor", name)
        if found is None:
            return None
        own: str = found.spec["endpoint"]
        # Reasons of earlier windows name what it waited for then.
        names = {*found.spec["depends_on"], *named_in_reasons(connection, found.name)}
        waits_for = (store.find(connection, "Monitor", one) for one in names)
        known = {"" if one is None else one.spec["endpoint"] for one in waits_for}
        # Windows of an earlier monitor of this name, too.
        ran = select(executions.c.endpoint).where(executions.c.monitor == found.name).distinct()
        known.update(connection.scalars(ran))
        changed_at = select(definitions.c.updated_at).where(definitions.c.name == found.name)
        since, begun = connection.scalar(changed_at), list_runs(connection, found.name)
    if since is None or any(one.started_at < since for one in begun):
        return None  # A window is being judged that may be of the endpoint before.
    is_alone = {one.lower() for one in known} <= {own.lower()}
    return own if own and is_alone else None


def of_execution(context: ServerContext, identity: str) -> str | None:
    """Return the endpoint of an execution's monitor: its reason may name what that waits for."""
    with read_connection(context.engine) as connection:
        monitor = connection.scalar(select(executions.c.monitor).where(executions.c.id == identity))
    return None if monitor is None else of_monitor(context, monitor)


_V1 = "/api/v1"
ENDPOINT_OF: dict[str, tuple[str, Find]] = {
    f"GET {_V1}/endpoints/{{name}}": ("name", of_endpoint),
    f"GET {_V1}/monitors/{{name}}": ("name", of_monitor),
}
"""By operation: the argument that names what it is about, and how its endpoint is found."""


def endpoint_of(context: ServerContext, action: str, named: Mapping[str, object]) -> str | None:
    """Return the one endpoint that an operation is about; None when it is about none, or many."""
    action = action.replace("{collection}", str(named.get("collection", "")))
    declared = OPERATIONS.get(action)
    of = ENDPOINT_OF.get(action) if declared is None else declared.of
    return None if of is None else of[1](context, str(named.get(of[0], "")))
