"""The controller of deployments: takes a new generation of an endpoint into service, or back.

It is the last part of making an endpoint, under the same lease: the row waits to become ready, the
old generation answers, and a server that takes the row over goes on where its deployment is.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from driftline.alerts import tables
from driftline.database.engine import read_connection
from driftline.errors import ConflictError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.provisioning.making import Finish, Made
from driftline.serving.resources import store
from driftline.serving.resources.deployments import (
    Deployment,
    Facts,
    active_deployment,
    last_deployment,
    move,
    next_move,
)
from driftline.serving.resources.endpoint_specs import variants_of
from driftline.serving.resources.endpoints import list_desired, running_endpoint
from driftline.serving.resources.fleets import plan_of

log = logging.getLogger(__name__)

LOOK_S = 1.0


async def deploy(
    context: ServerContext, reconciler: EndpointReconciler, row: store.Stored, finish: Finish
) -> Finish:
    """Deploy what an endpoint was made of, if it is to be; return what stores that it is ready."""
    while (found := await asyncio.to_thread(_look, context, row, finish)) is not None:
        at, problem = found
        is_new_whole, failed = reconciler.fleet(row.name, at.fleet)
        is_old_whole, _ = reconciler.fleet(row.name, row.made.get("fleet", 0))
        after = next_move(at, Facts(is_new_whole, is_old_whole, problem or failed), context.now())
        if after is None:
            await asyncio.sleep(LOOK_S)
        elif after.stage == "RolledBack":
            raise ConflictError(f"rolled back to generation {at.old_generation}: {at.reason}")
        elif after.stage == "Succeeded":
            return _ready(finish, at)
        # Where another controller was first, it is looked at again.
        elif await asyncio.to_thread(_store, context, row, at, after):
            await reconciler.refresh()
    return _ready(finish, None)


def _ready(finish: Finish, at: Deployment | None) -> Finish:
    def ready(connection: Connection, now: store.Stored) -> Made | None:
        made = finish(connection, now)
        known = now if at is None else replace(now, made=at.made)
        if made is None or _is_moving(known, made):
            return None  # Of other models meanwhile, it is deployed anew.
        return made if at is None else {**made, "fleet": at.fleet}

    return ready


def _look(
    context: ServerContext, row: store.Stored, finish: Finish
) -> tuple[Deployment, str | None] | None:
    """Return the deployment of an endpoint, begun if need be, and why it is to be taken back."""
    with read_connection(context.engine) as connection:
        now = store.find(connection, "Endpoint", row.name)
        if now is None or (now.edition, now.lease_owner) != (row.edition, row.lease_owner):
            return None  # Whoever ends this task has yet to see it.
        made = finish(connection, now)
        last, at = last_deployment(now), active_deployment(now)
        if made is None or not _is_moving(now, made):
            return None
        if at is not None and not _is_moving(replace(now, made=at.made), made):
            return at, _problem(connection, at)
        begun = _begun(now, made, 0 if last is None else last.fleet, context.now())
        problem = _problem(connection, begun)
    begun = next_move(begun, Facts(False, True, problem), begun.since) or begun
    if not _store(context, now, last, begun):
        return _look(context, row, finish)  # Something was stored meanwhile.
    return begun, problem


def _is_moving(row: store.Stored, made: Made) -> bool:
    """Whether other workers are to answer than those an endpoint is made of, and not at once."""
    if not variants_of(row.running) or not made["spec"].get("deployment_config"):
        return False
    return _answering(row) != _answering(replace(row, made=made))


def _begun(row: store.Stored, made: Made, last_fleet: int, now: datetime) -> Deployment:
    plan = plan_of(replace(row, made=made))
    alarms = made["spec"]["deployment_config"]["auto_rollback_configuration"]["alarms"]
    return Deployment(
        edition=row.edition,
        old_generation=running_endpoint(row).generation,
        generation=row.generation,
        fleet=max(row.made.get("fleet", 0), last_fleet) + 1,
        made=made,
        alarms=tuple(one["alarm_name"] for one in alarms),
        plan=plan.steps,
        back_part=plan.back_part,
        since=now,
        started_at=now,
        deadline=now + timedelta(seconds=plan.timeout_s),
    )


def _answering(row: store.Stored) -> dict[str, object]:
    return {one.key[1]: (one.weight, one.worker, one.serverless) for one in list_desired(row)}


def _problem(connection: Connection, at: Deployment) -> str | None:
    """Return why a deployment is to be taken back, however its workers are."""
    alarms = tables.alarms.c
    query = select(alarms.name, alarms.state).where(alarms.name.in_(at.alarms))
    states = {row.name: row.state for row in connection.execute(query)}
    for name in at.alarms:
        if name not in states:
            return f'alarm "{name}" does not exist, so that nothing would stop the deployment'
        if states[name] == "ALARM":
            return f'alarm "{name}" is in ALARM'
    return None


def _store(
    context: ServerContext, row: store.Stored, before: Deployment | None, at: Deployment
) -> bool:
    with context.engine.begin() as connection:
        is_moved = move(connection, row, before, at)
    if is_moved:
        log.info(
            "endpoint=%s event=deployment generation=%d stage=%s step=%d share=%g",
            row.name, at.generation, at.stage, at.step, at.share,
        )  # fmt: skip
    return is_moved
