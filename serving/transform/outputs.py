"""Outputs of files: written under a hidden name, continued where they ended, renamed when whole."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from driftline.errors import UnavailableError
from driftline.formats.location import Location
from driftline.storage import storage_error

_CHUNK = 1 << 20


class Output:
    """The output of one file while it grows; a context that holds it against other processes.

    Of a bucket, which appends nothing, it grows in ``work_dir`` and is uploaded when it is whole.
    """

    def __init__(self, target: Location, work_dir: Path) -> None:
        self._target = target
        name = Path(target.path).name
        if target.is_local:
            self._part = Path(target.path).with_name(f".{name}.part")
        else:
            self._part = work_dir / f"{target.path.replace('/', '%')}.part"

    def __enter__(self) -> Output:
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UnavailableError(
                f"{self._target.shown}: another process writes it; wait for that one to end"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def path(self) -> Path:
        """The file that grows."""
        return self._part

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return os.fstat(self._file.fileno()).st_size

    def continue_at(self, offset: int) -> bool:
        """Cut off what is behind a place; False when the file does not reach so far."""
        is_there = self.size >= offset
        self._file.truncate(offset if is_there else 0)
        return is_there

    def write(self, content: bytes) -> int:
        """Append; return how many bytes that was."""
        self._file.write(content)
        return len(content)

    def sync(self) -> None:
        """Have the disk hold what was written."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def publish(self, whole: Path) -> None:
        """Show a whole file under the output's name; nothing is there before."""
        if self._target.is_local:
            target = Path(self._target.path)
            whole.replace(target)
            _sync_folder(target.parent)
            return
        try:
            with whole.open("rb") as source, self._target.system.open_output_stream(
                self._target.path, compression=None
            ) as sink:  # fmt: skip
                shutil.copyfileobj(source, sink, _CHUNK)
        except OSError as error:
            raise storage_error(self._target.shown, error) from error

    def discard(self) -> None:
        """Remove the file that grew."""
        with suppress(FileNotFoundError):
            self._part.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
