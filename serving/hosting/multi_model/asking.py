"""Asks one of many models, whose file is first copied to this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from driftline.serving.hosting.child import Reply, UnansweredError
from driftline.serving.hosting.multi_model.file_cache import FileCache

# What a worker says of a model whose file is none that can be loaded.
NOT_LOADABLE = "not_loadable"


async def ask_copy(
    files: FileCache,
    target: str,
    deadline: float,
    ask: Callable[[Mapping[str, Any]], Awaitable[Reply]],
) -> Reply:
    """Return a model's answer; ``ask`` hands on where its file is."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with AsyncExitStack() as stack:
        async with asyncio.timeout_at(deadline):
            copy, download_s = await stack.enter_async_context(files.copy(target))
        copied_s = loop.time() - began_s
        try:
            reply = await ask({"target": target, "file": [str(copy.path), copy.size]})
        except UnansweredError:
            files.drop(target)  # A mended one may lie there since.
            raise
    if reply.code == NOT_LOADABLE:
        files.drop(target)  # It may have become whole since it was copied.
        reply = replace(reply, code="model_error")
    if reply.note is None and download_s is None:
        return reply
    note = dict(reply.note or {})
    note["wait_s"] = note.get("wait_s", 0.0) + copied_s
    if download_s is not None:
        note["download_s"] = download_s
    return replace(reply, note=note)
