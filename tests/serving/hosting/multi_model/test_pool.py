import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from driftline.serving.hosting.child import Launch
from driftline.serving.hosting.multi_model.pool import MultiModelPool
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
