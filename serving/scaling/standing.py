"""What is stored of the scaling of a variant: the bounds in force, and what the last change left.

Row by row the declared policy, the endpoint that runs, and what was changed of it since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, update

from driftline.alerts.errors import AlarmError
from driftline.errors import ConflictError
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import INSTANCES_MAX, variants_of
from driftline.serving.resources.resources import ResourceError
from driftline.serving.resources.scaling_specs import DIMENSIONS, ScalingPolicySpec, ScheduledAction
from driftline.serving.resources.variant_overrides import overrides_of
from driftline.serving.scaling.alarms import alarms_of, put_alarms
from driftline.serving.scaling.decision import Capacity
from driftline.serving.tables import scaling

Key = tuple[str, str]  # Endpoint and variant, without case.


@dataclass(frozen=True, slots=True)
class Target:
    """A variant that is scaled, as it stands."""

    spec: ScalingPolicySpec
    endpoint: store.Stored
    row: Row[Any]
    capacity: Capacity
    is_asynchronous: bool

    @property
    def key(self) -> Key:
        """Endpoint and variant as they are compared."""
        return key_of(self.spec)

    def scheduled(self, now: datetime) -> tuple[Target, str | None]:
        """Return it with the bounds of scheduled actions that fired since, and the last one's name.

        That is None where none fired, and empty where they are suspended.
        """
        fired = [
            (moment, one)
            for one in self.spec.scheduled_actions
            if (moment := one.fired(self.row.scheduled_until, now)) is not None
        ]
        found, name = self.capacity, "" if fired else None
        if not self.spec.suspended_state.scheduled_scaling_suspended:
            for _, one in sorted(fired, key=lambda pair: pair[0]):
                found, name = _bounded(found, one), one.scheduled_action_name
        return replace(self, capacity=found), name


def key_of(spec: ScalingPolicySpec) -> Key:
    """Return endpoint and variant of a policy as they are compared."""
    return spec.endpoint.casefold(), spec.variant.casefold()


def is_of(key: Key) -> ColumnElement[bool]:
    """Select the row of a variant."""
    return and_(scaling.c.endpoint == key[0], scaling.c.variant == key[1])


def declare(
    connection: Connection,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    now: datetime,
) -> None:
    """Have a declared spec scaled in the place of the one before, with its alarms; None: none."""
    put_alarms(connection, before, after, now)
    old = None if before is None else ScalingPolicySpec.model_validate(before)
    new = None if after is None else ScalingPolicySpec.model_validate(after)
    if old is not None and (new is None or key_of(old) != key_of(new)):
        connection.execute(delete(scaling).where(is_of(key_of(old))))
        old = None
    if new is None:
        return
    key = key_of(new)
    if old is None:
        if connection.execute(select(scaling.c.revision).where(is_of(key))).first():
            raise ConflictError(
                f'variant "{new.variant}" of endpoint "{new.endpoint}" has a ScalingPolicy '
                "already; change that one"
            )
        row = {"endpoint": key[0], "variant": key[1], "scheduled_until": now, "revision": 0}
        connection.execute(insert(scaling).values(row))
        return
    changed: dict[str, object] = {"revision": scaling.c.revision + 1}
    if old.scheduled_actions != new.scheduled_actions:
        changed["scheduled_until"] = now  # What one would have fired before is none of its firings.
    if (old.min_capacity, old.max_capacity) != (new.min_capacity, new.max_capacity):
        changed |= {"min_capacity": None, "max_capacity": None}
    connection.execute(update(scaling).where(is_of(key)).values(changed))


def fitted(
    title: str, spec: ScalingPolicySpec, name: str, endpoint: Mapping[str, Any]
) -> ScalingPolicySpec:
    """Return a spec with the names as its endpoint spells them; ResourceError: it does not fit."""
    variants = {one["variant_name"].casefold(): one for one in variants_of(endpoint)}
    if (variant := variants.get(spec.variant.casefold())) is None:
        known = ", ".join(one["variant_name"] for one in variants.values())
        raise ResourceError(
            f'{title}: spec.variant "{spec.variant}"; endpoint "{name}" has {known or "no model"}'
        )
    serverless = variant.get("serverless_config")
    rests = serverless is not None or endpoint.get("async_inference_config") is not None
    least, most = 0 if rests else 1, serverless["max_concurrency"] if serverless else INSTANCES_MAX
    bounds = [spec.min_capacity, spec.max_capacity]
    for action in (one.scalable_target_action for one in spec.scheduled_actions):
        bounds += (one for one in (action.min_capacity, action.max_capacity) if one is not None)
    if wrong := [one for one in bounds if not least <= one <= most]:
        raise ResourceError(f"{title}: capacity {wrong[0]}; expected {least} to {most} here")
    dimension = DIMENSIONS[serverless is not None]
    if spec.scalable_dimension not in (None, dimension):
        raise ResourceError(f"{title}: spec.scalable_dimension; expected {dimension} here")
    names = {"endpoint": name, "variant": variant["variant_name"], "scalable_dimension": dimension}
    found = spec.model_copy(update=names)
    for policy in found.policies:
        try:
            alarms_of(found, policy)
        except AlarmError as error:
            raise ResourceError(f'{title}: policy "{policy.policy_name}": {error}') from error
    return found


def in_force(connection: Connection, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bounds of a declared spec that are in force, and what the last change left."""
    spec = ScalingPolicySpec.model_validate(stored)
    row = connection.execute(select(scaling).where(is_of(key_of(spec)))).one()
    found = _capacity(spec, row, 0)
    return {
        "min_capacity": found.minimum, "max_capacity": found.maximum,
        "changed_at": found.changed_at, "changed_from": found.changed_from,
        "scale_out_cooldown_until": found.out_until, "scale_in_cooldown_until": found.in_until,
    }  # fmt: skip


def list_targets(connection: Connection, policies: list[store.Stored]) -> list[Target]:
    """Return what is scaled by declared policies, of endpoints that run."""
    specs = [ScalingPolicySpec.model_validate(one.spec) for one in policies]
    names = {spec.endpoint.casefold() for spec in specs}
    stored = (store.find(connection, "Endpoint", name) for name in names)
    endpoints = {one.name.casefold(): one for one in stored if one is not None and one.made}
    overrides = overrides_of(connection, list(endpoints.values()))
    rows = {(row.endpoint, row.variant): row for row in connection.execute(select(scaling))}
    found = []
    for spec in specs:
        key = key_of(spec)
        endpoint, row = endpoints.get(key[0]), rows.get(key)
        variants = () if endpoint is None else variants_of(endpoint.running)
        variant = next((one for one in variants if one["variant_name"].casefold() == key[1]), None)
        if endpoint is None or row is None or variant is None:
            continue
        serverless = variant.get("serverless_config")
        count = overrides.get(key, {}).get("instance_count")
        if count is None and serverless is not None:
            count = serverless["provisioned_concurrency"] or 0
        elif count is None:
            initial = variant.get("initial_instance_count")
            count = 1 if initial is None else initial  # A count of 0 may have been retained.
        later = endpoint.running.get("async_inference_config") is not None
        capacity = _capacity(spec, row, count)
        if not (later or serverless):  # Once it could rest without a worker.
            least, most = max(1, capacity.minimum), max(1, capacity.maximum)
            capacity = replace(capacity, minimum=least, maximum=most)
        # Requests start the workers of a serverless variant, those that wait, too.
        found.append(Target(spec, endpoint, row, capacity, later and serverless is None))
    return found


def _capacity(spec: ScalingPolicySpec, row: Row[Any], count: int) -> Capacity:
    least = spec.min_capacity if row.min_capacity is None else row.min_capacity
    most = spec.max_capacity if row.max_capacity is None else row.max_capacity
    return Capacity(
        count, least, max(least, most), row.changed_at, row.changed_from, row.out_until,
        row.in_until,
    )  # fmt: skip


def _bounded(capacity: Capacity, action: ScheduledAction) -> Capacity:
    """Return a capacity with the bounds of an action; the other bound gives way."""
    bounds = action.scalable_target_action
    least, most = bounds.min_capacity, bounds.max_capacity
    if least is None:
        least = capacity.minimum if most is None else min(capacity.minimum, most)
    return replace(
        capacity, minimum=least, maximum=max(least, capacity.maximum if most is None else most)
    )
