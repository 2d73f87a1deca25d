"""Brings a ledger up to date with the tables: what each day of each endpoint holds, by spool.

Only files that are new since the last time are read, of them three columns; a day whose files were
replaced (compaction, erasure) is read anew. Each file that the log names is looked for, for one
that somebody removed leaves no other trace.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import pyarrow as pa

from driftline.capture.audit.account import EMPTY, Account, add_accounts, read_accounts
from driftline.capture.audit.ledger import Ledger, Part
from driftline.capture.tables.dataset import Dataset, gap_folder, list_endpoints
from driftline.capture.tables.delta_log import Watermarks, read_watermarks
from driftline.capture.tables.rewriting import held_files
from driftline.capture.tables.storage import reaching
from driftline.capture.tables.table import DeltaFolder

log = logging.getLogger(__name__)

_READ_BYTES = 1 << 20


@dataclass(slots=True)
class Stock:
    """What the tables' logs say, beside what goes into the ledger.

    ``stored``, ``settled``: up to which number a spool's records are in some table, and in all; by
    spool; ``expired``: how many requests of each spool retention has removed, by endpoint and
    spool; ``expired_shadows``: how many of these were answers of shadows, by endpoint; ``damaged``:
    files that a table's log names, and that are gone, or not what was written.
    """

    stored: dict[str, int] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    expired: dict[str, dict[str, int]] = field(default_factory=dict)
    expired_shadows: dict[str, int] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)

    def add(self, watermarks: Watermarks) -> None:
        """Take the watermarks of a table in."""
        for mine, theirs in ((self.stored, watermarks.stored), (self.settled, watermarks.settled)):
            for spool_id, at in theirs.items():
                mine[spool_id] = max(mine.get(spool_id, 0), at)

    def expired_of(self, spool_id: str) -> int:
        """Count the requests of a spool that retention has removed from all tables."""
        return sum(expired.get(spool_id, 0) for expired in self.expired.values())


def take_stock(root: str, ledger: Ledger, *, full: bool) -> Stock:
    """Bring a ledger up to date with the tables."""
    stock = Stock()
    gaps = gap_folder(root)
    gaps.catch_up()
    stock.add(read_watermarks(gaps))
    seen: set[tuple[str, str]] = set()
    for endpoint in list_endpoints(root):
        folder = Dataset(root, endpoint)
        folder.catch_up()
        if folder.table is None:
            continue
        watermarks = read_watermarks(folder)
        stock.add(watermarks)
        stock.expired[endpoint] = watermarks.expired
        stock.expired_shadows[endpoint] = sum(watermarks.expired_shadows.values())
        ledger.carry(endpoint, watermarks.stored)
        for day, files in _present(folder, endpoint, stock).items():
            earlier = None if full else ledger.parts.get((endpoint, day))
            ledger.parts[endpoint, day] = _brought_up(folder, endpoint, files, earlier, stock)
            seen.add((endpoint, day))
    _put_off(ledger, ledger.parts.keys() - seen, stock)
    return stock


def _present(folder: DeltaFolder, endpoint: str, stock: Stock) -> dict[str, dict[str, int]]:
    """Return the files of each day that are there, with their sizes in bytes."""
    assert folder.table is not None
    sizes = {name: entry.size for name, entry in folder.stored_files().items()}
    parts: dict[str, dict[str, int]] = {}
    for file in held_files(folder.table):
        files = parts.setdefault(file.part, {})
        if file.path in sizes:
            files[file.path] = sizes[file.path]
        if sizes.get(file.path) != file.size:
            stock.damaged.add(f"{endpoint}/{file.path}")
    stock.files[endpoint] = [path for files in parts.values() for path in files]
    return parts


def _put_off(ledger: Ledger, gone: Iterable[tuple[str, str]], stock: Stock) -> None:
    """Remove the days from the ledger that retention has removed from a table."""
    removed: dict[str, Account] = {}
    for key in list(gone):
        add_accounts(removed, ledger.parts.pop(key).accounts)
    for spool_id, account in removed.items():
        expired = ledger.expired.get(spool_id, EMPTY).plus(account)
        if expired.numbers <= stock.expired_of(spool_id):
            ledger.expired[spool_id] = expired


def _brought_up(
    folder: DeltaFolder, endpoint: str, files: dict[str, int], earlier: Part | None, stock: Stock
) -> Part:
    """Return the account of a day: the ledger's plus new files, or all of it read again."""
    if earlier is None or earlier.files.items() - files.items():
        earlier = Part({}, {})
    accounts = dict(earlier.accounts)
    new, unreadable = _read(folder, files.keys() - earlier.files)
    add_accounts(accounts, new)
    for file in unreadable:
        log.warning("capture file damaged endpoint=%s file=%s", endpoint, file)
        stock.damaged.add(f"{endpoint}/{file}")
        stock.files[endpoint].remove(file)
    # Not known as read: the next look tells of it again.
    return Part({file: size for file, size in files.items() if file not in unreadable}, accounts)


def _read(folder: DeltaFolder, files: Collection[str]) -> tuple[dict[str, Account], frozenset[str]]:
    """Read files; return those that are not Parquet any more."""
    with suppress(pa.ArrowInvalid, OSError):
        return read_accounts(folder, files), frozenset()
    total: dict[str, Account] = {}
    unreadable: set[str] = set()
    for file in files:
        try:
            accounts = read_accounts(folder, [file])
        except (pa.ArrowInvalid, OSError) as error:
            # A page that cannot be decompressed is an OSError, too: does the storage answer?
            _read_through(folder, file)
            log.debug("error=%s", error)
            unreadable.add(file)
            continue
        add_accounts(total, accounts)
    return total, frozenset(unreadable)


def _read_through(folder: DeltaFolder, file: str) -> None:
    """Read a file to its end, to find out whether its bytes can be read."""
    path = f"{folder.path}/{file}"
    with (
        reaching(folder.uri),
        folder.filesystem.open_input_stream(path, compression=None) as stream,
    ):
        while stream.read(_READ_BYTES):
            pass
