"""The server's own traffic as metrics: every invocation once, whatever the database does."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.app.client.client import Client
from driftline.errors import InputError
from driftline.serving.hosting.usage import Workers
from driftline.serving.metrics import traffic
from driftline.serving.metrics.traffic import HIT, INSTANCES, NAMESPACE, Answered, Loading, Traffic
from tests.clock import Clock
from tests.serving.conftest import NOW

FLIGHTS = {"EndpointName": "flights", "VariantName": "all"}


def read(
    engine: Engine, name: str, minutes: int = 5, namespace: str = NAMESPACE, **dimensions: str
):
    key = metric_key(namespace, name, dimensions or FLIGHTS)
    end = NOW + timedelta(minutes=minutes)
    request = SeriesRequest(key, NOW, end, 60, needs_distribution=True)
    with engine.connect() as connection:
        return read_many(connection, [request])[0]


def ok(model_s: float = 0.01) -> Answered:
    return Answered(200, "flights", "all", model_s)


async def run_while(
    one: Traffic, work: Callable[[], None], until: Callable[[], bool] = lambda: True
) -> None:
    """Do some work beside the loop; it ends when something holds, and writes what is left."""
    task = asyncio.create_task(one.run())
    await asyncio.sleep(0)
    work()
    async with asyncio.timeout(30):
        while not until():
            await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_each_minute_is_told_with_its_errors_and_times(engine: Engine) -> None:
    clock = Clock(NOW)
    counted = Traffic(engine, clock)

    def work() -> None:
        for _ in range(8):
            counted.observe(ok(0.02), 0.025)
        counted.observe(Answered(400, "flights", "all"), 0.001)
        counted.observe(Answered(503, "flights", "all"), 0.001)
        counted.observe(Answered(404), 0.001)
        clock.time += timedelta(minutes=1)
        counted.observe(ok(), 0.01)

    asyncio.run(run_while(counted, work))

    calls = read(engine, "Invocations")
    assert {minute: one.sum for minute, one in calls.items()} == {0: 10.0, 1: 1.0}
    assert (calls[0].minimum, calls[0].maximum) == (1.0, 1.0)
    for name in ("Invocation4XXErrors", "Invocation5XXErrors"):
        found = read(engine, name)
        assert (found[0].sum, found[0].get("Average"), found[0].maximum) == (1.0, 0.1, 1.0)
        assert (found[1].sum, found[1].maximum) == (0.0, 0.0)
    latency = read(engine, "ModelLatency")
    assert latency[0].sample_count == 8
    assert latency[0].get("Average") == pytest.approx(20_000)
    assert read(engine, "OverheadLatency")[0].get("p99") == pytest.approx(5_000)


def test_a_busy_minute_keeps_its_percentiles_within_half_a_percent(engine: Engine) -> None:
    counted = Traffic(engine, Clock(NOW))
    times = np.random.default_rng(6).lognormal(-4, 1, 20_001)

    def work() -> None:
        for seconds in times:
            counted.observe(ok(float(seconds)), float(seconds) + 0.001)

    asyncio.run(run_while(counted, work))

    found = read(engine, "ModelLatency")[0]
    assert found.sample_count == len(times)
    assert found.get("Average") == pytest.approx(times.mean() * 1e6, rel=0.005)
    for p in (1, 50, 99, 99.9):
        true = np.percentile(times, p, method="inverted_cdf") * 1e6
        assert found.get(f"p{p}") == pytest.approx(true, rel=0.005001)


def test_what_could_not_be_written_is_written_once_later(engine, monkeypatch) -> None:
    clock = Clock(NOW)
    counted = Traffic(engine, clock)
    monkeypatch.setattr(traffic, "_LOOK_S", 0.005)
    really_store = counted._store
    attempts = []

    def store_badly(request_id, part):
        """Fail before, then after it was stored: the caller sees no difference."""
        attempts.append(request_id)
        if len(attempts) > 1:
            really_store(request_id, part)
        if len(attempts) < 3:
            raise OperationalError("x", None, Exception())

    counted._store = store_badly

    def work() -> None:
        counted.observe(ok(), 0.02)
        clock.time += timedelta(minutes=1)

    asyncio.run(run_while(counted, work, lambda: len(attempts) == 3 and not counted._waiting))

    assert len(attempts) == 3
    assert len(set(attempts)) == 1
    assert read(engine, "Invocations")[0].sum == 1.0
    assert counted.counters == {"left_out": 0, "failures": 2}


def test_what_there_is_no_room_for_is_counted(engine: Engine, monkeypatch) -> None:
    clock = Clock(NOW)
    counted = Traffic(engine, clock)
    monkeypatch.setattr(traffic, "_MINUTES_MAX", 3)
    monkeypatch.setattr(traffic, "_MINUTES_AT_ONCE", 1)

    def fail(_request_id, _part):
        raise OperationalError("x", None, Exception())

    counted._store = fail

    def work() -> None:
        for _ in range(5):
            counted.observe(ok(), 0.02)
            counted.observe(ok(), 0.02)
            clock.time += timedelta(minutes=1)

    asyncio.run(run_while(counted, work))
    assert counted.counters["left_out"] == 4

    asyncio.run(run_while(counted, work))
    assert counted.counters["left_out"] == 14
    assert sum(len(part) for _, part in counted._waiting) == 3


def test_what_no_metric_can_be_made_of_holds_up_nothing(engine: Engine) -> None:
    counted = Traffic(engine, Clock(NOW))

    def work() -> None:
        counted.observe(Answered(200, "Größe", "all", 0.01), 0.02)

    asyncio.run(run_while(counted, work))
    asyncio.run(run_while(counted, lambda: counted.observe(ok(), 0.02)))

    assert counted.counters == {"left_out": 1, "failures": 0}
    assert read(engine, "Invocations")[0].sum == 1.0


def test_a_server_tells_of_its_endpoints_when_it_stops(start, trained, tmp_path) -> None:
    with start(tmp_path) as server:
        assert server.apply(*trained.flights()).status_code == 200
        for _ in range(3):
            assert server.invoke("flights", trained.csv(slice(0, 2))).status_code == 200
        assert server.invoke("flights", b"1,2").status_code == 400
    with start(tmp_path) as server, Client(server.url) as client:
        listed = client.metrics(namespace=NAMESPACE, dimensions={"EndpointName": "flights"})
        names = [one["metric_name"] for one in listed]
        (calls,) = client.metric_statistics(
            NAMESPACE, "Invocation4XXErrors", NOW, NOW + timedelta(minutes=1),
            dimensions=listed[0]["dimensions"], statistics=["Sum", "SampleCount"],
        )  # fmt: skip
        with pytest.raises(InputError):
            client.metric_statistics(NAMESPACE, "Invocations", NOW, NOW)
    assert sorted(names) == [
        "Invocation4XXErrors",
        "Invocation5XXErrors",
        "InvocationModelErrors",
        "Invocations",
        "ModelLatency",
        "OverheadLatency",
    ]
    assert (calls["sum"], calls["sample_count"]) == (1.0, 4.0)


@pytest.mark.parametrize("container", ["", "first"])
def test_what_workers_use_is_told_of_the_minute_that_is_over(
    engine: Engine, container: str
) -> None:
    clock, own = Clock(NOW), os.getpid()
    workers = [
        Workers("flights", "all", [own], container),
        Workers("flights", "canary", [own, own]),
    ]
    counted = Traffic(engine, clock, lambda: workers)

    def work() -> None:
        counted.observe(ok(), 0.01)
        counted.observe(ok()._replace(status=500, variant="canary"), 0.01)
        counted.observe(Answered(429, "flights", "canary"), 0.01)

    async def over_a_minute() -> None:
        await counted._sample()
        work()
        clock.time += timedelta(minutes=1)
        await counted._sample()
        await counted._sample()
        await counted._write(None)

    asyncio.run(over_a_minute())

    named = {**FLIGHTS, **({"ContainerName": container} if container else {})}
    for name in ("CPUUtilization", "MemoryUtilization"):
        (found,) = read(engine, name, namespace=INSTANCES, **named).values()
        assert found.sample_count == 1
        assert found.minimum >= 0
    canary = {**FLIGHTS, "VariantName": "canary"}
    assert read(engine, "MemoryUtilization", namespace=INSTANCES, **canary)[0].sample_count == 2
    share = read(engine, "InvocationsPerInstance", **canary)[0]
    assert (share.sum, share.sample_count) == (1.0, 2.0)
    # What was refused before the model was asked is no error of the model's.
    failed = read(engine, "InvocationModelErrors", **canary)[0]
    assert (failed.sum, failed.sample_count) == (1.0, 2.0)


def test_what_it_took_to_have_one_of_many_models_is_told_by_sagemakers_names(
    engine: Engine,
) -> None:
    workers = Workers("flights", "all", [], model_counts=(3, 5))
    counted = Traffic(engine, Clock(NOW), lambda: [workers])

    def work() -> None:
        for _ in range(3):
            counted.observe(ok()._replace(loading=HIT), 0.01)
        missed = Loading(
            is_hit=False, wait_s=0.5, download_s=0.1, load_s=0.3, unload_s=(0.01, 0.02)
        )
        counted.observe(ok()._replace(loading=missed), 0.6)
        # One that came while the model was being loaded for another.
        counted.observe(ok()._replace(loading=Loading(is_hit=False, wait_s=0.2)), 0.3)

    asyncio.run(counted._sample())
    asyncio.run(counted._sample())
    asyncio.run(run_while(counted, work))

    hits = read(engine, "ModelCacheHit")[0]
    assert (hits.sum, hits.sample_count, hits.get("Average")) == (3.0, 5.0, 0.6)
    for name, count, total_us in (
        ("ModelLoadingWaitTime", 2, 700_000), ("ModelDownloadingTime", 1, 100_000),
        ("ModelLoadingTime", 1, 300_000), ("ModelUnloadingTime", 2, 30_000),
    ):  # fmt: skip
        found = read(engine, name)[0]
        assert (name, found.sample_count, found.sum) == (name, count, pytest.approx(total_us))
    loaded = read(engine, "LoadedModelCount", namespace=INSTANCES)[0]
    assert (loaded.sample_count, loaded.minimum, loaded.maximum) == (2, 3.0, 5.0)
