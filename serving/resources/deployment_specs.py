"""The form of an Endpoint's `deployment_config`, AWS's names in snake case."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from driftline.serving.resources.spec import Spec

# Beyond the waits, where maximum_execution_timeout_in_seconds is left out: workers have to start.
_START_S = 1_800

_Wait = Annotated[int, Field(ge=0, le=3600)]
_Timeout = Annotated[int, Field(ge=600, le=28_800)]
_PERCENT = "CAPACITY_PERCENT"


class CapacitySize(Spec):
    """A part of an endpoint's workers, and of its requests."""

    type: Literal["INSTANCE_COUNT", "CAPACITY_PERCENT"]
    value: Annotated[int, Field(ge=1)]

    def part(self, worker_count: int) -> float:
        """Return it as a share of all workers."""
        return self.value / (100 if self.type == _PERCENT else worker_count)


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


class RollingUpdatePolicy(Spec):
    """Replaces the workers batch by batch."""

    maximum_batch_size: CapacitySize
    wait_interval_in_seconds: _Wait
    maximum_execution_timeout_in_seconds: _Timeout | None = None
    rollback_maximum_batch_size: CapacitySize | None = None


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
        self._require_sizes(None)
        return self

    @property
    def _traffic(self) -> TrafficRouting | None:
        policy = self.blue_green_update_policy
        return None if policy is None else policy.traffic_routing_configuration

    @property
    def wait_s(self) -> int:
        """How long each step is watched before the next one."""
        policy = self.rolling_update_policy or self._traffic
        return 0 if policy is None else policy.wait_interval_in_seconds

    @property
    def termination_wait_s(self) -> int:
        """How long the old fleet is kept when the new one answers everything."""
        policy = self.blue_green_update_policy
        return 0 if policy is None else policy.termination_wait_in_seconds

    def rollback_part(self, worker_count: int) -> float:
        """Return the share of workers that a rolling update is taken back by at once."""
        policy = self.rolling_update_policy
        size = None if policy is None else policy.rollback_maximum_batch_size
        return 1.0 if size is None else size.part(worker_count)

    def shares(self, worker_count: int) -> list[float]:
        """Return the share of requests that goes to the new fleet, step by step."""
        traffic, rolling = self._traffic, self.rolling_update_policy
        if traffic is not None and traffic.canary_size is not None:
            return [traffic.canary_size.part(worker_count), 1.0]
        size = None if traffic is None else traffic.linear_step_size
        size = size if rolling is None else rolling.maximum_batch_size
        part = 1.0 if size is None else size.part(worker_count)
        steps = math.ceil(round(1 / part, 9))
        return [min(1.0, round(part * step, 9)) for step in range(1, steps + 1)]

    def timeout_s(self, worker_count: int) -> int:
        """Return how long a deployment may take; ValueError where its waits alone take longer."""
        self._require_sizes(worker_count)
        waits_s = len(self.shares(worker_count)) * self.wait_s + self.termination_wait_s
        policy = self.blue_green_update_policy or self.rolling_update_policy
        given_s = policy and policy.maximum_execution_timeout_in_seconds
        if given_s and given_s < waits_s:
            raise ValueError(
                f"maximum_execution_timeout_in_seconds is {given_s}, but the waits alone take "
                f"{waits_s} s"
            )
        return given_s or waits_s + _START_S

    def _require_sizes(self, worker_count: int | None) -> None:
        """Refuse steps out of AWS's bounds; without a count, only those in percent are known."""
        traffic, rolling = self._traffic, self.rolling_update_policy
        back = rolling and rolling.rollback_maximum_batch_size
        sizes = (
            ("canary_size", traffic and traffic.canary_size, 0, 50),
            ("linear_step_size", traffic and traffic.linear_step_size, 10, 50),
            ("maximum_batch_size", rolling and rolling.maximum_batch_size, 5, 50),
            ("rollback_maximum_batch_size", back, 5, 100),
        )
        for field, size, least, most in sizes:
            if not size or (worker_count is None and size.type != _PERCENT):
                continue
            percent = 100 * size.part(worker_count or 1)
            if not least <= percent <= most:
                of = "" if size.type == _PERCENT else f" of {worker_count} workers"
                raise ValueError(
                    f"{field} {size.value}{of} is {percent:g}%; expected {least} to {most}%"
                )
