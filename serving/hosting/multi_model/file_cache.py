"""The models of a multi-model endpoint on this machine: copied when asked for, within a bound.

Under a local folder, too: a worker reads a copy that nobody changes meanwhile, and of a path only
what was looked at. Who is asked for again stays; who was asked for longest ago goes first. As at
SageMaker, a file that is overwritten under the prefix goes on being served until then; one that is
removed is not served for longer than LOOK_EVERY_S.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import math
import os
import shutil
import stat
import threading
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar, TypeVarTuple

import pyarrow as pa
from pyarrow import fs

from driftline.errors import InputError, NotFoundError, UnavailableError
from driftline.formats.location import Location, locate
from driftline.storage import is_remote, open_uri, storage_error

COPIES = "multi-model-cache"
_CHUNK = 1 << 20
# At once, of one endpoint: a bucket that does not answer holds up nothing else of the server.
_THREADS = 4
# So often each model that is asked is looked for; a bucket that is slow holds nobody up for long.
LOOK_EVERY_S, _LOOK_S = 5.0, 1.0

Given = TypeVarTuple("Given")
Done = TypeVar("Done")


class TooLargeForDiskError(InputError):
    """A model is larger than all copies may be together."""


@dataclass(frozen=True, slots=True)
class ModelCopy:
    """A model's file on this machine."""

    path: Path
    size: int
    download_s: float | None = None  # None: it was there, or was copied for somebody else.


class FileCache:
    """Copies of the models below a prefix; lives inside one event loop.

    ``folder``: of this machine, for copies of all prefixes; ``disk_bytes``: what those of this one
    may take together; ``check``: refuses a local file that is out of reach.
    """

    def __init__(
        self, prefix: str, folder: Path, disk_bytes: int, check: Callable[[Path], None]
    ) -> None:
        self._disk_bytes, self._check = disk_bytes, check
        self._remote: Location | None = locate(prefix) if is_remote(prefix) else None
        self._source = Path(prefix if self._remote else open_uri(prefix)[1])
        self._parent = folder / COPIES
        self._folder = self._parent / uuid.uuid4().hex
        self._lock: int | None = None  # Held for as long as this process lives.
        self._beginning = threading.Lock()
        self._copies: OrderedDict[str, ModelCopy] = OrderedDict()  # The last used is the last.
        self._used = 0  # Bytes of copies, and of those that are being made.
        # Dropped, and on the disk for as long as somebody may read them.
        self._dropped: list[ModelCopy] = []
        self._pins: Counter[str | Path] = Counter()  # Names, and paths of copies.
        self._running: dict[str, asyncio.Task[ModelCopy]] = {}
        self._look_again: dict[str, float] = {}  # When, by the loop's time, of models ever copied.
        self._removals: Counter[str] = Counter()  # Of models ever copied.
        self._threads = ThreadPoolExecutor(_THREADS, "model-files")
        # Looks do not wait for files that are being copied.
        self._lookers = ThreadPoolExecutor(_THREADS, "model-looks")

    @property
    def used_bytes(self) -> int:
        """The bytes of all copies."""
        return self._used

    def touch(self, name: str) -> None:
        """Take note that a model is asked."""
        if name in self._copies:
            self._copies.move_to_end(name)

    def version(self, name: str) -> int:
        """Return which file of this name it is: another one after the removal of the one before."""
        return self._removals[name]

    async def require(self, name: str) -> None:
        """Refuse a model whose file was removed since it was copied or loaded.

        Raises
        ------
        NotFoundError
            When there is no such file any more.
        """
        loop = asyncio.get_running_loop()
        if self._look_again.get(name, math.inf) > loop.time():
            return
        self._look_again[name] = loop.time() + LOOK_EVERY_S  # Others go on meanwhile.
        try:
            async with asyncio.timeout(_LOOK_S):
                await loop.run_in_executor(self._lookers, self._size, name)
        except NotFoundError:
            self._look_again[name] = loop.time()
            self._note_removal(name)
            raise
        except (OSError, UnavailableError):  # Of a bucket that is away, and TimeoutError.
            return

    @asynccontextmanager
    async def copy(self, name: str) -> AsyncIterator[ModelCopy]:
        """Have a model's file on this machine for as long as the block takes.

        Of many who ask at once for one that is not there, one copies it.

        Raises
        ------
        NotFoundError
            When there is no such file below the prefix.
        InputError
            When it is no regular file, out of reach, or larger than the bound.
        UnavailableError
            When the bucket or the disk fails, or all of the bound is in use.
        """
        with self._pinned(name):
            copy = self._copies.get(name) or await self._fetched(name)
            with self._pinned(copy.path):
                yield copy

    @contextmanager
    def _pinned(self, one: str | Path) -> Iterator[None]:
        self._pins[one] += 1
        try:
            yield
        finally:
            self._pins[one] -= 1
            if not self._pins[one]:
                del self._pins[one]

    def drop(self, name: str) -> None:
        """Have a model copied anew that cannot be loaded: its file may have become whole since."""
        if copy := self._copies.pop(name, None):
            self._dropped.append(copy)

    def _note_removal(self, name: str) -> None:
        """Have what is put there next served in place of what was removed."""
        self.drop(name)
        if name in self._look_again:
            self._removals[name] += 1

    async def _fetched(self, name: str) -> ModelCopy:
        task = self._running.get(name)
        if task is not None:
            return replace(await asyncio.shield(task), download_s=None)
        task = self._running[name] = asyncio.create_task(self._fetch(name))
        task.add_done_callback(partial(self._end, name))
        # Who stops waiting does not stop it: the next one finds the copy.
        return await asyncio.shield(task)

    def _end(self, name: str, task: asyncio.Task[ModelCopy]) -> None:
        self._running.pop(name, None)
        if not task.cancelled():
            task.exception()  # Seen: all who waited may be gone.

    async def close(self) -> None:
        """Remove all copies."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for threads in (self._threads, self._lookers):
            await asyncio.to_thread(threads.shutdown)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        if self._lock is not None:
            self._lock_path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    async def _fetch(self, name: str) -> ModelCopy:
        began_s = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            size = await loop.run_in_executor(self._threads, self._telling, name, self._size, name)
        except NotFoundError:
            self._note_removal(name)
            raise
        if size > self._disk_bytes:
            raise TooLargeForDiskError(
                f'model "{name}" has {size:,} bytes; all on disk may have '
                f"{self._disk_bytes:,} (disk_limit_mb)"
            )
        removed = self._make_room(name, size)
        self._used += size
        try:
            path = await loop.run_in_executor(
                self._threads, self._telling, name, self._copy, name, size, removed
            )
        except BaseException:
            self._used -= size
            raise
        made = self._copies[name] = ModelCopy(path, size)
        self._look_again[name] = loop.time() + LOOK_EVERY_S
        return ModelCopy(made.path, made.size, time.perf_counter() - began_s)

    def _make_room(self, name: str, size: int) -> list[Path]:
        """Forget the copies that were asked for longest ago; return what is to be removed."""
        unused = [copy for copy in self._dropped if copy.path not in self._pins]
        self._dropped = [copy for copy in self._dropped if copy.path in self._pins]
        self._used -= sum(copy.size for copy in unused)
        removed = [copy.path.parent for copy in unused]
        for other in list(self._copies):
            if self._used + size <= self._disk_bytes:
                break
            if other not in self._pins:
                gone = self._copies.pop(other)
                self._used -= gone.size
                removed.append(gone.path.parent)
        if self._used + size > self._disk_bytes:
            raise UnavailableError(
                f'model "{name}": all of the disk that models may have is in use by those that are '
                "being loaded; ask again"
            )
        return removed

    @staticmethod
    def _telling(name: str, work: Callable[[*Given], Done], *given: *Given) -> Done:
        """Do something with a file, and tell of the disk's errors in a sentence."""
        try:
            return work(*given)
        except OSError as error:
            raise UnavailableError(
                f'model "{name}" cannot be copied ({error.strerror or error})'
            ) from error

    def _size(self, name: str) -> int:
        if self._remote is None:
            with closing(self._opened(name)) as stream:
                return os.fstat(stream.fileno()).st_size
        place = self._remote / name
        try:
            info = place.system.get_file_info([place.path])[0]
        except OSError as error:
            raise storage_error(place.shown, error) from error
        if info.type != fs.FileType.File:
            raise _missing(name)
        return int(info.size)

    def _copy(self, name: str, size: int, removed: list[Path]) -> Path:
        """Copy a file, in place of others."""
        with self._beginning:
            self._begin()
        for folder in removed:
            shutil.rmtree(folder, ignore_errors=True)
        # Of its own: one that is being removed may be asked for again meanwhile.
        target = self._folder / uuid.uuid4().hex
        target.mkdir()
        path = target / Path(name).name
        try:
            with closing(self._opened(name)) as source:
                _copy_bytes(name, source, path, size)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return path

    def _opened(self, name: str) -> BinaryIO | pa.NativeFile:
        if self._remote is None:
            stream = _open_inside(self._source, name)
            # Now that no link is on the way: what is out of reach is told with the server's path.
            try:
                self._check(self._source / name)
            except BaseException:
                stream.close()
                raise
            return stream
        place = self._remote / name
        try:
            return place.system.open_input_stream(place.path, compression=None)
        except FileNotFoundError as error:
            raise _missing(name) from error
        except OSError as error:
            raise storage_error(place.shown, error) from error

    @property
    def _lock_path(self) -> Path:
        return self._folder.with_suffix(".lock")

    def _begin(self) -> None:
        """Have the folder, which is ours for as long as this process lives."""
        if self._lock is not None:
            return
        self._parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._folder.mkdir(mode=0o700)
        for lock in self._parent.glob("*.lock"):
            _remove_if_unused(lock)


def _remove_if_unused(lock: Path) -> None:
    """Remove the copies of a server that was killed."""
    with suppress(OSError):
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink()
        finally:
            os.close(descriptor)


def _copy_bytes(name: str, source: BinaryIO | pa.NativeFile, target: Path, size: int) -> None:
    left = size
    with target.open("xb") as sink:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise UnavailableError(f'model "{name}" grew while it was copied; ask again')
            sink.write(chunk)
    if left:
        raise UnavailableError(f'model "{name}" ended too early; ask again')


def _open_inside(folder: Path, name: str) -> BinaryIO:
    """Open a regular file below a folder; no link leads anywhere on the way."""
    *folders, last = name.split("/")
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            inner = _open_part(name, part, os.O_DIRECTORY, place)
            os.close(place)
            place = inner
        # A pipe that nobody writes to would keep whoever opens it.
        found = _open_part(name, last, os.O_NONBLOCK, place)
    except FileNotFoundError:
        raise _missing(name) from None
    finally:
        os.close(place)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise _missing(name)
    return os.fdopen(found, "rb")


def _open_part(name: str, part: str, how: int, place: int) -> int:
    try:
        return os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | how, dir_fd=place)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        if stat.S_ISLNK(os.stat(part, dir_fd=place, follow_symlinks=False).st_mode):
            raise InputError(
                f'model "{name}": "{part}" is a link; expected files and folders'
            ) from None
        raise FileNotFoundError from None


def _missing(name: str) -> NotFoundError:
    # SageMaker's words, then what mends it.
    return NotFoundError(
        f'Failed to download model data: there is no model "{name}" below the endpoint\'s '
        "model_data_prefix; put it there, or name another"
    )
