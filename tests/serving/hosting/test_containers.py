"""Several containers behind one endpoint: named by requests, or one after another."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import skops.io

from driftline.capture.tables.dataset import Dataset
from driftline.serving.hosting.pool import Pool
from tests.serving.conftest import make_frame, make_model, resource
from tests.serving.hosting.formats.archives import pack

# Reads CSV, answers JSON: what the next one gets is not what the caller sent.
PREPARE = r"""
import csv, io, json

def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    assert content_type == "text/csv", content_type
    if body.startswith("refuse"):
        raise ValueError("no such carrier")
    if body.startswith("garble"):
        return "not for scoring", "text/plain"
    rows = [[a, b, float(c), float(d or "nan")] for a, b, c, d in csv.reader(io.StringIO(body))]
    return json.dumps(rows).replace("NaN", "null"), "application/json"
"""


WAITS = r"""
import pathlib, time

def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    while body == "wait" and not pathlib.Path({open!r}).exists():
        pathlib.Path({begun!r}).touch()
        time.sleep(0.01)
    return body, content_type
"""


@pytest.fixture(scope="module")
def server(start, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers")
    archive = pack(folder / "prepare.tar.gz", {"code/inference.py": PREPARE})
    named = (("first", "prepare"), ("last", "score"))
    line = [{"container_hostname": name, "model_name": model} for name, model in named]
    with start(folder, trust_pickle=True) as found:
        answer = found.apply(
            resource("Model", "prepare", path=str(archive)),
            resource("Model", "score", path=str(trained.file)),
            resource("Baseline", "flights", data=str(trained.reference), label="late"),
            resource("Model", "line", mode="Serial", containers=line),
            resource("Endpoint", "line", model="line", baseline="flights"),
        )
        assert answer.status_code == 200, answer.text
        yield found


def captured(server):
    server.sink_all()
    return Dataset(str(server.root), "line").open().to_table(["model"])


@pytest.mark.parametrize(("body", "hostname"), [("refuse", "first"), ("garble", "last")])
def test_what_a_container_refuses_ends_the_pipeline(server, body, hostname):
    answer = server.invoke("line", body)

    assert answer.status_code == 424
    assert server.error_of(answer)["message"].startswith(f'container "{hostname}": ')


def test_a_killed_container_is_replaced_and_nothing_is_lost(server, trained):
    before = len(captured(server))
    victims = server.worker_ids()

    for victim in victims:
        os.kill(victim, signal.SIGKILL)
        answer = server.invoke("line", trained.csv(slice(0, 1)))
        assert answer.status_code == 200, answer.text

    assert len(captured(server)) == before + len(victims) == before + 2


def test_what_failed_to_start_once_is_served_and_its_open_requests_end_when_it_is_replaced(
    start, tmp_path, until, monkeypatch
):
    tries, begin = [], Pool.start

    async def fail_first(pool):
        tries.append(pool)
        if len(tries) == 1:
            raise RuntimeError("can't start new thread")
        await begin(pool)

    monkeypatch.setattr(Pool, "start", fail_first)
    code = WAITS.format(open=str(tmp_path / "open"), begun=str(tmp_path / "begun"))
    files = [
        pack(tmp_path / f"{name}.tar.gz", {"code/inference.py": f"{code}# {name}"})
        for name in ("old", "new")
    ]
    parts = [{"container_hostname": host, "model_name": "waits"} for host in ("first", "last")]
    with start(tmp_path, trust_pickle=True) as server, ThreadPoolExecutor(1) as threads:
        told = server.apply(
            resource("Model", "waits", path=str(files[0])),
            resource("Model", "line", mode="Serial", containers=parts),
            resource("Endpoint", "line", model="line"),
        )
        assert told.status_code == 400
        until(lambda: server.invoke("line", "1").status_code == 200)
        asked = threads.submit(server.invoke, "line", "wait")
        until((tmp_path / "begun").exists)
        replaced = server.apply(resource("Model", "waits", path=str(files[1])))
        (tmp_path / "open").touch()

        assert replaced.status_code == 200
        assert asked.result().status_code == 200


def test_a_container_is_followed_when_its_model_changes(server, trained, tmp_path):
    body = trained.csv(slice(0, 5))
    before = server.invoke("line", body).text
    skops.io.dump(make_model(make_frame(seed=9)), tmp_path / "new.skops")

    changed = server.apply(resource("Model", "score", path=str(tmp_path / "new.skops")))

    assert changed.status_code == 200, changed.text
    assert server.invoke("line", body).text != before
