"""Tables of the decision how many workers there are to be.

Cases are Application Auto Scaling's own where it publishes numbers ("Step scaling policies": step
adjustments, percent rounding and the cool-down of a larger step; "Target tracking": several
policies, scale-in protection).
"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from driftline.serving.resources.scaling_specs import (
    Policy,
    ScheduledAction,
    StepScaling,
    SuspendedState,
)
from driftline.serving.scaling import decision
from driftline.serving.scaling.decision import Capacity, Signal, stepped

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
METRIC = {"predefined_metric_type": "SageMakerVariantInvocationsPerInstance"}


def tracking(target: float = 10.0, **fields: object) -> Policy:
    fields |= {"target_value": target, "predefined_metric_specification": METRIC}
    given = {"policy_name": "track", "target_tracking_scaling_policy_configuration": fields}
    return Policy.model_validate(given)


def steps(kind: str, *adjustments: tuple[float | None, float | None, int], **fields: object):
    names = ("metric_interval_lower_bound", "metric_interval_upper_bound", "scaling_adjustment")
    given = [dict(zip(names, one, strict=True)) for one in adjustments]
    return StepScaling.model_validate(
        {"adjustment_type": kind, "step_adjustments": given, **fields}
    )


def in_steps(kind: str, *adjustments: tuple[float | None, float | None, int], **fields: object):
    found = steps(kind, *adjustments, **fields)
    given = {"policy_name": "steps", "step_scaling_policy_configuration": found}
    return Policy.model_validate(given)


def high(value: float, policy: Policy | None = None) -> Signal:
    return Signal(policy or tracking(), value)


def low(value: float | None, policy: Policy | None = None) -> Signal:
    return Signal(policy or tracking(), value, is_above=False)


def fired(policy: Policy, value: float, threshold: float = 60, *, above: bool = True) -> Signal:
    return Signal(policy, value, is_above=above, threshold=threshold)


def having(count: int, least: int, most: int) -> Capacity:
    return Capacity(count, least, most, scheduled_until=NOW)


def decide(capacity: Capacity, *signals: Signal, now: datetime = NOW, **more: object) -> Capacity:
    """Return the capacity that is decided on."""
    given = {"suspended": SuspendedState(), **more}
    changed, _ = decision.decide(capacity, signals, now, **given) or (capacity, "")
    return changed


def wanted(capacity: Capacity, *signals: Signal, **more: object) -> int:
    return decide(capacity, *signals, **more).count


@pytest.mark.parametrize(
    ("current", "signal", "expected"),
    [
        (1, high(40.0), 4),  # ceil(current x metric / target)
        (1, high(40.1), 5),
        (3, high(10.0000001), 4),
        (2, high(500.0), 8),  # The maximum.
        (0, high(10.5), 1),  # Nothing to reckon from.
        (4, low(0.0), 1),  # Nobody asks: the minimum.
        (4, low(None), 4),  # Nobody measured.
        (4, low(8.9), 4),  # 35.6 over 3 workers would be above 0.9 x 10.
        (4, low(6.0), 3),
        (4, low(2.2), 1),
        (4, low(2.3), 2),
        (4, Signal(tracking()), 4),
        (8, high(99.0), 8),
        (1, low(1.0), 1),
    ],
)
def test_a_target_is_tracked_by_the_ratio_of_its_metric(current, signal, expected):
    least = 0 if not current else 1

    assert wanted(having(current, least, 8), signal) == expected


# Published: threshold 60, current 10, percent of capacity.
SCALE_OUT = [(0, 10, 0), (10, 20, 10), (20, None, 30)]
SCALE_IN = [(-10, 0, 0), (-20, -10, -10), (None, -20, -30)]


@pytest.mark.parametrize(
    ("policy", "signal_value", "above", "current", "expected"),
    [
        (("PercentChangeInCapacity", SCALE_OUT), 60, True, 10, 10),
        (("PercentChangeInCapacity", SCALE_OUT), 70, True, 10, 11),  # Lower bound included.
        (("PercentChangeInCapacity", SCALE_OUT), 79.9, True, 10, 11),
        (("PercentChangeInCapacity", SCALE_OUT), 80, True, 11, 14),  # 3.3 rounded down.
        (("PercentChangeInCapacity", SCALE_IN), 51, False, 10, 10),
        (("PercentChangeInCapacity", SCALE_IN), 50, False, 10, 9),  # Upper bound included.
        (("PercentChangeInCapacity", SCALE_IN), 40.1, False, 10, 9),
        (("PercentChangeInCapacity", SCALE_IN), 40, False, 10, 7),
        (("ChangeInCapacity", [(0, None, 2)]), 60, True, 10, 12),
        (("ChangeInCapacity", [(0, None, 2)]), 59.9, True, 10, None),  # No step has it.
        (("ChangeInCapacity", [(None, 0, -3)]), 60, False, 2, 0),
        (("ExactCapacity", [(0, None, 5)]), 99, True, 10, 5),
        (("PercentChangeInCapacity", [(0, None, 127)]), 60, True, 10, 22),  # 12.7 is 12.
        (("PercentChangeInCapacity", [(0, None, 3)]), 60, True, 10, 11),  # 0.3 is 1.
        (("PercentChangeInCapacity", [(0, None, -3)]), 60, True, 10, 9),  # -0.3 is -1.
        (("PercentChangeInCapacity", [(0, None, -66)]), 60, True, 10, 4),  # -6.6 is -6.
    ],
)
def test_a_step_is_chosen_and_rounded_as_published(policy, signal_value, above, current, expected):
    kind, adjustments = policy
    found = stepped(steps(kind, *adjustments), current, signal_value - 60, is_above=above)

    assert found == expected


def test_percent_changes_have_a_least_magnitude():
    # Published: 25 percent of 4 is 1, and with a magnitude of 2 it is 2.
    found = steps("PercentChangeInCapacity", (0, None, 25), min_adjustment_magnitude=2)

    assert stepped(found, 4, 0, is_above=True) == 6


@pytest.mark.parametrize(
    ("adjustments", "what"),
    [
        ([(0, 10, 1), (20, None, 2)], "gap"),
        ([(0, 20, 1), (10, None, 2)], "overlap"),
        ([(0, 10, 1)], "without an upper bound"),
        ([(-10, 0, 1)], "without a lower bound"),
        ([(10, 0, 1)], "below the upper"),
    ],
)
def test_steps_that_leave_a_value_out_are_refused(adjustments, what):
    with pytest.raises(ValidationError, match=what):
        steps("ChangeInCapacity", *adjustments)


def test_during_a_cool_down_only_what_a_larger_scale_out_adds_is_added():
    # Published: +2 to 12, then +3 within the cool-down: one more.
    policy = in_steps("ChangeInCapacity", (0, 20, 2), (20, None, 3), cooldown=300)
    capacity = decide(having(10, 1, 50), fired(policy, 60))
    later = NOW + 2 * MINUTE

    assert capacity.count == 12
    assert wanted(capacity, fired(policy, 60), now=later) == 12
    assert wanted(capacity, fired(policy, 90), now=later) == 13
    assert wanted(capacity, fired(policy, 60), now=NOW + 5 * MINUTE) == 14


def test_a_count_that_somebody_set_ends_the_cool_downs():
    policy = tracking(scale_out_cooldown=600)
    scaled = decide(having(1, 1, 50), high(20, policy))

    by_hand = scaled.changed(4, NOW + MINUTE)

    assert wanted(scaled, high(20, policy), now=NOW + 2 * MINUTE) == 2
    assert wanted(by_hand, high(20, policy), now=NOW + 2 * MINUTE) == 8


def test_a_scale_in_waits_for_its_cool_down_and_a_scale_out_ends_it():
    capacity, later = decide(having(4, 1, 8), low(6.0)), NOW + 4 * MINUTE

    assert wanted(capacity, low(1.0), now=later) == 3
    out = decide(capacity, high(20.0), now=later)
    assert out.count == 6
    assert out.scale_in_cooldown_until is None
    assert wanted(capacity, low(1.0), now=NOW + 5 * MINUTE) == 1


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ((high(20), high(30)), 8),  # The largest, within the maximum.
        ((high(15), low(1)), 6),  # One wants more.
        ((low(6), low(1)), 3),  # All want fewer: the largest of these.
        ((low(1), Signal(tracking())), 4),  # One does not.
        ((low(1), Signal(tracking(disable_scale_in=True))), 1),  # It takes no part in it.
        ((low(1, tracking(disable_scale_in=True)),), 4),
        ((fired(in_steps("ChangeInCapacity", (None, 0, -1)), 10, above=False), low(1)), 3),
        ((fired(in_steps("ChangeInCapacity", (None, 0, -1)), 10, above=False),), 3),
        ((Signal(in_steps("ChangeInCapacity", (0, None, 1))), low(1)), 1),
    ],
)
def test_of_several_policies_the_largest_capacity_wins(signals, expected):
    assert wanted(having(4, 1, 8), *signals) == expected


@pytest.mark.parametrize("value", [1e300, -1e300])
def test_a_metric_may_be_any_multiple_of_its_target(value):
    tiny = tracking(1e-300)

    assert wanted(having(4, 1, 200), high(value, tiny)) == (200 if value > 0 else 4)
    assert wanted(having(4, 1, 200), low(value, tiny)) == (4 if value > 0 else 1)


@pytest.mark.parametrize(
    ("suspended", "signal", "expected"),
    [
        ({"dynamic_scaling_out_suspended": True}, high(20), 4),
        ({"dynamic_scaling_out_suspended": True}, low(1), 1),
        ({"dynamic_scaling_in_suspended": True}, low(1), 4),
        ({"dynamic_scaling_in_suspended": True}, high(20), 8),
    ],
)
def test_what_is_suspended_changes_nothing(suspended, signal, expected):
    assert wanted(having(4, 1, 8), signal, suspended=SuspendedState(**suspended)) == expected


def test_bounds_hold_at_once_and_say_who_set_them():
    below, above = having(1, 2, 8), having(9, 2, 8)

    assert wanted(below) == 2
    found, cause = decision.decide(
        above, [high(50)], NOW, suspended=SuspendedState(), action="night"
    )
    assert found.count == 8
    assert cause == "scheduled action name night was triggered; maximum capacity was set to 8"


def test_a_waiting_request_starts_a_worker_and_keeps_the_last_one():
    rests, works = having(0, 0, 4), having(1, 0, 4)

    assert wanted(rests, waiting=3) == 1
    assert wanted(works, low(0.0), waiting=1) == 1
    assert wanted(works, low(0.0)) == 0
    assert wanted(works, low(0.0), floor=1) == 1  # It answers at once, and may not rest.
    woken = decide(rests, waiting=1)
    assert wanted(woken, low(0.0), now=NOW + MINUTE) == 1  # Not at once again.


@given(
    current=st.integers(0, 50),
    bounds=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    values=st.lists(st.floats(0, 1e6), max_size=4),
    is_high=st.booleans(),
    waiting=st.integers(0, 3),
)
def test_a_decision_changes_something_and_stays_within_bounds(
    current, bounds, values, is_high, waiting
):
    least, most = min(bounds), max(*bounds, 1)
    signals = [high(one) if is_high else low(one) for one in values]

    found = decision.decide(
        having(current, least, most), signals, NOW, suspended=SuspendedState(), waiting=waiting
    )

    if found is not None:
        assert found[0].count != current
        assert least <= found[0].count <= most
    else:
        assert least <= current <= most


def scheduled(schedule: str, **fields: object) -> ScheduledAction:
    action = {"scalable_target_action": {"min_capacity": 2}, "scheduled_action_name": "one"}
    return ScheduledAction.model_validate({"schedule": schedule, **action, **fields})


@pytest.mark.parametrize(
    ("schedule", "fields", "expected"),
    [
        ("at(2026-01-15T05:59:30)", {}, "05:59:30"),
        ("at(2026-01-15T06:59:30)", {"timezone": "Europe/Berlin"}, "05:59:30"),
        ("at(2026-01-15T06:00:01)", {}, None),
        ("at(2026-01-15T04:00:00)", {}, None),  # Before it was declared.
        ("rate(5 minutes)", {}, "06:00:00"),
        ("rate(5 minutes)", {"start_time": "2026-01-15T05:03:00"}, "05:58:00"),
        ("rate(5 minutes)", {"start_time": "2026-01-15T06:03:00"}, None),
        ("cron(30 5 ? * MON-FRI *)", {}, "05:30:00"),
        ("cron(30 6 ? * 5 *)", {"timezone": "Europe/Berlin"}, "05:30:00"),  # A Thursday.
        ("cron(30 5 ? * 6 *)", {}, None),
        ("cron(30 5 ? * * *)", {"end_time": "2026-01-15T05:00:00"}, None),
        ("cron(30 5 15 1 ? 2027)", {}, None),
    ],
)
def test_a_schedule_fires_by_the_clock_of_its_time_zone(schedule, fields, expected):
    found = scheduled(schedule, **fields).fired(NOW - timedelta(hours=1), NOW)

    assert (None if found is None else found.strftime("%H:%M:%S")) == expected


@pytest.mark.parametrize(
    ("schedule", "fields"),
    [
        ("every day", {}),
        ("external", {}),
        ("cron(0 8 * *)", {}),
        ("at(2026-13-01T00:00:00)", {}),
        ("at(2026-01-01T00:00:00)", {"timezone": "Mars/Base"}),
        ("rate(0 minutes)", {}),
        ("cron(0 8 ? * * *)", {"scalable_target_action": {}}),
        ("cron(0 8 ? * * *)", {"scalable_target_action": {"min_capacity": 3, "max_capacity": 2}}),
    ],
)
def test_schedules_that_are_none_are_refused(schedule, fields):
    with pytest.raises(ValidationError):
        scheduled(schedule, **fields)
