"""Two servers on one database and one storage root: each follows, and work is done once."""

import os
import signal
from collections import Counter
from contextlib import ExitStack

import pytest
import skops.io
from sklearn.base import clone
from sqlalchemy import select

from driftline.app.client.client import Client
from driftline.capture.tables.dataset import Dataset
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.resources.reach import Reach
from driftline.serving.tables import async_requests
from tests.serving.conftest import resource, running

ROW = "UA,EWR,2900,39"
REQUESTS = 12


@pytest.fixture(scope="module")
def pair(tmp_path_factory, postgres):
    """Both servers: each with its own spool, on the same database and folder."""
    name, folder = postgres.new_database(), tmp_path_factory.mktemp("pair")
    reach = Reach(outputs=(str(folder),))
    with ExitStack() as stack:
        for one in ("a", "b"):
            (folder / one).mkdir()
        (folder / "a" / "root").mkdir()
        (folder / "b" / "root").symlink_to(folder / "a" / "root")
        yield [
            stack.enter_context(
                running(folder / one, database=postgres.url(name), trust_pickle=True, reach=reach)
            )
            for one in ("a", "b")
        ]
    postgres.drop(name)


def test_a_server_follows_what_another_changes_and_keeps_the_model_that_it_runs_on(
    pair, trained, tmp_path, until
):
    first, second = pair
    inverted = tmp_path / "inverted.skops"  # It says late where the other says on time.
    model = clone(trained.model).fit(trained.inputs, 1 - trained.frame["late"])
    skops.io.dump(model, inverted)
    until(lambda: second.invoke("flights", ROW).status_code == 404)

    assert first.apply(*trained.flights()).status_code == 200
    until(lambda: second.invoke("flights", ROW).status_code == 200)
    before = first.invoke("flights", ROW).content
    assert second.invoke("flights", ROW).content == before
    (old,) = (first.root / "models" / "flights").iterdir()

    # The other server looks at nothing for a while: as one that hangs, or is cut off.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EndpointReconciler, "has_followed", lambda *_: True)
        updated = resource("Model", "flights", path=str(inverted))
        assert first.apply(updated).status_code == 200
        # Neither says of an apply that all have followed.
        until(lambda: first.invoke("flights", ROW).content != before)
        after = first.invoke("flights", ROW).content
        for worker in second.worker_ids():
            os.kill(worker, signal.SIGKILL)
        until(lambda: second.invoke("flights", ROW).content == before)
        assert old.exists()
    until(lambda: second.invoke("flights", ROW).content == after)

    for path in ("endpoints/flights", "baselines/flights", "models/flights"):
        assert second.client.delete(f"/api/v1/{path}").status_code == 204
    until(lambda: first.invoke("flights", ROW).status_code == 404)


def rows_of(server, table):
    with server.engine.connect() as connection:
        return connection.execute(select(table)).all()


def is_known(server, name):
    found = server.client.get(f"/api/v1/endpoints/{name}")
    return found.status_code == 200 and found.json()["status"]["state"] == "InService"


def test_each_asynchronous_request_is_answered_once(pair, slow_model, until):
    answers = pair[0].root.parent.parent / "answers"
    config = {
        "output_config": {"s3_output_path": str(answers)},
        "client_config": {"max_concurrent_invocations_per_instance": 1},
    }
    answer = pair[0].apply(
        resource("Model", "slow", path=str(slow_model), trust_pickle=True),
        resource("Endpoint", "slow", model="slow", async_inference_config=config),
    )
    assert answer.status_code == 200, answer.text
    until(lambda: is_known(pair[1], "slow"))

    ids = [f"n-{number}" for number in range(REQUESTS)]
    for number, one in enumerate(ids):
        with Client(pair[number % 2].url) as client:
            client.invoke_async("slow", b"0.3\n", content_type="text/csv", inference_id=one)
    until(lambda: {one.status for one in rows_of(pair[0], async_requests)} == {"Completed"})

    found = rows_of(pair[0], async_requests)
    assert {one.inference_id: one.attempts for one in found} == dict.fromkeys(ids, 1)
    assert len(list(answers.iterdir())) == REQUESTS
    counts = []
    for server in pair:
        server.sink_all()
        table = Dataset(str(server.root), "slow").open().to_table(["inference_id"])
        counts.append(table.num_rows)
    assert Counter(table["inference_id"].to_pylist()) == Counter(ids)
    # Both had some of them: what the first one captured is not all.
    assert 0 < counts[0] < REQUESTS
