"""Endpoints without workers at rest, and what workers may use of memory."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving.conftest import resource
from tests.serving.hosting.formats.archives import coded

# Its requests say what to do: wait for a file, or nothing; the process answers.
WORK = """
import os, threading
what, _, value = body.partition(" ")
while what == "until" and not os.path.exists(value):
    threading.Event().wait(0.01)
return str(os.getpid()), "text/plain"
"""


@pytest.fixture
def archive(tmp_path):
    return coded(tmp_path / "work.tar.gz", WORK)


def works(archive, **serverless):
    config = {"memory_size_in_mb": 1024, "max_concurrency": 3, **serverless}
    return [
        resource("Model", "work", path=str(archive)),
        resource("Endpoint", "work", model="work", serverless_config=config),
    ]


def running(server):
    found = server.client.get("/api/v1/endpoints/work").json()["status"]
    return found["state"], found["variants"][0]["instance_count"]


def test_cold_starts_and_throttles_are_exact_and_what_is_answered_is_captured(
    start, archive, tmp_path, until
):
    gate = tmp_path / "gate"
    with start(tmp_path, trust_pickle=True) as server, ThreadPoolExecutor(3) as threads:
        assert server.apply(*works(archive)).status_code == 200
        assert running(server) == ("InService", 0)

        first = server.invoke("work", "hello")
        assert (running(server), int(first.text)) == (("InService", 1), server.worker_ids()[0])
        assert server.invoke("work", "hello").text == first.text
        open_ones = [threads.submit(server.invoke, "work", f"until {gate}") for _ in range(3)]
        until(lambda: running(server)[1] == 3)
        refused = [server.invoke("work", "hello") for _ in range(4)]
        gate.touch()
        answers = [one.result() for one in open_ones]

        assert [one.status_code for one in refused] == [429] * 4
        assert refused[0].headers["retry-after"] == "1"
        assert [one.status_code for one in answers] == [200] * 3
        assert {int(one.text) for one in answers} == set(server.worker_ids())
        statuses = server.captured("work", "status")

    # Started for the first request, and for two of the three that were open together.
    cold, total_us = server.metric("work", "ModelSetupTime")
    assert cold == 3
    assert server.metric("work", "Throttles", "Driftline") == (4, 4)
    # What is waited for a worker is no time of the model's.
    assert server.metric("work", "OverheadLatency")[1] > total_us > 0
    assert sorted(statuses) == [200] * 5 + [429] * 4


def test_idle_workers_end_and_provisioned_ones_stay(start, archive, tmp_path, until):
    gate = tmp_path / "gate"
    with (
        start(tmp_path, trust_pickle=True, serverless_idle_s=0.2) as server,
        ThreadPoolExecutor(3) as threads,
    ):
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


ONES = "import numpy as np; return np.ones({} << 17)"
LARGE = """
import numpy as np
np.ones(int(body) << 17)
return "taken", "text/plain"
"""
TOO_SMALL = "the model needs more memory than 1024 MB"


def test_only_requests_and_models_that_need_more_memory_than_the_models_are_refused(
    start, tmp_path
):
    def takes(loaded):
        path = coded(tmp_path / f"{loaded}.tar.gz", LARGE, ONES.format(loaded))
        return [
            resource("Model", "work", path=str(path), memory_size_in_mb=1024),
            resource("Endpoint", "work", model="work"),
        ]

    with start(tmp_path, trust_pickle=True) as server, ThreadPoolExecutor(12) as threads:
        refused = server.apply(*takes(1500))
        assert refused.status_code == 400
        assert TOO_SMALL in server.error_of(refused)["message"]
        assert server.apply(*takes(1)).status_code == 200

        sizes = ["1", "2", *["1500"] * 4, "3", "4", "5", "6", "7"]
        answers = list(threads.map(lambda size: server.invoke("work", size), sizes))

        refused = [answers.pop(2) for _ in range(4)]
        assert [answer.text for answer in answers] == ["taken"] * len(answers)
        assert {answer.status_code for answer in refused} == {424}
        assert all(server.error_of(one)["message"].startswith(TOO_SMALL) for one in refused)
        assert server.invoke("work", "8").status_code == 200
