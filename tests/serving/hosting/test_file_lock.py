"""Locks of files that their last holder removes."""

import fcntl
import os

from driftline.serving.hosting import file_lock


def test_a_lock_that_is_removed_while_it_is_waited_for_is_taken_anew(tmp_path, monkeypatch):
    """Who opened the file before its holder removed it would hold a lock that nobody else sees."""
    path, removed, lock = tmp_path / "a.lock", tmp_path / "removed", fcntl.flock

    def flock(descriptor, how):
        if not removed.exists():
            path.rename(removed)
        lock(descriptor, how)

    monkeypatch.setattr(file_lock.fcntl, "flock", flock)
    held = file_lock.lock_file(path, fcntl.LOCK_EX)

    assert held is not None
    assert os.fstat(held).st_ino == path.stat().st_ino
    os.close(held)


def test_a_lock_that_another_holds_is_not_waited_for(tmp_path):
    held = file_lock.lock_file(tmp_path / "a.lock", fcntl.LOCK_EX)
    assert held is not None

    assert file_lock.lock_file(tmp_path / "a.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) is None

    os.close(held)
