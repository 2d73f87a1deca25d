"""What becomes of the pools that are replaced, and that could not start."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from driftline.serving.hosting import endpoint_reconciler
from driftline.serving.hosting.child import Launch
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.hosting.pool import Limits, NoWorkerError, Pool
from tests.serving.hosting.test_pool import Silent, silent_pool


def reconciler_of(fetch: Any = None) -> Any:
    models = SimpleNamespace(fetch=fetch)
    context: Any = SimpleNamespace(engine=None, models=models)
    return EndpointReconciler(context)


def test_a_model_that_is_replaced_answers_what_it_was_asked_however_long_it_takes(monkeypatch):
    monkeypatch.setattr(endpoint_reconciler, "DRAIN_S", 0.0)

    async def act() -> tuple[bool, int]:
        reconciler = reconciler_of()
        pool, child = silent_pool(Limits())
        asked = asyncio.create_task(pool.invoke("csv", "csv", b"30"))
        await asyncio.sleep(0)
        desired = SimpleNamespace(model_files=[], is_shadow=False)
        reconciler._retire(SimpleNamespace(pool=pool, desired=desired))
        (stopping,) = reconciler._stopping
        await asyncio.wait([stopping], timeout=0.2)
        was_stopped = stopping.done()
        await child.answer(b"1")
        reply = await asked
        await stopping
        return was_stopped, reply.status

    assert asyncio.run(act()) == (False, 200)


def test_a_pool_that_is_replaced_gets_no_more_time_than_the_server_that_ends():
    async def act() -> None:
        pool, _ = silent_pool(Limits())
        asked = asyncio.create_task(pool.invoke("csv", "csv", b"30"))
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await asyncio.gather(pool.stop(drain_s=3600.0), pool.stop(drain_s=0.1))
        asked.cancel()

    asyncio.run(act())


def test_a_request_to_a_pool_that_was_stopped_waits_for_no_worker():
    async def act() -> None:
        pool = Pool("slow", Launch(""), Limits(wait_s=60))
        await pool.stop()
        async with asyncio.timeout(10):
            await pool.invoke("csv", "csv", b"1")

    with pytest.raises(NoWorkerError, match="cannot be served"):
        asyncio.run(act())


class Loaded(Silent):
    """A process that has loaded a model to see whether it can be."""

    was_stopped = False

    async def stop(self) -> None:
        self.was_stopped = True


def test_a_process_that_was_loaded_for_a_pool_that_never_starts_is_stopped():
    def away(_file: str) -> None:
        raise OSError("the bucket is away")

    async def act() -> bool:
        reconciler, first = reconciler_of(away), Loaded()
        pool = Pool("flights", Launch(""), Limits(), first=first)
        key = "flights", "blue"
        desired: Any = SimpleNamespace(key=key, endpoint="flights", model_files=["m"])
        await reconciler._start(key, desired, pool)
        reconciler._start_again()  # Something else is declared by now.
        await asyncio.gather(*reconciler._stopping)
        return first.was_stopped

    assert asyncio.run(act())


class Loading:
    """A pool whose model is loaded once the test says so."""

    launch, limits, is_ready = "launch", "limits", False

    def __init__(self) -> None:
        self.may_run = asyncio.Event()

    async def start(self) -> None:
        await self.may_run.wait()


def test_changes_beside_each_other_begin_nothing_anew_and_the_last_weight_holds(monkeypatch):
    monkeypatch.setattr(endpoint_reconciler, "launch_of", lambda *_: Loading.launch)
    monkeypatch.setattr(endpoint_reconciler, "limits_of", lambda *_: Loading.limits)
    made: list[Loading] = []
    monkeypatch.setattr(
        endpoint_reconciler, "make_pool", lambda *_: made.append(Loading()) or made[-1]
    )
    first, then = (
        SimpleNamespace(
            key=("flights", "blue"), endpoint="flights", name="blue", model_files=[],
            weight=weight, generation=1,
        )
        for weight in (1.0, 2.0)
    )  # fmt: skip

    async def act() -> list[tuple[float, Any]]:
        reconciler, placed = reconciler_of(), []
        monkeypatch.setattr(reconciler, "_prints_of", lambda _: None)
        monkeypatch.setattr(reconciler, "_publish", lambda: None)
        monkeypatch.setattr(
            reconciler, "_place", lambda desired, pool: placed.append((desired.weight, pool))
        )
        for desired in (first, then):
            reconciler._adopt(desired, {}, at_once=False)
            await asyncio.sleep(0)
        reconciler._declared = SimpleNamespace(variants=[then])
        made[0].may_run.set()
        await reconciler._starting[first.key][0]
        return placed

    assert asyncio.run(act()) == [(2.0, made[0])]
    assert len(made) == 1


def test_a_bucket_that_does_not_answer_leaves_the_servers_threads_alone():
    answers = threading.Event()

    async def act() -> int:
        reconciler = reconciler_of(lambda _: answers.wait())
        reconciler._leave = lambda: None
        desired = SimpleNamespace(model_files=["one"])
        started = [
            asyncio.create_task(reconciler._start(("flights", str(at)), desired, None))
            for at in range(40)
        ]
        await asyncio.sleep(0)
        try:
            return await asyncio.wait_for(asyncio.to_thread(lambda: 1), 10)
        finally:
            answers.set()
            for task in started:
                task.cancel()
            await reconciler.stop()

    assert asyncio.run(act()) == 1
