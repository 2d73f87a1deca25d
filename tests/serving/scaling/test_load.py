"""Real workers follow a real load up and down, and no call fails."""

import threading
from collections import Counter

import httpx
import pytest

from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from tests.clock import Clock
from tests.serving.conftest import NOW, resource

CALLS = 20_000
BUSY, QUIET = 3_600, 100  # Calls a minute; one worker is to have 1,000.
THREADS = 4


class Callers:
    """Send as many calls as they are let, and count what came of each."""

    def __init__(self, url: str, body: str) -> None:
        self.statuses: Counter[int] = Counter()
        self._left, self._url, self._body = threading.Semaphore(0), url, body
        self._ends, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(THREADS)]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._left.release(THREADS)
        for thread in self._threads:
            thread.join()

    def let(self, count: int) -> None:
        self._left.release(count)

    def _call(self) -> None:
        headers = {"content-type": "text/csv"}
        with httpx.Client(base_url=self._url, timeout=60, headers=headers) as client:
            while self._left.acquire() and not self._ends.is_set():
                answer = client.post("/endpoints/flights/invocations", content=self._body)
                with self._lock:
                    self.statuses[answer.status_code] += 1


@pytest.mark.full
def test_workers_follow_the_load_from_one_to_four_and_back_without_a_failed_call(
    start, tmp_path, trained, until
):
    clock = Clock(NOW)
    metric = {"predefined_metric_type": "SageMakerVariantInvocationsPerInstance"}
    tracking = {"target_value": 1_000, "predefined_metric_specification": metric}
    policy = {"policy_name": "load", "target_tracking_scaling_policy_configuration": tracking}
    model, _, _ = trained.flights()
    with start(tmp_path, now=clock) as server:
        answer = server.apply(
            model,
            resource("Endpoint", "flights", model="flights"),
            resource("ScalingPolicy", "flights", endpoint="flights", max_capacity=4,
                     policies=[policy]),
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        evaluator = Evaluator(server.engine, now=clock)

        def workers() -> int:
            found = server.client.get("/api/v1/endpoints/flights").json()
            return found["status"]["variants"][0]["instance_count"]

        def written(minute) -> bool:
            key = metric_key(
                "AWS/SageMaker", "Invocations",
                {"EndpointName": "flights", "VariantName": "AllTraffic"},
            )  # fmt: skip
            with server.engine.connect() as connection:
                return bool(read_many(connection, [SeriesRequest(key, minute, clock(), 60)])[0])

        with Callers(server.url, trained.csv(slice(0, 1))) as callers:
            sent = 0

            def minute(calls: int) -> int:
                """Let a minute of calls pass; return the workers at its end."""
                nonlocal sent
                before, sent = clock(), sent + calls
                callers.let(calls)
                until(lambda: callers.statuses.total() == sent, 300)
                clock.advance(minutes=1)
                until(lambda: written(before))
                evaluator.step()
                return workers()

            up = [minute(BUSY) for _ in range(5)]
            until(lambda: workers() == 4)
            down = [minute(QUIET) for _ in range(16)]
            # Calls go on while three of four workers leave.
            minute(CALLS - sent)
            until(lambda: workers() == 1)
            history = server.client.get("/api/v1/endpoints/flights/scaling-activities").json()

        assert callers.statuses == {200: CALLS}
        assert (up[0], down[0]) == (1, 4)
        changes = [
            (one["capacity_before"], one["capacity"], one["status"]) for one in history["items"]
        ]
        assert changes == [(4, 1, "Successful"), (1, 4, "Successful")]
        until(lambda: len(server.worker_ids()) == 1)
