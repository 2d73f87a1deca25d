"""What is declared comes about afterwards: what waits, what fails, and what goes on meanwhile."""

import asyncio
import errno
import shutil
import threading
import time
from datetime import timedelta

import joblib
import numpy as np
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from driftline.errors import InputError, UnavailableError
from driftline.serving.provisioning import controllers
from driftline.serving.provisioning.making import in_thread
from driftline.serving.resources import store
from tests.serving.conftest import make_frame, make_model, resource
from tests.serving.hosting.formats.archives import coded

LOADS = "import threading; from pathlib import Path\n"
WAITS = """
Path("{gate}", "loading").touch()
while not Path("{gate}", "open").exists():
    threading.Event().wait(0.05)
"""


@pytest.fixture
def server(start, tmp_path):
    with start(tmp_path, trust_pickle=True, start_timeout_s=20.0) as found:
        yield found


@pytest.fixture
def gate(tmp_path):
    gate = tmp_path / "gate"
    gate.mkdir()
    yield gate
    (gate / "open").touch()


def model(folder, name, says, begin="pass"):
    """Return a model that answers with a word, once it is loaded."""
    file = coded(folder / f"{says}.tar.gz", f'return "{says}", "text/plain"', LOADS + begin)
    return resource("Model", name, path=str(file))


def declare(server, *resources):
    """Store what is declared, and do not wait."""
    answer = server.client.post("/api/v1/apply", json={"resources": list(resources)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def status(server, collection, name):
    return server.client.get(f"/api/v1/{collection}/{name}").json()["status"]


def said(server, name="e"):
    return server.invoke(name, "1", content_type="text/plain").text


@pytest.mark.parametrize(
    ("begin", "reason"),
    [
        ('raise RuntimeError("no lookup table")', "no lookup table"),
        ("threading.Event().wait()", "not loaded after"),
    ],
    ids=["raises", "hangs"],
)
def test_a_version_that_cannot_be_loaded_fails_and_the_one_before_answers(
    server, tmp_path, monkeypatch, begin, reason
):
    good = model(tmp_path, "m", "good")
    assert server.apply(good, resource("Endpoint", "e", model="m")).status_code == 200
    object.__setattr__(server.context, "start_timeout_s", 3.0)

    answer = server.apply(model(tmp_path, "m", "bad", begin))
    failed, serving = status(server, "models", "m"), status(server, "endpoints", "e")
    files = [one.name for one in (server.root / "models" / "m").rglob("*.tar.gz")]
    again = said(server)
    mended = server.apply(model(tmp_path, "m", "mended"))

    assert answer.status_code == 400
    assert server.error_of(answer)["message"].startswith('Model "m": ')
    assert (failed["phase"], failed["observed_generation"]) == ("Failed", 2)
    assert reason in failed["reason"]
    assert (serving["phase"], serving["state"]) == ("Ready", "InService")
    assert again == "good"
    assert "good.tar.gz" in files
    assert (mended.status_code, said(server)) == (200, "mended")


def test_what_needs_something_new_waits_for_it_and_follows_by_itself(
    server, trained, tmp_path, gate, until
):
    file = tmp_path / "reference.parquet"
    shutil.copyfile(trained.reference, file)
    answer = declare(
        server,
        model(tmp_path, "m", "slow", WAITS.format(gate=gate)),
        resource("Endpoint", "e", model="m"),
        resource("Baseline", "b", data=str(file)),
        resource("Monitor", "w", endpoint="e", baseline="b"),
    )
    until((gate / "loading").exists)
    waiting = [
        status(server, *one)["phase"]
        for one in (("models", "m"), ("endpoints", "e"), ("monitors", "w"))
    ]
    refused = server.invoke("e", "1", content_type="text/plain")
    (gate / "open").touch()

    kinds = ["Model", "Baseline", "Endpoint", "Monitor"]
    assert [one["kind"] for one in answer["pending"]] == kinds
    assert waiting == ["Pending"] * 3
    assert (refused.status_code, "not ready yet" in refused.text) == (503, True)
    until(lambda: status(server, "monitors", "w")["phase"] == "Ready")
    until(lambda: status(server, "endpoints", "e")["state"] == "InService")
    assert said(server) == "slow"


def test_a_newer_declaration_does_not_wait_for_the_one_that_hangs(server, tmp_path, gate, until):
    hangs = model(tmp_path, "m", "hangs", WAITS.format(gate=gate))
    declare(server, hangs, resource("Endpoint", "e", model="m"))
    until((gate / "loading").exists)

    assert server.apply(model(tmp_path, "m", "newer")).status_code == 200
    assert said(server) == "newer"
    (gate / "open").touch()
    assert status(server, "models", "m")["observed_generation"] == 2


def test_a_baseline_is_made_again_for_a_model_that_was_replaced_meanwhile(
    server, trained, tmp_path, gate, until, monkeypatch
):
    make = controllers.MAKERS["Baseline"]

    async def waits(context, row):
        finish = await make(context, row)
        (gate / "loading").touch()
        await asyncio.to_thread(until, (gate / "open").exists)
        return finish

    def digest(kind, name, field):
        with server.engine.connect() as connection:
            return store.get(connection, kind, name).made.get(field)

    monkeypatch.setitem(controllers.MAKERS, "Baseline", waits)
    newer = tmp_path / "newer.joblib"
    joblib.dump(make_model(make_frame(seed=8)), newer)
    baseline = resource("Baseline", "b", data=str(trained.reference), label="late", model="m")
    declare(server, resource("Model", "m", path=str(trained.file)), baseline)
    until((gate / "loading").exists)
    before = digest("Model", "m", "digest")

    declare(server, resource("Model", "m", path=str(newer)), baseline)
    until(lambda: digest("Model", "m", "digest") != before)
    (gate / "open").touch()

    until(lambda: status(server, "baselines", "b")["phase"] == "Ready")
    assert digest("Baseline", "b", "model_digest") == digest("Model", "m", "digest")


def test_what_may_pass_is_tried_again_and_a_missing_file_is_not(
    server, trained, until, monkeypatch
):
    tries = []

    def fails(_context, row):
        tries.append(row.name)
        if row.name == "gone":
            raise FileNotFoundError(errno.ENOENT, "none", "/data/gone.parquet")
        if tries.count("b") == 1:
            raise FileNotFoundError("the store lists what it has not got yet")
        if tries.count("b") == 2:
            raise UnavailableError("the bucket is away")
        return lambda _connection, _row: {"version": "1"}

    def attempts(name):
        with server.engine.connect() as connection:
            row = store.get(connection, "Baseline", name)
        return row.phase, row.attempts, row.lease_until

    monkeypatch.setitem(controllers.MAKERS, "Baseline", in_thread(fails))
    monkeypatch.setattr(controllers, "AGAIN", timedelta(milliseconds=10))
    declare(
        server, *(resource("Baseline", one, data=str(trained.reference)) for one in ("b", "gone"))
    )

    until(lambda: attempts("b") == ("Ready", 0, None))
    assert (tries.count("b"), tries.count("gone")) == (3, 1)
    assert attempts("gone") == ("Failed", 0, None)
    assert "/data/gone.parquet" in status(server, "baselines", "gone")["reason"]


def test_a_failure_that_cannot_be_stored_is_made_again_after_a_pause(
    server, trained, until, monkeypatch
):
    tries = []

    def fails(_context, _row):
        tries.append(time.monotonic())
        raise InputError("no such column")

    def is_full(_connection, _cursor, statement, *_):
        if 0 < len(tries) < 3 and statement.startswith("UPDATE"):
            raise OperationalError(statement, None, Exception("database or disk is full"))

    monkeypatch.setitem(controllers.MAKERS, "Baseline", in_thread(fails))
    monkeypatch.setattr(controllers, "LOOK_S", 0.2)
    event.listen(server.engine, "before_cursor_execute", is_full)
    declare(server, resource("Baseline", "b", data=str(trained.reference)))

    until(lambda: status(server, "baselines", "b")["phase"] == "Failed")
    assert min(np.diff(tries)) >= 0.2


def test_what_ends_while_the_rows_are_read_is_not_made_again(server, trained, until, monkeypatch):
    list_unfinished, tries, seen = store.list_unfinished, [], threading.Event()

    def fails(_context, _row):
        tries.append(1)
        assert seen.wait(20)
        raise InputError("no such column")

    def reads_slowly(*given):
        rows = list_unfinished(*given)
        if tries and not seen.is_set():
            seen.set()
            until(lambda: status(server, "baselines", "b")["phase"] == "Failed")
        return rows

    monkeypatch.setitem(controllers.MAKERS, "Baseline", in_thread(fails))
    monkeypatch.setattr(store, "list_unfinished", reads_slowly)
    declare(server, resource("Baseline", "b", data=str(trained.reference)))

    until(lambda: status(server, "baselines", "b")["phase"] == "Failed")
    server.apply(resource("Baseline", "c", data=str(trained.reference)))
    assert len(tries) == 2  # One for each.


def test_a_model_that_does_not_fit_its_endpoint_leaves_the_one_that_does(server, trained, tmp_path):
    assert server.apply(*trained.flights()).status_code == 200
    before = server.invoke("flights", "UA,EWR,1400,39").text
    other = tmp_path / "other.parquet"
    trained.frame.rename(columns={"temp": "warmth"}).to_parquet(other, index=False)

    answer = server.apply(resource("Baseline", "flights", data=str(other), label="late"))
    failed = status(server, "endpoints", "flights")
    after = server.invoke("flights", "UA,EWR,1400,39").text

    assert answer.status_code == 400
    assert server.error_of(answer)["message"].startswith('Endpoint "flights": ')
    assert (failed["phase"], failed["state"]) == ("Failed", "InService")
    assert "warmth" in failed["reason"]
    assert after == before
