"""The form of an Endpoint's `deployment_config`, AWS's names in snake case, and its plan."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from driftline.serving.resources.spec import Spec

# Beyond the waits, where maximum_execution_timeout_in_seconds is left out: workers have to start.
_START_S = 1_800
# AWS's bounds of sizes, in percent of the workers.
_BOUNDS = {
    "canary_size": (0, 50),
    "linear_step_size": (10, 50),
    "maximum_batch_size": (5, 50),
    "rollback_maximum_batch_size": (5, 100),
}

_Wait = Annotated[int, Field(ge=0, le=3600)]
_Timeout = Annotated[int, Field(ge=600, le=28_800)]


class Step(NamedTuple):
    """One step of a deployment: what each fleet has, and how long that is watched."""

    share: float  # Of the requests, and of its workers, that the new fleet has.
    old_part: float = 1.0  # Of the old fleet's workers, that run.
    wait_s: int = 0
    keep_s: int = 0  # The old fleet is kept for so long after that.


class Plan(NamedTuple):
    """The steps of a deployment, from the one in which nothing has moved yet."""

    steps: tuple[Step, ...]
    back_part: float  # Of the workers, that a rollback brings back at once.
    timeout_s: int


START = Step(0.0)


class CapacitySize(Spec):
    """A part of an endpoint's workers, and of its requests."""

    type: Literal["INSTANCE_COUNT", "CAPACITY_PERCENT"]
    value: Annotated[int, Field(ge=1)]


class TrafficRouting(Spec):
    """How requests go over to the new fleet, and how long each step is watched."""

    type: Literal["ALL_AT_ONCE", "CANARY", "LINEAR"]
    wait_interval_in_seconds: _Wait
    canary_size: CapacitySize | None = None
    linear_step_size: CapacitySize | None = None

    @model_validator(mode="after")
    def _require_size(self) -> Self:
        for kind, field in (("CANARY", "canary_size"), ("LINEAR", "linear_step_size")):
            if (getattr(self, field) is not None) != (self.type == kind):
                raise ValueError(f"type {self.type}; expected {field} with {kind}, and only there")
        return self


class BlueGreenUpdatePolicy(Spec):
    """Starts a second fleet beside the one that answers."""

    traffic_routing_configuration: TrafficRouting
    termination_wait_in_seconds: _Wait = 0
    maximum_execution_timeout_in_seconds: _Timeout | None = None

    def steps(self, workers: int | None) -> list[Step]:
        """Return the steps of requests that move while all of the old fleet is kept."""
        traffic = self.traffic_routing_configuration
        shares: Iterable[float] = (_part(traffic, "canary_size", workers), 1.0)
        if traffic.type != "CANARY":
            shares = _shares(_part(traffic, "linear_step_size", workers))
        steps = [Step(share, wait_s=traffic.wait_interval_in_seconds) for share in shares]
        return [*steps[:-1], steps[-1]._replace(keep_s=self.termination_wait_in_seconds)]


class RollingUpdatePolicy(Spec):
    """Replaces the workers batch by batch."""

    maximum_batch_size: CapacitySize
    wait_interval_in_seconds: _Wait
    maximum_execution_timeout_in_seconds: _Timeout | None = None
    rollback_maximum_batch_size: CapacitySize | None = None

    def steps(self, workers: int | None) -> list[Step]:
        """Return the steps of requests that move while the old fleet is let go."""
        shares = _shares(_part(self, "maximum_batch_size", workers))
        return [Step(share, round(1 - share, 9), self.wait_interval_in_seconds) for share in shares]


class RollbackAlarm(Spec):
    """An alarm whose state ALARM takes a deployment back."""

    alarm_name: Annotated[str, Field(min_length=1, max_length=255)]


class AutoRollback(Spec):
    """What takes a deployment back, besides workers that do not start and the timeout."""

    alarms: Annotated[list[RollbackAlarm], Field(max_length=10)] = []


class DeploymentConfig(Spec):
    """How the workers of a new generation take the place of those that answer."""

    blue_green_update_policy: BlueGreenUpdatePolicy | None = None
    rolling_update_policy: RollingUpdatePolicy | None = None
    auto_rollback_configuration: AutoRollback = AutoRollback()

    @model_validator(mode="after")
    def _require_one_policy(self) -> Self:
        if self.blue_green_update_policy is not None and self.rolling_update_policy is not None:
            raise ValueError(
                "blue_green_update_policy beside rolling_update_policy; expected one of them"
            )
        self.plan(None)
        return self

    def plan(self, workers: int | None) -> Plan:
        """Return the plan for a fleet of some workers; None: not known yet, counts go unchecked.

        ValueError where a step is out of AWS's bounds, or the waits take longer than the timeout.
        """
        rolling = self.rolling_update_policy
        policy = self.blue_green_update_policy or rolling
        steps = [Step(1.0)] if policy is None else policy.steps(workers)
        back = rolling and _part(rolling, "rollback_maximum_batch_size", workers)
        waits_s = sum(one.wait_s + one.keep_s for one in steps)
        given_s = policy and policy.maximum_execution_timeout_in_seconds
        if given_s and given_s < waits_s:
            raise ValueError(
                f"maximum_execution_timeout_in_seconds is {given_s}, but the waits alone take "
                f"{waits_s} s"
            )
        return Plan((START, *steps), back or 1.0, given_s or waits_s + _START_S)


def _part(policy: Spec, field: str, workers: int | None) -> float:
    """Return a size of a policy as a share of all workers; ValueError beyond its bounds."""
    size: CapacitySize | None = getattr(policy, field)
    whole = 100 if size is None or size.type == "CAPACITY_PERCENT" else workers
    if size is None or whole is None:
        return 1.0
    part, (least, most) = size.value / whole, _BOUNDS[field]
    if not least <= 100 * part <= most:
        of = "" if size.type == "CAPACITY_PERCENT" else f" of {workers} workers"
        raise ValueError(
            f"{field} {size.value}{of} is {100 * part:g}%; expected {least} to {most}%"
        )
    return part


def _shares(part: float) -> list[float]:
    """Return the shares of steps that are a part higher each, up to all."""
    count = math.ceil(round(1 / part, 9))
    return [min(1.0, round(part * step, 9)) for step in range(1, count + 1)]
