"""The server's own traffic as metrics: every invocation once, whatever the database does."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.serving.hosting.usage import Workers
from driftline.serving.metrics import traffic
from driftline.serving.metrics.traffic import INSTANCES, NAMESPACE, Answered, Traffic
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


def minute_of(clock: Clock) -> int:
    return int(clock().timestamp() // 60)


def let_pass(
    counted: Traffic, clock: Clock, work: Callable[[], object] = lambda: None, minutes: int = 1
) -> None:
    """Look at the workers, do some work, let minutes pass, and write what is known of them."""

    async def pass_() -> None:
        await counted._sample(minute_of(clock))
        work()
        for _ in range(minutes):
            clock.advance(minutes=1)
            await counted._sample(minute_of(clock))
            await counted._sample(minute_of(clock))  # Twice in a minute is as once.
        await counted._write(None)

    asyncio.run(pass_())


def test_each_minute_is_told_with_its_errors_and_times(engine: Engine) -> None:
    clock = Clock(NOW)
    counted = Traffic(engine, clock, CollectorRegistry())

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


def test_what_could_not_be_written_is_written_once_later(engine, monkeypatch) -> None:
    clock = Clock(NOW)
    counted = Traffic(engine, clock, CollectorRegistry())
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


def test_of_a_minute_in_which_a_server_began_it_tells_no_share_of_a_worker(engine: Engine) -> None:
    clock = Clock(NOW + timedelta(seconds=50))
    workers = [Workers("flights", "all", [os.getpid()])]
    counted = Traffic(engine, clock, CollectorRegistry(), lambda: workers)

    let_pass(counted, clock, minutes=2)

    assert [*read(engine, "InvocationsPerInstance")] == [1]


def test_a_minute_that_ends_while_workers_are_looked_at_is_told_as_a_whole(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "_LOOK_S", 0.005)
    clock = Clock(NOW)

    def workers() -> list[Workers]:
        """Answer a call in each half of a minute, and let that pass."""
        counted.observe(ok(), 0.01)
        clock.advance(seconds=30)
        return [Workers("flights", "all", [os.getpid()])]

    counted = Traffic(engine, clock, CollectorRegistry(), workers)
    asyncio.run(run_while(counted, lambda: None, lambda: clock() >= NOW + timedelta(minutes=6)))

    shares = read(engine, "InvocationsPerInstance")
    assert [(shares[minute].sum, shares[minute].sample_count) for minute in (1, 2, 3)] == [
        (2.0, 2.0)
    ] * 3


@pytest.mark.parametrize("container", ["", "first"])
def test_what_workers_use_is_told_of_the_minute_that_is_over(
    engine: Engine, container: str
) -> None:
    clock, own = Clock(NOW), os.getpid()
    workers = [
        Workers("flights", "all", [own], container),
        Workers("flights", "canary", [own, own]),
    ]
    counted = Traffic(engine, clock, CollectorRegistry(), lambda: workers)

    def work() -> None:
        counted.observe(ok()._replace(status=500, variant="canary"), 0.01)
        counted.observe(Answered(429, "flights", "canary"), 0.01)

    let_pass(counted, clock, work)

    named = {**FLIGHTS, **({"ContainerName": container} if container else {})}
    for name in ("CPUUtilization", "MemoryUtilization"):
        (found,) = read(engine, name, namespace=INSTANCES, **named).values()
        assert found.sample_count == 1
        assert found.minimum >= 0
    canary = {**FLIGHTS, "VariantName": "canary"}
    assert read(engine, "MemoryUtilization", namespace=INSTANCES, **canary)[0].sample_count == 2
    silent = [
        (one.sum, one.sample_count) for one in read(engine, "InvocationsPerInstance").values()
    ]
    assert silent == [(0.0, 1.0)]
    share = read(engine, "InvocationsPerInstance", **canary)[0]
    assert (share.sum, share.sample_count) == (1.0, 2.0)
    # What was refused before the model was asked is no error of the model's.
    failed = read(engine, "InvocationModelErrors", **canary)[0]
    assert (failed.sum, failed.sample_count) == (1.0, 2.0)


def test_of_two_fleets_a_worker_s_share_is_of_both_together_and_of_each(engine: Engine) -> None:
    clock, own = Clock(NOW), os.getpid()
    workers = [
        Workers("flights", "all", [own] * 3, open_count=9, fleet="old"),
        Workers("flights", "all", [own], open_count=1, fleet="new"),
    ]
    counted = Traffic(engine, clock, CollectorRegistry(), lambda: workers)

    def work() -> None:
        counted._count_open(minute_of(clock))
        for fleet in ["old"] * 18 + ["new"] * 2:
            counted.observe(ok()._replace(fleet=fleet), 0.01)

    let_pass(counted, clock, work)

    def of(name: str, statistic: str) -> list[float]:
        fleets = [{}, {"EndpointConfigName": "old"}, {"EndpointConfigName": "new"}]
        return [read(engine, name, **FLIGHTS | fleet)[0].get(statistic) for fleet in fleets]

    assert of("Invocations", "Sum") == [20.0, 18.0, 2.0]
    assert of("InvocationsPerInstance", "Sum") == [5.0, 6.0, 2.0]
    assert of("ConcurrentRequestsPerModel", "Average") == [2.5, 3.0, 1.0]
