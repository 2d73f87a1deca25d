"""Deployments as rows: whoever moves one has seen how far it is."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from driftline.serving.resources.deployments import begin, is_held_back, list_fleets, move
from driftline.serving.resources.endpoint_specs import ServedEndpoint
from driftline.serving.resources.model_specs import FileModel
from driftline.serving.resources.store import Stored
from driftline.serving.tables import deployments
from tests.serving.provisioning.test_deployment_timeline import START, begun, blue_green


def test_a_controller_that_stood_still_moves_nothing_that_another_one_did(engine):
    at = begun(blue_green("ALL_AT_ONCE"))
    baking = replace(at, stage="Baking", share=1.0)
    back = replace(at, stage="RollingBack", reason="stopped")
    over = replace(back, stage="RolledBack", ended_at=START)

    with engine.begin() as connection:
        begin(connection, at)
        moved = [move(connection, at, back), move(connection, at, baking)]
        stage = connection.execute(select(deployments.c.stage)).scalar_one()
        begin(connection, over)
        ended = move(connection, over, baking)

    assert moved == [True, False]
    assert stage == "RollingBack"
    assert not ended


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
    engine, kind, name, digest, expected
):
    row = Stored("Endpoint", "flights", None, {}, {}, {}, phase="Failed", generation=2)
    changed = Stored(kind, name, None, {}, {}, {"digest": digest})
    at = begun(blue_green("ALL_AT_ONCE"))
    made = {**at.made, "models": {"green": {"name": "green", "made": {"digest": "1"}}}}
    over = replace(at, edition=row.edition, made=made, stage="RolledBack", ended_at=START)

    with engine.begin() as connection:
        begin(connection, over)
        found = is_held_back(connection, row, changed)
        earlier = is_held_back(connection, replace(row, generation=3), changed)

    assert (found, earlier) == (expected, False)


@pytest.mark.parametrize(
    ("generation", "labels"), [(2, ["generation-1", "generation-2"]), (1, ["", "generation-1"])]
)
def test_a_label_is_of_one_fleet_also_of_a_new_version_of_a_model(engine, generation, labels):
    model = {"spec": FileModel(path="m").model_dump(), "file": "m/1", "trust_pickle": False}
    made = {
        "spec": ServedEndpoint(model="m").model_dump(mode="json"),
        "models": {"m": {"name": "m", "made": model}},
        "edition": "0.1",
    }
    row = Stored("Endpoint", "flights", None, {}, {}, made, phase="Pending", generation=generation)
    at = begun(blue_green("ALL_AT_ONCE"))
    new = {**made, "spec": made["spec"] | at.made["spec"], "edition": row.edition}

    with engine.begin() as connection:
        begin(connection, replace(at, edition=row.edition, made=new))
        fleets = [one.fleet for one in list_fleets(connection, [row])]

    assert [one.is_new for one in fleets] == [False, True]
    assert [one.label for one in fleets] == labels
