"""A server process that is killed over requests: each ends, and is told of, once."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select

from driftline.alerts import tables as alert_tables
from driftline.serving.tables import async_requests
from tests.kit.installation import Installation
from tests.serving.conftest import resource

REQUESTS, KILLS, SECONDS = 100, 10, 0.2
# Twice a lease, and some more.
PATIENCE_S = 90
SETTINGS = """
[serving]
trust_pickle = true
[notify]
commands = ["page=/bin/cat"]
"""


@pytest.mark.full
def test_a_server_that_is_killed_over_and_over_answers_each_request_once(
    install: Callable[..., Installation], slow_model
):
    shop = install(SETTINGS, words=("--only", "server"), is_forked=True)
    outputs = shop.folder / "store" / "outputs" / "slow"
    topics = {"success_topic": "pager", "error_topic": "pager"}
    later = {
        "output_config": {"s3_output_path": str(outputs), "notification_config": topics},
        "client_config": {"max_concurrent_invocations_per_instance": 2},
    }
    shop.apply(
        resource("Channel", "pager", type="command", command="page"),
        resource("Model", "slow", path=str(slow_model), trust_pickle=True),
        resource("Endpoint", "slow", model="slow", async_inference_config=later),
    )
    engine = create_engine(f"sqlite:///{shop.folder}/store/driftline.db")

    def rows() -> list:
        with engine.begin() as connection:
            return list(connection.execute(select(async_requests)).all())

    def ended() -> int:
        return sum(one.status != "Queued" for one in rows())

    def ask(number: int) -> bool:
        headers = {"content-type": "text/csv", "x-amzn-sagemaker-inference-id": f"n-{number}"}
        body = f"{SECONDS}\n" * (number % 3 + 1)
        path = "/endpoints/slow/async-invocations"
        return shop.request("POST", path, content=body, headers=headers).status_code == 202

    for kill in range(KILLS):
        before = ended()
        for number in range(kill * REQUESTS // KILLS, (kill + 1) * REQUESTS // KILLS):
            assert ask(number)
        shop.wait(lambda before=before: ended() > before, PATIENCE_S)
        shop.wait(lambda: any(one.lease_owner for one in rows()), PATIENCE_S)
        shop.kill("server")
        shop.wait(shop.is_up, PATIENCE_S)
    shop.wait(lambda: ended() == REQUESTS, 3 * PATIENCE_S)

    found = rows()
    assert [one.status for one in found] == ["Completed"] * REQUESTS
    assert max(one.attempts for one in found) > 1  # Some were under way at a kill.
    # Hidden: what a kill cut off.
    names = {one.name for one in outputs.iterdir() if not one.name.startswith(".")}
    assert names == {f"{one.id}.out" for one in found}
    for one in found:
        answers = Path(one.output_location).read_text().splitlines()
        assert answers == ["0"] * (int(one.inference_id.removeprefix("n-")) % 3 + 1)
    with engine.begin() as connection:
        bodies = connection.scalars(select(alert_tables.outbox.c.body)).all()
    told = sorted(json.loads(body)["data"]["inferenceId"] for body in bodies)
    assert told == sorted(one.inference_id for one in found)
    engine.dispose()
