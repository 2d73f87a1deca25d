"""The log of a table on a local disk: what makes a commit outlive a loss of power.

delta-rs writes an entry and syncs nothing. After a loss of power a file system may show the entry's
name and none of its bytes, which readers take for an empty commit. So a committer syncs the entry
and its folder before it acknowledges, and whoever writes to a table first looks for entries that
were cut off, which were never acknowledged (docs/why/power-loss.md).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count, takewhile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from driftline.capture.spool.folder import replace_file, sync_path

log = logging.getLogger(__name__)

LOG = "_delta_log"
KEPT_SUFFIX = ".damaged"
_CHECKPOINT = ".checkpoint.parquet"
_LAST_CHECKPOINT = "_last_checkpoint"
# As many entries as lie between two checkpoints: who opens a table looks at these.
_RECENT = 100


def sync_entries(table: str, first: int) -> bool:
    """Sync the entries of a log from one on, and their names; return whether one made a checkpoint.

    Where a checkpoint has replaced the first entries, those that are left are synced.
    """
    folder = Path(table, LOG)
    return _sync(folder, _versions_from(folder, first))


def _sync(folder: Path, versions: Iterable[int]) -> bool:
    has_checkpoint = False
    for version in versions:
        with suppress(FileNotFoundError):  # A checkpoint has taken its place just now.
            sync_path(_entry(folder, version))
        with suppress(FileNotFoundError):
            sync_path(folder / f"{version:020d}{_CHECKPOINT}")
            sync_path(folder / _LAST_CHECKPOINT)
            has_checkpoint = True
    sync_path(folder)
    return has_checkpoint


def secure(table: str) -> list[str]:
    """Replace entries that were cut off, and sync all others; return what was replaced.

    A process may have ended between a commit and its sync. Whoever goes on from watermarks must
    know that they stay.
    """
    folder = Path(table, LOG)
    if not folder.is_dir():
        return []
    newest = _drop_cut_checkpoints(folder)
    damaged = damaged_entries(table)
    for name in damaged:
        _replace(folder, name)
    _sync(folder, (version for version in _versions(folder) if version >= newest))
    sync_path(table)
    return damaged


def damaged_entries(table: str, version: int | None = None) -> list[str]:
    """Return the names of the entries that are empty or cut off, oldest first.

    ``version``: look only for empty ones among those that readers of this version need.
    """
    folder = Path(table, LOG)
    if version is not None:
        recent = range(max(version - _RECENT, 0), version + 1)
        return [_entry(folder, at).name for at in recent if _size(_entry(folder, at)) == 0]
    return [_entry(folder, at).name for at in _versions(folder) if not _is_whole(folder, at)]


def list_tables(root: str) -> list[str]:
    """Return the tables of a local storage root, in order."""
    logs = (*Path(root).glob(f"*/{LOG}"), *Path(root).glob(f"*/*/{LOG}"))
    return sorted(str(log.parent) for log in logs)


def _entry(folder: Path, version: int) -> Path:
    return folder / f"{version:020d}.json"


def _versions(folder: Path) -> Iterator[int]:
    names = sorted(path.name for path in folder.glob("*.json"))
    return (int(name[:20]) for name in names if name[:20].isdecimal())


def _versions_from(folder: Path, first: int) -> Iterator[int]:
    """Yield the versions of entries from one on; the folder may hold a day of older ones."""
    if _entry(folder, first).exists():
        yield from takewhile(lambda version: _entry(folder, version).exists(), count(first))
    else:
        yield from (version for version in _versions(folder) if version > first)


def _size(path: Path) -> int | None:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return None


def _is_whole(folder: Path, version: int) -> bool:
    with suppress(FileNotFoundError):
        return _holds_actions(_entry(folder, version).read_bytes())
    return True


def _holds_actions(data: bytes) -> bool:
    try:
        return bool([json.loads(line) for line in data.splitlines()])
    except ValueError:
        return False


def _replace(folder: Path, name: str) -> None:
    """Replace a damaged entry by one that changes nothing; keep its bytes."""
    path = folder / name
    data = path.read_bytes()
    if _holds_actions(data):
        return  # Another process was faster.
    log.error("table log entry damaged, replaced by one without rows entry=%s", path)
    replace_file(folder / f"{name}{KEPT_SUFFIX}", data, is_synced=True)
    if name == _entry(folder, 0).name and len(list(folder.glob("*.json"))) == 1:
        path.unlink(missing_ok=True)  # The table was just being made: it is none yet.
        return
    action = {"commitInfo": {"timestamp": int(time.time() * 1000), "operation": "REPAIR"}}
    replace_file(path, json.dumps(action).encode(), is_synced=True)


def _drop_cut_checkpoints(folder: Path) -> int:
    """Set aside unreadable checkpoints; return the version of the newest readable one, 0 for none.

    The entries before a checkpoint are removed only when it is synced. Where they are gone, a cut
    checkpoint stays in its place: without it the table would seem to be another.
    """
    newest = -1
    for path in sorted(folder.glob(f"*{_CHECKPOINT}")):
        version = int(path.name[:20])
        data = path.read_bytes()  # A disk that refuses says nothing of what stands there.
        try:
            pq.read_table(pa.BufferReader(data))
            newest = version
        except (pa.ArrowInvalid, OSError) as error:
            if not all(_entry(folder, at).exists() for at in range(newest + 1, version + 1)):
                log.error("table checkpoint damaged, entries gone file=%s error=%s", path, error)
                continue
            log.warning("table checkpoint cut off, put aside file=%s error=%s", path, error)
            (folder / _LAST_CHECKPOINT).unlink(missing_ok=True)
            with suppress(FileNotFoundError):  # Another process was faster.
                path.replace(path.with_name(f"{path.name}{KEPT_SUFFIX}"))
    return max(newest, 0)
