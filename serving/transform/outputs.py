"""Outputs of files: written under a hidden name, renamed when whole."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from pathlib import Path
from types import TracebackType

from driftline.capture.spool.folder import sync_path
from driftline.formats.location import Location
from driftline.storage import storage_error

_CHUNK = 1 << 20
_HEX = "[0-9a-f]" * 8


class Output:
    """The output of one file; gone at the end of the block, unless it was published.

    Of a bucket, which appends nothing, it grows in ``work_dir`` and is uploaded when it is whole.
    """

    def __init__(self, target: Location, work_dir: Path) -> None:
        self._target = target
        self._folder = Path(target.path).parent if target.is_local else work_dir
        self._name = hashlib.sha256(target.path.encode()).hexdigest()[:16]
        # Of its own, so that nobody goes on with what another process still writes.
        self.path = self._folder / f".{self._name}.{uuid.uuid4().hex[:8]}.part"

    def clear(self) -> None:
        """Remove what killed processes left of this output."""
        for part in self._folder.glob(f".{self._name}.{_HEX}.part"):
            part.unlink(missing_ok=True)

    def __enter__(self) -> Output:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.path.unlink(missing_ok=True)

    def publish(self) -> None:
        """Show the whole file under the output's name; nothing is there before."""
        if self._target.is_local:
            sync_path(self.path)
            self.path.replace(self._target.path)
            sync_path(self._folder)
            return
        try:
            with self.path.open("rb") as source, self._target.system.open_output_stream(
                self._target.path, compression=None
            ) as sink:  # fmt: skip
                shutil.copyfileobj(source, sink, _CHUNK)
        except OSError as error:
            raise storage_error(self._target.shown, error) from error
