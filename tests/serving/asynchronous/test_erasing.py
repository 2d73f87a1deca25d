"""Erasure reaches asynchronous invocations: queued bodies, answers, reasons, notifications."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from driftline.alerts import tables as alert_tables
from driftline.app.client.client import Client
from driftline.serving.resources.reach import Reach
from driftline.serving.tables import async_requests
from tests.serving.asynchronous.test_endpoint import ended, endpoint
from tests.serving.conftest import resource

CSV = {"content_type": "text/csv"}
SECRET = "Lovelace"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "objects").mkdir()
    return tmp_path / "objects"


@pytest.fixture
def server(start, trained, slow_model, tmp_path, folder):
    reach = Reach(outputs=(str(folder),))
    commands = {"page": "/bin/cat"}
    with start(tmp_path, reach=reach, trust_pickle=True, commands=commands) as found:
        resources = [one for one in trained.flights() if one["kind"] != "Endpoint"]
        topics = {"success_topic": "pager", "error_topic": "pager"}
        answer = found.apply(
            *resources,
            resource("Channel", "pager", type="command", command="page", include_values=True),
            resource("Model", "slow", path=str(slow_model), trust_pickle=True),
            endpoint("flights", tmp_path, model="flights", baseline="flights", topics=topics),
            endpoint("slow", tmp_path, model="slow", most=1, topics=topics),
        )
        assert answer.status_code == 200, answer.text
        yield found


@pytest.fixture
def client(server):
    with Client(server.url) as found:
        yield found


def left_of(server, folder, text=SECRET):
    """Name what still holds a text: rows of the database, its files, files of answers."""
    with server.engine.begin() as connection:
        rows = connection.execute(select(async_requests)).all()
        messages = connection.execute(select(alert_tables.outbox)).all()
    files = [one for one in folder.rglob("*") if one.is_file()]
    database = Path(server.engine.url.database)
    files += list(database.parent.glob(f"{database.name}*"))
    found = [name for name, many in (("row", rows), ("message", messages)) if text in repr(many)]
    return found + [str(one) for one in files if text.encode() in one.read_bytes()]


def messages_of(server, inference_id):
    with server.engine.begin() as connection:
        bodies = connection.scalars(select(alert_tables.outbox.c.body)).all()
    return [json.loads(body)["data"] for body in bodies if inference_id.encode() in body]


def test_an_answer_a_failure_and_what_was_told_of_it_go(server, client, folder, until):
    done = client.invoke_async("flights", f"UA,{SECRET},100,1\n".encode(), **CSV)
    failed = client.invoke_async("flights", f"UA,EWR,{SECRET},1\n".encode(), **CSV)
    other = client.invoke_async("flights", b"UA,EWR,100,1\n", **CSV)
    for one in (done, failed, other):
        ended(client, "flights", one, until)
    places = [client.async_invocation("flights", one) for one in (done, failed, other)]
    answer = Path(places[0]["output_location"])
    (answer.parent / f".{answer.name}.{'4f' * 16}").write_text("as a kill leaves it")
    begun = answer.parent / f".{answer.name}.json.{'4f' * 16}"
    begun.write_text("of another request, which is being written")
    assert left_of(server, folder)

    dry = client.erase(inference_ids=[done, failed], dry_run=True)
    gone = client.erase(inference_ids=[done, failed])

    assert (dry["invocations"], gone["invocations"], gone["unknown"]) == (2, 2, 0)
    assert gone["messages"] == 2
    assert left_of(server, folder) == []
    kept = sorted(one.name for one in folder.rglob("*") if one.is_file())
    assert kept == sorted([begun.name, Path(places[2]["output_location"]).name])
    told = client.async_invocation("flights", failed)
    assert (told["status"], told["failure_reason"]) == ("Erased", None)
    assert client.async_invocation("flights", other)["status"] == "Completed"
    noted = [one["after"] for one in client.audit() if one["action"] == "erase"]
    assert [(one["dry_run"], one["invocations"]) for one in noted] == [(False, 2), (True, 2)]
    assert done not in repr(noted)
    assert client.erase(inference_ids=[done, failed])["invocations"] == 0


def test_a_body_that_waits_is_erased_and_never_answered(server, client, folder, until):
    first = client.invoke_async("slow", b"1\n", **CSV)
    waiting = client.invoke_async("slow", b"0.0625\n", inference_id=f"{SECRET}-1", **CSV)

    assert client.erase(inference_ids=[waiting])["invocations"] == 1

    assert client.async_invocation("slow", waiting)["status"] == "Erased"
    assert ended(client, "slow", first, until)["status"] == "Completed"
    after = client.invoke_async("slow", b"0\n", **CSV)
    assert ended(client, "slow", after, until)["status"] == "Completed"
    found = client.async_invocation("slow", waiting)
    assert (found["status"], found["attempts"]) == ("Erased", 0)
    assert not Path(found["output_location"]).exists()
    assert messages_of(server, waiting) == []
    with server.engine.begin() as connection:
        contents = connection.scalars(
            select(async_requests.c.content).where(async_requests.c.inference_id == waiting)
        ).all()
    assert contents == [None]
