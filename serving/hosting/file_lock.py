"""Locks of files that their last holder removes: archives that are unpacked, logs of workers."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


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
