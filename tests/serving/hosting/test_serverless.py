"""Endpoints without workers at rest: started by requests, throttled, ended when idle, captured."""

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta

import pandas as pd
import pytest

from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.app.client.client import Client
from driftline.capture.tables.dataset import Dataset
from driftline.errors import UnavailableError
from driftline.serving.hosting.child import Launch, Reply, WorkerLostError
from driftline.serving.hosting.pool import Limits, TimedOutError
from driftline.serving.hosting.serverless import ServerlessPool
from driftline.serving.resources.reach import Reach
from tests.serving.asynchronous.test_kill import PATIENCE_S, process, settings_in
from tests.serving.conftest import NOW, resource
from tests.serving.hosting.formats.archives import pack

DAY = NOW - timedelta(days=1, hours=6)
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


def config(most=3, **more):
    return {"memory_size_in_mb": 1024, "max_concurrency": most, **more}


@pytest.fixture
def archive(tmp_path):
    return pack(tmp_path / "work.tar.gz", {"code/inference.py": WORK})


def works(archive, **serverless):
    return [
        resource("Model", "work", path=str(archive)),
        resource("Endpoint", "work", model="work", serverless_config=config(**serverless)),
    ]


@pytest.fixture
def server(start, archive, tmp_path):
    with start(tmp_path, trust_pickle=True) as found:
        yield found


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


def test_an_asynchronous_endpoint_starts_workers_for_its_queue_and_ends_them_behind_it(
    start, archive, tmp_path, until
):
    gate = tmp_path / "gate"
    outputs = str(tmp_path / "outputs")
    model, endpoint = works(archive, most=2)
    endpoint["spec"]["async_inference_config"] = {"output_config": {"s3_output_path": outputs}}
    reach = Reach(outputs=(outputs,))
    with start(tmp_path, trust_pickle=True, serverless_idle_s=0.2, reach=reach) as server:
        assert server.apply(model, endpoint).status_code == 200
        assert running(server) == ("InService", 0)
        with Client(server.url) as client:
            body = f"until {gate}".encode()
            asked = [client.invoke_async("work", body, content_type="text/csv") for _ in range(5)]
            until(lambda: running(server)[1] == 2)
            gate.touch()

            def statuses():
                return [client.async_invocation("work", one)["status"] for one in asked]

            until(lambda: set(statuses()) == {"Completed"})
        until(lambda: running(server)[1] == 0)
        rows = captured(server, "status")
        # None was refused: no more are taken from the queue than may run.
        assert told(server.engine, "Throttles", "Driftline") == (0, 0)

    assert [one["status"] for one in rows] == [200] * 5


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


def test_a_worker_that_is_killed_is_replaced_and_its_request_answered(
    server, archive, tmp_path, until
):
    gate = tmp_path / "gate"
    server.apply(*works(archive))
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(server.invoke, "work", f"until {gate}")
        until(lambda: running(server)[1] == 1)
        (victim,) = server.worker_ids()
        os.kill(victim, signal.SIGKILL)
        until(lambda: server.worker_ids() not in ([], [victim]))
        gate.touch()
        answer = asked.result()

    assert (answer.status_code, answer.text) == (200, str(server.worker_ids()[0]))
    os.kill(int(answer.text), signal.SIGKILL)
    until(lambda: running(server) == ("InService", 0))
    assert server.invoke("work", "hello").status_code == 200
    assert [one["status"] for one in captured(server, "status")] == [200, 200]


def test_what_needs_too_much_memory_is_refused_with_the_limit(server, archive, until):
    server.apply(*works(archive, most=1))

    fits = server.invoke("work", "take 400")
    refused = server.invoke("work", "take 1500")

    assert fits.status_code == 200
    assert refused.status_code == 424
    message = server.error_of(refused)["message"]
    assert message.startswith("the model needs more memory than 1024 MB")
    until(lambda: int(fits.text) not in server.worker_ids())
    assert server.invoke("work", "take 400").status_code == 200

    def lost():
        (variant,) = server.client.get("/api/v1/endpoints/work").json()["status"]["variants"]
        return variant["lost_workers"]

    assert (until(lost)["count"], lost()["last"]) == (1, message)


def test_a_model_that_does_not_fit_is_not_served(server, tmp_path):
    code = "import numpy as np\n" + WORK.replace("return model_dir", "return np.ones(1500 << 17)")
    archive = pack(tmp_path / "large.tar.gz", {"code/inference.py": code})

    server.apply(*works(archive))
    found = server.client.get("/api/v1/endpoints/work").json()["status"]

    assert found["state"] == "Failed"
    assert "more memory than 1024 MB" in found["reason"]


def test_a_request_that_takes_too_long_ends_its_worker(start, archive, tmp_path, until):
    with start(tmp_path, trust_pickle=True, timeout_s=2.0) as server:
        server.apply(*works(archive, most=1))

        assert server.invoke("work", f"until {tmp_path}/never").status_code == 504
        until(lambda: running(server)[1] == 0)
        assert server.invoke("work", "hello").status_code == 200


def test_a_cold_start_takes_nothing_of_the_time_of_a_request():
    class SlowToStart(ServerlessPool):
        until_s = 0.0

        async def _start_one(self):
            await asyncio.sleep(0.1)

        async def _answered(self, form, answer, body, deadline, *_, **__):
            self.until_s = deadline
            return Reply(200, "text/plain", b"done")

    async def ask():
        pool = SlowToStart("work", Launch("model"), Limits(workers=0, timeout_s=5.0), 60.0)
        came_s = asyncio.get_running_loop().time()
        reply = await pool.invoke("csv", "csv", b"1")
        return pool.until_s - came_s, reply.note["setup_s"]

    given_s, setup_s = asyncio.run(ask())

    assert setup_s >= 0.09
    assert given_s >= 5.0 + setup_s


def test_a_worker_in_place_of_a_lost_one_takes_no_more_than_the_request_has_left():
    class EndsWhenAsked:
        def __init__(self):
            self.gone, self.waiting_count, self.last_heard = asyncio.Event(), 0, 0.0
            self.process_id = 1

        async def ask(self, *_, **__):
            self.gone.set()
            self.when_gone()
            raise WorkerLostError("the worker ended")

        async def stop(self): ...

    class SlowToStartAgain(ServerlessPool):
        starts = 0

        async def _loaded(self):
            self.starts += 1
            if self.starts > 1:
                await asyncio.Event().wait()
            return EndsWhenAsked()

    async def ask():
        pool = SlowToStartAgain("work", Launch("model"), Limits(workers=0, timeout_s=0.2), 60.0)
        try:
            async with asyncio.timeout(10.0):
                await pool.invoke("csv", "csv", b"1")
        finally:
            await pool.stop()

    with pytest.raises(TimedOutError, match=r"within 0\.2 s"):
        asyncio.run(ask())


def test_the_killed_server_leaves_no_worker_and_the_next_one_starts_them(archive, tmp_path, until):
    settings, url = settings_in(tmp_path)
    with closing(Client(url)) as client:

        def is_applied():
            with suppress(UnavailableError):
                return bool(client.apply(works(archive)))
            return False

        def answer():
            with suppress(UnavailableError):
                return int(client.invoke("work", b"hello", content_type="text/csv").text)
            return None

        with process(settings) as server:
            until(is_applied, PATIENCE_S)
            worker = answer()
            assert worker is not None
            server.kill()
            server.wait()
        until(lambda: not is_running(worker))
        with process(settings):
            other = until(answer, PATIENCE_S)
            assert is_running(other)


def is_running(worker):
    try:
        os.kill(worker, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_monitor_finds_a_planted_fault(start, trained, tmp_path):
    with start(tmp_path) as server:
        serverless = {"serverless_config": config(), "trust_event_time": True}
        server.apply(
            *trained.flights(**serverless),
            resource("Monitor", "flights", endpoint="flights", baseline="flights"),
        )
        rows = trained.inputs.head(480)
        server.send_hours(rows, DAY - timedelta(days=1))
        server.send_hours(rows.assign(distance=rows["distance"] * 1000), DAY)

        days = [DAY - timedelta(days=1), DAY]
        ran = [
            server.client.post(
                "/api/v1/monitors/flights/run",
                json={"from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat()},
            ).json()
            for day in days
        ]
        table = Dataset(str(server.root), "flights").open().to_table(["feature_distance"])

    assert [one["row_count"] for one in ran] == [480, 480]
    assert [one["status"] for one in ran] == ["Completed", "CompletedWithViolations"]
    assert ran[1]["cause"].startswith("distance:")
    expected = pd.concat([rows["distance"], rows["distance"] * 1000])
    assert sorted(table["feature_distance"].to_pylist()) == sorted(expected)


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        ({"serverless_config": config() | {"memory_size_in_mb": 1500}}, "memory_size_in_mb 1500"),
        ({"serverless_config": config() | {"memory_size_in_mb": 512}}, "memory_size_in_mb 512"),
        ({"serverless_config": config() | {"memory_size_in_mb": 7168}}, "memory_size_in_mb 7168"),
        ({"serverless_config": config(0)}, "max_concurrency 0"),
        ({"serverless_config": config(201)}, "max_concurrency 201"),
        ({"serverless_config": config(provisioned_concurrency=0)}, "provisioned_concurrency 0"),
        ({"serverless_config": {"memory_size_in_mb": 1024}}, "max_concurrency is missing"),
        (
            {"serverless_config": config(provisioned_concurrency=4)},
            "provisioned_concurrency 4 and max_concurrency 3; expected at most as many",
        ),
        (
            {"serverless_config": config(), "initial_instance_count": 2},
            "initial_instance_count beside serverless_config",
        ),
        (
            {
                "shadow_production_variants": [
                    {"variant_name": "b", "model_name": "work", "serverless_config": config()}
                ]
            },
            "production variants only",
        ),
    ],
)
def test_what_cannot_be_is_refused(server, archive, endpoint, sentence):
    refused = server.apply(
        resource("Model", "work", path=str(archive)),
        resource("Endpoint", "work", model="work", **endpoint),
    )

    assert refused.status_code == 400
    assert sentence in server.error_of(refused)["message"]


def test_several_models_are_refused(server, archive):
    parts = [{"model_name": "work"}, {"model_name": "work"}]
    refused = server.apply(
        resource("Model", "work", path=str(archive)),
        resource("Model", "line", mode="Serial", containers=parts),
        resource("Endpoint", "work", model="line", serverless_config=config()),
    )

    assert server.error_of(refused)["message"] == (
        'Endpoint "work": spec.serverless_config with Model "line" of mode Serial; expected a '
        "Model of mode SingleModel, or no serverless_config"
    )


def test_an_endpoint_becomes_serverless_and_back(server, archive, until):
    plain = resource("Endpoint", "work", model="work")
    server.apply(resource("Model", "work", path=str(archive)), plain)
    (worker,) = server.worker_ids()

    server.apply(*works(archive))
    until(lambda: server.worker_ids() == [])
    assert int(server.invoke("work", "hello").text) != worker

    server.apply(plain)
    until(lambda: len(server.worker_ids()) == 1)
    assert server.invoke("work", "hello").status_code == 200
