"""What makes a declared resource: long work first, then what its transaction checks and stores."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection

from driftline.serving.context import ServerContext
from driftline.serving.resources.store import Stored

P = ParamSpec("P")
T = TypeVar("T")

# Of its own: fits and copies take minutes, and all else of the server waits for the loop's threads.
_THREADS = ThreadPoolExecutor(16, thread_name_prefix="making")

Made = Mapping[str, Any]
# Takes the row as it is now; None: what it was made of has changed, so that it is made again.
Finish = Callable[[Connection, Stored], Made | None]
# Whether the row is still as it was when its making began.
Wanted = Callable[[], bool]
Maker = Callable[[ServerContext, Stored, Wanted], Awaitable[Finish | None]]


async def to_its_end(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Do work in a thread; who cancels waits for its end, because a thread cannot be stopped."""
    call = partial(contextvars.copy_context().run, work, *given, **named)
    done = asyncio.get_running_loop().run_in_executor(_THREADS, call)
    is_cancelled = False
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        done.exception()  # Nobody asks for it any more.
        raise asyncio.CancelledError
    return done.result()


def in_thread(make: Callable[[ServerContext, Stored, Wanted], Finish | None]) -> Maker:
    """Return a maker that does its work in a thread."""

    async def made(context: ServerContext, row: Stored, is_wanted: Wanted) -> Finish | None:
        return await to_its_end(make, context, row, is_wanted)

    return made
