import asyncio
import importlib
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator

import joblib
import pytest

from driftline.serving.hosting.admission import BusyError, Limits, TimedOutError
from driftline.serving.hosting.child import Child, LoadError, WorkerLostError
from driftline.serving.hosting.pool import Pool, describe_model
from driftline.serving.hosting.worker_output import LogFile, read_lines
from driftline.serving.resources.worker_spec import WorkerSpec


class Loop:
    """An event loop in a thread, with one running pool: workers take seconds to start."""

    def __init__(self, launch: WorkerSpec, limits: Limits) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.pool = Pool("slow", launch, limits)
        self.run(lambda: self.pool.start())

    def run(self, act: Callable[[], Awaitable[object]]) -> object:
        async def whole() -> object:
            return await act()

        return asyncio.run_coroutine_threadsafe(whole(), self._loop).result(60)

    def close(self) -> None:
        self.run(lambda: self.pool.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def slow(slow_model) -> WorkerSpec:
    return WorkerSpec(str(slow_model), trust_pickle=True)


@pytest.fixture(scope="module")
def two(slow_model) -> Iterator[Loop]:
    loop = Loop(
        WorkerSpec(str(slow_model), trust_pickle=True),
        Limits(minimum=2, open_requests=20),
    )
    yield loop
    loop.close()


def ids(pool: Pool) -> list[int]:
    return [child.process_id for child in pool.children]


async def _both_ready(pool: Pool) -> list[Child]:
    while len(pool.children) < 2:
        await asyncio.sleep(0.02)
    return list(pool.children)


async def _busy(pool: Pool) -> Child:
    """Return a worker that has a request."""
    while not (found := [child for child in pool.children if child.waiting_count]):
        await asyncio.sleep(0)
    return found[0]


def test_requests_of_killed_workers_are_answered_by_the_next_ones(two):
    async def act():
        children = await _both_ready(two.pool)
        asked = [asyncio.create_task(two.pool.invoke("csv", "csv", b"0.3")) for _ in range(5)]
        await asyncio.sleep(0.1)
        for child in children:
            os.kill(child.process_id, signal.SIGKILL)
        return await asyncio.gather(*asked)

    assert [(reply.status, reply.body) for reply in two.run(act)] == [(200, b"0\n")] * 5


def test_a_request_that_ends_its_worker_twice_is_given_up_and_others_are_not(two):
    async def act():
        await _both_ready(two.pool)
        return await asyncio.gather(
            two.pool.invoke("csv", "csv", b"-1"),
            *(two.pool.invoke("csv", "csv", b"0.01") for _ in range(4)),
            return_exceptions=True,
        )

    poison, *others = two.run(act)

    assert isinstance(poison, WorkerLostError)
    assert [reply.status for reply in others] == [200] * 4


def test_more_open_requests_than_the_limit_are_told_to_come_again(two):
    async def act():
        await _both_ready(two.pool)
        asked = [asyncio.create_task(two.pool.invoke("csv", "csv", b"0.1")) for _ in range(20)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await two.pool.invoke("csv", "csv", b"0")
        return await asyncio.gather(*asked)

    assert [reply.status for reply in two.run(act)] == [200] * 20


def test_requests_that_wait_are_predicted_together_and_answered_apart(slow_model, tmp_path):
    joblib.dump(importlib.import_module("slow_model").Counting().fit(), tmp_path / "c.joblib")

    async def act():
        launch = WorkerSpec(str(tmp_path / "c.joblib"), trust_pickle=True)
        pool = Pool("counting", launch, Limits(timeout_s=60))
        await pool.start()
        try:
            asked = [asyncio.create_task(pool.invoke("csv", "csv", b"0.3"))]
            await _busy(pool)
            asked += [asyncio.create_task(pool.invoke("csv", "csv", b"0\n" * 2)) for _ in "abcd"]
            asked += [asyncio.create_task(pool.invoke("json", "csv", b"[[0.3]")) for _ in "ab"]
            asked += [asyncio.create_task(pool.invoke("csv", "csv", b"0\n" * 2)) for _ in "abcd"]
            return await asyncio.gather(*asked)
        finally:
            await pool.stop()

    replies = asyncio.run(act())

    answers = [reply.body.split() for reply in replies if reply.status == 200]
    assert [len(answer) for answer in answers] == [1, *[2] * 8]
    assert [reply.status for reply in replies].count(400) == 2
    # Each row is answered by the number of rows that were predicted at once.
    assert max(int(answer[0]) for answer in answers) > 2


def test_a_hung_worker_is_ended_after_the_time_limit_and_all_end_with_the_pool(slow, tmp_path):
    log_file = LogFile(tmp_path, "slow")

    async def act():
        pool = Pool("slow", slow, Limits(timeout_s=0.5), log_file=log_file)
        await pool.start()
        first = ids(pool)
        with pytest.raises(TimedOutError, match=r"within 0\.5 s"):
            await pool.invoke("csv", "csv", b"60")
        while ids(pool) in ([], first):
            await asyncio.sleep(0.02)
        last = ids(pool)
        # The limit was for who hangs; the new worker's first answer may take longer.
        pool.limits = Limits(timeout_s=60)
        reply = await pool.invoke("csv", "csv", b"0")
        await pool.stop()
        return first, last, reply

    first, last, reply = asyncio.run(act())

    assert reply.status == 200
    how = "the worker did not answer within 0.5 s and was ended"
    assert [(line.worker, line.message) for line in read_lines(tmp_path, limit=9)] == [
        (first[0], how)
    ]
    for process in (*first, *last):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_who_comes_just_behind_a_request_that_hangs_is_answered_by_the_next_worker(slow):
    async def act():
        pool = Pool("slow", slow, Limits(timeout_s=5))
        await pool.start()
        hangs = asyncio.create_task(pool.invoke("csv", "csv", b"60"))
        await _busy(pool)
        near = [asyncio.create_task(pool.invoke("csv", "csv", b"0")) for _ in range(5)]
        with pytest.raises(TimedOutError):
            await hangs
        replies = await asyncio.gather(*near)
        await pool.stop()
        return replies

    assert [reply.status for reply in asyncio.run(act())] == [200] * 5


def test_a_pool_that_is_made_smaller_while_it_starts_is_started(slow):
    async def act():
        pool = Pool("slow", slow, Limits(minimum=2, timeout_s=60))
        starting = asyncio.create_task(pool.start())
        await asyncio.sleep(0)
        pool.resize(Limits(minimum=1, timeout_s=60))
        await starting
        reply = await pool.invoke("csv", "csv", b"0")
        await pool.stop()
        return reply

    assert asyncio.run(act()).status == 200


def test_a_model_that_cannot_be_served_or_is_too_slow_to_load_is_refused(slow, tmp_path):
    (tmp_path / "m.skops").write_bytes(b"no")

    for spec, timeout_s in ((WorkerSpec(str(tmp_path / "m.skops")), 30), (slow, 0)):
        with pytest.raises(LoadError):
            asyncio.run(describe_model(spec, timeout_s=timeout_s))
