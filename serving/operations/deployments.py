"""Operations on deployments: how far one is, and its end before time."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import Connection

from driftline.access.principal import CURRENT
from driftline.serving.operations.authorization import withheld
from driftline.serving.operations.registry import Json, operation
from driftline.serving.resources import deployments
from driftline.serving.resources.deployments import Deployment

Name = Annotated[str, "The endpoint's name."]


@operation("GET /endpoints/{name}/deployment", role="viewer", of="name", command="deployment show")
def show_deployment(connection: Connection, name: Name) -> Json:
    """Return how far an endpoint's deployment is, or how its last one ended, and why.

    Example: driftline deployment show flights
    """
    return deployment_status(deployments.describe(connection, name))


@operation(
    "POST /endpoints/{name}/deployment/stop", role="operator", of="name", command="deployment stop"
)
def stop_deployment(connection: Connection, name: Name) -> Json:
    """Take an endpoint's deployment back: within seconds all requests go to the old generation.

    Example: driftline deployment stop flights
    """
    return deployment_status(deployments.stop(connection, name, CURRENT.get().subject))


def deployment_status(found: Deployment) -> Json:
    """Return what is shown of a deployment; why it failed may quote a row."""
    shown = found.status()
    return {**shown, "reason": withheld(shown["reason"])}
