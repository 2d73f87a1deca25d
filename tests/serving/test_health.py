"""Health is what a write says, not what a question is answered."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from sqlalchemy import event

from driftline.database.engine import read_connection
from driftline.serving.context import ServerContext
from driftline.serving.health import Health
from tests.servers.postgres import new_sqlite, open_url
from tests.serving.conftest import NOW, settings_of


@pytest.fixture
def context(tmp_path):
    engine = open_url(new_sqlite(tmp_path))
    yield ServerContext(settings=settings_of(tmp_path), engine=engine, now=lambda: NOW)
    engine.dispose()


def test_a_database_that_is_read_only_is_reported_though_it_answers(start, tmp_path, until):
    with start(tmp_path) as server:

        @event.listens_for(server.engine, "connect")
        def forbid(connection, _entry):
            connection.execute("PRAGMA query_only = ON")

        server.engine.dispose()
        until(lambda: "database" in server.client.get("/readyz").json())
        answer = server.client.get("/readyz")
        alive = server.client.get("/healthz")
        metrics = server.client.get("/metrics").text

    assert answer.json()["status"] == "ready"
    assert "readonly" in answer.json()["database"]
    assert (alive.status_code, alive.json()["status"]) == (200, "impaired")
    assert "driftline_database_up 0.0" in metrics


def test_a_look_that_hangs_is_told_and_no_other_look_waits_for_it(context, monkeypatch, until):
    begun, freed, now = [], threading.Event(), [100.0]

    def hang(root):
        begun.append(root)
        freed.wait(60)
        return ""

    monkeypatch.setattr("driftline.serving.health.bucket_failure", hang)
    monkeypatch.setattr("driftline.serving.health.write_failure", lambda _engine: "read-only")
    health = Health(context, monotonic=lambda: now[0])
    health.look()
    until(lambda: begun)
    health.look()  # While the first one hangs there is no second one.

    until(lambda: health.problems == {"database": "read-only"})
    assert begun == [context.root]
    now[0] += 12
    until(lambda: health.problems.get("storage") == "no answer for 12 s")
    freed.set()
    until(lambda: health.problems == {"database": "read-only"})


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
def test_a_probe_waits_for_no_request_and_no_connection(start, tmp_path, until, path):
    """Every connection of the pool is taken, and every thread waits for one."""
    with start(tmp_path) as server, ThreadPoolExecutor(60) as clients, ExitStack() as held:
        until(lambda: server.client.get("/readyz").is_success)
        pool = server.engine.pool
        pool._timeout = 60
        for _ in range(pool.size() + pool._max_overflow):
            held.enter_context(read_connection(server.engine))
        waiting = [
            clients.submit(httpx.get, f"{server.url}/api/v1/installation", timeout=60)
            for _ in range(60)
        ]
        # As many as Starlette lends at a time.
        until(lambda: sum("AnyIO" in one.name for one in threading.enumerate()) >= 40)

        answers = [httpx.get(server.url + path, timeout=20) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200] * 3
        assert not any(request.done() for request in waiting)
        held.close()
        assert all(request.result().status_code == 200 for request in waiting)
