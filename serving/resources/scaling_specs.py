"""The form of a ScalingPolicy: AWS's fields of what scales a variant, in snake case."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from driftline.alerts.math.query import MetricQuery, read_dimensions
from driftline.local_time import find_zone
from driftline.monitors.schedule import EXPRESSION, RATE, Schedule, ScheduleError
from driftline.serving.resources.spec import Moment, Name, Spec, require_distinct

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)\)\Z", re.IGNORECASE)
COOLDOWN_S = 300  # SageMaker's default.
PERIOD_S = 60  # Of the metrics that policies track.
# Of a variant with instances, and of a serverless one.
DIMENSIONS = (
    "sagemaker:variant:DesiredInstanceCount",
    "sagemaker:variant:DesiredProvisionedConcurrency",
)
# Metrics of the variant that the server publishes: name and statistic, each minute.
PREDEFINED = {
    "SageMakerVariantInvocationsPerInstance": ("InvocationsPerInstance", "Sum"),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": (
        "ConcurrentRequestsPerModel", "Average",
    ),
    "SageMakerVariantProvisionedConcurrencyUtilization": (
        "ServerlessProvisionedConcurrencyUtilization", "Average",
    ),
}  # fmt: skip

_Capacity = Annotated[int, Field(ge=0, le=200)]
_Seconds = Annotated[int, Field(ge=0, le=86_400)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_PolicyName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f/:]+$")]


class SuspendedState(Spec):
    """What does not change the number of workers for now; what was changed stays."""

    dynamic_scaling_in_suspended: bool = False
    dynamic_scaling_out_suspended: bool = False
    scheduled_scaling_suspended: bool = False


class PredefinedMetric(Spec):
    """A metric of the variant that the server publishes."""

    predefined_metric_type: Literal[*PREDEFINED]  # type: ignore[valid-type] # the table's keys


def _queries(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write metric math in the one form that is stored, whichever it is given in."""
    return [
        # Expressions have the period of their metrics.
        MetricQuery.from_dict(
            one if {"expression", "Expression"} & one.keys() else {"period": PERIOD_S, **one}
        ).as_dict()
        for one in given
    ]


class CustomizedMetric(Spec):
    """Any metric, or metric math, in CloudWatch's fields."""

    namespace: str | None = None
    metric_name: str | None = None
    dimensions: Annotated[
        dict[str, str], BeforeValidator(lambda given: read_dimensions(given, "the metric"))
    ] = {}
    statistic: str | None = None
    unit: str | None = None
    metrics: Annotated[list[dict[str, Any]], AfterValidator(_queries)] | None = None


class TargetTracking(Spec):
    """Keeps a metric near a value: the workers are to the metric as the target says."""

    target_value: Annotated[_Number, Field(gt=0)]
    predefined_metric_specification: PredefinedMetric | None = None
    customized_metric_specification: CustomizedMetric | None = None
    scale_out_cooldown: _Seconds = COOLDOWN_S
    scale_in_cooldown: _Seconds = COOLDOWN_S
    disable_scale_in: bool = False

    @model_validator(mode="after")
    def _require_metric(self) -> Self:
        _require_one(self, "predefined_metric_specification", "customized_metric_specification")
        return self


class StepAdjustment(Spec):
    """What to do while the metric is so far from the alarm's threshold; None: however far."""

    metric_interval_lower_bound: _Number | None = None
    metric_interval_upper_bound: _Number | None = None
    scaling_adjustment: int

    @property
    def bounds(self) -> tuple[float, float]:
        """The distances from the threshold between which it holds."""
        low, high = self.metric_interval_lower_bound, self.metric_interval_upper_bound
        return -math.inf if low is None else low, math.inf if high is None else high


class StepScaling(Spec):
    """Changes the workers while an alarm says so, by how far its metric is from its threshold."""

    adjustment_type: Literal["ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"]
    step_adjustments: Annotated[list[StepAdjustment], Field(min_length=1, max_length=20)]
    min_adjustment_magnitude: Annotated[int, Field(ge=0)] | None = None
    cooldown: _Seconds = COOLDOWN_S
    metric_aggregation_type: Literal["Average", "Minimum", "Maximum"] = "Average"

    @model_validator(mode="after")
    def _require_steps(self) -> Self:
        """Refuse steps that overlap, leave a gap, or end where the metric does not."""
        steps, kind = self.step_adjustments, self.adjustment_type
        bounds = sorted(one.bounds for one in steps)
        follows = all(one[1] == other[0] for one, other in pairwise(bounds))
        if not follows or any(low >= high for low, high in bounds):
            raise ValueError(
                "expected each lower bound below the upper one, and steps that neither overlap nor "
                "leave a gap"
            )
        if -math.inf < bounds[0][0] < 0 or 0 < bounds[-1][1] < math.inf:
            raise ValueError(
                "expected a step without a lower bound below a negative one, and one without an "
                "upper bound above a positive one"
            )
        if self.min_adjustment_magnitude and kind != "PercentChangeInCapacity":
            raise ValueError("min_adjustment_magnitude is for PercentChangeInCapacity")
        if kind == "ExactCapacity" and any(one.scaling_adjustment < 0 for one in steps):
            raise ValueError("expected a scaling_adjustment of 0 or more with ExactCapacity")
        return self


class Policy(Spec):
    """One rule by which the number of workers changes."""

    policy_name: _PolicyName
    target_tracking_scaling_policy_configuration: TargetTracking | None = None
    step_scaling_policy_configuration: StepScaling | None = None

    @model_validator(mode="after")
    def _require_one_form(self) -> Self:
        _require_one(
            self,
            "target_tracking_scaling_policy_configuration",
            "step_scaling_policy_configuration",
        )
        return self

    @property
    def rule(self) -> TargetTracking | StepScaling:
        """What it does: keep a metric near a value, or act while an alarm names it."""
        tracking = self.target_tracking_scaling_policy_configuration
        found = tracking or self.step_scaling_policy_configuration
        assert found is not None
        return found

    @property
    def may_scale_in(self) -> bool:
        """Whether no worker goes unless it wants so."""
        return isinstance(self.rule, TargetTracking) and not self.rule.disable_scale_in

    @property
    def cooldowns(self) -> tuple[int, int]:
        """The seconds after a scale-out, and after a scale-in."""
        if isinstance(self.rule, StepScaling):
            return self.rule.cooldown, self.rule.cooldown
        return self.rule.scale_out_cooldown, self.rule.scale_in_cooldown


class Bounds(Spec):
    """Between how many workers a variant has; of a scheduled action, one of both may stay."""

    min_capacity: _Capacity | None = None
    max_capacity: _Capacity | None = None

    @model_validator(mode="after")
    def _require_bounds(self) -> Self:
        least, most = self.min_capacity, self.max_capacity
        if (least is None and most is None) or (least or 0) > (200 if most is None else most):
            raise ValueError("expected min_capacity, max_capacity or both, the first not above")
        return self


class ScheduledAction(Spec):
    """Sets the bounds when the clock says so; they hold until something else sets them."""

    scheduled_action_name: _PolicyName
    # cron(minute hour day-of-month month day-of-week year), rate(5 minutes), at(2026-01-31T10:00).
    schedule: Annotated[str, Field(max_length=256)]
    timezone: str = "UTC"
    start_time: Moment | None = None
    end_time: Moment | None = None
    scalable_target_action: Bounds

    @model_validator(mode="after")
    def _require_schedule(self) -> Self:
        if not any(one.match(self.schedule.strip()) for one in (_AT, EXPRESSION, RATE)):
            raise ValueError(
                f'schedule "{self.schedule[:80]}"; expected cron(0 8 ? * MON-FRI *), '
                "rate(1 hour) or at(2026-01-31T10:00:00)"
            )
        if find_zone(self.timezone) is None:
            raise ValueError(f'timezone "{self.timezone[:60]}"; expected such as "Europe/Berlin"')
        try:
            self._fired_before(datetime(2024, 1, 1, tzinfo=UTC))
        except ScheduleError as error:
            raise ValueError(str(error)) from error
        return self

    def fired(self, after: datetime, until: datetime) -> datetime | None:
        """Return when it fired last, later than a time and at another one at the latest."""
        last = self._fired_before(min(until, self.end_time or until))
        is_new = last is not None and last > after and last >= (self.start_time or last)
        return last if is_new else None

    def _fired_before(self, until: datetime) -> datetime | None:
        if (at := _AT.match(self.schedule.strip())) is None:
            return Schedule(self.schedule, self.timezone, self.start_time).fired_before(until)
        moment = datetime.fromisoformat(at[1]).replace(tzinfo=find_zone(self.timezone))
        return moment.astimezone(UTC) if moment <= until else None


class ScalingPolicySpec(Bounds):
    """How many workers one variant of an endpoint has, and what changes that."""

    endpoint: Name
    variant: Name = "AllTraffic"
    # What is scaled follows from the variant.
    scalable_dimension: Literal[*DIMENSIONS] | None = None  # type: ignore[valid-type] # two texts
    min_capacity: _Capacity = 1
    max_capacity: Annotated[_Capacity, Field(ge=1)]
    suspended_state: SuspendedState = SuspendedState()
    policies: Annotated[list[Policy], Field(max_length=50)] = []
    scheduled_actions: Annotated[list[ScheduledAction], Field(max_length=200)] = []

    @model_validator(mode="after")
    def _require_names(self) -> Self:
        require_distinct("policy_name", [one.policy_name for one in self.policies])
        names = [one.scheduled_action_name for one in self.scheduled_actions]
        require_distinct("scheduled_action_name", names)
        return self


def _require_one(spec: Spec, *names: str) -> None:
    if sum(getattr(spec, name) is not None for name in names) != 1:
        raise ValueError(f"expected one of {' and '.join(names)}")
