"""Copies for a shadow: within bounds, counted, and nobody's trouble when they fail."""

import asyncio
import logging

import pytest

from driftline.serving.hosting.mirror import Mirror


def test_no_more_copies_are_open_than_the_bounds_allow_and_the_rest_is_counted() -> None:
    async def scene() -> None:
        mirror, end = Mirror(max_open=3, max_open_bytes=10), asyncio.Event()

        async def ask() -> None:
            await end.wait()

        assert mirror.offer(ask, 50)  # Alone, one may be larger than the bound.
        assert not mirror.offer(ask, 1)
        end.set()
        await asyncio.sleep(0.01)
        end.clear()
        assert [mirror.offer(ask, size) for size in (4, 7, 4, 1, 0)] == [
            True, False, True, True, False,
        ]  # fmt: skip
        assert (mirror.mirrored, mirror.dropped) == (4, 3)
        end.set()

    asyncio.run(scene())


def test_a_copy_that_fails_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        mirror = Mirror(max_open=1)

        async def ask() -> None:
            raise ValueError("a secret of the body")

        assert mirror.offer(ask, 1)
        await asyncio.sleep(0.01)
        assert mirror.offer(ask, 1)  # There is room again.
        await asyncio.sleep(0.01)

    with caplog.at_level(logging.ERROR):
        asyncio.run(scene())

    assert [record.getMessage() for record in caplog.records] == [
        "event=copy-failed error=ValueError"
    ] * 2
