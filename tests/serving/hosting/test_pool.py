import asyncio
import os
import shutil
import signal
from collections.abc import Awaitable, Callable

import pytest

from driftline.serving.hosting import child
from driftline.serving.hosting.admission import BusyError, Limits, TimedOutError
from driftline.serving.hosting.child import Child, WorkerLostError
from driftline.serving.hosting.pool import NoWorkerError, Pool
from driftline.serving.hosting.worker_output import LogFile, read_lines
from driftline.serving.resources.worker_spec import WorkerSpec
from tests.serving.conftest import saved
from tests.serving.hosting.processes import is_running


@pytest.fixture
def slow(slow_model) -> WorkerSpec:
    return WorkerSpec(str(slow_model), trust_pickle=True)


def run(spec, limits, act: Callable[[Pool], Awaitable[object]], **more):
    """Start a pool, and do something with it when all its workers are ready."""

    async def whole() -> object:
        pool = Pool("slow", spec, limits, **more)
        await pool.start()
        try:
            while len(pool.children) < limits.minimum:
                await asyncio.sleep(0.02)
            return await asyncio.wait_for(act(pool), 60)
        finally:
            await pool.stop()

    return asyncio.run(whole())


def ask(pool: Pool, *rows: bytes) -> list[asyncio.Task]:
    return [asyncio.create_task(pool.invoke("csv", "csv", row)) for row in rows]


def ids(pool: Pool) -> list[int]:
    return [one.process_id for one in pool.children]


async def busy(pool: Pool) -> Child:
    """Return a worker that has a request."""
    while not (found := [one for one in pool.children if one.waiting_count]):
        await asyncio.sleep(0)
    return found[0]


def test_requests_of_killed_workers_are_answered_by_the_next_ones(slow):
    async def act(pool):
        asked = ask(pool, *[b"0.3"] * 5)
        await asyncio.sleep(0.1)
        for process in ids(pool):
            os.kill(process, signal.SIGKILL)
        return await asyncio.gather(*asked)

    replies = run(slow, Limits(minimum=2), act)

    assert [(reply.status, reply.body) for reply in replies] == [(200, b"0\n")] * 5


def test_a_request_that_ends_its_worker_twice_is_given_up_and_others_are_not(slow):
    async def act(pool):
        return await asyncio.gather(*ask(pool, b"-1", *[b"0.01"] * 4), return_exceptions=True)

    poison, *others = run(slow, Limits(minimum=2), act)

    assert isinstance(poison, WorkerLostError)
    assert [reply.status for reply in others] == [200] * 4


def test_more_open_requests_than_the_limit_are_told_to_come_again(slow):
    async def act(pool):
        asked = ask(pool, *[b"0.1"] * 20)
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await pool.invoke("csv", "csv", b"0")
        return await asyncio.gather(*asked)

    replies = run(slow, Limits(minimum=2, open_requests=20), act)

    assert [reply.status for reply in replies] == [200] * 20


def test_requests_that_wait_are_predicted_together_and_answered_apart(tmp_path):
    spec = WorkerSpec(str(saved("slow_model", "Counting", tmp_path)), trust_pickle=True)

    async def act(pool):
        asked = ask(pool, b"0.3")
        await busy(pool)
        asked += ask(pool, *[b"0\n" * 2] * 4)
        asked += [asyncio.create_task(pool.invoke("json", "csv", b"[[0.3]")) for _ in "ab"]
        asked += ask(pool, *[b"0\n" * 2] * 4)
        return await asyncio.gather(*asked)

    replies = run(spec, Limits(), act)

    answers = [reply.body.split() for reply in replies if reply.status == 200]
    assert [len(answer) for answer in answers] == [1, *[2] * 8]
    assert [reply.status for reply in replies].count(400) == 2
    # Each row is answered by the number of rows that were predicted at once.
    assert max(int(answer[0]) for answer in answers) > 2


def test_a_hung_worker_is_ended_and_who_comes_just_behind_is_answered_by_the_next(slow, tmp_path):
    async def act(pool):
        first = ids(pool)
        (hangs,) = ask(pool, b"60")
        await busy(pool)
        near = ask(pool, *[b"0"] * 5)
        with pytest.raises(TimedOutError):
            await hangs
        return await asyncio.gather(*near), first, ids(pool)

    file = LogFile(tmp_path, "slow")
    replies, first, last = run(slow, Limits(timeout_s=5), act, log_file=file)

    assert [reply.status for reply in replies] == [200] * 5
    assert [line.worker for line in read_lines(tmp_path, limit=9)] == first  # How it ended.
    assert not any(map(is_running, (*first, *last)))


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("stopped", None),
        ("killed", None),
        ("takes too long", TimedOutError),
        # Nobody else has its socket, so its end is seen at once, not at the time limit.
        ("ends itself", WorkerLostError),
    ],
)
def test_what_a_model_started_ends_with_its_worker(how, error, tmp_path, monkeypatch, until):
    monkeypatch.setattr(child, "STOP_GRACE_S", 0.5)
    spec = WorkerSpec(str(saved("forking_model", "Forking", tmp_path)), trust_pickle=True)

    async def act(pool):
        (worker,) = ids(pool)
        started = int(float((await pool.invoke("csv", "csv", b"0")).body))
        assert is_running(started)
        if how == "killed":
            os.kill(worker, signal.SIGKILL)
        elif error:
            # For this request alone: the first answer of a worker may take longer.
            pool.limits = Limits(timeout_s=1 if error is TimedOutError else 600)
            with pytest.raises(error):
                await pool.invoke("csv", "csv", b"60" if error is TimedOutError else b"-1")
        if how != "stopped":  # The pool goes on.
            await asyncio.to_thread(until, lambda: not is_running(started))
        return started, worker

    for process in run(spec, Limits(timeout_s=60), act):
        until(lambda process=process: not is_running(process))


def test_callers_are_told_at_once_when_no_worker_can_be_loaded_any_more(slow, tmp_path):
    model = tmp_path / "m.joblib"
    shutil.copyfile(slow.path, model)

    async def act(pool):
        model.rename(tmp_path / "away")
        os.kill(*ids(pool), signal.SIGKILL)
        while ids(pool):
            await asyncio.sleep(0.02)
        for _ in "ab":  # While it is started again, and when that has failed.
            with pytest.raises(NoWorkerError):
                await pool.invoke("csv", "csv", b"0")
        (tmp_path / "away").rename(model)
        while not ids(pool):
            await asyncio.sleep(0.02)
        return await pool.invoke("csv", "csv", b"0")

    spec = WorkerSpec(str(model), trust_pickle=True)
    assert run(spec, Limits(timeout_s=600), act).status == 200


def test_a_request_waits_for_its_turn_no_longer_than_it_may_take(slow):
    async def act(pool):
        (open_one,) = ask(pool, b"3")
        await busy(pool)
        with pytest.raises(TimedOutError):
            await pool.invoke("csv", "csv", b"0", timeout_s=0.3)
        assert not open_one.done()
        return await open_one

    assert run(slow, Limits(minimum=0, maximum=1), act).status == 200


def test_a_worker_that_hangs_over_a_request_whose_caller_has_gone_is_ended(slow):
    async def act(pool):
        asked = asyncio.create_task(pool.invoke("csv", "csv", b"60", timeout_s=1))
        hanging = await busy(pool)
        asked.cancel()
        await hanging.gone.wait()
        return await pool.invoke("csv", "csv", b"0")

    assert run(slow, Limits(minimum=0, maximum=1), act).status == 200


def test_a_pool_that_is_made_smaller_while_it_starts_is_started(slow):
    async def act():
        pool = Pool("slow", slow, Limits(minimum=2))
        starting = asyncio.create_task(pool.start())
        await asyncio.sleep(0)
        pool.resize(Limits(minimum=1))
        await starting
        reply = await pool.invoke("csv", "csv", b"0")
        await pool.stop()
        return reply

    assert asyncio.run(act()).status == 200


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {301.0}),
        (
            {"environment": (("OMP_NUM_THREADS", "2"),), "max_batch_requests": 1},
            {102.0},
        ),
    ],
)
def test_a_model_says_how_many_threads_and_requests_together(tmp_path, more, expected):
    file = saved("counting_model", "CountingModel", tmp_path)

    async def act(pool):
        return [await one for one in ask(pool, b"1", b"2", b"3")]

    found = run(WorkerSpec(str(file), trust_pickle=True, **more), Limits(), act)

    assert {float(reply.body) for reply in found} == expected
