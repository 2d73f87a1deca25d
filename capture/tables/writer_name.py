"""A unique writer name for a sink's files, the same after a restart.

After a kill a sink removes its uncommitted files, which it knows by its name; two sinks of one name
would remove each other's files.
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from driftline.capture.spool.folder import lock_file

_MAX_SINKS = 1_000
_NAME_LENGTH = 12


class WriterName:
    """Takes the first name of this host that no living process holds, or creates one.

    ``folder``: where the host's names lie, a file each; created when missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.name = ""
        for number in range(_MAX_SINKS):
            with suppress(BlockingIOError):
                self._lock = lock_file(folder / f"{number}")
                break
        else:
            raise RuntimeError(f"{folder}: {_MAX_SINKS} sinks live here")
        self.name = os.pread(self._lock, _NAME_LENGTH, 0).decode("ascii")
        if len(self.name) < _NAME_LENGTH:
            self.name = uuid.uuid4().hex[:_NAME_LENGTH]
            os.pwrite(self._lock, self.name.encode("ascii"), 0)

    def close(self) -> None:
        """Release the name."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
