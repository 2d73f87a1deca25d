"""Deployments: how far a new generation of an endpoint is in taking the place of the old one.

The last one is kept with what the endpoint consists of (`Stored.made`). While it goes on, there are
two fleets: the old one is what became ready last, the new one is what the deployment says. It goes
on until its stage is an end, as long as the endpoint waits to become ready as the same generation.

A deployment walks along its plan. At each step the workers that it takes are started first, while
requests go as in the step before (Creating); then the step has its share (Baking). The way back is
a plan of its own, in which it is old workers that are started first (RollingBack).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from driftline.errors import ConflictError
from driftline.serving.resources import store
from driftline.serving.resources.deployment_specs import START, Step
from driftline.serving.resources.resources import key_of

# Terminating: the new fleet answers everything, the old one waits. The last two are ends.
Stage = Literal["Creating", "Baking", "Terminating", "RollingBack", "Succeeded", "RolledBack"]
# The share of the new fleet when it is over.
_ENDS: Mapping[Stage, float] = {"Succeeded": 1.0, "RolledBack": 0.0}
_HIDDEN = {"edition", "fleet", "made", "plan", "back_part"}


class Deployment(BaseModel):
    """One deployment of an endpoint."""

    model_config = ConfigDict(frozen=True)

    edition: str  # The etag of what is deployed.
    old_generation: int  # Of the old fleet; the next two of the new one.
    generation: int
    fleet: int
    made: Mapping[str, Any]  # What the new fleet consists of.
    alarms: tuple[str, ...]  # That take it back.
    plan: tuple[Step, ...]
    back_part: float  # Of the workers, that a rollback brings back at once.
    stage: Stage = "Creating"
    step: int = 1
    since: datetime
    reason: str | None = None
    started_at: datetime
    deadline: datetime

    @property
    def here(self) -> Step:
        """The step that requests go by: on the way to one, the one before it."""
        return self.plan[self.step - (self.stage in ("Creating", "RollingBack"))]

    @property
    def share(self) -> float:
        """The share of the requests that goes to the new fleet."""
        return _ENDS.get(self.stage, self.here.share)

    @property
    def parts(self) -> tuple[float, float]:
        """The part of the workers of the old and the new fleet that are to run."""
        here, there = self.here, self.plan[self.step]
        return max(here.old_part, there.old_part), max(here.share, there.share)

    def moved_to(self, stage: Stage, since: datetime, **changes: object) -> Deployment:
        """Return it at another stage."""
        return self.model_copy(update={"stage": stage, "since": since, **changes})

    def status(self) -> dict[str, Any]:
        """Return what is shown of it."""
        ended_at = self.since if self.stage in _ENDS else None
        found = {"share": self.share, "steps": len(self.plan) - 1, "ended_at": ended_at}
        return self.model_dump(exclude=_HIDDEN) | found


class Facts(NamedTuple):
    """What is seen of a deployment at one moment."""

    is_new_whole: bool  # Whether all workers of the new fleet that are to run can answer;
    is_old_whole: bool  # those of the old fleet.
    problem: str | None = None  # Why it is to be taken back.


def next_move(at: Deployment, facts: Facts, now: datetime) -> Deployment | None:
    """Return how far a deployment is next; None where nothing is to be done yet."""
    step, problem = at.plan[at.step], facts.problem
    if at.stage == "RollingBack":
        is_waiting = step.old_part > at.here.old_part and not facts.is_old_whole
        return None if is_waiting else _at_next_step(at, "RollingBack", "RolledBack", now)
    if problem is None and now >= at.deadline:
        limit_s = (at.deadline - at.started_at).total_seconds()
        problem = f"it took longer than maximum_execution_timeout_in_seconds, {limit_s:g} s"
    if problem is not None:
        return taken_back(at, problem, now)
    if at.stage == "Creating":
        return at.moved_to("Baking", now) if facts.is_new_whole else None
    if not facts.is_new_whole:  # As after a server that was killed: watched anew from here.
        return at.moved_to("Creating", now)
    is_baking = at.stage == "Baking"
    if now - at.since < timedelta(seconds=step.wait_s if is_baking else step.keep_s):
        return None
    if is_baking and step.keep_s:
        return at.moved_to("Terminating", now)
    return _at_next_step(at, "Creating", "Succeeded", now)


def taken_back(at: Deployment, reason: str, now: datetime) -> Deployment:
    """Return a deployment on its way back: at once, or in batches of the old workers it let go."""
    here = at.here if at.here.old_part < 1 else START
    count = max(1, math.ceil(round((1 - here.old_part) / at.back_part, 9)))
    olds = [min(1.0, here.old_part + at.back_part * batch) for batch in range(1, count + 1)]
    plan = (here, *(Step(round(1 - old, 9), round(old, 9)) for old in olds))
    return at.moved_to("RollingBack", now, reason=reason, plan=plan, step=1)


def _at_next_step(at: Deployment, stage: Stage, end: Stage, now: datetime) -> Deployment:
    if at.step + 1 == len(at.plan):
        return at.moved_to(end, now)
    return at.moved_to(stage, now, step=at.step + 1)


def last_deployment(row: store.Stored) -> Deployment | None:
    """Return the last deployment of an endpoint, if there was one."""
    if (found := row.made.get("deployment")) is None:
        return None
    last = Deployment.model_validate(found)
    if last.stage in _ENDS or (last.edition == row.edition and row.is_unfinished):
        return last
    reason = f"generation {row.generation} was applied meanwhile"
    return last.moved_to("RolledBack", row.updated_at or last.since, reason=reason)


def active_deployment(row: store.Stored) -> Deployment | None:
    """Return the deployment of an endpoint that goes on now."""
    last = last_deployment(row)
    return None if last is None or last.stage in _ENDS else last


def move(
    connection: Connection, row: store.Stored, before: Deployment | None, after: Deployment
) -> bool:
    """Store how far a deployment is, unless it was moved, ended or replaced meanwhile."""
    store.hold_all(connection)
    now = store.find(connection, "Endpoint", row.name)
    is_seen = now is not None and now.edition == row.edition and last_deployment(now) == before
    if is_moved := now is not None and is_seen:
        store.write(connection, now, made={**now.made, "deployment": after.model_dump(mode="json")})
    return is_moved


def stop(connection: Connection, endpoint: str, who: str, now: datetime) -> Deployment:
    """Have a deployment taken back; ConflictError where none goes on."""
    store.hold_all(connection)
    row = store.get(connection, "Endpoint", endpoint)
    if (at := active_deployment(row)) is None:
        raise ConflictError(f"{row} is not being deployed; its status has its last deployment")
    if at.stage == "RollingBack":
        return at
    after = taken_back(at, f"stopped by {who}", now)
    move(connection, row, at, after)
    return after


def with_end(
    row: store.Stored, made: Mapping[str, Any], reason: str | None, now: datetime
) -> Mapping[str, Any]:
    """Return what an endpoint consists of once it is ready, or for a reason has failed."""
    if (last := last_deployment(row)) is None:
        return made
    if last.stage not in _ENDS:
        is_there = made.get("fleet") == last.fleet
        last = last.moved_to("Succeeded" if is_there else "RolledBack", now, reason=reason)
    return {**made, "deployment": last.model_dump(mode="json")}


def is_held_back(row: store.Stored, changed: store.Stored) -> bool:
    """Whether an endpoint was rolled back from what it declares, which a change left as it is."""
    last = last_deployment(row)
    if last is None or row.phase != "Failed":
        return False
    if (last.stage, last.edition) != ("RolledBack", row.edition):
        return False
    deployed = last.made["models"].get(key_of(changed.kind, changed.name))
    return changed.kind != "Model" or deployed is None or deployed["made"] == changed.made
