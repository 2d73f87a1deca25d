"""What becomes of the pools that are replaced, that could not start, and that are on trial."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from driftline.serving.hosting import endpoint_reconciler
from driftline.serving.hosting.child import Child, Launch, LoadError, WorkerLostError
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.hosting.pool import Limits, NoWorkerError, Pool
from driftline.serving.hosting.rehearsal import TrialPool
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


def test_a_model_on_trial_that_ends_its_process_is_refused_and_not_tried_again(monkeypatch):
    async def start() -> Child:
        raise WorkerLostError("the model's process ended while it loaded the model")

    monkeypatch.setattr(Child, "start", start)
    pool = TrialPool("flights", Launch("", name="candidate"), Limits())

    with pytest.raises(LoadError, match=r'model "candidate": .*process ended'):
        asyncio.run(asyncio.wait_for(pool.start(), 10))
