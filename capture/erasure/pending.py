"""Erasures that are under way: of which windows values are still to be cleared.

A note is written before rows go and removed after their windows were cleared for the second time.
One that is left tells, after a kill, whose windows those are: the rows that knew it are gone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from datetime import datetime, timedelta

import pyarrow.fs as pafs

from driftline.capture.erasure.clearing import ClearedWindows, WindowClearer
from driftline.capture.tables.storage import open_storage, replace_object, trouble

FOLDER = "erasures/pending"
# No erasure takes so long; until then another process may still be at it.
LONGEST = timedelta(hours=1)


def begin_clearing(root: str, endpoint: str, times: Collection[int], now: datetime) -> str:
    """Note that the windows of these event times are to be cleared; return the note's path."""
    filesystem, base = open_storage(root)
    path = f"{base}/{FOLDER}/{uuid.uuid4()}.json"
    note = {"endpoint": endpoint, "begun": now.isoformat(), "times": sorted(times)}
    try:
        filesystem.create_dir(f"{base}/{FOLDER}", recursive=True)
        replace_object(filesystem, path, json.dumps(note).encode())
    except OSError as error:
        raise trouble(path, error) from error
    return path


def end_clearing(root: str, path: str) -> None:
    """Remove a note: its windows have been cleared."""
    filesystem, _ = open_storage(root)
    try:
        filesystem.delete_file(path)
    except FileNotFoundError:
        return  # Another process has ended it.
    except OSError as error:
        raise trouble(path, error) from error


def finish_clearing(root: str, windows: WindowClearer, now: datetime) -> ClearedWindows:
    """Clear the windows of erasures that were killed, and of those under way."""
    filesystem, base = open_storage(root)
    cleared = ClearedWindows()
    try:
        notes = filesystem.get_file_info(
            pafs.FileSelector(f"{base}/{FOLDER}", allow_not_found=True)
        )
        for entry in sorted(notes, key=lambda one: one.path):
            if entry.base_name.startswith("."):
                continue  # Being written: no row has gone yet.
            try:
                with filesystem.open_input_stream(entry.path) as stream:
                    note = json.loads(stream.read())
            except FileNotFoundError:
                continue
            if note["times"]:
                cleared += windows(note["endpoint"], note["times"], is_again=True)
            if datetime.fromisoformat(note["begun"]) + LONGEST < now:
                end_clearing(root, entry.path)
    except OSError as error:
        raise trouble(f"{base}/{FOLDER}", error) from error
    return cleared


def is_clearing(root: str) -> bool:
    """Whether an erasure is under way: its rows may go after they were read."""
    filesystem, base = open_storage(root)
    try:
        notes = filesystem.get_file_info(
            pafs.FileSelector(f"{base}/{FOLDER}", allow_not_found=True)
        )
        return any(not note.base_name.startswith(".") for note in notes)
    except OSError as error:
        raise trouble(f"{base}/{FOLDER}", error) from error
