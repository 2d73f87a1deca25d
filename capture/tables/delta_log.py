"""What was appended to a Delta table since a version, read from its log alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs

from driftline.capture.tables.rewriting import DECODING, REASON
from driftline.capture.tables.storage import trouble
from driftline.capture.tables.table import DeltaFolder

# The version of a table that is not there yet: one before its first.
NO_TABLE = -1


@dataclass(frozen=True, slots=True)
class Added:
    """What was appended to a table since a version.

    ``version``: the newest version; ``NO_TABLE`` while there is no table; ``files``: new files that
    are still there, relative to the table's folder; ``parts``: parts all rows of which count as
    new, since it cannot be told any more which are.
    """

    version: int
    files: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


def added_since(folder: DeltaFolder, version: int) -> Added:
    """Return what was appended after a version.

    A commit that also removes files (compaction, retention, erasure) only brings older rows in
    another place; what was decoded again is new in it. Where files of an append are gone, or
    entries of the log, all rows of their parts count as new: rather too many than too few.
    """
    folder.catch_up()
    table = folder.table
    if table is None:
        return Added(NO_TABLE)
    newest = table.version()
    if newest == version:
        return Added(newest)
    entries = [_appended(folder, number) for number in range(version + 1, newest + 1)]
    # A table that was made anew counts from 0 again.
    is_known = version < newest and None not in entries
    added = {file: part for entry in entries if entry for file, part in entry.items()}
    gone = {part for file, part in added.items() if not _holds(folder, file)}
    if is_known and not gone:
        return Added(newest, _sorted(added))
    actions = pa.table(table.get_add_actions(flatten=True))
    names = [name for name in actions.column_names if name.startswith("partition.")]
    live_parts = set(actions[names[0]].to_pylist()) if names else set()
    if not is_known:
        return Added(newest, parts=_sorted(live_parts))
    whole = (file for file, part in added.items() if part not in gone)
    return Added(newest, _sorted(whole), _sorted(gone & live_parts))


def _appended(folder: DeltaFolder, version: int) -> dict[str, str] | None:
    """Return the new files of a commit, each with its part; None when its entry is gone."""
    path = f"{folder.path}/_delta_log/{version:020d}.json"
    try:
        with folder.filesystem.open_input_stream(path) as stream:
            actions = [json.loads(line) for line in bytes(stream.read()).splitlines() if line]
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise trouble(folder.uri, error) from error
    is_rewriting = any("remove" in action for action in actions)
    reasons = {action["commitInfo"].get(REASON) for action in actions if "commitInfo" in action}
    if is_rewriting and DECODING not in reasons:
        return {}
    adds = [action["add"] for action in actions if "add" in action]
    return {
        unquote(add["path"]): next(iter(add["partitionValues"].values()), "")
        for add in adds
        if add["dataChange"]
    }


def _holds(folder: DeltaFolder, file: str) -> bool:
    info = folder.filesystem.get_file_info(f"{folder.path}/{file}")
    return bool(info.type == pafs.FileType.File)


def _sorted(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({text for text in texts if text is not None}))
