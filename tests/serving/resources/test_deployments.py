"""Deployments: their timeline, against the table of AWS's deployment guardrails, and their rows.

"t = 0 when the new fleet is healthy": developer guide, "Blue/Green deployments" and "Rolling
deployments"; W is the wait interval, T the termination wait.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from driftline.serving.resources.deployment_specs import DeploymentConfig
from driftline.serving.resources.deployments import (
    Deployment,
    Facts,
    active_deployment,
    is_held_back,
    last_deployment,
    move,
    next_move,
    taken_back,
)
from driftline.serving.resources.endpoint_specs import ServedEndpoint
from driftline.serving.resources.fleets import list_fleets, retained
from driftline.serving.resources.model_specs import FileModel
from driftline.serving.resources.store import Stored, get, put_row

START = datetime(2026, 1, 15, 6, tzinfo=UTC)
W, T = 600, 120
WELL = Facts(True, True)
ALARMED = WELL._replace(problem='alarm "drift" is in ALARM')


def percent(value: int) -> dict[str, Any]:
    return {"type": "CAPACITY_PERCENT", "value": value}


def count(value: int) -> dict[str, Any]:
    return {"type": "INSTANCE_COUNT", "value": value}


def blue_green(kind: str, **size: Any) -> dict[str, Any]:
    traffic = {"type": kind, "wait_interval_in_seconds": W, **size}
    policy = {"traffic_routing_configuration": traffic, "termination_wait_in_seconds": T}
    return {"blue_green_update_policy": policy}


def rolling(size: dict[str, Any], **more: Any) -> dict[str, Any]:
    policy = {"maximum_batch_size": size, "wait_interval_in_seconds": W, **more}
    return {"rolling_update_policy": policy}


def begun(config: dict[str, Any], workers: int = 10, **fields: Any) -> Deployment:
    plan = DeploymentConfig.model_validate(config).plan(workers)
    given = {
        "edition": "0.2", "old_generation": 1, "generation": 2, "fleet": 1, "alarms": (),
        "made": {}, "plan": plan.steps, "back_part": plan.back_part, "since": START,
        "started_at": START, "deadline": START + timedelta(seconds=plan.timeout_s),
    }  # fmt: skip
    return Deployment(**given | fields)


def settled(at: Deployment, seen: Facts, second: int) -> Deployment:
    """Return how far it is when nothing more happens at a moment."""
    now = START + timedelta(seconds=second)
    while (after := next_move(at, seen, now)) is not None:
        at = after
        if at.stage in ("Succeeded", "RolledBack"):
            break
    return at


Fleets = tuple[str, int, int, int]


def fleets(at: Deployment) -> Fleets:
    """Return stage, and in percent: requests and workers of the new fleet, workers of the old."""
    old_part, new_part = at.parts
    return at.stage, *(round(100 * one) for one in (at.share, new_part, old_part))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(
            blue_green("ALL_AT_ONCE"),
            {0: ("Baking", 100, 100, 100), W: ("Terminating", 100, 100, 100), W + T: "Succeeded"},
            id="all at once",
        ),
        pytest.param(
            blue_green("CANARY", canary_size=percent(10)),
            {
                0: ("Baking", 10, 10, 100),
                W - 1: ("Baking", 10, 10, 100),
                W: ("Baking", 100, 100, 100),
                2 * W: ("Terminating", 100, 100, 100),
                2 * W + T: "Succeeded",
            },
            id="canary",
        ),
        pytest.param(
            blue_green("CANARY", canary_size=count(3)), {0: ("Baking", 30, 30, 100)}, id="3 of 10"
        ),
        pytest.param(
            blue_green("LINEAR", linear_step_size=percent(30)),
            {
                0: ("Baking", 30, 30, 100),
                W: ("Baking", 60, 60, 100),
                2 * W: ("Baking", 90, 90, 100),
                3 * W: ("Baking", 100, 100, 100),
                4 * W: ("Terminating", 100, 100, 100),
                4 * W + T: "Succeeded",
            },
            id="linear",
        ),
        pytest.param(
            rolling(percent(50)),
            {0: ("Baking", 50, 50, 50), W: ("Baking", 100, 100, 0), 2 * W: "Succeeded"},
            id="rolling",
        ),
        pytest.param({}, {0: "Succeeded"}, id="no policy: at once, without a wait"),
    ],
)
def test_requests_and_workers_follow_the_table(config, expected: dict[int, Any]):
    at, seen = begun(config), {}

    for second in sorted(expected):
        at = settled(at, WELL, second)
        seen[second] = at.stage if at.stage == "Succeeded" else fleets(at)

    assert seen == expected


def test_a_step_begins_when_its_workers_answer_and_is_watched_anew_when_they_do_not():
    at = begun(blue_green("CANARY", canary_size=percent(10)))
    loading = WELL._replace(is_new_whole=False)

    assert fleets(settled(at, loading, 100)) == ("Creating", 0, 10, 100)
    at = settled(at, WELL, 100)
    assert fleets(settled(at, WELL, 100 + W - 1)) == ("Baking", 10, 10, 100)
    # As after the only server was killed: what it would have seen meanwhile, nobody has.
    at = settled(at, loading, 100 + W - 1)
    assert fleets(at) == ("Creating", 0, 10, 100)
    at = settled(at, WELL, 100 + W)
    assert fleets(settled(at, WELL, 100 + 2 * W - 1)) == ("Baking", 10, 10, 100)
    assert fleets(settled(at, loading, 100 + 2 * W)) == ("Creating", 0, 10, 100)
    # In a later step requests go as in the one before.
    at = settled(at, WELL, 100 + 2 * W)
    assert fleets(at) == ("Baking", 100, 100, 100)
    at = settled(at, loading, 100 + 2 * W + 1)
    assert fleets(at) == ("Creating", 10, 100, 100)
    assert fleets(settled(at, WELL, 100 + 2 * W + 2)) == ("Baking", 100, 100, 100)


def test_a_rolling_update_starts_old_workers_again_when_new_ones_are_gone():
    at = settled(settled(begun(rolling(percent(50))), WELL, 0), WELL, W)

    assert fleets(at) == ("Baking", 100, 100, 0)
    assert fleets(settled(at, WELL._replace(is_new_whole=False), W)) == ("Creating", 50, 100, 50)


@pytest.mark.parametrize(
    "second", [0, W - 1, W, 2 * W - 1, 2 * W, 2 * W + T - 1], ids=lambda one: f"at {one} s"
)
def test_an_alarm_takes_all_requests_back_at_once_at_any_moment(second):
    at = begun(blue_green("CANARY", canary_size=percent(10)))
    for moment in (0, W, 2 * W):
        at = settled(at, WELL, moment) if moment <= second else at

    after = next_move(at, ALARMED, START + timedelta(seconds=second))

    assert fleets(after) == ("RollingBack", 0, 0, 100)
    assert (after.reason, next_move(after, WELL, START).stage) == (ALARMED.problem, "RolledBack")


def test_an_alarm_at_the_start_stops_it_before_a_request_moves():
    at = settled(begun(blue_green("ALL_AT_ONCE")), ALARMED._replace(is_new_whole=False), 0)

    assert (at.stage, at.share, at.reason) == ("RolledBack", 0.0, ALARMED.problem)


def test_a_rolling_update_is_taken_back_in_batches_once_old_workers_run_again():
    back = {"rollback_maximum_batch_size": percent(25)}
    at = settled(begun(rolling(percent(50), **back)), WELL, 0)

    seen = [fleets(settled(at, ALARMED._replace(is_old_whole=False), 10))]
    at = next_move(at, ALARMED, START)
    for _ in range(2):
        at = next_move(at, WELL, START)
        seen.append(fleets(at))

    assert seen == [
        ("RollingBack", 50, 50, 75),
        ("RollingBack", 25, 25, 100),
        ("RolledBack", 0, 0, 100),
    ]


def test_what_takes_too_long_is_taken_back():
    config = blue_green("ALL_AT_ONCE")
    config["blue_green_update_policy"]["maximum_execution_timeout_in_seconds"] = 900
    hanging = WELL._replace(is_new_whole=False)

    assert settled(begun(config), hanging, 899).stage == "Creating"
    late = settled(begun(config), hanging, 900)

    assert late.stage == "RolledBack"
    assert late.reason == "it took longer than maximum_execution_timeout_in_seconds, 900 s"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (blue_green("CANARY", canary_size=percent(51)), "51 is 51%; expected 0 to 50%"),
        (blue_green("LINEAR", linear_step_size=percent(9)), "9 is 9%; expected 10 to 50%"),
        (rolling(percent(4)), "4 is 4%; expected 5 to 50%"),
        (blue_green("CANARY"), "expected canary_size with CANARY"),
        ({**blue_green("ALL_AT_ONCE"), **rolling(percent(5))}, "expected one of them"),
    ],
)
def test_steps_beyond_aws_s_bounds_are_refused(config, sentence):
    with pytest.raises(ValidationError, match=sentence):
        DeploymentConfig.model_validate(config)


def test_counts_and_the_timeout_are_held_against_the_workers_there_are():
    linear = blue_green("LINEAR", linear_step_size=count(1))
    linear["blue_green_update_policy"]["maximum_execution_timeout_in_seconds"] = 2 * W
    config = DeploymentConfig.model_validate(linear)

    with pytest.raises(ValueError, match="linear_step_size 1 of 1 workers is 100%"):
        config.plan(1)
    with pytest.raises(ValueError, match=f"the waits alone take {4 * W + T} s"):
        config.plan(4)


def endpoint(made: dict[str, Any], **fields: Any) -> Stored:
    more = {"phase": "Pending", "generation": 2, **fields}
    return Stored("Endpoint", "flights", None, {}, {}, made, **more)


def test_a_controller_that_stood_still_moves_nothing_that_another_one_did(engine):
    with engine.begin() as connection:
        put_row(connection, endpoint({"spec": {}}), START)
        row = get(connection, "Endpoint", "flights")
        at = begun(blue_green("ALL_AT_ONCE"), edition=row.edition)
        back, baking = taken_back(at, "stopped", START), at.moved_to("Baking", START)
        moves = [(None, at), (at, back), (at, baking), (None, at)]
        moved = [move(connection, row, *one) for one in moves]
        found = get(connection, "Endpoint", "flights")
        put_row(connection, found, START)  # Applied again.
        late = move(connection, row, back, baking)
        after = last_deployment(get(connection, "Endpoint", "flights"))

    assert moved == [True, True, False, False]
    assert active_deployment(found) == back
    assert (late, after.stage) == (False, "RolledBack")
    assert after.reason == "generation 2 was applied meanwhile"


@pytest.mark.parametrize(
    ("kind", "name", "digest", "expected"),
    [
        ("Baseline", "flights", "1", True),
        ("Model", "blue", "2", True),  # What runs.
        ("Model", "green", "1", True),  # Applied again as it was.
        ("Model", "green", "2", False),
    ],
)
def test_what_was_rolled_back_is_held_back_until_a_model_of_it_is_another(
    kind, name, digest, expected
):
    changed = Stored(kind, name, None, {}, {}, {"digest": digest})
    models = {"green": {"name": "green", "made": {"digest": "1"}}}
    at = begun(blue_green("ALL_AT_ONCE"), edition=endpoint({}).edition, made={"models": models})
    made = {"deployment": at.moved_to("RolledBack", START).model_dump(mode="json")}

    assert is_held_back(endpoint(made, phase="Failed"), changed) == expected
    assert not is_held_back(endpoint(made, phase="Failed", generation=3), changed)


@pytest.mark.parametrize(
    ("generation", "labels"), [(2, ["generation-1", "generation-2"]), (1, ["", "generation-1"])]
)
def test_a_label_is_of_one_fleet_also_of_a_new_version_of_a_model(generation, labels):
    model = {"spec": FileModel(path="m").model_dump(), "file": "m/1", "trust_pickle": False}
    made = {
        "spec": ServedEndpoint(model="m").model_dump(mode="json"),
        "models": {"m": {"name": "m", "made": model}},
        "edition": "0.1",
    }
    edition = endpoint({}, generation=generation).edition
    new = {**made, "edition": edition}
    at = begun(blue_green("ALL_AT_ONCE"), generation=generation, edition=edition, made=new)
    row = endpoint({**made, "deployment": at.model_dump(mode="json")}, generation=generation)

    fleets = [one.fleet for one in list_fleets([row])["flights"]]

    assert [one.is_new for one in fleets] == [False, True]
    assert [one.label for one in fleets] == labels


COUNT = {"initial_instance_count": 4}
LATER = {"async_inference_config": {"output_config": {"s3_output_path": "answers"}}}
ON_DEMAND = {"serverless_config": {"memory_size_in_mb": 1024, "max_concurrency": 9}}


@pytest.mark.parametrize(
    ("old", "count", "new", "expected"),
    [
        (COUNT, 3, {}, 3),
        (COUNT | LATER, 0, LATER, 0),
        (COUNT | LATER, 0, {}, 4),  # Nothing would answer.
        (ON_DEMAND, 3, {}, 4),  # Provisioned concurrency, which is no such count.
    ],
)
def test_a_count_is_retained_where_the_new_variant_may_have_it(old, count, new, expected):
    model = {"spec": FileModel(path="m").model_dump(), "file": "m/1", "trust_pickle": False}
    made = {
        "spec": ServedEndpoint(model="m", **old).model_dump(mode="json"),
        "models": {"m": {"name": "m", "made": model}},
        "overrides": {"alltraffic": {"instance_count": count}},
    }
    wanted = ServedEndpoint(model="m", **COUNT, **new, retain_all_variant_properties=True)
    row = Stored("Endpoint", "flights", None, {}, wanted.model_dump(mode="json"), made)

    (variant,) = retained(row)["production_variants"]

    assert variant["initial_instance_count"] == expected
