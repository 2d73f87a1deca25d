"""A lock between rounds of commits: then all local tables are at the same records of each spool.

A sink stores a spool's records table by table. A copy of the tables in the middle of a round would
have in one table what another is still to get.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from driftline.capture.spool.folder import make_folder
from driftline.capture.tables.storage import StorageError
from driftline.storage import is_remote

log = logging.getLogger(__name__)

LOCK_NAME = ".commits"
# Another user's file, a read-only one, and file systems without locks, as NFS and Lustre may be.
_NOT_TO_BE_HAD = (errno.EACCES, errno.EROFS, errno.ENOLCK, errno.ENOSYS)


@contextmanager
def committing(root: str) -> Iterator[None]:
    """Hold a round of commits, shared with those of other sinks; nothing for a bucket.

    Where the lock cannot be taken, the round goes on without: capture stops for no backup.
    """
    with ExitStack() as held:
        try:
            held.enter_context(_locked(root, fcntl.LOCK_SH))
        except StorageError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in _NOT_TO_BE_HAD:
                raise
            _warn_once(str(error))
        yield


@cache
def _warn_once(reason: str) -> None:
    log.warning(
        "%s; commits go on without this lock, and a backup may copy tables of two moments", reason
    )


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
    with ExitStack() as opened:
        try:
            # Its name must be on the disk before any table in it counts as stored.
            make_folder(file.parent)
            descriptor = _open(file)
            opened.callback(os.close, descriptor)
            fcntl.flock(descriptor, how)
        except OSError as error:
            raise StorageError(f"{file}: {error.strerror}") from error
        yield


def _open(file: Path) -> int:
    """Open for writing, which NFS wants for an exclusive lock, or else only for reading."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        with suppress(OSError):
            return os.open(file, os.O_RDONLY)
        raise
