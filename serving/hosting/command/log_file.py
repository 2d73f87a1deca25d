"""What commands print: in files of a bounded size, never in our log, for it may hold secrets."""

from __future__ import annotations

import fcntl
import os
import re
import threading
from pathlib import Path

# Of a file, and of the one before it, which is kept.
LARGEST_BYTES = 8 << 20
_FILES_MAX = 1000


class LogFile:
    """The file of one running command, its own while this process lives.

    ``name``: the model's; several processes of one have a number each, which the next one takes.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        safe = re.sub(r"[^A-Za-z0-9-]", "_", name) or "model"
        self.path, self._descriptor = _own(folder, safe)
        self._size = os.fstat(self._descriptor).st_size
        self._thread = threading.Thread(target=self._copy, daemon=True, name="command-log")
        self._reading = -1

    def open(self) -> int:
        """Return the end of a pipe to print into; the other end is read until nobody has it."""
        self._reading, writing = os.pipe()
        self._thread.start()
        return writing

    def close(self, timeout_s: float) -> None:
        """Wait until all that was printed is written."""
        self._thread.join(timeout_s)

    def _copy(self) -> None:
        while data := os.read(self._reading, 1 << 16):
            try:
                self._write(data)
            except OSError:  # A full disk must not stop who prints.
                continue
        os.close(self._reading)

    def _write(self, data: bytes) -> None:
        if self._size + len(data) > LARGEST_BYTES:
            # Copied, not renamed: the file is locked, and others go by its name.
            older = self.path.with_suffix(".log.1")
            older.write_bytes(self.path.read_bytes())
            os.ftruncate(self._descriptor, 0)
            self._size = 0
        self._size += os.write(self._descriptor, data)


def _own(folder: Path, name: str) -> tuple[Path, int]:
    """Open the first log file of a model that no other process has."""
    for number in range(_FILES_MAX):
        path = folder / f"{name}.{number}.log"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return path, descriptor
    raise OSError(f"{folder} has {_FILES_MAX} log files of {name} in use")
