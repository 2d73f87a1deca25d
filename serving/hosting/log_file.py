"""What the workers of one variant print, in a file of a bounded size; a line of JSON for each.

::

    {"time":"2026-01-15T06:00:00.000000Z","variant":"AllTraffic","worker":4711,"message":"…"}

Of a variant of several containers also which one ("container"). The file and the one before it are
kept. Each server of a machine has files of its own, by a number
that it holds the lock of.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import FileIO, TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from driftline.serving.hosting.file_lock import lock_file

# Of a file, and of the one before it.
LARGEST_BYTES = 8 << 20
OLDER = ".1"
_FILES_MAX = 1000
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_SHORTEST_STEP = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LostWorkers:
    """Workers of a variant that ended unasked, or were stuck, since the server began."""

    count: int
    last_at: datetime
    last: str  # How the last one ended.


class _File(RotatingFileHandler):
    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.baseFilename, flags, 0o600)
        return TextIOWrapper(FileIO(descriptor, "a"), encoding="utf-8", write_through=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Lose lines: a full disk must not stop who prints."""


class LogFile:
    """The file of a variant, or of a model that is tried; there as long as somebody prints to it.

    ``folder``: made when something is printed; ``name``: the variant's, and with it the file's.
    """

    def __init__(
        self, folder: Path, name: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._folder, self._name, self._now = folder, name, now
        self._lock = threading.Lock()
        self._users = 0
        self._file: _File | None = None
        self._held = -1  # The descriptor that holds the lock of the number.
        self._last = datetime.min.replace(tzinfo=UTC)
        self._is_removed = False
        self.lost: LostWorkers | None = None

    @property
    def path(self) -> Path:
        """Where it is, or would be if nobody else had it."""
        return self._folder / _named(self._name, 0) if self._file is None else self._open_path

    def hold(self) -> None:
        """Keep it open for somebody who prints."""
        with self._lock:
            self._users += 1

    def let_go(self) -> None:
        """Close it when nobody else prints."""
        with self._lock:
            self._users -= 1
            self._close_if_unused()

    def remove(self) -> None:
        """Delete the files as soon as nobody prints any more."""
        with self._lock:
            self._is_removed = True
            self._close_if_unused()

    def write(self, worker: int, messages: Sequence[str], container: str = "") -> None:
        """Add lines that a worker has printed; the times of a file's lines only grow."""
        with self._lock:
            time = max(self._now(), self._last + _SHORTEST_STEP)
            lines = []
            for message in messages:
                self._last = time
                lines.append(_line(time, self._name, container, worker, message))
                time += _SHORTEST_STEP
            with suppress(OSError):
                file = self._file or self._begin()
                text = "\n".join(lines)
                file.emit(logging.LogRecord("", logging.INFO, "", 0, text, None, None))

    def lose(self, worker: int, how: str, container: str = "") -> None:
        """Count a worker that is lost, and add how it ended to its lines."""
        with self._lock:
            self.lost = LostWorkers((self.lost.count if self.lost else 0) + 1, self._now(), how)
        self.hold()
        self.write(worker, [how], container)
        self.let_go()

    def _begin(self) -> _File:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(_FILES_MAX):
            path = self._folder / _named(self._name, number)
            descriptor = _locked(path)
            if descriptor is not None:
                self._held, self._open_path = descriptor, path
                self._file = _File(path, maxBytes=LARGEST_BYTES, backupCount=1)
                return self._file
        raise OSError(f"{self._folder} has {_FILES_MAX} log files of {self._name} in use")

    def _close_if_unused(self) -> None:
        if self._users:
            return
        if self._file is not None:
            with suppress(OSError):  # What a full disk has not taken.
                self._file.close()
            self._file = None
            os.close(self._held)
        if self._is_removed:
            _delete_unheld(self._folder.glob(f"{_plain(self._name)}.*.lock"))


def remove_unused(folder: Path, wanted: Iterable[str]) -> None:
    """Delete the logs below a folder of endpoints that are none, unless a server prints to them."""
    if not folder.is_dir():
        return
    for place in set(folder.iterdir()) - {folder / name for name in wanted}:
        if place.is_dir():
            _delete_unheld(place.glob("*.lock"))


def _line(time: datetime, variant: str, container: str, worker: int, message: str) -> str:
    text = time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    where = {"variant": variant} | ({"container": container} if container else {})
    return _encode({"time": f"{text}Z", **where, "worker": worker, "message": message})


def _named(name: str, number: int) -> str:
    return f"{_plain(name)}.{number}.log"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "_", name) or "model"


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the lock beside a file; None where another one does."""
    return lock_file(path.with_suffix(".lock"), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _delete_unheld(locks: Iterable[Path]) -> None:
    """Delete files that no server has, with the last of them their folder."""
    for lock in locks:
        path = lock.with_suffix(".log")
        with suppress(OSError):
            if (descriptor := _locked(path)) is None:
                continue
            for one in (path, path.with_name(path.name + OLDER), lock):
                one.unlink(missing_ok=True)
            os.close(descriptor)
            path.parent.rmdir()
