"""The controller of deployments: takes a new generation of an endpoint into service, or back.

It is the last part of making an endpoint, under the same lease: the row waits to become ready, the
old generation answers, and a server that takes the row over goes on where its deployment is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from driftline.alerts.tables import alarms
from driftline.database.engine import read_connection
from driftline.errors import ConflictError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.provisioning.deployment_timeline import Seen, at_step, deadline_of, next_move
from driftline.serving.provisioning.making import Finish, Made
from driftline.serving.resources import deployments, store
from driftline.serving.resources.deployments import Deployment
from driftline.serving.resources.endpoint_specs import variants_of
from driftline.serving.resources.endpoints import DesiredVariant, running_endpoint

log = logging.getLogger(__name__)

LOOK_S = 1.0


class DeploymentError(ConflictError):
    """A deployment was taken back."""


async def deploy(
    context: ServerContext, reconciler: EndpointReconciler, row: store.Stored, finish: Finish
) -> Finish:
    """Deploy what an endpoint was made of, if it is to be; return what stores that it is ready."""
    while True:
        found = await asyncio.to_thread(_look, context, row, finish)
        if found is None:
            return finish
        at, problem = found
        is_new_whole, failed = reconciler.fleet(row.name, at.fleet)
        is_old_whole, _ = reconciler.fleet(row.name, row.made.get("fleet", 0))
        seen = Seen(is_new_whole, is_old_whole, problem or failed)
        after = next_move(at, seen, context.now())
        if after.stage == "RolledBack":
            raise DeploymentError(
                f"rolled back to generation {at.old_generation}: {at.reason or problem}"
            )
        if after.stage == "Succeeded":
            return _ready(finish, at)
        # Where another controller was first, it is looked at again.
        if after == at or not await asyncio.to_thread(_store, context, at, after):
            await asyncio.sleep(LOOK_S)
            continue
        await reconciler.refresh()


def _ready(finish: Finish, at: Deployment) -> Finish:
    def ready(connection: Connection, now: store.Stored) -> Made | None:
        made = finish(connection, now)
        # Of other models than were deployed, it is deployed anew.
        return {**made, "fleet": at.fleet} if made and _is_same(made, at.made) else None

    return ready


def _is_same(made: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(made[key] == other[key] for key in ("spec", "models"))


def _look(
    context: ServerContext, row: store.Stored, finish: Finish
) -> tuple[Deployment, str | None] | None:
    """Return the deployment of an endpoint, begun if need be, and why it is to be taken back."""
    with read_connection(context.engine) as connection:
        now = store.find(connection, "Endpoint", row.name)
        if now is None or now.edition != row.edition:
            return None  # Whoever ends this task has yet to see it.
        made = finish(connection, now)
        if not made or not now.made or not made["spec"].get("deployment_config"):
            return None
        at = deployments.active_deployment(connection, now)
        if at is not None and _is_same(made, at.made):
            return at, _problem(connection, at)
        old = deployments.desired_of(connection, now)
        new = deployments.desired_of(connection, replace(now, made=made))
        if not variants_of(now.running) or _answering(old) == _answering(new):
            return None  # The same workers go on, with other settings.
        last = deployments.last_deployment(connection, now)
        number = max(now.made.get("fleet", 0), 0 if last is None else last.fleet) + 1
        begun = _begun(context, now, {**made, "fleet": number}, new)
        problem = _problem(connection, begun)
        begun = next_move(begun, Seen(False, True, problem), begun.since)
    with context.engine.begin() as connection:
        store.hold_all(connection)
        now = store.find(connection, "Endpoint", row.name)
        if now is None or (now.edition, now.lease_owner) != (row.edition, row.lease_owner):
            return None
        deployments.begin(connection, begun)
    log.info("endpoint=%s event=deploying generation=%d", row.name, begun.generation)
    return begun, problem


def _answering(variants: Sequence[DesiredVariant]) -> dict[str, object]:
    return {one.key[1]: (one.weight, one.worker, one.serverless) for one in variants}


def _begun(
    context: ServerContext, row: store.Stored, made: Made, new: Sequence[DesiredVariant]
) -> Deployment:
    now = context.now()
    at = Deployment(
        endpoint=row.name,
        edition=row.edition,
        old_generation=running_endpoint(row).generation,
        generation=row.generation,
        fleet=made["fleet"],
        worker_count=deployments.worker_count(new),
        made=made,
        stage="Creating",
        step=0,
        share=0.0,
        new_part=1.0,
        old_part=1.0,
        since=now,
        reason=None,
        stop=None,
        started_at=now,
        deadline=now,
    )
    return at_step(replace(at, deadline=deadline_of(at)), 0, now)


def _problem(connection: Connection, at: Deployment) -> str | None:
    """Return why a deployment is to be taken back, however its workers are."""
    if at.stop is not None:
        return f"stopped by {at.stop}"
    query = select(alarms.c.name, alarms.c.state).where(alarms.c.name.in_(at.alarms))
    states = {row.name: row.state for row in connection.execute(query)}
    for name in at.alarms:
        if name not in states:
            return f'alarm "{name}" does not exist, so that nothing would stop the deployment'
        if states[name] == "ALARM":
            return f'alarm "{name}" is in ALARM'
    return None


def _store(context: ServerContext, before: Deployment, at: Deployment) -> bool:
    with context.engine.begin() as connection:
        if not deployments.move(connection, before, at):
            return False
    log.info(
        "endpoint=%s event=deployment stage=%s step=%d share=%g",
        at.endpoint, at.stage, at.step + 1, at.share,
    )  # fmt: skip
    return True
