"""Between two rounds of commits: all tables of a local root are at the same records of each spool.

A sink stores a spool's records table by table. Whoever copies the tables needs a moment between two
rounds, or one table would have what another is still to get.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftline.capture.tables.storage import StorageError
from driftline.storage import is_remote

LOCK_NAME = ".commits"


@contextmanager
def committing(root: str) -> Iterator[None]:
    """Hold a round of commits, beside those of other sinks; nothing for a bucket."""
    with _locked(root, fcntl.LOCK_SH):
        yield


@contextmanager
def between_commits(root: str) -> Iterator[None]:
    """Wait for the rounds that have begun, and let none begin."""
    with _locked(root, fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(root: str, how: int) -> Iterator[None]:
    if is_remote(root):
        yield
        return
    file = Path(root, LOCK_NAME)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"{file}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
