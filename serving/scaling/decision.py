"""How many workers a variant is to have, as Application Auto Scaling decides it; pure.

In the cool-down after a scale-out, policies count from the capacity before it, so that what was
added is part of what they want next. A scale-in waits for the cool-down of the one before; a
scale-out does not, and ends it. The largest capacity that a policy wants wins; a scale-in needs all
target tracking policies that may scale in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from driftline.alerts.documents import Time
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
    """The workers of a variant, the bounds in force, and what still counts of the last change."""

    count: int
    min_capacity: int
    max_capacity: int
    scheduled_until: Time  # Up to when scheduled actions were looked at.
    # By whomever: what was measured before says nothing of the workers that there are now.
    changed_at: Time | None = None
    changed_from: int = 0  # Of several scale-outs in a cool-down, before the first.
    scale_out_cooldown_until: Time | None = None
    scale_in_cooldown_until: Time | None = None

    def changed(self, count: int, now: datetime, *, out_s: int = 0, in_s: int = 0) -> Capacity:
        """Return it with another count, and the cool-downs that follow; those before end."""
        goes_on = count > self.count and _lasts(self.scale_out_cooldown_until, now)
        return replace(
            self,
            count=count,
            changed_at=now,
            changed_from=self.changed_from if goes_on else self.count,
            scale_out_cooldown_until=now + timedelta(seconds=out_s) if out_s else None,
            scale_in_cooldown_until=now + timedelta(seconds=in_s) if in_s else None,
        )

    def bounded(self, least: int | None, most: int | None) -> Capacity:
        """Return it within other bounds; one that is not given gives way."""
        most = self.max_capacity if most is None else most
        least = min(self.min_capacity, most) if least is None else least
        return replace(self, min_capacity=least, max_capacity=max(least, most))


@dataclass(frozen=True, slots=True)
class Signal:
    """A policy, and the metric of an alarm that fires for it."""

    policy: Policy
    value: float | None = None  # None: no alarm fires, or nothing was measured since the change.
    is_above: bool = True  # Whether the alarm watches for values above its threshold.
    threshold: float = 0.0
    cause: str = ""


def decide(
    capacity: Capacity,
    signals: Sequence[Signal],
    now: datetime,
    *,
    suspended: SuspendedState,
    action: str = "",
    waiting: int = 0,
    floor: int = 0,
) -> tuple[Capacity, str] | None:
    """Return the capacity to have, and why; None where that is the one of now.

    ``action``: the scheduled one that has just set the bounds; ``waiting``: asynchronous requests;
    ``floor``: as few as there may be, whatever the bounds.
    """
    count = capacity.count
    least, most = max(floor, capacity.min_capacity), max(floor, capacity.max_capacity)
    if not least <= count <= most:
        which, bound = ("minimum", least) if count < least else ("maximum", most)
        begin = f"scheduled action name {action} was triggered; " if action else ""
        return capacity.changed(bound, now), f"{begin}{which} capacity was set to {bound}"
    if waiting and not count:  # Its alarms would wait for minutes, and with it the request.
        cause = f"requests wait ({waiting}), and no worker runs"
        return capacity.changed(1, now, in_s=COOLDOWN_S), cause
    wishes = [(_wish(capacity, one, now), one) for one in signals]
    wanted = [(number, one) for number, one in wishes if number is not None]
    number, signal = max(wanted, key=lambda one: one[0], default=(count, None))
    if signal is None:
        return None
    out_s, in_s = signal.policy.cooldowns
    if number > count:
        changed = capacity.changed(min(number, most), now, out_s=out_s)
        is_held = suspended.dynamic_scaling_out_suspended
    else:
        number = max(number, least, 1 if waiting else 0)
        changed = capacity.changed(number, now, in_s=in_s)
        is_held = (
            suspended.dynamic_scaling_in_suspended
            or _lasts(capacity.scale_in_cooldown_until, now)
            or any(wish is None and one.policy.may_scale_in for wish, one in wishes)
        )
    return None if is_held or changed.count == count else (changed, signal.cause)


def _wish(capacity: Capacity, signal: Signal, now: datetime) -> int | None:
    """Return the capacity that one policy wants; None where nothing fires for it."""
    found = _scaled(capacity.count, signal)
    is_out = found is not None and found > capacity.count
    if is_out and _lasts(capacity.scale_out_cooldown_until, now):
        return max(capacity.count, _scaled(capacity.changed_from, signal) or 0)
    return found


def _scaled(count: int, signal: Signal) -> int | None:
    """Return the capacity that a policy wants in place of one."""
    rule, value = signal.policy.rule, signal.value
    if value is None:
        return None
    if isinstance(rule, StepScaling):
        return stepped(rule, count, value - signal.threshold, is_above=signal.is_above)
    share = max(0.0, min(value / rule.target_value, _SHARE_MAX))
    if signal.is_above:  # Without a worker there is nothing to count from.
        return max(count, 1, math.ceil(count * share - _ROUNDING))
    if rule.disable_scale_in:
        return None
    return min(count, math.ceil(count * share / LOW_SHARE - _ROUNDING))


def stepped(steps: StepScaling, count: int, distance: float, *, is_above: bool) -> int | None:
    """Return where the step leads that a distance from the threshold lies in; None: in none."""
    for one in steps.step_adjustments:
        low, high = one.bounds
        if low <= distance < high if is_above else low < distance <= high:
            return max(0, _adjusted(steps, count, one.scaling_adjustment))
    return None


def _adjusted(steps: StepScaling, count: int, adjustment: int) -> int:
    if steps.adjustment_type == "ExactCapacity":
        return adjustment
    if steps.adjustment_type == "ChangeInCapacity":
        return count + adjustment
    share = count * adjustment / 100
    # 12.7 is 12, 0.3 is 1, -0.3 is -1, -6.67 is -6.
    change = max(int(abs(share)), steps.min_adjustment_magnitude or 1) if share else 0
    return count + int(math.copysign(change, share))


def _lasts(until: datetime | None, now: datetime) -> bool:
    return until is not None and now < until
