"""Deployments: how far a new generation of an endpoint is in taking the place of the old one.

One row an endpoint, the last deployment's. While it goes on, the endpoint has two fleets: the old
one is what became ready last, the new one is what the row says. A deployment goes on as long as its
row has no end and the endpoint waits to become ready as the generation that is deployed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from driftline.errors import ConflictError, InputError, NotFoundError
from driftline.serving.resources import store
from driftline.serving.resources.deployment_specs import DeploymentConfig
from driftline.serving.resources.endpoints import (
    DesiredVariant,
    Fleet,
    list_desired,
    running_endpoint,
)
from driftline.serving.resources.resources import key_of
from driftline.serving.resources.variant_overrides import overridden
from driftline.serving.tables import deployments

# Creating: workers of the new fleet start. Baking: it has its share, and alarms are watched.
# Terminating: it answers everything, the old one waits. The last three are ends.
Stage = Literal[
    "Creating", "Baking", "Terminating", "RollingBack", "Succeeded", "RolledBack", "Superseded"
]
# What says how far it is.
_PLACE = ("stage", "step", "share", "new_part", "old_part", "since")
_MOVES = ("stage", "step", "share", "new_part", "old_part", "since", "reason")


@dataclass(frozen=True)
class Deployment:
    """One deployment, as its row has it (tables.py)."""

    endpoint: str
    edition: str
    old_generation: int
    generation: int
    fleet: int
    worker_count: int
    made: Mapping[str, Any]
    stage: Stage
    step: int
    share: float
    new_part: float
    old_part: float
    since: datetime
    reason: str | None
    stop: str | None
    started_at: datetime
    deadline: datetime
    ended_at: datetime | None = None

    @cached_property
    def config(self) -> DeploymentConfig:
        """The `deployment_config` that it goes by: that of the new generation."""
        return DeploymentConfig.model_validate(self.made["spec"]["deployment_config"])

    @property
    def alarms(self) -> list[str]:
        """The names of the alarms that take it back."""
        return [one.alarm_name for one in self.config.auto_rollback_configuration.alarms]

    def status(self) -> dict[str, Any]:
        """Return what is shown of it."""
        hidden = {"endpoint", "edition", "fleet", "made", "new_part", "old_part"}
        shown = {one.name: getattr(self, one.name) for one in fields(self)}
        steps = len(self.config.shares(self.worker_count))
        shown |= {"step": self.step + 1, "steps": steps, "alarms": self.alarms}
        return {key: value for key, value in shown.items() if key not in hidden}


def last_deployment(connection: Connection, row: store.Stored) -> Deployment | None:
    """Return the last deployment of an endpoint, if there was one."""
    where = deployments.c.endpoint == row.name.casefold()
    found = connection.execute(select(deployments).where(where)).one_or_none()
    if found is None:
        return None
    one = Deployment(**found._mapping)
    if one.ended_at is not None or _goes_on(one, row):
        return one
    why = f"generation {row.generation} was applied meanwhile"
    return replace(one, stage="Superseded", reason=why, share=0.0, ended_at=row.updated_at)


def active_deployment(connection: Connection, row: store.Stored) -> Deployment | None:
    """Return the deployment of an endpoint that goes on now."""
    found = last_deployment(connection, row)
    return found if found is not None and found.ended_at is None else None


def _goes_on(found: Deployment, row: store.Stored) -> bool:
    return found.edition == row.edition and row.is_unfinished


def begin(connection: Connection, deployment: Deployment) -> None:
    """Store a deployment in the place of the endpoint's last one."""
    key = deployment.endpoint.casefold()
    connection.execute(delete(deployments).where(deployments.c.endpoint == key))
    values = {one.name: getattr(deployment, one.name) for one in fields(deployment)}
    connection.execute(insert(deployments).values(**values | {"endpoint": key}))
    store.count_change(connection, "Endpoint")


def move(connection: Connection, before: Deployment, after: Deployment) -> bool:
    """Store how far a deployment is, unless another controller moved or ended it meanwhile."""
    is_there = [deployments.c[name] == getattr(before, name) for name in _PLACE]
    values = {name: getattr(after, name) for name in _MOVES}
    if is_moved := _change(connection, after, *is_there, **values):
        store.count_change(connection, "Endpoint")
    return is_moved


def close(connection: Connection, row: store.Stored, reason: str | None, now: datetime) -> None:
    """End the deployment of an endpoint that is ready, or for a reason has failed."""
    found = active_deployment(connection, row)
    if found is not None:
        stage = "Succeeded" if reason is None else "RolledBack"
        share = 1.0 if reason is None else 0.0
        _change(connection, found, stage=stage, reason=reason, share=share, ended_at=now)
        store.count_change(connection, "Endpoint")


def stop(connection: Connection, endpoint: str, who: str) -> Deployment:
    """Have a deployment taken back; ConflictError where none goes on."""
    row = store.get(connection, "Endpoint", endpoint)
    found = active_deployment(connection, row)
    if found is None:
        raise ConflictError(f"{row} is not being deployed; its status has its last deployment")
    _change(connection, found, stop=found.stop or who)
    return found


def describe(connection: Connection, endpoint: str) -> Deployment:
    """Return the last deployment of an endpoint; NotFoundError where there was none."""
    row = store.get(connection, "Endpoint", endpoint)
    if (found := last_deployment(connection, row)) is None:
        raise NotFoundError(
            f"{row} has had no deployment: what changes with a deployment_config has one"
        )
    return found


def forget(connection: Connection, endpoint: str, _now: datetime) -> None:
    """Delete the row of an endpoint that is deleted."""
    connection.execute(delete(deployments).where(deployments.c.endpoint == endpoint.casefold()))


def is_held_back(connection: Connection, row: store.Stored, changed: store.Stored) -> bool:
    """Whether an endpoint was rolled back from what it declares, which a change left as it is."""
    last = last_deployment(connection, row)
    if row.phase != "Failed" or last is None:
        return False
    if (last.edition, last.stage) != (row.edition, "RolledBack"):
        return False
    deployed = last.made["models"].get(key_of(changed.kind, changed.name))
    return changed.kind != "Model" or deployed is None or deployed["made"] == changed.made


def _change(
    connection: Connection, deployment: Deployment, *seen: ColumnElement[bool], **values: object
) -> bool:
    where = (
        deployments.c.endpoint == deployment.endpoint.casefold(),
        deployments.c.fleet == deployment.fleet,
        deployments.c.ended_at.is_(None),
        *seen,
    )
    return bool(connection.execute(update(deployments).where(*where).values(**values)).rowcount)


def list_fleets(connection: Connection, rows: Sequence[store.Stored]) -> list[DesiredVariant]:
    """Return the variants of endpoints that are to be served, those of new fleets, too."""
    running = [running_endpoint(row) for row in rows if row.made]
    variants = overridden(connection, running, list_desired(running))
    unended = connection.execute(select(deployments).where(deployments.c.ended_at.is_(None)))
    found = {one.endpoint: Deployment(**one._mapping) for one in unended}
    for row in rows:
        one = found.get(key := row.name.casefold())
        if one is None or not _goes_on(one, row):
            continue
        old, new = running_endpoint(row), replace(row, made=one.made)
        label, new_label = _label(old), _label(running_endpoint(new))
        # Of a new version of a model, both have one name: it is the new fleet's.
        label = "" if label == new_label else label
        fleet = Fleet(row.made.get("fleet", 0), 1 - one.share, label=label)
        parts = [(each, fleet, one.old_part) for each in variants if each.key[0] == key]
        fleet = Fleet(one.fleet, one.share, is_new=True, label=new_label)
        variants = [each for each in variants if each.key[0] != key]
        parts += [(each, fleet, one.new_part) for each in desired_of(connection, new)]
        variants += [
            _part(each, fleet, part)
            for each, fleet, part in parts
            if not (fleet.is_new and each.is_shadow)  # It begins when there is one fleet again.
        ]
    return variants


def desired_of(connection: Connection, row: store.Stored) -> list[DesiredVariant]:
    """Return the variants of one endpoint as it runs, with what was changed of them since."""
    running = running_endpoint(row)
    return overridden(connection, [running], list_desired([running]))


def require_deployable(connection: Connection, row: store.Stored) -> None:
    """Refuse a deployment_config whose steps or waits do not fit the workers of an endpoint."""
    if (config := row.running.get("deployment_config")) is not None:
        try:
            workers = worker_count(desired_of(connection, row))
            DeploymentConfig.model_validate(config).timeout_s(workers)
        except ValueError as error:
            raise InputError(f"deployment_config: {error}") from error


def worker_count(variants: Sequence[DesiredVariant]) -> int:
    """Return how many workers a whole fleet has."""
    return sum(one.instance_count or 1 for one in variants if not one.is_shadow)


def _label(endpoint: store.Stored) -> str:
    return endpoint.spec.get("config") or f"generation-{endpoint.generation}"


def _part(variant: DesiredVariant, fleet: Fleet, part: float) -> DesiredVariant:
    """Return a variant of a fleet of which a part of the workers runs; the last one always does."""
    count = variant.instance_count
    if count is not None and not variant.is_shadow:
        count = max(1, math.ceil(round(count * part, 6)))
    return replace(variant, fleet=fleet, instance_count=count)


def retained(connection: Connection, row: store.Stored) -> dict[str, Any]:
    """Return the spec of an endpoint, with what RetainAllVariantProperties keeps of what runs."""
    spec = dict(row.spec)
    if not row.made or not spec.get("retain_all_variant_properties"):
        return spec
    current = {one.key[1]: one for one in desired_of(connection, row)}
    new, variants = set(spec["exclude_retained_variant_properties"]), []
    for one in spec["production_variants"]:
        kept, old = current.get(one["variant_name"].casefold()), dict[str, Any]()
        if kept is not None and "DesiredWeight" not in new:
            old["initial_variant_weight"] = kept.weight
        if kept is not None and "DesiredInstanceCount" not in new:
            old["initial_instance_count"] = kept.instance_count
        if kept is not None and "DataCaptureConfig" not in new:
            spec["sampling_percentage"] = kept.sampling_percentage
        # A serverless one has no count.
        variants.append({**one, **{key: value for key, value in old.items() if key in one}})
    return {**spec, "production_variants": variants}
