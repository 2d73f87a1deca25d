"""The lock of a round of commits is everybody's who shares a root, and stops no capture."""

import errno
import os
from pathlib import Path

import pytest

from driftline.capture.tables.commit_lock import LOCK_NAME, between_commits, committing
from driftline.capture.tables.storage import StorageError


def refuse_to_open(monkeypatch: pytest.MonkeyPatch, number: int, *, all_modes: bool) -> None:
    """Let the system refuse the lock's file to whoever would write it, or to all."""
    opened = os.open

    def refuse(path: object, flags: int, *more: int) -> int:
        if Path(str(path)).name == LOCK_NAME and (all_modes or flags & os.O_RDWR):
            raise OSError(number, os.strerror(number))
        return opened(str(path), flags, *more)

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_file_that_is_refused_stops_no_commit_but_a_backup(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    refuse_to_open(monkeypatch, number, all_modes=True)
    rounds = 0

    for _ in range(2):
        with committing(str(tmp_path)):
            rounds += 1

    assert rounds == 2
    (said,) = caplog.messages
    assert f"{tmp_path}/.commits: {os.strerror(number)}; commits go on without this lock" in said
    with pytest.raises(StorageError, match=os.strerror(number)), between_commits(str(tmp_path)):
        pass


def test_what_fails_in_a_round_is_raised_and_other_failures_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PermissionError, match="of a table"), committing(str(tmp_path)):
        raise PermissionError(errno.EACCES, "of a table")

    refuse_to_open(monkeypatch, errno.EIO, all_modes=True)
    with pytest.raises(StorageError, match="Input/output error"), committing(str(tmp_path)):
        pass
