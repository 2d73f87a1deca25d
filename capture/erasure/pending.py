"""Erasures in progress: the windows whose values are still to be cleared.

A note is written before rows go and removed after their windows were cleared for the second time.
After a kill it names the windows: the rows that led to them are gone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta

import pyarrow.fs as pafs

from driftline.capture.erasure.clearing import ClearedWindows, WindowClearer
from driftline.capture.tables.storage import get_file, open_storage, put_file, reaching

FOLDER = "erasures/pending"
# No erasure takes so long; until then another process may still be at it.
LONGEST = timedelta(hours=1)


def begin_clearing(root: str, endpoint: str, times: Collection[int], now: datetime) -> str:
    """Note that the windows of these event times are to be cleared; return the note's name."""
    name = f"{uuid.uuid4()}.json"
    note = {"endpoint": endpoint, "begun": now.isoformat(), "times": sorted(times)}
    put_file(root, FOLDER, name, json.dumps(note).encode())
    return name


def end_clearing(root: str, name: str) -> None:
    """Remove a note: its windows have been cleared."""
    filesystem, base = open_storage(root)
    # Another process may have ended it.
    with reaching(f"{root}/{FOLDER}"), suppress(FileNotFoundError):
        filesystem.delete_file(f"{base}/{FOLDER}/{name}")


def finish_clearing(root: str, windows: WindowClearer, now: datetime) -> ClearedWindows:
    """Clear the windows of erasures that were killed, and of those under way."""
    cleared = ClearedWindows()
    for name in _notes(root):
        if (data := get_file(root, FOLDER, name)) is None:
            continue
        note = json.loads(data)
        if note["times"]:
            cleared += windows(note["endpoint"], note["times"], is_again=True)
        if datetime.fromisoformat(note["begun"]) + LONGEST < now:
            end_clearing(root, name)
    return cleared


def is_clearing(root: str) -> bool:
    """Whether an erasure is under way: its rows may go after they were read."""
    return bool(_notes(root))


def _notes(root: str) -> list[str]:
    """Return the names of the notes; of one that is being written no row has gone yet."""
    filesystem, base = open_storage(root)
    with reaching(f"{root}/{FOLDER}"):
        entries = filesystem.get_file_info(
            pafs.FileSelector(f"{base}/{FOLDER}", allow_not_found=True)
        )
    return sorted(entry.base_name for entry in entries if not entry.base_name.startswith("."))
