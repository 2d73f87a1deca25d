"""The autoscaler on a clock of its own: real alarms, metrics and database, workers imagined."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import list_alarms, put_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.errors import ConflictError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.resources import store
from driftline.serving.resources.scaling_specs import ScalingPolicySpec
from driftline.serving.resources.store import Stored
from driftline.serving.resources.variant_overrides import override, overrides_of
from driftline.serving.scaling.controller import Autoscaler
from driftline.serving.scaling.policies import declare, fitted
from driftline.serving.tables import async_requests, scaling_activities
from tests.clock import Clock
from tests.servers.postgres import both_databases
from tests.serving.conftest import NOW, settings_of

FLIGHTS = {"EndpointName": "flights", "VariantName": "AllTraffic"}
PREDEFINED = {
    "predefined_metric_specification": {
        "predefined_metric_type": "SageMakerVariantInvocationsPerInstance"
    }
}
TARGET = 100.0


def tracking(**fields: Any) -> dict[str, Any]:
    given = {"target_value": TARGET, **PREDEFINED, **fields}
    return {"policy_name": "load", "target_tracking_scaling_policy_configuration": given}


class Installation:
    """An endpoint that runs as many workers as it is to have, and what scales it."""

    def __init__(self, engine: Engine, folder: Path, *, is_async: bool = False) -> None:
        self.engine, self.clock = engine, Clock(NOW)
        self.context = ServerContext(settings=settings_of(folder), engine=engine, now=self.clock)
        self.evaluator = Evaluator(engine, now=self.clock)
        variant = {"variant_name": "AllTraffic", "model_name": "m", "initial_instance_count": 1}
        later = {"client_config": {}} if is_async else None
        self.endpoint = {"production_variants": [variant], "async_inference_config": later}
        self.apply_endpoint()

    def apply_endpoint(self) -> None:
        with self.engine.begin() as connection:
            spec = self.endpoint
            row = Stored("Endpoint", "flights", None, {}, spec, made={"spec": spec})
            store.put_row(connection, row, self.clock())
            found = store.get(connection, "Endpoint", "flights")
            store.write(connection, found, made={"spec": spec, "edition": found.edition})

    def declare(self, **fields: Any) -> None:
        given = ScalingPolicySpec.model_validate({"endpoint": "flights", **fields})
        spec = fitted("it", given, "flights", self.endpoint).model_dump(mode="json")
        with self.engine.begin() as connection:
            before = store.find(connection, "ScalingPolicy", "flights")
            made = {} if before is None else before.made
            row = Stored("ScalingPolicy", "flights", None, {}, spec, made)
            store.put_row(connection, row, self.clock())
            declare(connection, before, row, self.clock())

    def set_by_hand(self, count: int) -> None:
        with self.engine.begin() as connection:
            override(connection, "flights", "AllTraffic", reason="by hand", instance_count=count)

    @property
    def capacity(self) -> int:
        with self.engine.connect() as connection:
            endpoint = store.get(connection, "Endpoint", "flights")
            found = overrides_of(endpoint).get("alltraffic", {})
        return int(found.get("instance_count", 1))

    def server(self) -> Autoscaler:
        """Return the loop of a server that knows nothing but the database."""
        return Autoscaler(self.context, EndpointReconciler(self.context))

    def put(self, name: str, value: float, **dimensions: str) -> None:
        point = Datapoint(
            "AWS/SageMaker", name, dimensions or FLIGHTS, self.clock(), values=[value], counts=[1.0]
        )
        with self.engine.begin() as connection:
            add(connection, [point], now=self.clock())

    def minute(self, invocations: float | None = 0.0, *, servers: int = 1) -> int:
        """Let a minute pass in which so much is asked, None: unmeasured; return the capacity."""
        if invocations is not None:
            self.put("InvocationsPerInstance", invocations / self.capacity)
        self.clock.advance(minutes=1)
        self.evaluator.step()
        for _ in range(servers):
            self.server().step()
        return self.capacity

    def activities(self) -> list[Any]:
        with self.engine.connect() as connection:
            query = select(scaling_activities).order_by(scaling_activities.c.id)
            return [*connection.execute(query)]


@pytest.fixture
def make(engine: Engine, tmp_path: Path) -> Callable[..., Installation]:
    return lambda **given: Installation(engine, tmp_path, **given)


@pytest.fixture
def flights(make: Callable[..., Installation]) -> Installation:
    return make()


@pytest.mark.parametrize(
    ("servers", "backend"),
    [(1, "sqlite"), pytest.param(2, "postgresql", marks=pytest.mark.postgres)],
)
def test_a_load_is_followed_up_and_down_by_servers_that_keep_nothing_in_memory(flights, servers):
    flights.declare(max_capacity=4, policies=[tracking()])
    flights.minute(50)

    up = [flights.minute(390, servers=servers) for _ in range(6)]
    down = [flights.minute(60, servers=servers) for _ in range(22)]

    assert up == [1, 1, 4, 4, 4, 4]  # Three minutes above the target.
    assert down[:14] == [4] * 14
    assert down[14] == 1  # Fifteen below nine tenths of it: 60 is one worker's.
    assert down[-1] == 1
    out, back = flights.activities()
    assert (out.capacity_before, out.capacity, back.capacity) == (1, 4, 1)
    (high,) = [one.name for one in alarms(flights) if "AlarmHigh" in one.name]
    assert out.cause == f"monitor alarm {high} in state ALARM triggered policy load"
    assert (out.status, back.status) == ("Failed", "InProgress")  # No worker ever ran here.


def test_what_was_not_measured_is_not_taken_for_silence(flights):
    flights.declare(max_capacity=8, policies=[tracking()])
    flights.set_by_hand(8)
    # Low enough for the alarm, too high to let a worker go; now and then nobody measures.
    steady = [flights.minute(None if minute % 5 == 4 else 85 * 8) for minute in range(21)]
    (low,) = [one for one in alarms(flights) if "AlarmLow" in one.name]
    assert low.state == "ALARM"

    begun = flights.minute(10)  # A server that ran for a part of it.
    away = [flights.minute(None) for _ in range(19)]
    silent = [flights.minute(0) for _ in range(16)]

    assert [*steady, begun, *away] == [8] * 41
    assert silent[-1] == 1


def test_a_count_that_was_set_by_hand_is_judged_by_what_is_measured_after(flights):
    held = {"dynamic_scaling_out_suspended": True}
    flights.declare(max_capacity=20, policies=[tracking()], suspended_state=held)
    assert [flights.minute(390) for _ in range(4)] == [1] * 4
    flights.put("InvocationsPerInstance", 390)  # Still of the one worker that there was.
    flights.set_by_hand(6)
    flights.declare(max_capacity=20, policies=[tracking()])

    found = [flights.minute(None), *(flights.minute(1_000) for _ in range(4))]

    assert found == [6, 10, 10, 10, 10]


def test_a_fault_of_one_target_leaves_the_others(flights, caplog):
    flights.declare(min_capacity=2, max_capacity=4)
    with flights.engine.begin() as connection:
        spec = store.get(connection, "ScalingPolicy", "flights").spec
        broken = Stored("ScalingPolicy", "broken", None, {}, spec, {})
        store.put_row(connection, broken, NOW)  # Without a capacity.

    assert flights.minute() == 2
    assert 'autoscaling_failed ScalingPolicy "broken"' in caplog.text


@both_databases
def test_two_servers_at_the_same_moment_make_one_change(flights):
    flights.declare(max_capacity=4, policies=[tracking()])
    for _ in range(3):
        flights.put("InvocationsPerInstance", 300.0)
        flights.clock.advance(minutes=1)
        flights.evaluator.step()

    with ThreadPoolExecutor(4) as threads:
        [*threads.map(lambda _: flights.server().step(), range(8))]

    assert flights.capacity == 3
    assert len(flights.activities()) == 1


def alarms(one: Installation) -> list[Any]:
    with one.engine.connect() as connection:
        return list_alarms(connection)


def test_alarms_come_change_and_go_with_their_policy(flights):
    flights.declare(max_capacity=4, policies=[tracking()])
    names = sorted(one.name.rpartition("-Alarm")[0] for one in alarms(flights))
    assert names == ["TargetTracking-endpoint/flights/variant/AllTraffic"] * 2

    flights.declare(max_capacity=4, policies=[tracking(target_value=200.0)])
    assert sorted(one.definition.threshold for one in alarms(flights)) == [180.0, 200.0]

    flights.declare(max_capacity=4)
    assert alarms(flights) == []


def test_a_step_policy_heeds_the_alarms_that_name_it(flights):
    steps = {
        "adjustment_type": "ChangeInCapacity",
        "cooldown": 180,
        "step_adjustments": [
            {"metric_interval_lower_bound": 0, "metric_interval_upper_bound": 50,
             "scaling_adjustment": 1},
            {"metric_interval_lower_bound": 50, "scaling_adjustment": 3},
        ],
    }  # fmt: skip
    policy = {"policy_name": "busy", "step_scaling_policy_configuration": steps}
    flights.declare(max_capacity=9, policies=[policy])
    arn = (
        "arn:aws:autoscaling:eu-west-1:1:scalingPolicy:7:resource/sagemaker/endpoint/flights/"
        "variant/AllTraffic:policyName/busy"
    )
    for action in (arn, "scaling:flights/alltraffic/busy"):
        alarm = {
            "alarm_name": action, "namespace": "Shop", "metric_name": "queue", "period": 60,
            "evaluation_periods": 1, "threshold": 100.0, "statistic": "Average",
            "comparison_operator": "GreaterThanThreshold", "alarm_actions": [action],
        }  # fmt: skip
        with flights.engine.begin() as connection:
            put_alarm(connection, AlarmDefinition.from_dict(alarm), flights.clock())

    def minute(value: float) -> int:
        point = Datapoint("Shop", "queue", {}, flights.clock(), values=[value], counts=[1.0])
        with flights.engine.begin() as connection:
            add(connection, [point], now=flights.clock())
        return flights.minute()

    assert [minute(90), minute(101), minute(120)] == [1, 2, 2]
    # In the cool-down, what the larger step adds beyond the first one; then it goes on from there.
    assert [minute(160), minute(160), minute(160)] == [4, 4, 4]
    assert [minute(101), minute(90)] == [5, 5]


def test_scheduled_actions_set_bounds_that_stay(flights):
    def action(name: str, schedule: str, **bounds: int) -> dict[str, Any]:
        return {
            "scheduled_action_name": name, "schedule": schedule, "timezone": "Europe/Berlin",
            "scalable_target_action": bounds,
        }  # fmt: skip

    actions = [
        action("past", "cron(30 6 ? * * *)", min_capacity=9, max_capacity=9),  # Before it was.
        action("day", "cron(2 7 ? * * *)", min_capacity=3, max_capacity=6),
        action("night", "at(2026-01-15T07:04:00)", max_capacity=2),
    ]
    flights.declare(max_capacity=9, scheduled_actions=actions)

    assert [flights.minute(), flights.minute(), flights.minute()] == [1, 3, 3]
    assert [flights.minute(), flights.minute()] == [2, 2]
    cause = "scheduled action name night was triggered; maximum capacity was set to 2"
    assert flights.activities()[-1].cause == cause

    flights.declare(min_capacity=5, max_capacity=9, scheduled_actions=actions)
    assert flights.minute() == 5
    flights.declare(
        min_capacity=1, max_capacity=9, scheduled_actions=[action("now", "rate(1 minute)")
            | {"timezone": "UTC", "scalable_target_action": {"max_capacity": 1}}],
        suspended_state={"scheduled_scaling_suspended": True},
    )  # fmt: skip
    assert flights.minute() == 5


def test_what_was_set_by_hand_is_brought_within_bounds_and_a_new_generation_too(flights):
    flights.declare(min_capacity=2, max_capacity=4)
    assert flights.minute() == 2
    flights.set_by_hand(9)
    assert flights.minute() == 4

    flights.apply_endpoint()
    assert flights.capacity == 1
    assert flights.minute() == 2


def test_scaling_waits_while_the_endpoint_is_deployed(flights):
    flights.declare(min_capacity=2, max_capacity=4)

    def phase(name: str) -> int:
        with flights.engine.begin() as connection:
            endpoint = store.get(connection, "Endpoint", "flights")
            store.write(connection, endpoint, phase=name)
        return flights.minute()

    assert [phase("Pending"), phase("Pending"), phase("Ready")] == [1, 1, 2]


def test_an_asynchronous_endpoint_rests_without_a_worker_until_a_request_waits(make):
    later = make(is_async=True)
    backlog = {
        "customized_metric_specification": {
            "namespace": "AWS/SageMaker", "metric_name": "ApproximateBacklogSizePerInstance",
            "dimensions": {"EndpointName": "flights"}, "statistic": "Average",
        },
        "predefined_metric_specification": None,
    }  # fmt: skip
    later.declare(min_capacity=0, max_capacity=4, policies=[tracking(**backlog)])

    def minute(waiting: int) -> int:
        if later.capacity:
            later.put(
                "ApproximateBacklogSizePerInstance", waiting / later.capacity,
                EndpointName="flights",
            )  # fmt: skip
        return later.minute(None)

    assert [minute(0) for _ in range(17)][-1] == 0
    with later.engine.begin() as connection:
        connection.execute(async_requests.insert().values(waiting_request(later.clock())))
    assert later.minute(None) == 1
    assert minute(0) == 1
    assert later.activities()[-1].cause == "requests wait (1), and no worker runs"


def waiting_request(now: datetime) -> dict[str, Any]:
    return {
        "id": "1", "endpoint": "flights", "inference_id": "1", "headers": {},
        "output_location": "out", "failure_location": "failed", "variant": "AllTraffic",
        "timeout_s": 60, "received_at": now, "expires_at": now + timedelta(hours=1),
        "status": "Queued", "attempts": 0, "next_attempt_at": now,
    }  # fmt: skip


def test_a_variant_has_one_scaling_policy(flights):
    flights.declare(max_capacity=4)

    with flights.engine.begin() as connection:
        spec = store.get(connection, "ScalingPolicy", "flights").spec
        other = Stored("ScalingPolicy", "other", None, {}, spec, {})
        with pytest.raises(ConflictError, match="has a ScalingPolicy already"):
            declare(connection, None, other, NOW)
