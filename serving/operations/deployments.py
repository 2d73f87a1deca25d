"""Operations on deployments: how far one is, and its end before time."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import Connection

from driftline.access.principal import CURRENT
from driftline.errors import NotFoundError
from driftline.serving.operations.authorization import withheld
from driftline.serving.operations.registry import Json, operation
from driftline.serving.operations.services import Services
from driftline.serving.resources import store
from driftline.serving.resources.deployments import Deployment, last_deployment, stop

Name = Annotated[str, "The endpoint's name."]


@operation("GET /endpoints/{name}/deployment", role="viewer", of="name", command="deployment show")
def show_deployment(connection: Connection, name: Name) -> Json:
    """Return how far an endpoint's deployment is, or how its last one ended, and why.

    Example: driftline deployment show flights
    """
    row = store.get(connection, "Endpoint", name)
    if (found := last_deployment(row)) is None:
        raise NotFoundError(
            f"{row} has had no deployment: what changes with a deployment_config has one"
        )
    return deployment_status(found)


@operation(
    "POST /endpoints/{name}/deployment/stop", role="operator", of="name", command="deployment stop"
)
def stop_deployment(services: Services, connection: Connection, name: Name) -> Json:
    """Take an endpoint's deployment back: within seconds all requests go to the old generation.

    Example: driftline deployment stop flights
    """
    found = stop(connection, name, CURRENT.get().subject, services.context.now())
    return deployment_status(found)


def deployment_status(found: Deployment) -> Json:
    """Return what is shown of a deployment; why it failed may quote a row."""
    shown = found.status()
    return {**shown, "reason": withheld(shown["reason"])}
