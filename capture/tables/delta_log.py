"""A Delta table's own log: what was appended since a version, and all of its watermarks.

The library returns a watermark only for a known spool. An audit must also find a spool whose rows
are gone, of which only a watermark is left.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from driftline.capture.tables.retention import EXPIRED, EXPIRED_SHADOWS
from driftline.capture.tables.rewriting import DECODING, REASON
from driftline.capture.tables.storage import StorageError, trouble
from driftline.capture.tables.table import DeltaFolder

# Up to which number a spool's records are in this table.
STORED = "s/"
# Up to which number a spool's records are in all tables that they belong to.
SETTLED = "d/"
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Added:
    """What was appended to a table since a version.

    ``version``: the newest version; ``NO_TABLE`` while there is no table; ``files``: new files that
    still exist, relative to the table's folder; ``parts``: partitions whose rows all count as new,
    since the new ones are unknown.
    """

    version: int
    files: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


def added_since(folder: DeltaFolder, version: int) -> Added:
    """Return what was appended after a version.

    A commit that also removes files (compaction, retention, erasure) only moves older rows; rows
    that were decoded again count as new. Where files of an append, or entries of the log, are gone,
    all rows of their partitions count as new: rather too many than too few.
    """
    newest = folder.newest_version()
    table = folder.table
    if table is None or newest == version:
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
    try:
        actions = [json.loads(line) for line in _lines(folder, version) if line]
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


def _lines(folder: DeltaFolder, version: int) -> list[bytes]:
    """Return the actions of a commit, a line of JSON each."""
    path = f"{folder.path}/_delta_log/{version:020d}.json"
    with folder.filesystem.open_input_stream(path) as stream:
        return bytes(stream.read()).splitlines()


def _holds(folder: DeltaFolder, file: str) -> bool:
    info = folder.filesystem.get_file_info(f"{folder.path}/{file}")
    return bool(info.type == pafs.FileType.File)


def _sorted(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({text for text in texts if text is not None}))


def last_commit(folder: DeltaFolder) -> datetime | None:
    """Return when the open version was committed; None where its entry does not say.

    Not by ``DeltaTable.history``, which stops all threads until the storage answers (deltalake
    1.6.6).
    """
    if folder.table is None:
        return None
    try:
        for line in _lines(folder, folder.table.version()):
            if line.startswith(b'{"commitInfo"'):
                stamp = json.loads(line)["commitInfo"].get("timestamp")
                return datetime.fromtimestamp(stamp / 1000, UTC) if isinstance(stamp, int) else None
    except FileNotFoundError:
        return None  # A checkpoint has taken its place.
    except (OSError, ValueError) as error:
        raise trouble(folder.uri, error) from error
    return None


class Watermarks(NamedTuple):
    """The watermarks of a table at a version of it, by spool.

    ``stored`` and ``settled`` say up to which number, ``expired`` how many records retention took,
    ``expired_shadows`` how many of these were answers of shadows.
    """

    stored: dict[str, int]
    settled: dict[str, int]
    expired: dict[str, int]
    expired_shadows: dict[str, int]


def read_watermarks(folder: DeltaFolder) -> Watermarks:
    """Read the watermarks that the state which is open holds."""
    table = folder.table
    if table is None:
        return Watermarks({}, {}, {}, {})
    for attempt in range(_ATTEMPTS):
        try:
            transactions = dict(_transactions(folder, table.version()))
            break
        except FileNotFoundError as error:
            # A checkpoint has taken the place of entries just now.
            if attempt + 1 == _ATTEMPTS:
                raise StorageError(f'table "{folder.uri}": {error}') from error
        except (DeltaError, OSError, pa.ArrowInvalid, ValueError) as error:
            raise StorageError(f'table "{folder.uri}": {error}') from error
    prefixes = STORED, SETTLED, EXPIRED, EXPIRED_SHADOWS
    return Watermarks(*(_under(transactions, prefix) for prefix in prefixes))


def _under(found: dict[str, int], prefix: str) -> dict[str, int]:
    return {name[len(prefix) :]: at for name, at in found.items() if name.startswith(prefix)}


def _transactions(folder: DeltaFolder, version: int) -> Iterator[tuple[str, int]]:
    """Yield every transaction up to a version: the checkpoint's first, then each entry's."""
    log = f"{folder.path}/_delta_log"
    first = 0
    if (checkpoint := _checkpoint(folder, version)) is not None:
        with folder.filesystem.open_input_file(f"{log}/{checkpoint:020d}.checkpoint.parquet") as at:
            column = pq.read_table(at, columns=["txn"])["txn"].drop_null()
        for transaction in column.to_pylist():
            yield transaction["appId"], transaction["version"]
        first = checkpoint + 1
    for number in range(first, version + 1):
        for line in _lines(folder, number):
            if line.startswith(b'{"txn"'):
                entry = json.loads(line)["txn"]
                yield entry["appId"], entry["version"]


def _checkpoint(folder: DeltaFolder, version: int) -> int | None:
    """Find the newest checkpoint that is not newer than a version."""
    selector = pafs.FileSelector(f"{folder.path}/_delta_log")
    suffix = ".checkpoint.parquet"
    names = (entry.base_name for entry in folder.filesystem.get_file_info(selector))
    numbers = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    return max(
        (int(number) for number in numbers if number.isdecimal() and int(number) <= version),
        default=None,
    )
