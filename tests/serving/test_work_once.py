"""Two servers over PostgreSQL: each asynchronous request and each transform job is done once."""

from collections import Counter
from contextlib import ExitStack

import pytest
from sqlalchemy import select

from driftline.app.client.client import Client
from driftline.capture.tables.dataset import Dataset
from driftline.serving.resources.reach import Reach
from driftline.serving.tables import async_requests, transform_jobs
from tests.servers.commands import ForkedTransform
from tests.serving.conftest import resource, running

REQUESTS, JOBS = 12, 4


@pytest.fixture
def backend():
    return "postgres"


@pytest.fixture
def begun():
    """The jobs that processes were started for, by server."""
    return [], []


@pytest.fixture
def pair(tmp_path, database_url, begun):
    """Both servers: each with its own spool, on the same database and folder."""
    folders = tmp_path / "a", tmp_path / "b"
    settings = tmp_path / "driftline.toml"
    settings.write_text(
        f'[database]\nurl = "{database_url}"\n[storage]\nroot = "{folders[0]}/root"\n'
        "[serving]\ntrust_pickle = true\n"
    )

    def beginning(found):
        def begin(job, owner):
            found.append(job)
            return ForkedTransform(settings, job, owner)

        return begin

    with ExitStack() as stack:
        servers = []
        for folder, found in zip(folders, begun, strict=True):
            folder.mkdir()
            if servers:
                (folder / "root").symlink_to(folders[0] / "root")
            servers.append(
                stack.enter_context(
                    running(
                        folder, database=database_url, trust_pickle=True,
                        start_transform=beginning(found), reach=Reach(outputs=(str(tmp_path),)),
                    )
                )
            )  # fmt: skip
        yield servers


def rows_of(server, table):
    with server.engine.connect() as connection:
        return connection.execute(select(table)).all()


def is_known(server, name):
    found = server.client.get(f"/api/v1/endpoints/{name}")
    return found.status_code == 200 and found.json()["status"]["state"] == "InService"


def test_each_asynchronous_request_is_answered_once(pair, slow_model, tmp_path, until):
    config = {
        "output_config": {"s3_output_path": str(tmp_path / "answers")},
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
    assert len(list((tmp_path / "answers").iterdir())) == REQUESTS
    counts = []
    for server in pair:
        server.sink_all()
        table = Dataset(str(server.root), "slow").open().to_table(["inference_id"])
        counts.append(table.num_rows)
    assert Counter(table["inference_id"].to_pylist()) == Counter(ids)
    # Both had some of them: what the first one captured is not all.
    assert 0 < counts[0] < REQUESTS


def test_each_transform_job_is_run_once(pair, begun, trained, tmp_path, until):
    answer = pair[0].apply(*trained.flights())
    assert answer.status_code == 200, answer.text
    data = tmp_path / "rows.csv"
    data.write_text(trained.csv(slice(0, 400)))

    names = [f"job-{number}" for number in range(JOBS)]
    for number, name in enumerate(names):
        with Client(pair[number % 2].url) as client:
            client.create_transform_job(
                {
                    "transform_job_name": name,
                    "endpoint_name": "flights",
                    "transform_input": {
                        "data_source": {"s3_data_source": {"s3_uri": str(data)}},
                        "split_type": "Line",
                    },
                    "transform_output": {
                        "s3_output_path": str(pair[0].root / "outputs" / name),
                        "assemble_with": "Line",
                    },
                }
            )  # fmt: skip
    until(lambda: all(one.ended_at for one in rows_of(pair[0], transform_jobs)), 120)

    assert {one.status for one in rows_of(pair[0], transform_jobs)} == {"Completed"}
    assert sorted(begun[0] + begun[1]) == names
    assert begun[0]
    assert begun[1]
    outputs = [(pair[0].root / "outputs" / name / "rows.csv.out").read_text() for name in names]
    assert len(set(outputs)) == 1
    assert len(outputs[0].splitlines()) == 400
