"""Asynchronous endpoints: accepted, answered by files, captured, told of; past kills."""

import json
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy import select, update

from driftline.alerts import tables as alert_tables
from driftline.app.client.client import Client
from driftline.capture.tables.dataset import Dataset
from driftline.serving import queue_worker
from driftline.serving.resources.reach import Reach
from driftline.serving.tables import async_requests
from tests.serving.conftest import resource

CSV = {"content-type": "text/csv"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("later")


@pytest.fixture(scope="module")
def server(start, trained, slow_model, folder):
    reach = Reach(outputs=(str(folder / "objects"),))
    (folder / "objects" / "flights").mkdir(parents=True)
    with (
        mock.patch.object(queue_worker, "UPKEEP_S", 0.2),
        start(folder, reach=reach, trust_pickle=True, commands={"page": "/bin/cat"}) as found,
    ):
        resources = [one for one in trained.flights() if one["kind"] != "Endpoint"]
        topics = {"success_topic": "pager", "error_topic": "pager"}
        answer = found.apply(
            *resources,
            resource("Channel", "pager", type="command", command="page"),
            resource("Model", "slow", path=str(slow_model), trust_pickle=True),
            endpoint("flights", folder, model="flights", baseline="flights", topics=topics),
            endpoint("slow", folder, model="slow", most=1),
        )
        assert answer.status_code == 200, answer.text
        yield found


@pytest.fixture(scope="module")
def client(server):
    with Client(server.url) as found:
        yield found


def endpoint(name, folder, *, topics=None, most=4, **spec):
    output = {"s3_output_path": str(folder / "objects" / name)}
    if topics:
        output["notification_config"] = topics
    client = {"max_concurrent_invocations_per_instance": most}
    config = {"output_config": output, "client_config": client}
    return resource("Endpoint", name, async_inference_config=config, **spec)


def ask(server, name, body=b"", **headers):
    return server.client.post(
        f"/endpoints/{name}/async-invocations", content=body, headers={**CSV, **headers}
    )


def ended(client, name, inference_id, until):
    def look():
        found = client.async_invocation(name, inference_id)
        return found if found["status"] != "Queued" else None

    return until(look)


def test_a_body_is_answered_by_a_file_captured_and_told_of(server, client, trained, folder, until):
    accepted = ask(
        server, "flights", trained.csv(slice(5)), **{"x-amzn-sagemaker-inference-id": "a-5"}
    )

    assert accepted.status_code == 202, accepted.text
    assert accepted.json() == {"InferenceId": "a-5"}
    found = ended(client, "flights", "a-5", until)
    assert (found["status"], found["failure_reason"]) == ("Completed", None)
    file = Path(accepted.headers["x-amzn-sagemaker-outputlocation"])
    assert file.parent == folder / "objects" / "flights"
    labels = [int(line.split(",")[0]) for line in file.read_text().splitlines()]
    assert labels == trained.model.predict(trained.inputs[:5]).tolist()
    server.sink_all()
    rows = Dataset(str(server.root), "flights").open(None, None).to_table().to_pylist()
    assert [one["inference_id"] for one in rows if one["inference_id"] == "a-5"] == ["a-5"] * 5
    with server.engine.begin() as connection:
        bodies = connection.scalars(select(alert_tables.outbox.c.body)).all()
    told = [json.loads(body)["data"] for body in bodies if b"a-5" in body]
    assert [one["invocationStatus"] for one in told] == ["Completed"]
    assert told[0]["responseParameters"]["outputLocation"] == str(file)


def test_answers_of_one_name_replace_neither_one_another_nor_the_input(
    server, client, trained, folder, until
):
    given = folder / "objects" / "flights" / "in.csv"
    given.parent.mkdir(exist_ok=True)
    given.write_text(trained.csv(slice(5)))
    asked = [
        client.invoke_async("flights", content_type="text/csv", input_location=str(given))
        for _ in range(2)
    ]

    found = [ended(client, "flights", one, until) for one in asked]

    assert [one["status"] for one in found] == ["Completed"] * 2
    answers = [Path(one["output_location"]) for one in found]
    assert len({given, *answers}) == 3
    assert given.read_text() == trained.csv(slice(5))
    client.erase(inference_ids=asked[:1])
    assert [one.exists() for one in answers] == [False, True]


@pytest.mark.parametrize(
    ("body", "headers", "sentence"),
    [
        (b"", {}, "neither is given"),
        (b"1", {"x-amzn-sagemaker-inputlocation": "/tmp/x"}, "both are given"),
        (b"", {"x-amzn-sagemaker-inputlocation": "/etc/passwd"}, "in none of the data folders"),
        (b"1" * 128_001, {}, "the limit is 128000"),
        (b"1", {"x-amzn-sagemaker-requestttlseconds": "59"}, "60"),
        (b"1", {"x-amzn-sagemaker-invocationtimeoutseconds": "3601"}, "3600"),
        (b"1", {"x-amzn-sagemaker-inference-id": "a b"}, "inference-id"),
    ],
)
def test_what_cannot_be_accepted_is_refused_at_once(server, body, headers, sentence):
    answer = ask(server, "flights", body, **headers)

    assert answer.status_code == 400
    assert sentence in server.error_of(answer)["message"]


def test_a_request_may_take_its_time_and_no_longer(server, client, until):
    late = client.invoke_async(
        "slow", b"30\n", content_type="text/csv",
        headers={"x-amzn-sagemaker-invocationtimeoutseconds": "1"},
    )  # fmt: skip
    after = client.invoke_async("slow", b"0.1\n", content_type="text/csv")

    assert "did not answer within 1 s" in ended(client, "slow", late, until)["failure_reason"]
    assert ended(client, "slow", after, until)["status"] == "Completed"


def test_what_nobody_comes_to_in_time_expires_while_the_worker_is_busy(server, client, until):
    first = client.invoke_async("slow", b"3\n", content_type="text/csv")
    late, gone = (
        client.invoke_async("slow", b"0\n", content_type="text/csv", inference_id=one)
        for one in ("late", "gone")
    )
    table = async_requests.c
    with server.engine.begin() as connection:
        change = update(async_requests).values(expires_at=table.received_at)
        connection.execute(change.where(table.inference_id == late))
        left = change.values(endpoint="deleted", error_topic="pager")
        connection.execute(left.where(table.inference_id == gone))

    def status_of_gone():
        with server.engine.connect() as connection:
            found = connection.scalar(select(table.status).where(table.inference_id == gone))
        return found if found != "Queued" else None

    found = ended(client, "slow", late, until)

    assert found["status"] == "Expired"
    assert "nobody came to it" in Path(found["failure_location"]).read_text()
    answered = ended(client, "slow", first, until)
    assert answered["status"] == "Completed"
    assert found["ended_at"] < answered["ended_at"]
    assert until(status_of_gone) == "Expired"  # Its endpoint is served no more.
    with server.engine.connect() as connection:
        bodies = connection.scalars(select(alert_tables.outbox.c.body)).all()
    assert sum(b'"gone"' in body for body in bodies) == 1


def test_outputs_go_where_requests_may_write_only(server, folder):
    undeclared = server.apply(endpoint("astray", folder.parent, model="flights"))
    answer = server.apply(endpoint("astray", folder, model="flights"))
    assert answer.status_code == 200, answer.text
    (folder / "objects" / "astray").symlink_to(folder.parent)

    refused = ask(server, "astray", b"UA,EWR,1,1")

    for one in (undeclared, refused):
        assert one.status_code == 400
        assert "output_dirs" in server.error_of(one)["message"]


def test_a_request_of_a_server_that_died_is_answered_by_another(start, trained, tmp_path, until):
    (tmp_path / "objects").mkdir()
    reach = Reach(outputs=(str(tmp_path / "objects"),))
    with start(tmp_path, reach=reach) as server, Client(server.url) as client:
        resources = [one for one in trained.flights() if one["kind"] != "Endpoint"]
        answer = server.apply(*resources, endpoint("flights", tmp_path, model="flights"))
        assert answer.status_code == 200, answer.text
        clock = server.context.lease_clock
        # As one that took it before: its lease has run out.
        before = clock() - timedelta(minutes=5)
        inference = client.invoke_async("flights", b"UA,EWR,1,1\n", content_type="text/csv")
        ended(client, "flights", inference, until)
        with server.engine.begin() as connection:
            connection.execute(
                update(async_requests).values(
                    status="Queued", ended_at=None, content=b"UA,EWR,1,1\n",
                    lease_owner="the dead", lease_until=before, attempts=1,
                )
            )  # fmt: skip
        file = Path(client.async_invocation("flights", inference)["output_location"])
        whole = file.read_bytes()

        found = ended(client, "flights", inference, until)

        assert (found["status"], found["attempts"]) == ("Completed", 2)
        assert file.read_bytes() == whole
