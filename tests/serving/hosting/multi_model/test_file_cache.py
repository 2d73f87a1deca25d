"""Copies of models on this machine's disk, within a bound."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from driftline.errors import NotFoundError, UnavailableError
from driftline.serving.hosting.multi_model.file_cache import COPIES, FileCache

SIZE = 1000


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in "abcd":
        (folder / f"{name}.skops").write_bytes(name.encode() * SIZE)
    return folder


def using(prefix: object, folder: Path, work: Callable[[FileCache], Awaitable[Any]]) -> Any:
    """Run some work with a cache, which is closed afterwards."""

    async def run() -> Any:
        files = FileCache(str(prefix), folder, 3 * SIZE, lambda _: None)
        try:
            return await work(files)
        finally:
            await files.close()

    return asyncio.run(run())


async def fetch(files: FileCache, name: str) -> float | None:
    async with files.copy(name) as (copy, download_s):
        assert copy.path.read_bytes() == name[0].encode() * SIZE
        return download_s


def test_who_was_asked_for_longest_ago_makes_room_on_the_disk_if_that_is_enough(models, tmp_path):
    (models / "large.skops").write_bytes(b"l" * 2 * SIZE)

    async def work(files: FileCache) -> set[str]:
        for name in ("a.skops", "b.skops", "c.skops"):
            assert await fetch(files, name) is not None
        assert await fetch(files, "a.skops") is None
        await fetch(files, "d.skops")
        async with files.copy("c.skops"), files.copy("d.skops"):
            with pytest.raises(UnavailableError):
                await fetch(files, "large.skops")
        assert await fetch(files, "a.skops") is None
        return {path.name for path in (tmp_path / COPIES).glob("*/*/*")}

    assert using(models, tmp_path, work) == {"a.skops", "c.skops", "d.skops"}
    assert list((tmp_path / COPIES).iterdir()) == []


@pytest.mark.s3
def test_models_of_a_bucket_are_fetched(s3_root, s3_server, tmp_path):
    folder = f"{s3_root.removeprefix('s3://')}/stores"
    s3_server.filesystem().create_dir(folder)
    with s3_server.filesystem().open_output_stream(f"{folder}/a.skops") as stream:
        stream.write(b"a" * SIZE)

    async def work(files: FileCache) -> None:
        assert await fetch(files, "a.skops") is not None
        assert await fetch(files, "a.skops") is None
        with pytest.raises(NotFoundError, match="Failed to download model data"):
            await fetch(files, "b.skops")

    using(f"{s3_root}/stores", tmp_path, work)
