"""Erasure reaches asynchronous invocations: queued bodies, answers, reasons, notifications."""

import json
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from driftline.alerts import tables as alert_tables
from driftline.app.client.client import Client
from driftline.capture.tables.dataset import Dataset
from driftline.serving.asynchronous.erasing import clear_requests, remove_files
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


def test_a_body_that_waits_is_told_as_erased_and_never_answered(server, client, folder, until):
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
    (told,) = messages_of(server, waiting)
    assert (told["invocationStatus"], told["failureReason"]) == ("Failed", "erased on request")
    with server.engine.begin() as connection:
        contents = connection.scalars(
            select(async_requests.c.content).where(async_requests.c.inference_id == waiting)
        ).all()
    assert contents == [None]


def test_a_request_that_the_model_has_is_neither_answered_nor_captured(
    server, client, folder, until
):
    asked = client.invoke_async("slow", b"1.5\n", **CSV)
    leased = async_requests.c.lease_owner.is_not(None)

    def is_asked():
        with server.engine.begin() as connection:
            return connection.execute(select(async_requests).where(leased)).all()

    until(is_asked)
    client.erase(inference_ids=[asked])
    # Of an endpoint that asks one at a time: this one begins when that one is over.
    after = client.invoke_async("slow", b"0\n", **CSV)
    assert ended(client, "slow", after, until)["status"] == "Completed"

    assert client.async_invocation("slow", asked)["status"] == "Erased"
    assert len(messages_of(server, asked)) == 1
    assert [one.name for one in folder.rglob("*") if asked in one.name] == []
    server.sink_all()
    rows = Dataset(str(server.root), "slow").open(None, None).to_table().to_pylist()
    assert [one["inference_id"] for one in rows] == [after]


def test_rows_that_go_take_their_answers_along(server, client, folder, until):
    mine = client.invoke_async("flights", f"UA,{SECRET},100,1\n".encode(), **CSV)
    other = client.invoke_async("flights", b"UA,EWR,100,1\n", **CSV)
    answers = [ended(client, "flights", one, until)["output_location"] for one in (mine, other)]
    server.sink_all()

    gone = client.erase(endpoint="flights", where=f"origin == '{SECRET}'")

    assert (gone["endpoints"]["flights"]["requests"], gone["invocations"]) == (1, 1)
    assert [Path(one).exists() for one in answers] == [False, True]


def test_files_go_again_once_no_server_can_still_be_writing_them(server, client, folder, until):
    inference = client.invoke_async("flights", b"UA,EWR,100,1\n", **CSV)
    answer = Path(ended(client, "flights", inference, until)["output_location"])
    now = server.context.lease_clock()
    # As a server that took it and was killed behind the file.
    table = async_requests.c
    with server.engine.begin() as connection:
        connection.execute(delete(alert_tables.outbox))
        connection.execute(
            update(async_requests).values(status="Queued", ended_at=None, lease_owner="dead",
                                          lease_until=now.replace(year=now.year + 1))
        )  # fmt: skip
    clear_requests(server.engine, None, [inference], now)
    assert remove_files(server.engine, now) == 0
    assert not answer.exists()
    answer.write_text("written by the one that was killed")
    with server.engine.begin() as connection:
        connection.execute(update(async_requests).values(lease_until=now))

    assert remove_files(server.engine, now) == 1

    assert not answer.exists()
    with server.engine.begin() as connection:
        assert connection.scalars(select(table.ended_at)).all() == [now]
