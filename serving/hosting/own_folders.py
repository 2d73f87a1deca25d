"""Folders of temporary files; that of a killed process, whose lock is free, is removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from driftline.serving.hosting.formats.model_format import ModelError


def own_folder() -> Path:
    """Return the folder in which all others lie."""
    folder = Path(tempfile.gettempdir()) / f"driftline-models-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not is_ours or stat.S_IMODE(found.st_mode) & 0o077:
        raise ModelError(f"{folder} is open to others; remove it")
    return folder


def new_folder(parent: Path | None = None) -> tuple[Path, int]:
    """Make a folder, in ours; return it with the lock, a descriptor, that keeps it until closed."""
    folder = (parent or own_folder()) / uuid.uuid4().hex
    lock = lock_file(folder.with_suffix(".lock"), fcntl.LOCK_EX)
    assert lock is not None  # It waits.
    folder.mkdir(mode=0o700)
    return folder, lock


def remove_folder(folder: Path, lock: int) -> None:
    """Remove a folder that this process has made."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)
    os.close(lock)


def remove_unused_folders(parent: Path | None = None) -> None:
    """Remove the folders that no process uses."""
    with suppress(OSError, ModelError):  # Whoever needs one is told.
        for path in (parent or own_folder()).glob("*.lock"):
            lock = lock_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock is None:
                continue
            folders = path.with_suffix(""), path.with_suffix(".half")
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
            if not any(map(Path.exists, folders)):  # Else the next who looks tries again.
                path.unlink(missing_ok=True)
            os.close(lock)


def lock_file(path: Path, how: int) -> int | None:
    """Open and lock a file; None where another has it and ``how`` does not wait."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            os.close(descriptor)
            return None
        try:
            is_same = os.fstat(descriptor).st_ino == path.stat().st_ino
        except FileNotFoundError:
            is_same = False
        if is_same:
            return descriptor
        os.close(descriptor)  # Removed meanwhile, by who held it.
