import asyncio
import importlib
import math
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import joblib
import pytest

from driftline.orphans import children
from driftline.serving.hosting.child import Child, Launch, LoadError, WorkerLostError
from driftline.serving.hosting.containers import Container, ContainersPool
from driftline.serving.hosting.frames import FrameReader, pack
from driftline.serving.hosting.log_file import LogFile
from driftline.serving.hosting.log_lines import read_lines
from driftline.serving.hosting.pool import (
    BusyError,
    Limits,
    NoWorkerError,
    Pool,
    Slot,
    TimedOutError,
    describe_model,
)


class Loop:
    """An event loop in a thread, with one running pool: workers take seconds to start."""

    def __init__(self, launch: Launch, limits: Limits) -> None:
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
def slow(slow_model) -> Launch:
    return Launch(str(slow_model), trust_pickle=True)


@pytest.fixture(scope="module")
def two(slow_model) -> Iterator[Loop]:
    loop = Loop(
        Launch(str(slow_model), trust_pickle=True), Limits(workers=2, open_requests=20, wait_s=30)
    )
    yield loop
    loop.close()


async def _both_ready(pool: Pool) -> list[Child]:
    while len(pool._children) < 2:
        await asyncio.sleep(0.02)
    return list(pool._children)


async def _busy(pool: Pool) -> Child:
    """Return a worker that has a request."""
    while not (found := [child for child in pool._children if child.waiting_count]):
        await asyncio.sleep(0)
    return found[0]


def test_a_killed_worker_leaves_its_requests_to_the_other_one(two):
    async def act():
        await _both_ready(two.pool)
        busy = asyncio.create_task(two.pool.invoke("csv", "csv", b"0.4"))
        victim = await _busy(two.pool)
        os.kill(victim.process_id, signal.SIGKILL)
        return victim, await busy

    victim, reply = two.run(act)

    assert (reply.status, reply.body) == (200, b"0\n")
    assert victim.process_id not in two.pool.process_ids


def test_when_all_workers_are_killed_requests_wait_for_new_ones(two):
    async def act():
        children = await _both_ready(two.pool)
        asked = [asyncio.create_task(two.pool.invoke("csv", "csv", b"0.3")) for _ in range(5)]
        await asyncio.sleep(0.1)
        for child in children:
            os.kill(child.process_id, signal.SIGKILL)
        return await asyncio.gather(*asked)

    assert [reply.status for reply in two.run(act)] == [200] * 5


def test_all_that_a_worker_takes_with_it_is_one_line_a_minute(slow, caplog):
    pool = Pool("alone", slow, Limits(timeout_s=60, wait_s=60))

    async def lose(count):
        asked = [asyncio.create_task(pool.invoke("csv", "csv", b"0.1")) for _ in range(count)]
        while (await _busy(pool)).waiting_count < count:
            await asyncio.sleep(0)
        pool._children[0].kill()
        return [(await one).status for one in asked]

    async def act():
        await pool.start()
        statuses = await lose(5) + await lose(2) + await lose(1)
        await pool.stop()
        return statuses

    assert asyncio.run(act()) == [200] * 8
    # Those of other tests' pools, which have a minute of their own, may come meanwhile.
    assert [text for text in caplog.messages if "endpoint=alone event=lost" in text] == [
        "endpoint=alone event=lost requests=5",
        "endpoint=alone event=lost requests=3",  # At the end of the pool, or of the minute.
    ]


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
        with pytest.raises(BusyError, match="20 open requests"):
            await two.pool.invoke("csv", "csv", b"0")
        return await asyncio.gather(*asked)

    assert [reply.status for reply in two.run(act)] == [200] * 20


def test_requests_that_wait_are_predicted_together_and_answered_apart(slow_model, tmp_path):
    joblib.dump(importlib.import_module("slow_model").Counting().fit(), tmp_path / "c.joblib")

    async def act():
        launch = Launch(str(tmp_path / "c.joblib"), trust_pickle=True)
        pool = Pool("counting", launch, Limits(timeout_s=60, wait_s=60))
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


def test_a_worker_whose_model_leaves_many_ended_processes_is_replaced(slow_model, tmp_path, until):
    module = importlib.import_module("slow_model")
    file = tmp_path / "forking.joblib"
    joblib.dump(module.Forking().fit(), file)
    pool = Pool("forking", Launch(str(file), trust_pickle=True), Limits(timeout_s=60, wait_s=60))

    async def ask(count):
        return int(float((await pool.invoke("csv", "csv", str(count).encode())).body))

    async def act():
        await pool.start()
        child = pool._children[0]
        first = await ask(9)
        had = len(children(first))
        answering = [await ask(1100)]
        async with asyncio.timeout(60):
            while answering[-1] == first:  # Each one is answered, by whichever worker there is.
                answering.append(await ask(0))
                await asyncio.sleep(0.2)
        left = children(answering[-1])
        await pool.stop()
        return first, had, answering[0], left, child.left

    first, had, asked, left, has_said_so = asyncio.run(act())

    assert (had, left) == (9, [])  # A few are the model's business.
    assert asked == first
    assert has_said_so
    until(lambda: not Path("/proc", str(first)).exists())


def test_a_worker_that_said_that_it_leaves_is_replaced_without_a_pause(slow, monkeypatch):
    monkeypatch.setattr("driftline.serving.hosting.pool.FIRST_PAUSE_S", 1000.0)
    pool = Pool("slow", slow, Limits(timeout_s=10, wait_s=10))

    async def act():
        await pool.start()
        for _ in range(4):
            child = pool._children[0]
            child.left = True
            child.kill()
            await child.gone.wait()
            async with asyncio.timeout(10):
                await pool._any_ready.wait()
        await pool.stop()

    asyncio.run(act())


def test_a_worker_that_answers_others_is_replaced_at_once_however_often_one_ends_it(
    slow, monkeypatch
):
    monkeypatch.setattr("driftline.serving.hosting.pool.FIRST_PAUSE_S", 1000.0)
    pool = Pool("slow", slow, Limits(timeout_s=10, wait_s=10))

    async def act():
        await pool.start()
        for _ in range(4):
            assert (await pool.invoke("csv", "csv", b"0")).status == 200
            child = pool._children[0]
            child.kill()
            await child.gone.wait()
        await pool.stop()

    asyncio.run(act())


@pytest.mark.parametrize(
    "fault", [LoadError("no space left"), RuntimeError("can't start new thread")]
)
def test_a_fault_that_passes_when_a_worker_is_started_again_gives_nothing_up(
    slow, monkeypatch, fault
):
    pool = Pool("slow", slow, Limits(timeout_s=10, wait_s=10))
    faults = [fault]

    async def act():
        await pool.start()
        load = pool._loaded

        async def loaded():
            if faults:
                raise faults.pop()
            return await load()

        monkeypatch.setattr(pool, "_loaded", loaded)
        child = pool._children[0]
        child.kill()
        await child.gone.wait()
        while faults:
            await asyncio.sleep(0)
        with pytest.raises(NoWorkerError, match=str(fault)):  # At once, not by its time limit.
            await pool.invoke("csv", "csv", b"0")
        async with asyncio.timeout(20):
            while not pool.is_ready:
                await asyncio.sleep(0.05)
        status = (await pool.invoke("csv", "csv", b"0")).status
        await pool.stop()
        return status

    assert asyncio.run(act()) == 200


def test_a_hung_worker_is_ended_after_the_time_limit_and_all_end_with_the_pool(slow, tmp_path):
    prints = LogFile(tmp_path, "slow")

    async def act():
        pool = Pool("slow", slow, Limits(timeout_s=0.5, wait_s=30), prints=prints)
        await pool.start()
        first = pool.process_ids
        with pytest.raises(TimedOutError, match=r"within 0\.5 s"):
            await pool.invoke("csv", "csv", b"60")
        while pool.process_ids in ([], first):
            await asyncio.sleep(0.02)
        last = pool.process_ids
        # The limit was for who hangs; the new worker's first answer may take longer.
        pool.limits = Limits(timeout_s=60, wait_s=60)
        reply = await pool.invoke("csv", "csv", b"0")
        await pool.stop()
        return first, last, reply

    first, last, reply = asyncio.run(act())

    assert reply.status == 200
    how = "the worker did not answer within 0.5 s and was ended"
    assert [(line.worker, line.message) for line in read_lines(tmp_path, limit=9)] == [
        (first[0], how)
    ]
    assert prints.lost is not None
    assert (prints.lost.count, prints.lost.last) == (1, how)
    for process in (*first, *last):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


class Silent(Child):
    """A worker that gets requests and answers none by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.was_killed = False

    @property
    def process_id(self) -> int:
        return 4711

    def kill(self, why: str = "") -> None:
        self.was_killed = True

    def _flush(self) -> None:
        self.sent, self._unsent = self.sent + self._unsent, []

    async def answer(self, body: bytes) -> None:
        """Answer the next request that comes."""
        while not self.sent:
            await asyncio.sleep(0)
        ((header, _),) = FrameReader().feed(self.sent.pop(0))
        reply = {"id": header["id"], "status": 200, "type": "text/csv"}
        self.data_received(pack(reply, body))


def silent_pool(limits: Limits) -> tuple[Pool, Silent]:
    pool, child = Pool("slow", Launch(""), limits), Silent()
    pool._admit(Slot(0), child)
    return pool, child


def test_a_request_with_little_time_ends_no_worker_that_is_busy_with_another():
    async def act() -> tuple[bool, bool]:
        pool, child = silent_pool(Limits())
        child.last_heard -= 60.0  # It had nothing to do.
        big = asyncio.create_task(pool.invoke("csv", "csv", b"6", timeout_s=900))
        await asyncio.sleep(0)
        with pytest.raises(TimedOutError, match=r"within 0\.05 s"):
            await pool.invoke("csv", "csv", b"0", timeout_s=0.05)
        over_another = child.was_killed
        big.cancel()
        await asyncio.wait([big])
        with pytest.raises(TimedOutError, match=r"within 0\.05 s"):
            await pool.invoke("csv", "csv", b"0", timeout_s=0.05)
        return over_another, child.was_killed

    assert asyncio.run(act()) == (False, True)


def test_a_container_that_gets_little_of_a_requests_time_is_not_ended_for_it():
    limits = Limits(timeout_s=0.4)

    async def act() -> tuple[bool, bool]:
        (first, early), (second, late) = silent_pool(limits), silent_pool(limits)
        late.last_heard -= 60.0  # It had nothing to do.
        stages = [Container("first", first, True), Container("second", second, True)]
        both = ContainersPool("line", Launch("", is_serial=True), limits, stages)
        asked = asyncio.create_task(both.invoke("csv", "csv", b"1"))
        asyncio.get_running_loop().call_later(0.2, asyncio.create_task, early.answer(b"2"))
        with pytest.raises(TimedOutError, match=r"within 0\.4 s"):
            await asked
        with_little = late.was_killed
        asked = asyncio.create_task(both.invoke("csv", "csv", b"1"))
        await early.answer(b"2")
        with pytest.raises(TimedOutError, match=r"within 0\.4 s"):
            await asked
        return with_little, late.was_killed

    assert asyncio.run(act()) == (False, True)


def test_a_process_that_described_a_model_can_serve_it(slow):
    async def act():
        description, child = await describe_model(slow, timeout_s=60)
        pool = Pool("slow", slow, Limits(), first=child)
        await pool.start()
        found = description, child.process_id, pool.process_ids
        reply = await pool.invoke("csv", "csv", b"0")
        await pool.stop()
        return found, reply

    (description, first, processes), reply = asyncio.run(act())

    assert description["classes"] == ["0", "1"]
    assert processes == [first]
    assert reply.body == b"0\n"


def test_a_request_right_after_the_start_waits_for_the_first_worker(slow):
    pool = Pool("slow", slow, Limits(wait_s=60))

    async def ask():
        asked = asyncio.create_task(pool._next_ready(math.inf))
        await asyncio.sleep(0)  # It waits already when the pool is started.
        await pool.start()
        child = await asked
        await pool.stop()
        return child

    assert asyncio.run(ask()) is not None


def test_a_request_waits_for_a_worker_no_longer_than_its_own_time_limit(slow):
    pool = Pool("slow", slow, Limits(wait_s=30, timeout_s=60))

    async def act():
        async with asyncio.timeout(10):
            await pool.invoke("csv", "csv", b"0.1", timeout_s=0.1)

    with pytest.raises(NoWorkerError, match="no running worker"):
        asyncio.run(act())


def test_a_model_that_cannot_be_served_is_refused_at_once(tmp_path):
    (tmp_path / "m.skops").write_bytes(b"no")

    with pytest.raises(LoadError, match=r"m\.skops cannot be read"):
        asyncio.run(describe_model(Launch(str(tmp_path / "m.skops")), timeout_s=30))


def test_a_model_that_is_too_slow_to_load_is_given_up(slow):
    async def act():
        with pytest.raises(LoadError, match="not loaded after 0 s"):
            await describe_model(slow, timeout_s=0)

    asyncio.run(act())


def test_a_fault_of_ours_while_a_worker_starts_ends_the_wait_for_it(slow, monkeypatch, caplog):
    async def start() -> Child:
        raise KeyError("no such thing")

    monkeypatch.setattr(Child, "start", start)
    pool = Pool("slow", slow, Limits())

    with pytest.raises(KeyError, match="no such thing"):
        asyncio.run(asyncio.wait_for(pool.start(), 10))

    (record,) = [one for one in caplog.records if "event=not-started" in one.message]
    assert record.exc_info is not None


def test_a_pool_without_requests_stops_at_once_however_long_it_may_drain(slow):
    async def act() -> float:
        pool = Pool("slow", slow, Limits())
        await pool.start()
        begun = asyncio.get_running_loop().time()
        await pool.stop(drain_s=60)
        return asyncio.get_running_loop().time() - begun

    assert asyncio.run(act()) < 30
