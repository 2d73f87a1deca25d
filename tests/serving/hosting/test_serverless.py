"""Endpoints without workers at rest: started by requests, throttled, ended when idle, captured."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.capture.tables.dataset import Dataset
from tests.serving.conftest import NOW, resource
from tests.serving.hosting.formats.archives import pack

# Its requests say what to do: wait for a file, take memory, or nothing; the process answers.
WORK = r"""
import os, threading

import numpy as np

def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    what, _, value = body.partition(" ")
    while what == "until" and not os.path.exists(value):
        threading.Event().wait(0.01)
    if what == "take":
        np.ones(int(value) << 17)
    return str(os.getpid()), "text/plain"
"""


@pytest.fixture
def archive(tmp_path):
    return pack(tmp_path / "work.tar.gz", {"code/inference.py": WORK})


def works(archive, **serverless):
    config = {"memory_size_in_mb": 1024, "max_concurrency": 3, **serverless}
    return [
        resource("Model", "work", path=str(archive)),
        resource("Endpoint", "work", model="work", serverless_config=config),
    ]


def running(server, name="work"):
    found = server.client.get(f"/api/v1/endpoints/{name}").json()["status"]
    return found["state"], found["variants"][0]["instance_count"]


def captured(server, *columns):
    server.sink_all()
    return Dataset(str(server.root), "work").open().to_table(list(columns)).to_pylist()


def told(engine, name, namespace="AWS/SageMaker"):
    """Return how often a metric was put within the minute of the tests, and the sum."""
    key = metric_key(namespace, name, {"EndpointName": "work", "VariantName": "AllTraffic"})
    with engine.connect() as connection:
        request = SeriesRequest(key, NOW, NOW + timedelta(minutes=1), 60)
        found = read_many(connection, [request])[0].get(0)
    return (0, 0) if found is None else (found.sample_count, found.sum)


def test_cold_starts_and_throttles_are_exact_and_what_is_answered_is_captured(
    start, archive, tmp_path, until
):
    gate = tmp_path / "gate"
    with start(tmp_path, trust_pickle=True) as server, ThreadPoolExecutor(3) as threads:
        assert server.apply(*works(archive)).status_code == 200
        assert running(server) == ("InService", 0)
        assert server.worker_ids() == []

        first = server.invoke("work", "hello")
        assert (running(server), int(first.text)) == (("InService", 1), server.worker_ids()[0])
        assert server.invoke("work", "hello").text == first.text
        open_ones = [threads.submit(server.invoke, "work", f"until {gate}") for _ in range(3)]
        until(lambda: running(server)[1] == 3)
        refused = [server.invoke("work", "hello") for _ in range(4)]
        gate.touch()
        answers = [one.result() for one in open_ones]

        assert [one.status_code for one in refused] == [429] * 4
        assert server.error_of(refused[0])["code"] == "throttled"
        assert refused[0].headers["retry-after"] == "1"
        assert [one.status_code for one in answers] == [200] * 3
        assert {int(one.text) for one in answers} == set(server.worker_ids())
        rows = captured(server, "status")
        engine = server.engine

    # Started for the first request, and for two of the three that were open together.
    cold, total_us = told(engine, "ModelSetupTime")
    assert cold == 3
    assert told(engine, "Throttles", "Driftline") == (4, 4)
    assert told(engine, "Invocations") == (9, 9)
    assert told(engine, "Invocation4XXErrors") == (9, 4)
    assert told(engine, "ModelLatency")[0] == 5
    # What is waited for a worker is no time of the model's.
    assert told(engine, "OverheadLatency")[1] > total_us > 0
    assert sorted(one["status"] for one in rows) == [200] * 5 + [429] * 4


def test_idle_workers_end_and_provisioned_ones_stay(start, archive, tmp_path, until):
    gate = tmp_path / "gate"
    with (
        start(tmp_path, trust_pickle=True, serverless_idle_s=0.2) as server,
        ThreadPoolExecutor(3) as threads,
    ):
        server.apply(*works(archive))
        assert server.invoke("work", "hello").status_code == 200
        until(lambda: running(server) == ("InService", 0) and server.worker_ids() == [])

        assert server.apply(*works(archive, provisioned_concurrency=1)).status_code == 200
        until(lambda: running(server)[1] == 1)
        (provisioned,) = server.worker_ids()
        open_ones = [threads.submit(server.invoke, "work", f"until {gate}") for _ in range(3)]
        until(lambda: running(server)[1] == 3)
        gate.touch()
        assert {one.result().status_code for one in open_ones} == {200}
        until(lambda: server.worker_ids() == [provisioned])
        assert server.invoke("work", "hello").text == str(provisioned)

        assert server.apply(*works(archive)).status_code == 200
        until(lambda: server.worker_ids() == [])
        engine = server.engine

    # For the first request, and for the two that found the provisioned worker busy.
    assert told(engine, "ModelSetupTime")[0] == 3


def test_a_worker_that_is_killed_or_hangs_is_replaced(start, archive, tmp_path, until):
    gate = tmp_path / "gate"
    with start(tmp_path, trust_pickle=True, timeout_s=5.0) as server:
        server.apply(*works(archive, max_concurrency=1))
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(server.invoke, "work", f"until {gate}")
            until(lambda: running(server)[1] == 1)
            (victim,) = server.worker_ids()
            os.kill(victim, signal.SIGKILL)
            until(lambda: server.worker_ids() not in ([], [victim]))
            gate.touch()
            answer = asked.result()

        assert (answer.status_code, answer.text) == (200, str(server.worker_ids()[0]))
        assert server.invoke("work", f"until {tmp_path}/never").status_code == 504
        until(lambda: running(server) == ("InService", 0))
        assert server.invoke("work", "hello").status_code == 200
        assert [one["status"] for one in captured(server, "status")] == [200, 504, 200]
