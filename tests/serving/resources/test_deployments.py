"""Deployments as rows: whoever moves one has seen how far it is."""

from dataclasses import replace

from sqlalchemy import select

from driftline.serving.resources.deployments import begin, move
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
