"""The autoscaler: looks at what policies see, and sets how many workers variants are to have.

Every server looks; a change is made in one transaction by the first, which raises the revision of
the row, so that the others, which saw the one before, leave it. Nothing is kept in memory that the
rows do not say. Only the endpoint reconcilers start and stop workers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.alarms.actions import policy_of
from driftline.alerts.alarms.alarm import Point
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import scaling_alarms
from driftline.alerts.evaluation.catalog import Catalog, Entry
from driftline.alerts.evaluation.due import newest_tick
from driftline.alerts.evaluation.reading import Question, read_points
from driftline.database.disconnects import FailedPasses
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.resources import store
from driftline.serving.resources.scaling_specs import Policy
from driftline.serving.resources.variant_overrides import override
from driftline.serving.scaling.alarms import alarm_name, policy_key
from driftline.serving.scaling.decision import Decision, Signal, after, decide
from driftline.serving.scaling.standing import Key, Target, is_of, list_targets
from driftline.serving.tables import async_queue, async_requests, scaling, scaling_activities

log = logging.getLogger(__name__)

LOOK_S = 1.0
_MOST_OF_THE_TIME = 20  # To look takes at most this part of a core.
# A change that no server has brought about by then has failed; nothing takes it back.
_REACHED = timedelta(minutes=15)
# No traffic is zero once so many periods are empty: the newest one may not be written yet.
_SILENT_PERIODS = 3
_KEPT = timedelta(weeks=6)  # As Application Auto Scaling keeps activities.
_LEFT = ("changed_at", "changed_from", "out_until", "in_until")  # Of a Capacity.
_activities = scaling_activities.c
_AGGREGATED: Mapping[str, Callable[[list[float]], float]] = {
    "Average": lambda values: sum(values) / len(values), "Minimum": min, "Maximum": max,
}  # fmt: skip


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
        now, engine = self._context.now(), self._context.engine
        with read_connection(engine) as connection:
            policies = store.list_kind(connection, "ScalingPolicy")
            targets = list_targets(connection, policies)
            signals = self._signals(connection, targets, now) if targets else {}
            waiting = _waiting(connection, targets)
            begun = connection.execute(
                select(scaling_activities).where(_activities.ended_at.is_(None))
            ).all()
        for target in targets:
            if target.endpoint.is_unfinished or target.key not in signals:
                continue  # It is deployed, or about to be: scaling waits for the new generation.
            with self._alone(target):
                self._scale(target, signals[target.key], waiting.get(target.key[0], 0), now)
        ended = [(row.id, *end) for row in begun if (end := self._outcome(row, now)) is not None]
        if ended:
            with engine.begin() as connection:
                for number, status, message in ended:
                    values = {"status": status, "status_message": message, "ended_at": now}
                    is_open = _activities.id == number, _activities.ended_at.is_(None)
                    connection.execute(update(scaling_activities).where(*is_open).values(values))

    def _scale(
        self, target: Target, signals: Sequence[Signal], waiting: int, now: datetime
    ) -> None:
        """Set what a target is to have by what its policies see."""
        bounded, scheduled = target.scheduled(now)
        decision = decide(
            bounded.capacity, signals, now, suspended=target.spec.suspended_state,
            scheduled=scheduled or "", waiting=waiting,
        )  # fmt: skip
        if decision is not None or scheduled is not None:
            with self._context.engine.begin() as connection:
                _store(connection, bounded, decision, now, has_fired=scheduled is not None)

    @contextmanager
    def _alone(self, target: Target) -> Iterator[None]:
        """Log what is wrong with one target, so that the others are scaled all the same."""
        try:
            yield
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - what is not known is a fault of ours, and said.
            self._failures.failed(error, "endpoint={} variant={}".format(*target.key))

    def _signals(
        self, connection: Connection, targets: Sequence[Target], now: datetime
    ) -> dict[Key, list[Signal]]:
        """Return what each policy of each target sees; nothing of one that cannot be read."""
        rows = scaling_alarms(connection)
        entries, _ = self._catalog.load(connection, rows)
        firing: dict[str, list[tuple[Row[Any], Entry]]] = {}
        for row in rows:
            if (entry := entries.get(row.id)) is None or not entry.definition.actions_enabled:
                continue
            for action in entry.definition.actions(row.state):
                if (name := policy_of(action)) is not None:
                    firing.setdefault(name.casefold(), []).append((row, entry))
        found = {}
        for target in targets:
            with self._alone(target):
                seen = list[Signal]()
                for policy in target.spec.policies:
                    fires = firing.get(policy_key(target.spec, policy).casefold(), [])
                    seen += _signals_of(connection, target, policy, fires, now)
                found[target.key] = seen
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


def _signals_of(
    connection: Connection,
    target: Target,
    policy: Policy,
    firing: Sequence[tuple[Row[Any], Entry]],
    now: datetime,
) -> list[Signal]:
    """Return what a policy sees; of alarms that track a target only its own two count."""
    found = []
    for row, entry in firing:
        fires: Any = "step"
        if policy.tracking is not None:
            sides = {alarm_name(target.spec, policy, side): side for side in ("High", "Low")}
            if (fires := sides.get(row.name, "").lower()) == "":
                continue
        definition = entry.definition
        edges = definition.edges(newest_tick(now, min(definition.period, 60)))
        ((_, points),) = read_points(connection, [Question(definition, entry.plan, edges)])
        newest, value = _newest(policy, definition, points)
        found.append(
            Signal(
                policy, fires, row.name, row.state, float(definition.threshold or 0.0),
                definition.comparison_operator.startswith("Greater"), value,
                None if newest is None else newest.start,
            )
        )  # fmt: skip
    return found or [Signal(policy)]


def _newest(
    policy: Policy, definition: AlarmDefinition, points: Sequence[Point] | Exception
) -> tuple[Point | None, float | None]:
    """Return the newest datapoint, and the value: in steps, that of all periods that are judged."""
    # Metric math that cannot be done says nothing; the alarm says why.
    if isinstance(points, Exception):
        return None, None
    is_silent = all(one.value is None for one in points[-_SILENT_PERIODS:])
    if is_silent and policy.tracking is not None and definition.treatment == "breaching":
        return points[-1], 0.0
    known = [one for one in points if one.value is not None]
    if not known:
        return None, None
    newest = known[-definition.evaluation_periods :]
    values = [one.value for one in newest if one.value is not None]
    if policy.steps is None:
        return known[-1], values[-1]
    return known[-1], _AGGREGATED[policy.steps.metric_aggregation_type](values)


def _waiting(connection: Connection, targets: Sequence[Target]) -> Mapping[str, int]:
    """Return how many asynchronous requests wait, by endpoint, where it matters."""
    if not any(one.is_asynchronous and not one.capacity.minimum for one in targets):
        return {}
    columns = async_requests.c
    query = select(columns.endpoint, func.count()).where(async_queue.is_unfinished())
    rows = connection.execute(query.group_by(columns.endpoint))
    return {endpoint.casefold(): count for endpoint, count in rows}


def _store(
    connection: Connection, target: Target, decision: Decision | None, now: datetime, *,
    has_fired: bool,
) -> None:  # fmt: skip
    """Store bounds and a decision, unless another server, or an apply, was first."""
    store.hold_all(connection)  # Before any row, as whoever applies does.
    endpoint = store.find(connection, "Endpoint", target.endpoint.name)
    if endpoint is None or endpoint.edition != target.endpoint.edition or endpoint.is_unfinished:
        return
    capacity = target.capacity
    values: dict[str, object] = {"revision": target.row.revision + 1}
    if has_fired:
        values |= {"min_capacity": capacity.minimum, "max_capacity": capacity.maximum}
        values["scheduled_until"] = now
    if decision is not None:
        left = after(capacity, decision, now)
        values |= {name: getattr(left, name) for name in _LEFT}
    is_seen = is_of(target.key), scaling.c.revision == target.row.revision
    if not connection.execute(update(scaling).where(*is_seen).values(values)).rowcount:
        return
    if decision is None:
        return
    names = target.endpoint.name, target.spec.variant
    override(
        connection, endpoint, names[1], reason=f"autoscaling: {decision.cause}"[:1000],
        instance_count=decision.capacity,
    )  # fmt: skip
    is_older = _activities.endpoint == names[0], _activities.variant == names[1]
    connection.execute(
        update(scaling_activities)
        .where(*is_older, _activities.ended_at.is_(None))
        .values(status="Overridden", ended_at=now, status_message="another change came before")
    )
    connection.execute(delete(scaling_activities).where(_activities.ended_at < now - _KEPT))
    connection.execute(
        insert(scaling_activities).values(
            endpoint=names[0], variant=names[1], capacity_before=capacity.now,
            capacity=decision.capacity, cause=decision.cause, status="InProgress", started_at=now,
        )
    )  # fmt: skip
    log.info(
        "endpoint=%s variant=%s event=scaled from=%d to=%d cause=%r",
        *names, capacity.now, decision.capacity, decision.cause,
    )  # fmt: skip
