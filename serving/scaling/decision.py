"""How many workers a variant is to have: numbers, times and policies in, a number and why out.

Semantics are Application Auto Scaling's. During the cool-down after a scale-out, and for metrics
that were measured before the last change, policies reckon from the capacity before that change: so
what was added counts as part of what is wanted next. A scale-in waits for the cool-down of the
scale-in before; a scale-out does not, and ends it. The largest capacity that a policy wants wins;
a scale-in needs all that track a target and may scale in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from driftline.serving.resources.scaling_specs import (
    COOLDOWN_S,
    Policy,
    StepScaling,
    SuspendedState,
)

# Scale in only so far that the metric stays below this share of the target: AlarmLow's threshold.
LOW_SHARE = 0.9
_ROUNDING = 1e-9
# A metric may be any multiple of its target; this one asks for more workers than any may have.
_SHARE_MAX = 1_000.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """The workers that a variant is to have now, and what the last change left to heed."""

    now: int
    minimum: int
    maximum: int
    changed_at: datetime | None = None
    changed_from: int = 0
    out_until: datetime | None = None  # The end of the cool-down after a scale-out.
    in_until: datetime | None = None

    def cools_out(self, now: datetime) -> bool:
        """Whether the cool-down after a scale-out has not ended."""
        return self.out_until is not None and now < self.out_until

    def when_measured(self, moment: datetime | None) -> int:
        """Return the capacity that a metric of a moment is of."""
        is_before = moment is not None and self.changed_at is not None and moment < self.changed_at
        return self.changed_from if is_before else self.now


@dataclass(frozen=True, slots=True)
class Signal:
    """What a policy sees: the alarm that fires for it, and its metric's value."""

    policy: Policy
    fires: Literal["", "high", "low", "step"] = ""  # "": none does.
    alarm: str = ""
    state: str = "ALARM"
    threshold: float = 0.0
    is_above: bool = True  # Whether the alarm watches for values above its threshold.
    value: float | None = None  # None: no datapoint.
    measured_at: datetime | None = None  # The start of the period that the value is of.


@dataclass(frozen=True, slots=True)
class Decision:
    """A capacity other than now's, and why."""

    capacity: int
    cause: str
    out_cooldown_s: int = 0
    in_cooldown_s: int = 0


def decide(
    capacity: Capacity,
    signals: Sequence[Signal],
    now: datetime,
    *,
    suspended: SuspendedState,
    scheduled: str = "",
    waiting: int = 0,
) -> Decision | None:
    """Return the capacity to have; None where that is the one of now.

    ``scheduled``: the action that has just set the bounds; ``waiting``: asynchronous requests.
    """
    current, least, most = capacity.now, capacity.minimum, capacity.maximum
    if not least <= current <= most:
        which, bound = ("minimum", least) if current < least else ("maximum", most)
        action = f"scheduled action name {scheduled} was triggered; " if scheduled else ""
        return Decision(bound, f"{action}{which} capacity was set to {bound}")
    if waiting and not current:  # Its alarms would wait for minutes, and with it the request.
        cause = f"requests wait ({waiting}), and no worker runs"
        return Decision(1, cause, in_cooldown_s=COOLDOWN_S)
    wanted = [(wish(capacity, one, now), one) for one in signals]
    wishes = [(number, one) for number, one in wanted if number is not None]
    outs = [one for one in wishes if one[0] > current]
    if outs and not suspended.dynamic_scaling_out_suspended:
        number, signal = max(outs, key=lambda one: one[0])
        if min(number, most) > current:
            return Decision(min(number, most), _cause(signal), out_cooldown_s=_cooldown(signal)[0])
    ins = [one for one in wishes if one[0] < current]
    cools = capacity.in_until is not None and now < capacity.in_until
    holds = any(number is None and _may_scale_in(one) for number, one in wanted)
    if outs or not ins or holds or cools or suspended.dynamic_scaling_in_suspended:
        return None
    # One that tracks a target may want as many as there are.
    number, signal = max(wishes, key=lambda one: one[0])
    number = max(number, least, 1 if waiting else 0)
    if number >= current:
        return None
    return Decision(number, _cause(signal), in_cooldown_s=_cooldown(signal)[1])


def after(capacity: Capacity, decision: Decision, now: datetime) -> Capacity:
    """Return what a change leaves to heed; one more scale-out in a cool-down keeps its base."""
    is_out = decision.capacity > capacity.now
    cools = is_out and capacity.cools_out(now)
    return replace(
        capacity,
        now=decision.capacity,
        changed_at=now,
        changed_from=capacity.changed_from if cools else capacity.now,
        out_until=_end(now, decision.out_cooldown_s),
        in_until=_end(now, decision.in_cooldown_s),
    )


def wish(capacity: Capacity, signal: Signal, now: datetime) -> int | None:
    """Return the capacity that one policy wants; None where nothing fires for it."""
    base = capacity.when_measured(signal.measured_at)
    base_out = capacity.changed_from if capacity.cools_out(now) else base
    if (tracking := signal.policy.tracking) is not None:
        share = max(0.0, min((signal.value or 0.0) / tracking.target_value, _SHARE_MAX))
        if signal.fires == "high" and signal.value is not None:
            # Without a worker there is nothing to reckon from.
            return max(capacity.now, _ceil(base_out * share)) if capacity.now else 1
        if signal.fires == "low" and not tracking.disable_scale_in:
            return min(capacity.now, _ceil(base * share / LOW_SHARE))
        return None
    steps = signal.policy.steps
    if steps is None or not signal.fires or signal.value is None:
        return None
    if (found := stepped(steps, base_out, signal)) is None:
        return None
    if found >= base_out:
        return max(capacity.now, found)
    return min(capacity.now, stepped(steps, base, signal) or 0)


def stepped(steps: StepScaling, base: int, signal: Signal) -> int | None:
    """Return the capacity that the step of a value leads to; None where no step has it."""
    distance = (signal.value or 0.0) - signal.threshold
    for one in steps.step_adjustments:
        low, high = one.metric_interval_lower_bound, one.metric_interval_upper_bound
        lower = -math.inf if low is None else low
        upper = math.inf if high is None else high
        if lower <= distance < upper if signal.is_above else lower < distance <= upper:
            return max(0, _adjusted(steps, base, one.scaling_adjustment))
    return None


def _adjusted(steps: StepScaling, base: int, adjustment: int) -> int:
    if steps.adjustment_type == "ExactCapacity":
        return adjustment
    if steps.adjustment_type == "ChangeInCapacity":
        return base + adjustment
    share = base * adjustment / 100
    # 12.7 is 12, 0.3 is 1, -0.3 is -1, -6.67 is -6.
    change = int(share) if abs(share) >= 1 else int(math.copysign(math.ceil(abs(share)), share))
    least = steps.min_adjustment_magnitude or 0
    if change and abs(change) < least:
        change = int(math.copysign(least, change))
    return base + change


def _ceil(number: float) -> int:
    return math.ceil(number - _ROUNDING)


def _may_scale_in(signal: Signal) -> bool:
    tracking = signal.policy.tracking
    return tracking is not None and not tracking.disable_scale_in


def _cooldown(signal: Signal) -> tuple[int, int]:
    if (tracking := signal.policy.tracking) is not None:
        return tracking.scale_out_cooldown, tracking.scale_in_cooldown
    assert signal.policy.steps is not None
    return signal.policy.steps.cooldown, signal.policy.steps.cooldown


def _cause(signal: Signal) -> str:
    policy = signal.policy.policy_name
    return f"monitor alarm {signal.alarm} in state {signal.state} triggered policy {policy}"


def _end(now: datetime, cooldown_s: int) -> datetime | None:
    return now + timedelta(seconds=cooldown_s) if cooldown_s else None
