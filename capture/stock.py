"""Taking stock of the tables: what each day of each endpoint holds now, by spool, into a ledger.

Only files that are new since the last time are read, of them three columns; a day whose files were
replaced (compaction, erasure) is read anew. Each file that the log names is looked for, for one
that somebody removed leaves no other trace.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.fs as pafs

from driftline.capture.account import EMPTY, Account, read_accounts
from driftline.capture.cleaning import RETENTION
from driftline.capture.dataset import Dataset, gap_folder, list_endpoints
from driftline.capture.ledger import Ledger, Part
from driftline.capture.marks import Marks, read_marks
from driftline.capture.rewriting import REASON
from driftline.capture.storage import StorageError
from driftline.capture.table import DeltaFolder

__all__ = ["Stock", "take_stock"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Stock:
    """What the tables said of themselves, beside what went into the ledger.

    Attributes
    ----------
    stored, settled
        Up to which number a spool's records are in some table, and in all; by spool.
    files
        The files of each endpoint's table that are there.
    damaged
        Files that a table's log names, and that are gone, or not what was written.
    expiring
        Endpoints of which retention has removed rows since the ledger looked.
    """

    stored: dict[str, int] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    expiring: set[str] = field(default_factory=set)

    def add(self, marks: Marks) -> None:
        """Take the marks of a table in."""
        for mine, theirs in ((self.stored, marks.stored), (self.settled, marks.settled)):
            for spool_id, at in theirs.items():
                mine[spool_id] = max(mine.get(spool_id, 0), at)


def take_stock(root: str, ledger: Ledger, *, keep_from: date | None, full: bool) -> Stock:
    """Bring a ledger up to the tables as they are now.

    Parameters
    ----------
    root
        Storage root.
    ledger
        Changed in place.
    keep_from
        The first day that retention keeps: earlier ones that are gone were removed by it.
    full
        Read all files, also those that were read before.

    Raises
    ------
    StorageError
        When a table cannot be read now.
    """
    stock = Stock()
    gaps = gap_folder(root)
    gaps.catch_up()
    stock.add(read_marks(gaps))
    endpoints = list_endpoints(root)
    for endpoint in endpoints:
        folder = Dataset(root, endpoint).folder
        folder.catch_up()
        if folder.table is None:
            continue
        stock.add(read_marks(folder))
        if _has_expired(folder, ledger.versions.get(endpoint, -1)):
            stock.expiring.add(endpoint)
        parts = _present(folder, endpoint, stock)
        _settle_removed(ledger, endpoint, parts, keep_from)
        for day, files in parts.items():
            known = None if full else ledger.parts.get((endpoint, day))
            ledger.parts[endpoint, day] = _brought_up(folder, endpoint, files, known, stock)
        ledger.versions[endpoint] = folder.table.version()
    for endpoint in {endpoint for endpoint, _ in ledger.parts} - set(endpoints):
        _settle_removed(ledger, endpoint, (), keep_from)
    return stock


def _present(folder: DeltaFolder, endpoint: str, stock: Stock) -> dict[str, dict[str, int]]:
    """Give the files of each day that are there, with their sizes in bytes."""
    assert folder.table is not None
    listed = pa.table(folder.table.get_add_actions(flatten=True))
    selector = pafs.FileSelector(folder.path, recursive=True)
    try:
        found = folder.filesystem.get_file_info(selector)
    except OSError as error:
        raise StorageError(f'table "{folder.uri}": {error}') from error
    sizes = {e.path[len(folder.path) + 1 :]: e.size for e in found if e.type == pafs.FileType.File}
    parts: dict[str, dict[str, int]] = {}
    columns = (listed[name].to_pylist() for name in ("path", "size_bytes", "partition.event_date"))
    for path, size, day in zip(*columns, strict=True):
        files = parts.setdefault(day, {})
        if path in sizes:
            files[path] = sizes[path]
        if sizes.get(path) != size:
            stock.damaged.add(f"{endpoint}/{path}")
    stock.files[endpoint] = [path for files in parts.values() for path in files]
    return parts


def _settle_removed(
    ledger: Ledger, endpoint: str, days: Iterable[str], keep_from: date | None
) -> None:
    """Take the days out of the ledger that the table has no more."""
    gone = {day for one, day in ledger.parts if one == endpoint} - set(days)
    for day in gone:
        if keep_from is not None and day < keep_from.isoformat():
            ledger.expire(endpoint, day)
        else:
            del ledger.parts[endpoint, day]


def _brought_up(
    folder: DeltaFolder, endpoint: str, files: dict[str, int], known: Part | None, stock: Stock
) -> Part:
    """Give the account of a day: what is known of it and what is new, or all of it read anew."""
    if known is None or known.files.items() - files.items():
        known = Part({}, {})
    accounts = dict(known.accounts)
    for spool_id, account in _read(folder, endpoint, files.keys() - known.files, stock).items():
        accounts[spool_id] = accounts.get(spool_id, EMPTY).plus(account)
    return Part(files, accounts)


def _read(
    folder: DeltaFolder, endpoint: str, files: Iterable[str], stock: Stock
) -> dict[str, Account]:
    """Read files; one that is no Parquet any more is damage, and does not stop the others."""
    try:
        return read_accounts(folder, files)
    except pa.ArrowInvalid:
        found: dict[str, Account] = {}
        for file in files:
            try:
                accounts = read_accounts(folder, [file])
            except pa.ArrowInvalid as error:
                log.warning("capture file damaged endpoint=%s file=%s", endpoint, file)
                log.debug("error=%s", error)
                stock.damaged.add(f"{endpoint}/{file}")
                stock.files[endpoint].remove(file)
                continue
            for spool_id, account in accounts.items():
                found[spool_id] = found.get(spool_id, EMPTY).plus(account)
        return found
    except OSError as error:
        raise StorageError(f'table "{folder.uri}": {error}') from error


def _has_expired(folder: DeltaFolder, since: int) -> bool:
    """Say whether the log tells of rows removed by retention after a version."""
    assert folder.table is not None
    newest = folder.table.version()
    if newest <= since:
        return False
    return any(
        entry.get(REASON) == RETENTION and entry.get("version", newest) > since
        for entry in folder.table.history(newest - since)
    )
