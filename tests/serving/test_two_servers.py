"""Two servers on one database and one storage root: what one changes, the other follows."""

import asyncio
import os
import signal
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
import skops.io
from sklearn.base import clone
from sqlalchemy import event

from driftline.errors import UnavailableError
from driftline.serving.app import create_app
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import ExternalEndpoint, ServedEndpoint
from driftline.serving.resources.model_specs import FileModel
from driftline.serving.resources.model_uses import LENGTH, leave, say_used, unused
from tests.servers.postgres import new_sqlite, open_url
from tests.serving.conftest import NOW, resource, running, settings_of

ROW = "UA,EWR,2900,39"


@pytest.fixture
def pair(tmp_path, database_url):
    """Both servers: each with its own spool, on the same database and folder."""
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
    (folders[0] / "root").mkdir()
    (folders[1] / "root").symlink_to(folders[0] / "root")
    with (
        running(folders[0], database=database_url) as first,
        running(folders[1], database=database_url) as second,
    ):
        yield first, second


@pytest.fixture
def inverted(trained, tmp_path):
    """A model that says late where the other says on time."""
    file = tmp_path / "inverted.skops"
    frame = trained.frame
    skops.io.dump(clone(trained.model).fit(trained.inputs, 1 - frame["late"]), file)
    return file


def test_a_server_follows_what_another_changes(pair, trained, inverted, until):
    first, second = pair
    until(lambda: second.invoke("flights", ROW).status_code == 404)

    assert first.apply(*trained.flights()).status_code == 200
    until(lambda: second.invoke("flights", ROW).status_code == 200)
    before = first.invoke("flights", ROW).content
    assert second.invoke("flights", ROW).content == before
    (old,) = (first.root / "models" / "flights").iterdir()

    updated = resource("Model", "flights", path=str(inverted))
    assert first.apply(updated).status_code == 200
    after = first.invoke("flights", ROW).content
    assert after != before
    until(lambda: second.invoke("flights", ROW).content == after)
    until(lambda: not old.exists())

    for path in ("endpoints/flights", "baselines/flights", "models/flights"):
        assert second.client.delete(f"/api/v1/{path}").status_code == 204
    until(lambda: first.invoke("flights", ROW).status_code == 404)
    until(lambda: not (first.root / "models" / "flights").exists())


def test_a_model_that_another_server_runs_on_stays(pair, trained, inverted, until, monkeypatch):
    first, second = pair
    assert first.apply(*trained.flights()).status_code == 200
    until(lambda: second.invoke("flights", ROW).status_code == 200)
    before = second.invoke("flights", ROW).content
    (old,) = (first.root / "models" / "flights").iterdir()

    # The other server looks at nothing for an hour: as one that hangs, or is cut off.
    monkeypatch.setattr(EndpointReconciler, "_has_changed", lambda _: False)
    assert first.apply(resource("Model", "flights", path=str(inverted))).status_code == 200

    assert old.exists()
    for worker in second.worker_ids():
        os.kill(worker, signal.SIGKILL)
    until(lambda: second.invoke("flights", ROW).content == before)


@pytest.fixture
def reconciler(engine, tmp_path):
    """A reconciler that does not run."""
    return EndpointReconciler(
        ServerContext(settings=settings_of(tmp_path, tmp_path), engine=engine, now=lambda: NOW)
    )


def test_a_server_says_what_it_uses_while_a_change_takes_long(engine, reconciler, monkeypatch):
    monkeypatch.setattr("driftline.serving.hosting.endpoint_reconciler.RENEW_S", 0.01)
    monkeypatch.setattr("driftline.serving.hosting.endpoint_reconciler.FOLLOW_S", 0.01)
    said = []
    monkeypatch.setattr(reconciler, "_note_used", lambda: said.append(True))

    async def loads_for_ever():
        await asyncio.Event().wait()

    async def run():
        await reconciler.refresh()
        monkeypatch.setattr(reconciler, "refresh", loads_for_ever)
        monkeypatch.setattr(reconciler, "_has_changed", lambda: True)
        running_ = asyncio.create_task(reconciler.run())
        while len(said) < 3:
            await asyncio.sleep(0.01)
        running_.cancel()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_model_that_could_not_be_had_is_asked_for_again(engine, reconciler, monkeypatch):
    monkeypatch.setattr("driftline.serving.hosting.endpoint_reconciler.FOLLOW_S", 0.01)
    answers = [UnavailableError("the bucket is away"), OSError(28, "no space left"), None]
    spec = FileModel(path="now.skops").model_dump()
    model = {"spec": spec, "file": "models/now/1/now.skops", "trust_pickle": False, "digest": "1"}
    served = ServedEndpoint.model_validate({"model": "now"}).model_dump()
    made = {"spec": served, "models": {"now": {"name": "now", "made": model}}}
    with engine.begin() as connection:
        store.put_row(connection, store.Stored("Endpoint", "now", None, {}, served, made), NOW)

    def fetch(_file):
        if (answer := answers.pop(0)) is not None:
            raise answer

    async def start(_pool):
        started.set()

    async def run():
        await reconciler.refresh()
        while (problem := reconciler.status("now")[1]) is None:
            await asyncio.sleep(0.01)
        following = asyncio.create_task(reconciler.run())
        await started.wait()
        following.cancel()
        await reconciler.stop()
        return problem

    started = asyncio.Event()
    monkeypatch.setattr(reconciler._models, "fetch", fetch)
    monkeypatch.setattr("driftline.serving.hosting.pool.Pool.start", start)

    assert asyncio.run(asyncio.wait_for(run(), 30)) == "the bucket is away"
    assert answers == []


def test_what_a_dead_server_used_is_free_a_minute_later(engine, trained, tmp_path):
    made = {"file": "models/now/1/now.skops", "trust_pickle": False}
    row = store.Stored("Model", "now", None, {}, {"path": str(trained.file)}, made)
    content = {"digest": "2", "source": "/anywhere/next.skops"}
    wished = replace(row, name="next", made={}, content=content, phase="Pending")
    files = ["models/now/1/now.skops", "models/old/1/old.skops", "models/older/1/older.skops"]
    with engine.begin() as connection:
        store.put_row(connection, row, NOW)
        store.put_row(connection, wished, NOW)
        say_used(connection, "dead", files[1:], NOW)
        say_used(connection, "alive", files[1:2], NOW + timedelta(seconds=30))

        assert unused(connection, files, NOW + timedelta(seconds=59)) == []
        assert unused(connection, files, NOW + LENGTH) == files[2:]
        leave(connection, "alive")
        assert unused(connection, files, NOW + LENGTH) == files[1:]
        assert unused(connection, ["models/next/2/next.skops"], NOW) == []


def test_changes_of_endpoints_are_counted_and_no_others(engine):
    def count(kind, spec):
        with engine.begin() as connection:
            before = store.changes(connection)
            store.put_row(connection, store.Stored(kind, "one", None, {}, spec, {}), NOW)
            put = store.changes(connection) - before
            store.delete_row(connection, kind, "one")
            return put, store.changes(connection) - before

    assert count("Model", {"memory_size_in_mb": 16}) == (0, 0)
    assert count("Endpoint", {}) == (1, 2)
    assert count("Channel", {}) == (0, 0)


@pytest.mark.parametrize(
    "path", ["/endpoints/flights/invocations", "/endpoints/flights/async-invocations"]
)
def test_a_server_that_has_not_read_its_endpoints_says_come_again(engine, tmp_path, path):
    """It began, and the store has not answered yet: no endpoint is known to be missing."""
    context = ServerContext(
        settings=settings_of(tmp_path, tmp_path), engine=engine, now=lambda: NOW
    )

    async def ask():
        transport = httpx.ASGITransport(create_app(context))  # Its life has not begun.
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(path, content=ROW, headers={"content-type": "text/csv"})

    answer = asyncio.run(ask())

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "not read yet" in answer.json()["error"]["message"]


def test_a_database_that_cannot_be_written_still_says_what_to_serve(tmp_path, trained):
    engine = open_url(new_sqlite(tmp_path))
    with engine.begin() as connection:
        spec = ExternalEndpoint(baseline="mine").model_dump()
        row = store.Stored("Endpoint", "mine", None, {}, spec, {"spec": spec})
        store.put_row(connection, row, NOW)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA query_only = ON"))
    engine.dispose()
    context = ServerContext(
        settings=settings_of(tmp_path, tmp_path), engine=engine, now=lambda: NOW
    )

    async def begin():
        reconciler = EndpointReconciler(context)
        await reconciler.refresh()
        return reconciler.is_ready, reconciler.is_foreign("mine")

    assert asyncio.run(begin()) == (True, True)
    engine.dispose()
