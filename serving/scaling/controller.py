"""The autoscaler: looks at what policies see, and sets how many workers variants are to have.

Every server looks. What one wants to change it looks at again alone, and leaves it where another
was first. Nothing is kept in memory that the rows do not say. Only the endpoint reconcilers start
and stop workers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter
from statistics import fmean
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.alarms.actions import policy_of
from driftline.alerts.alarms.records import scaling_alarms
from driftline.alerts.evaluation.catalog import Catalog, Entry
from driftline.alerts.evaluation.due import newest_tick
from driftline.alerts.evaluation.reading import Question, read_periods
from driftline.database.disconnects import FailedPasses
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.resources import store
from driftline.serving.resources.scaling_specs import Policy, ScalingPolicySpec, StepScaling
from driftline.serving.resources.variant_overrides import override, overrides_of
from driftline.serving.scaling.decision import Capacity, Signal, decide
from driftline.serving.scaling.policies import ALARMS, policy_key, variant_key, variant_of
from driftline.serving.tables import async_queue, async_requests
from driftline.serving.tables import scaling_activities as activities

log = logging.getLogger(__name__)

LOOK_S = 1.0
_MOST_OF_THE_TIME = 20  # To look takes at most this part of a core.
# What was measured before tells nothing of now; the newest period may not be written yet.
_RECENT_PERIODS = 3
# A change that no server has brought about by then has failed; nothing takes it back.
_REACHED = timedelta(minutes=15)
_KEPT = timedelta(weeks=6)  # As Application Auto Scaling keeps activities.
_AGGREGATED: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Average": fmean, "Minimum": min, "Maximum": max, "Newest": itemgetter(-1),
}  # fmt: skip
_CAPACITY = TypeAdapter(Capacity)
_Alarm = tuple[str, str, Entry]  # Its name and its state.


@dataclass(frozen=True, slots=True)
class Target:
    """A variant that is scaled, as it stands."""

    row: store.Stored  # Its ScalingPolicy.
    spec: ScalingPolicySpec
    endpoint: store.Stored
    count: int  # The workers that it is to have.
    capacity: Capacity  # As scaling left it.
    floor: int  # 0 where it may rest without a worker.
    waits: bool  # Whether asynchronous requests may wait for its first worker.


class Autoscaler:
    """Brings about what scaling policies want; lives inside one event loop."""

    def __init__(self, context: ServerContext, reconciler: EndpointReconciler) -> None:
        self._context, self._reconciler = context, reconciler
        self._catalog = Catalog()
        self._failures = FailedPasses(log, "autoscaling")

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            began_s = time.monotonic()
            with self._failures.noted(SQLAlchemyError, OSError, DriftlineError):
                await asyncio.to_thread(self.step)
            took_s = time.monotonic() - began_s
            await asyncio.sleep(max(LOOK_S, _MOST_OF_THE_TIME * took_s))

    def step(self) -> None:
        """Look once at all that is scaled, and at what was begun."""
        now, changes = self._context.now(), list[tuple[Target, Capacity, str]]()
        with read_connection(self._context.engine) as connection:
            rows = store.list_kind(connection, "ScalingPolicy")
            alarms = self._firing(connection) if rows else {}
            for row in rows:
                # What is wrong with one is said, and the others are scaled all the same.
                with self._failures.noted(Exception, part=str(row)):
                    target = _target_of(connection, row)
                    # While the endpoint is deployed, scaling waits for the new generation.
                    if target is not None and not target.endpoint.is_unfinished:
                        capacity, cause = _wanted(connection, target, alarms, now)
                        # The first look keeps the count, so that a change of it is one.
                        if capacity != target.capacity or "count" not in row.made:
                            changes.append((target, capacity, cause))
            is_open = activities.c.ended_at.is_(None)
            begun = connection.execute(select(activities).where(is_open)).all()
        for change in changes:
            with self._context.engine.begin() as connection:
                _store(connection, *change, now)
        for activity in begun:
            if (end := self._outcome(activity, now)) is not None:
                with self._context.engine.begin() as connection:
                    _end(connection, activities.c.id == activity.id, *end, now)

    def _firing(self, connection: Connection) -> Mapping[str, list[_Alarm]]:
        """Return the alarms that fire, by the policies that their actions name."""
        rows, found = scaling_alarms(connection), defaultdict[str, list[_Alarm]](list)
        entries, _ = self._catalog.load(connection, rows)
        for row in rows:
            if (entry := entries.get(row.id)) is not None and entry.definition.actions_enabled:
                for name in filter(None, map(policy_of, entry.definition.actions(row.state))):
                    found[name.casefold()].append((row.name, row.state, entry))
        return found

    def _outcome(self, row: Row[Any], now: datetime) -> tuple[str, str] | None:
        """Return how an activity ended, and a message: workers here are as many as it wanted."""
        states = self._reconciler.variants(row.endpoint)
        state = next((one for one in states if one.name == row.variant), None)
        count = -1 if state is None else state.instance_count
        is_out = row.capacity > row.capacity_before
        if count >= row.capacity if is_out else 0 <= count <= row.capacity:
            return "Successful", f"{row.capacity} workers run"
        if now - row.started_at <= _REACHED:
            return None
        # Serverless workers that requests started go by themselves.
        problem = (state and state.problem) or f"{max(count, 0)} workers run"
        return "Failed" if is_out else "Successful", problem


def _target_of(connection: Connection, row: store.Stored) -> Target | None:
    """Return what a declared policy scales; None while that does not run."""
    spec, key = ScalingPolicySpec.model_validate(row.spec), variant_key(row.spec)
    endpoint = store.find(connection, "Endpoint", key[0])
    if endpoint is None or (variant := variant_of(endpoint.running, key[1])) is None:
        return None
    is_async = endpoint.running.get("async_inference_config") is not None
    if (serverless := variant.get("serverless_config")) is None:
        initial, usual = variant.get("initial_instance_count"), 1
    else:
        initial, usual = serverless["provisioned_concurrency"], 0
    usual = usual if initial is None else initial  # A count of 0 may have been retained.
    count = overrides_of(endpoint).get(key[1], {}).get("instance_count", usual)
    # Before the first look, no count is kept.
    capacity = _CAPACITY.validate_python({"count": count, **row.made})
    # Requests start the workers of a serverless variant, those that wait, too.
    waits = is_async and serverless is None and not capacity.min_capacity
    floor = 0 if is_async or serverless else 1
    return Target(row, spec, endpoint, count, capacity, floor, waits)


def _wanted(
    connection: Connection,
    target: Target,
    alarms: Mapping[str, Sequence[_Alarm]],
    now: datetime,
) -> tuple[Capacity, str]:
    """Return the capacity that a target is to have, and why; without a cause the count stays."""
    capacity, action = target.capacity, ""
    if capacity.count != target.count:  # Somebody else's change, or a new generation's.
        capacity = capacity.changed(target.count, now)
    fired = [
        (moment, one)
        for one in target.spec.scheduled_actions
        if (moment := one.fired(capacity.scheduled_until, now)) is not None
    ]
    if fired:
        capacity = replace(capacity, scheduled_until=now)
    if not target.spec.suspended_state.scheduled_scaling_suspended:
        for _, one in sorted(fired, key=lambda pair: pair[0]):
            action, bounds = one.scheduled_action_name, one.scalable_target_action
            capacity = capacity.bounded(bounds.min_capacity, bounds.max_capacity)
    signals = list[Signal]()
    for policy in target.spec.policies:
        fires = [
            _signal(connection, policy, alarm, capacity.changed_at, now)
            for alarm in alarms.get(policy_key(target.spec, policy).casefold(), ())
            # Of alarms that track a target only the policy's own count.
            if isinstance(policy.rule, StepScaling) or alarm[0].startswith(ALARMS)
        ]
        signals += fires or [Signal(policy)]
    decision = decide(
        capacity, signals, now, suspended=target.spec.suspended_state, action=action,
        waiting=_waiting(connection, target) if target.waits else 0, floor=target.floor,
    )  # fmt: skip
    return decision or (capacity, "")


def _signal(
    connection: Connection, policy: Policy, alarm: _Alarm, since: datetime | None, now: datetime
) -> Signal:
    """Return what an alarm tells a policy: its datapoints since the last change.

    Scale-out follows the newest one, scale-in the highest that the alarm judges: one of several
    servers may have missed a minute, or a part of it.
    """
    name, state, entry = alarm
    definition, rule = entry.definition, policy.rule
    edges = definition.edges(newest_tick(now, min(definition.period, 60)))
    # The alarm itself says why metric math cannot be done.
    points, _ = read_periods(connection, Question(definition, entry.plan, edges))
    measured = [one for one in points if since is None or one.start >= since]
    values = [one.value for one in measured if one.value is not None]
    is_recent = any(one.value is not None for one in measured[-_RECENT_PERIODS:])
    is_above = definition.comparison_operator.startswith("Greater")
    how = "Newest" if is_above else "Maximum"
    if isinstance(rule, StepScaling):
        how = rule.metric_aggregation_type
    return Signal(
        policy,
        _AGGREGATED[how](values[-definition.evaluation_periods :]) if is_recent else None,
        is_above,
        threshold=float(definition.threshold or 0.0),
        cause=f"monitor alarm {name} in state {state} triggered policy {policy.policy_name}",
    )


def _waiting(connection: Connection, target: Target) -> int:
    """Return how many asynchronous requests wait."""
    is_of = func.lower(async_requests.c.endpoint) == target.endpoint.name.lower()
    query = select(func.count()).where(async_queue.is_unfinished(), is_of)
    return int(connection.execute(query).scalar_one())


def _store(
    connection: Connection, target: Target, capacity: Capacity, cause: str, now: datetime
) -> None:
    """Store what a look decided, unless another server, a person or an apply was first."""
    store.hold_all(connection)  # Before any row, as whoever applies does.
    row = store.find(connection, "ScalingPolicy", target.row.name)
    if row is None or _target_of(connection, row) != target:
        return
    store.write(connection, row, made=_CAPACITY.dump_python(capacity, mode="json"))
    if not cause:
        return
    endpoint, variant = target.endpoint.name, target.spec.variant
    reason = f"autoscaling: {cause}"[:1000]
    override(connection, endpoint, variant, reason=reason, instance_count=capacity.count)
    columns = activities.c
    is_older = (columns.endpoint == endpoint) & (columns.variant == variant)
    _end(connection, is_older, "Overridden", "another change came before", now)
    connection.execute(delete(activities).where(columns.ended_at < now - _KEPT))
    connection.execute(
        insert(activities).values(
            endpoint=endpoint, variant=variant, capacity_before=target.count,
            capacity=capacity.count, cause=cause, status="InProgress", started_at=now,
        )
    )  # fmt: skip
    log.info(
        "endpoint=%s variant=%s event=scaled from=%d to=%d cause=%r",
        endpoint, variant, target.count, capacity.count, cause,
    )  # fmt: skip


def _end(
    connection: Connection, which: ColumnElement[bool], status: str, message: str, now: datetime
) -> None:
    """End activities that are not over."""
    values = {"status": status, "status_message": message, "ended_at": now}
    is_open = activities.c.ended_at.is_(None)
    connection.execute(update(activities).where(which, is_open).values(values))
