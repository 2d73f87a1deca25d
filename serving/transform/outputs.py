"""Outputs of files: written under a hidden name, renamed when whole."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftline.capture.spool.folder import sync_path
from driftline.formats.location import Location
from driftline.storage import storage_error

_CHUNK = 1 << 20


@contextmanager
def writing(target: Location, work_dir: Path) -> Iterator[Path]:
    """Yield a file to write; it goes with an error, and else stays hidden until `publish`.

    For a bucket, which appends nothing, it is in ``work_dir``. What killed processes left of the
    same output is removed.
    """
    folder = Path(target.path).parent if target.is_local else work_dir
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f".{hashlib.sha256(target.path.encode()).hexdigest()[:16]}."
    for part in folder.glob(f"{prefix}*.part"):
        part.unlink(missing_ok=True)
    path = folder / f"{prefix}{uuid.uuid4().hex[:8]}.part"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def publish(path: Path, target: Location) -> None:
    """Show a whole file under the output's name."""
    if target.is_local:
        sync_path(path)
        path.replace(target.path)
        sync_path(path.parent)
        return
    try:
        with path.open("rb") as source, target.system.open_output_stream(
            target.path, compression=None
        ) as sink:  # fmt: skip
            shutil.copyfileobj(source, sink, _CHUNK)
    except OSError as error:
        raise storage_error(target.shown, error) from error
