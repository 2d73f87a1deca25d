import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from driftline.serving.hosting.child import Launch, Reply, WorkerLostError
from driftline.serving.hosting.multi_model.file_cache import ModelCopy
from driftline.serving.hosting.multi_model.pool import (
    NOT_LOADABLE,
    NOT_LOADED,
    TOO_SLOW,
    MultiModelPool,
)
from driftline.serving.hosting.pool import Limits, TimedOutError


class Files:
    """Copies without a disk."""

    def __init__(self, copy_s: float = 0.0) -> None:
        self._copy_s = copy_s

    @asynccontextmanager
    async def copy(self, name: str) -> AsyncIterator[ModelCopy]:
        await asyncio.sleep(self._copy_s)
        yield ModelCopy(Path(name), 1)

    def touch(self, name: str) -> None: ...

    async def require(self, name: str) -> None: ...

    def version(self, name: str) -> int:
        return 0

    def drop(self, name: str) -> None: ...

    async def close(self) -> None: ...


def test_who_waits_too_long_is_told_the_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(*_: object, **__: object) -> None:
        raise TimeoutError

    async def invoke() -> None:
        pool = MultiModelPool("stores", Launch("stores"), Limits(), cast("Any", Files()))
        gone = asyncio.Event()
        gone.set()
        monkeypatch.setattr(pool, "_chosen", lambda _: SimpleNamespace(ask=late, gone=gone))
        await pool.invoke("csv", "csv", b"1", "a.skops", timeout_s=0.5)

    with pytest.raises(TimedOutError, match=r"within 0\.5 s"):
        asyncio.run(invoke())


def test_who_joins_a_load_that_fails_is_told_as_who_began_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dropped: list[str] = []
    replies = iter([(TOO_SLOW, ""), (NOT_LOADABLE, "it ends too early")])

    async def ask(*_: object, **__: object) -> Reply:
        return Reply(424, "", b"", *next(replies))

    async def invoke() -> list[Reply]:
        files = Files()
        monkeypatch.setattr(files, "drop", dropped.append)
        pool = MultiModelPool("stores", Launch("stores"), Limits(), cast("Any", files))
        monkeypatch.setattr(pool, "_chosen", lambda _: SimpleNamespace(ask=ask))
        return [await pool.invoke("csv", "csv", b"1", name) for name in ("slow", "half")]

    slow, half = asyncio.run(invoke())

    assert slow.code == half.code == "model_error"
    assert 'model "slow" ends its worker, or does not come to an end' in slow.message
    assert half.message == "it ends too early"
    assert dropped == ["slow", "half"]


def test_a_request_that_ends_several_workers_is_one_that_was_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[bool] = []  # Whether the model's file was sent along.

    async def ask(*_: object, more: dict[str, Any], **__: object) -> Reply:
        asked.append("file" in more)
        if len(asked) == 2:  # The worker in place of the first one.
            return Reply(404, "", b"", NOT_LOADED)
        await asyncio.sleep(0)  # The line is written after each.
        raise WorkerLostError("the worker ended")

    async def invoke() -> Reply:
        pool = MultiModelPool("stores", Launch("stores"), Limits(), cast("Any", Files()))
        monkeypatch.setattr(pool, "_chosen", lambda _: SimpleNamespace(ask=ask))
        reply = await pool.invoke("csv", "csv", b"1", "kills")
        await pool.stop()
        return reply

    reply = asyncio.run(invoke())

    assert reply.status == 424
    assert asked == [False, False, True, True, True]
    assert [one.getMessage() for one in caplog.records if "event=lost" in one.getMessage()] == [
        "endpoint=stores event=lost requests=1"
    ]


@pytest.mark.parametrize(("own_s", "load_s"), [(None, 9.0), (1.0, 9.0), (20.0, 18.0)])
def test_a_copy_that_came_late_takes_nothing_of_the_time_to_load(
    monkeypatch: pytest.MonkeyPatch, own_s: float | None, load_s: float
) -> None:
    given: list[float] = []

    async def ask(*_: object, more: dict[str, Any], **__: object) -> Reply:
        if "file" not in more:
            return Reply(404, "", b"", NOT_LOADED)
        given.append(more["file"][2])
        return Reply(200, "text/csv", b"1")

    async def invoke() -> Reply:
        files = Files(copy_s=0.05)
        pool = MultiModelPool("a", Launch("a"), Limits(timeout_s=10.0), cast("Any", files))
        monkeypatch.setattr(pool, "_chosen", lambda _: SimpleNamespace(ask=ask))
        return await pool.invoke("csv", "csv", b"1", "late", own_s)

    assert asyncio.run(invoke()).status == 200
    assert given == [load_s]
