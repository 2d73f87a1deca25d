import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from driftline.serving.hosting.child import Launch, Reply
from driftline.serving.hosting.multi_model.pool import NOT_LOADABLE, TOO_SLOW, MultiModelPool
from driftline.serving.hosting.pool import Limits, TimedOutError


def test_who_waits_too_long_is_told_the_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(*_: object, **__: object) -> None:
        raise TimeoutError

    async def invoke() -> None:
        files = SimpleNamespace(touch=lambda _: None)
        pool = MultiModelPool("stores", Launch("stores"), Limits(), cast("Any", files))
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
        files = SimpleNamespace(touch=lambda _: None, drop=dropped.append)
        pool = MultiModelPool("stores", Launch("stores"), Limits(), cast("Any", files))
        monkeypatch.setattr(pool, "_chosen", lambda _: SimpleNamespace(ask=ask))
        return [await pool.invoke("csv", "csv", b"1", name) for name in ("slow", "half")]

    slow, half = asyncio.run(invoke())

    assert slow.code == half.code == "model_error"
    assert 'model "slow" ends its worker, or does not come to an end' in slow.message
    assert half.message == "it ends too early"
    assert dropped == ["slow", "half"]
