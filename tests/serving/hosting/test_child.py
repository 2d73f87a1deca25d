"""A worker's own children end with it, however it ends."""

import asyncio
import importlib
import math
import os
import signal
from pathlib import Path

import joblib
import pytest

from driftline.serving.hosting import child as child_module
from driftline.serving.hosting.admission import Limits, TimedOutError
from driftline.serving.hosting.child import Child, WorkerLostError
from driftline.serving.hosting.pool import Pool
from driftline.serving.resources.worker_spec import WorkerSpec
from tests.serving.conftest import MODULES


@pytest.fixture
def forking(tmp_path, monkeypatch) -> WorkerSpec:
    """Save a model that starts processes, by a module that workers can import."""
    monkeypatch.syspath_prepend(MODULES)
    monkeypatch.setattr(child_module, "STOP_GRACE_S", 0.5)
    model = importlib.import_module("forking_model").Forking("fork").fit()
    joblib.dump(model, tmp_path / "m.joblib")
    return WorkerSpec(str(tmp_path / "m.joblib"), trust_pickle=True)


def ids(pool: Pool) -> list[int]:
    return [child.process_id for child in pool.children]


def is_running(process: int) -> bool:
    """Whether a process runs; one that only its new parent has not collected does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


async def replaced(pool: Pool, old: list[int]) -> None:
    """Wait for a new worker in the place of an old one."""
    while ids(pool) in ([], old):
        await asyncio.sleep(0.02)


async def ask(worker: Child | Pool, row: bytes) -> int:
    """Have the model start a process; give its number."""
    if isinstance(worker, Pool):
        reply = await worker.invoke("csv", "csv", row)
    else:
        reply = await worker.ask("csv", "csv", row, math.inf)
    started = int(float(reply.body))
    assert is_running(started)
    return started


def test_what_a_model_started_ends_when_its_worker_is_killed_or_stopped(forking, until):
    async def act(how: str) -> list[int]:
        worker = await Child.start(forking, timeout_s=60)
        found = [await ask(worker, b"0"), worker.process_id]
        if how == "killed by another":
            os.kill(worker.process_id, signal.SIGKILL)
            await worker.gone.wait()
        await worker.stop()
        await worker.stop()
        return found

    for how in ("killed by another", "stopped"):
        for process in asyncio.run(asyncio.wait_for(act(how), 60)):
            until(lambda process=process: not is_running(process))


@pytest.mark.parametrize(
    ("timeout_s", "body", "error"),
    [
        pytest.param(1, b"60", TimedOutError, id="takes too long"),
        # Nobody else has its socket, so its end is seen at once, not at the time limit.
        pytest.param(600, b"-1", WorkerLostError, id="ends itself"),
    ],
)
def test_what_a_model_started_ends_with_a_worker_that_fails(forking, until, timeout_s, body, error):
    async def act() -> list[int]:
        pool = Pool("forking", forking, Limits(timeout_s=60))
        await pool.start()
        found, worker = [await ask(pool, b"0")], ids(pool)
        # For this request alone: the first answer of a worker may take longer.
        usual, pool.limits = pool.limits, Limits(timeout_s=timeout_s)
        with pytest.raises(error):
            await pool.invoke("csv", "csv", body)
        pool.limits = usual
        await replaced(pool, worker)
        found.append(await ask(pool, b"0"))
        await pool.stop()
        return found

    for process in asyncio.run(asyncio.wait_for(act(), 120)):
        until(lambda process=process: not is_running(process))
