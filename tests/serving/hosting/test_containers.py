"""Several containers behind one endpoint: named by requests, or one after another."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import skops.io

from driftline.capture.tables.dataset import Dataset
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


def models(folder, trained):
    """Return a Model that prepares rows, and two that score them."""
    other = folder / "other.skops"
    skops.io.dump(make_model(make_frame(seed=8)), other)
    archive = pack(folder / "prepare.tar.gz", {"code/inference.py": PREPARE})
    return [
        resource("Model", "prepare", path=str(archive)),
        resource("Model", "score", path=str(trained.file)),
        resource("Model", "other", path=str(other)),
        resource("Baseline", "flights", data=str(trained.reference), label="late"),
    ]


def containers(**named):
    return [{"container_hostname": key, "model_name": one} for key, one in named.items()]


@pytest.fixture(scope="module")
def server(start, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers")
    with start(folder, trust_pickle=True) as found:
        answer = found.apply(
            *models(folder, trained),
            resource(
                "Model", "line", mode="Serial", containers=containers(first="prepare", last="score")
            ),
            resource("Endpoint", "line", model="line", baseline="flights"),
        )
        assert answer.status_code == 200, answer.text
        yield found


def captured(server, endpoint, *columns):
    server.sink_all()
    return Dataset(str(server.root), endpoint).open().to_table(list(columns)).to_pylist()


@pytest.mark.parametrize(("body", "hostname"), [("refuse", "first"), ("garble", "last")])
def test_what_a_container_refuses_ends_the_pipeline(server, body, hostname):
    answer = server.invoke("line", body)

    assert answer.status_code == 424
    assert server.error_of(answer)["message"].startswith(f'container "{hostname}": ')


def test_a_killed_container_is_replaced_and_nothing_is_lost(server, trained, until):
    before = len(captured(server, "line", "model"))
    victims = [int(worker) for worker in server.worker_ids()]
    stop, answered, failed = threading.Event(), [], []

    def send():
        while not stop.is_set():
            answer = server.invoke("line", trained.csv(slice(0, 1)))
            (answered if answer.status_code == 200 else failed).append(answer.text)

    with ThreadPoolExecutor(3) as threads:
        done = [threads.submit(send) for _ in range(3)]
        for victim in victims:
            count = len(answered)
            os.kill(victim, signal.SIGKILL)
            until(lambda count=count: len(answered) > count + 5)
        stop.set()
        [one.result() for one in done]

    assert failed == []
    assert len(captured(server, "line", "model")) == before + len(answered)


def test_a_container_is_kept_while_it_is_needed_and_followed_when_it_changes(
    server, trained, tmp_path
):
    assert server.client.delete("/api/v1/models/score").status_code == 409
    other = server.apply(
        resource("Model", "score", mode="Serial", containers=containers(a="other", b="other"))
    )
    assert other.status_code == 400
    body = trained.csv(slice(0, 5))
    before = server.invoke("line", body).text
    skops.io.dump(make_model(make_frame(seed=9)), tmp_path / "new.skops")

    changed = server.apply(resource("Model", "score", path=str(tmp_path / "new.skops")))

    assert changed.status_code == 200, changed.text
    assert server.invoke("line", body).text != before
