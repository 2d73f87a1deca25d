"""Asynchronous endpoints: accepted, answered by files, captured, told of, erased; past kills."""

import json
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy import select, update

from driftline.alerts import tables as alert_tables
from driftline.serving import queue_worker
from driftline.serving.resources.reach import Reach
from driftline.serving.tables import async_requests
from tests.serving.conftest import resource

CSV = {"content_type": "text/csv"}
SECRET = "Lovelace"


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
        found.must_apply(
            *resources,
            resource("Channel", "pager", type="command", command="page", include_values=True),
            resource("Model", "slow", path=str(slow_model), trust_pickle=True),
            endpoint("flights", folder, model="flights", baseline="flights", topics=topics),
            endpoint("slow", folder, model="slow", most=1, topics=topics),
        )
        yield found


def endpoint(name, folder, *, topics=None, most=4, **spec):
    output = {"s3_output_path": str(folder / "objects" / name)}
    if topics:
        output["notification_config"] = topics
    client = {"max_concurrent_invocations_per_instance": most}
    config = {"output_config": output, "client_config": client}
    return resource("Endpoint", name, async_inference_config=config, **spec)


def ask(server, name, body=b"", **headers):
    path, headers = f"/endpoints/{name}/async-invocations", {"content-type": "text/csv", **headers}
    return server.client.post(path, content=body, headers=headers)


def ended(client, name, inference_id, until):
    def look():
        found = client.async_invocation(name, inference_id)
        return found if found["status"] != "Queued" else None

    return until(look)


def messages_of(server, inference_id):
    with server.engine.begin() as connection:
        bodies = connection.scalars(select(alert_tables.outbox.c.body)).all()
    return [json.loads(body)["data"] for body in bodies if inference_id.encode() in body]


def test_an_input_is_of_its_endpoint_and_answers_of_one_name_replace_neither_it_nor_another(
    server, client, folder, until
):
    given = folder / "objects" / "flights" / "in.csv"
    given.write_text("UA,EWR,1400,39\n")
    link = folder / "objects" / "slow" / "link.csv"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(given)
    for place in (given, link, link.parent / ".." / "flights" / "in.csv"):
        refused = ask(server, "slow", **{"x-amzn-sagemaker-inputlocation": str(place)})
        assert "in none of the data folders" in server.error_of(refused)["message"]
    asked = [client.invoke_async("flights", input_location=str(given), **CSV) for _ in range(2)]

    found = [ended(client, "flights", one, until) for one in asked]

    assert [one["status"] for one in found] == ["Completed"] * 2
    answers = [Path(one["output_location"]) for one in found]
    assert len({given, *answers}) == 3
    assert given.read_text() == "UA,EWR,1400,39\n"
    (told,) = messages_of(server, asked[0])
    assert told["invocationStatus"] == "Completed"
    assert told["responseParameters"]["outputLocation"] == str(answers[0])
    client.erase(inference_ids=asked[:1])
    assert [one.exists() for one in answers] == [False, True]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"1", {"inputlocation": "/tmp/x"}),
        (b"", {"inputlocation": "/etc/passwd"}),
        (b"1" * 128_001, {}),
        (b"1", {"requestttlseconds": "59"}),
        (b"1", {"invocationtimeoutseconds": "3601"}),
        (b"1", {"inference-id": "a b"}),
        (b"1", {"filename": "mine.out"}),
        (b"1", {"s3outputpathextension": "today"}),
        (b"1", {"session-id": "NEW_SESSION"}),
    ],
)
def test_what_cannot_be_accepted_is_refused_at_once(server, body, headers):
    headers = {f"x-amzn-sagemaker-{name}": value for name, value in headers.items()}

    assert ask(server, "flights", body, **headers).status_code == 400


def test_a_request_may_take_its_time_and_no_longer(server, client, until):
    limit = {"x-amzn-sagemaker-invocationtimeoutseconds": "1"}
    late = client.invoke_async("slow", b"30\n", headers=limit, **CSV)
    after = client.invoke_async("slow", b"0.1\n", **CSV)

    assert "did not answer within 1 s" in ended(client, "slow", late, until)["failure_reason"]
    assert ended(client, "slow", after, until)["status"] == "Completed"


def test_what_nobody_comes_to_in_time_expires_while_the_worker_is_busy(server, client, until):
    first = client.invoke_async("slow", b"3\n", **CSV)
    late = client.invoke_async("slow", b"0\n", **CSV)
    table = async_requests.c
    with server.engine.begin() as connection:
        change = update(async_requests).values(expires_at=table.received_at)
        connection.execute(change.where(table.inference_id == late))

    found = ended(client, "slow", late, until)

    assert found["status"] == "Expired"
    assert "nobody came to it" in Path(found["failure_location"]).read_text()
    answered = ended(client, "slow", first, until)
    assert answered["status"] == "Completed"
    assert found["ended_at"] < answered["ended_at"]
    assert len(messages_of(server, late)) == 1


def test_outputs_go_where_requests_may_write_only(server, folder):
    undeclared = server.apply(endpoint("astray", folder.parent, model="flights"))
    server.must_apply(endpoint("astray", folder, model="flights"))
    (folder / "objects" / "astray").symlink_to(folder.parent)

    refused = ask(server, "astray", b"UA,EWR,1,1")

    for one in (undeclared, refused):
        assert one.status_code == 400
        assert "output_dirs" in server.error_of(one)["message"]


def test_a_request_of_a_server_that_died_is_answered_by_another(server, client, folder, until):
    assert server.apply(endpoint("once", folder, model="flights")).status_code == 200
    inference = client.invoke_async("once", b"UA,EWR,1,1\n", **CSV)
    file = Path(ended(client, "once", inference, until)["output_location"])
    whole, before = file.read_bytes(), server.context.lease_clock() - timedelta(minutes=5)
    # As one that took it before: its lease has run out.
    taken = {"lease_owner": "the dead", "lease_until": before, "attempts": 1}
    with server.engine.begin() as connection:
        connection.execute(
            update(async_requests)
            .where(async_requests.c.inference_id == inference)
            .values(status="Queued", ended_at=None, content=b"UA,EWR,1,1\n", **taken)
        )

    found = ended(client, "once", inference, until)

    assert (found["status"], found["attempts"]) == ("Completed", 2)
    assert file.read_bytes() == whole


def left_of(server, folder):
    """Name what still holds the secret: rows of the database, its files, files of answers."""
    with server.engine.begin() as connection:
        found = [
            table.name
            for table in (async_requests, alert_tables.outbox)
            if SECRET in repr(connection.execute(select(table)).all())
        ]
    database = Path(server.engine.url.database)
    files = [*folder.rglob("objects/**/*"), *database.parent.glob(f"{database.name}*")]
    files = [one for one in files if one.is_file()]
    return found + [str(one) for one in files if SECRET.encode() in one.read_bytes()]


def test_an_answer_a_failure_and_what_was_told_of_it_are_erased(server, client, folder, until):
    rows = (f"UA,{SECRET},100,1\n", f"UA,EWR,{SECRET},1\n", "UA,EWR,100,1\n")
    asked = [client.invoke_async("flights", one.encode(), **CSV) for one in rows]
    places = [ended(client, "flights", one, until) for one in asked]
    *gone, other = asked
    answer = Path(places[0]["output_location"])
    (answer.parent / f".{answer.name}.{'4f' * 16}").write_text(SECRET)  # As a kill leaves it.
    begun = answer.parent / f".{answer.name}.json.{'4f' * 16}"
    begun.write_text("of another request, which is being written")
    assert left_of(server, folder)

    dry = client.erase(inference_ids=gone, dry_run=True)
    done = client.erase(inference_ids=gone)

    assert (dry["invocations"], done["invocations"], done["unknown"]) == (2, 2, 0)
    assert (done["messages"], left_of(server, folder)) == (2, [])
    assert begun.exists() and Path(places[2]["output_location"]).exists()
    told = client.async_invocation("flights", gone[1])
    assert (told["status"], told["failure_reason"]) == ("Erased", None)
    assert client.async_invocation("flights", other)["status"] == "Completed"
    noted = [one["after"] for one in client.audit() if one["action"] == "erase"]
    assert [one["dry_run"] for one in noted][:2] == [False, True]
    assert gone[0] not in repr(noted)


def test_a_body_that_waits_is_erased_and_never_answered(server, client, until):
    first = client.invoke_async("slow", b"1\n", **CSV)
    waiting = client.invoke_async("slow", b"0.0625\n", inference_id="waiting-1", **CSV)

    assert client.erase(inference_ids=[waiting])["invocations"] == 1

    after = client.invoke_async("slow", b"0\n", **CSV)
    for one in (first, after):
        assert ended(client, "slow", one, until)["status"] == "Completed"
    found = client.async_invocation("slow", waiting)
    assert (found["status"], found["attempts"]) == ("Erased", 0)
    assert not Path(found["output_location"]).exists()
    assert messages_of(server, waiting) == []
    with server.engine.begin() as connection:
        here = async_requests.c.inference_id == waiting
        assert connection.scalar(select(async_requests.c.content).where(here)) is None
