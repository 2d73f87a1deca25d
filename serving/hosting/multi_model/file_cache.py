"""The models of a multi-model endpoint on this machine: copied when asked for, within a bound.

Local files are copied, too: a worker then reads what was checked and nobody changes. The least
recently used goes first. As with SageMaker, a file that is overwritten under the prefix is served
until then; one that is removed is not served for longer than LOOK_EVERY_S.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, TypeVarTuple

import pyarrow as pa

from driftline.errors import InputError, NotFoundError, UnavailableError
from driftline.formats.location import Location, locate
from driftline.serving.hosting.own_folders import new_folder, remove_folder
from driftline.storage import is_remote, open_uri, storage_error

COPIES = "multi-model-cache"
_CHUNK = 1 << 20
# At once, of one endpoint: a bucket that does not answer holds up nothing else of the server.
_THREADS = 4
# So often each model that is asked is looked for; a bucket that is slow holds nobody up for long.
LOOK_EVERY_S, _LOOK_S = 5.0, 1.0

Given = TypeVarTuple("Given")
Done = TypeVar("Done")


@dataclass(slots=True, eq=False)
class ModelCopy:
    """A model's file on this machine; ``users`` read it now."""

    path: Path
    size: int
    look_s: float
    users: int = 0


class FileCache:
    """Copies of the models below a prefix, up to ``disk_bytes``; lives inside one event loop."""

    def __init__(
        self, prefix: str, folder: Path, disk_bytes: int, check: Callable[[Path], None]
    ) -> None:
        self._disk_bytes, self._check = disk_bytes, check
        self._remote: Location | None = locate(prefix) if is_remote(prefix) else None
        self._source = Path(prefix if self._remote else open_uri(prefix)[1])
        self._parent = folder / COPIES
        # Made for the first copy: where it cannot be, who asks is told, and other endpoints go on.
        self._own: tuple[Path, int] | None = None
        self._copies: OrderedDict[str, ModelCopy] = OrderedDict()  # The last used is the last.
        self._running: dict[str, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "model-files")
        self._used_bytes = 0  # Of copies that are being made or removed, too.

    @asynccontextmanager
    async def copy(
        self, name: str, deadline: float | None = None
    ) -> AsyncIterator[tuple[ModelCopy, float | None]]:
        """Keep a model's file here for the block; the caller that copied it gets the seconds."""
        download_s = None
        async with asyncio.timeout_at(deadline):
            await self._look(name)
            while (copy := self._copies.get(name)) is None:  # Again, where it had to go at once.
                began_s, is_first = time.perf_counter(), name not in self._running
                if is_first:
                    task = self._running[name] = asyncio.create_task(self._fetch(name))
                    task.add_done_callback(lambda _: self._running.pop(name))
                # Who stops waiting does not stop it: the next one finds it.
                await asyncio.shield(self._running[name])
                if is_first:
                    download_s = time.perf_counter() - began_s
        self._copies.move_to_end(name)
        copy.users += 1
        try:
            yield copy, download_s
        finally:
            copy.users -= 1
            if not copy.users and self._copies.get(name) is not copy:
                self._remove(copy)

    def drop(self, name: str) -> None:
        """Drop the copy of a model, so that the next request copies it anew."""
        if (copy := self._copies.pop(name, None)) and not copy.users:
            self._remove(copy)

    async def close(self) -> None:
        """Remove all copies."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)
        own, self._own = self._own, None
        if own is not None:
            await asyncio.to_thread(remove_folder, *own)

    def _remove(self, copy: ModelCopy) -> asyncio.Future[None]:
        self._used_bytes -= copy.size
        loop, folder = asyncio.get_running_loop(), copy.path.parent
        return loop.run_in_executor(self._threads, shutil.rmtree, folder, True)

    async def _look(self, name: str) -> None:
        now_s, copy = asyncio.get_running_loop().time(), self._copies.get(name)
        if copy is None or now_s < copy.look_s:
            return
        copy.look_s = now_s + LOOK_EVERY_S  # Others go on meanwhile.
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._in_thread(name, self._size, name)
        except NotFoundError:
            self.drop(name)
        except (TimeoutError, UnavailableError):  # The bucket is away.
            return

    async def _fetch(self, name: str) -> None:
        size = await self._in_thread(name, self._size, name)
        if size > self._disk_bytes:
            raise InputError(
                f'model "{name}" has {size:,} bytes; all on disk may have '
                f"{self._disk_bytes:,} (disk_limit_mb)"
            )
        removed = self._make_room(name, size)
        self._used_bytes += size
        try:
            await asyncio.gather(*removed)
            path = await self._in_thread(name, self._copy, name, size)
        except BaseException:
            self._used_bytes -= size
            raise
        look_s = asyncio.get_running_loop().time() + LOOK_EVERY_S
        self._copies[name] = ModelCopy(path, size, look_s)

    def _make_room(self, name: str, size: int) -> Sequence[asyncio.Future[None]]:
        removed, left = [], self._used_bytes + size
        for other, copy in self._copies.items():
            if left > self._disk_bytes and not copy.users:
                removed.append(other)
                left -= copy.size
        if left > self._disk_bytes:
            raise UnavailableError(
                f'model "{name}": all of the disk that models may have is in use by those that are '
                "being asked; ask again"
            )
        return [self._remove(self._copies.pop(other)) for other in removed]

    async def _in_thread(self, name: str, work: Callable[[*Given], Done], *given: *Given) -> Done:
        """Do something with a file, and say the disk's errors in a sentence."""
        try:
            if self._own is None:
                self._parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._own = new_folder(self._parent)
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        except FileNotFoundError:
            # SageMaker's words, then what mends it.
            raise NotFoundError(
                f'Failed to download model data: there is no model "{name}" below the endpoint\'s '
                "model_data_prefix; put it there, or name another"
            ) from None
        except OSError as error:
            raise UnavailableError(
                f'model "{name}" cannot be copied ({error.strerror or error})'
            ) from error

    def _size(self, name: str) -> int:
        stream, size = self._opened(name)
        stream.close()
        return size

    def _copy(self, name: str, size: int) -> Path:
        assert self._own is not None
        # A folder of its own: the same name may still be used from another one.
        target = self._own[0] / uuid.uuid4().hex
        target.mkdir()
        path = target / Path(name).name
        left = size + 1  # So that a file that grows is noticed.
        try:
            with closing(self._opened(name)[0]) as source, path.open("xb") as sink:
                while left and (chunk := source.read(min(left, _CHUNK))):
                    left -= sink.write(chunk)
            if left != 1:
                raise UnavailableError(  # noqa: TRY301 - removed as after others
                    f'model "{name}" changed while it was copied; ask again'
                )
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return path

    def _opened(self, name: str) -> tuple[BinaryIO | pa.NativeFile, int]:
        if self._remote is None:
            self._check(self._source)
            stream = _open_inside(self._source, name)
            return stream, os.fstat(stream.fileno()).st_size
        place = self._remote / name
        try:
            found = place.system.open_input_file(place.path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise storage_error(place.shown, error) from error
        return found, found.size()


def _open_inside(folder: Path, name: str) -> BinaryIO:
    """Open a regular file below a folder; no link leads anywhere on the way."""
    # A pipe that nobody writes to would keep whoever opens it.
    how = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    found = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in name.split("/"):
            outer = found
            found = os.open(part, how, dir_fd=outer)
            os.close(outer)
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise FileNotFoundError
        return os.fdopen(found, "rb")
    except OSError as error:
        os.close(found)
        if error.errno == errno.ELOOP:
            raise InputError(
                f'model "{name}": "{part}" is a link; expected files and folders'
            ) from None
        raise FileNotFoundError if error.errno == errno.ENOTDIR else error from None
