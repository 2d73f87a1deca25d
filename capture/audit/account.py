"""Accounts of sequence numbers: how many there are, and a sum that no other set has.

Numbers of a spool that lie in a hundred files are added up file by file, in any order, in two
machine words. Two sets with the same count and the same sum of mixed numbers (modulo 2^64) are the
same set, unless a fault of the storage hits one of 2^64 by chance; so millions of numbers are
compared with "1 to n, each once" without ever being held together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.spool.frame import Flag
from driftline.capture.tables.dataset import is_cut, is_first, is_flagged
from driftline.capture.tables.table import DeltaFolder

_CHUNK = 1 << 20
_SCHEMA = pa.schema(
    [
        ("spool_id", pa.string()),
        ("spool_seq", pa.int64()),
        ("row_index", pa.int32()),
        ("flags", pa.int32()),
        ("request_bytes", pa.int64()),
    ]
)
# Steps of splitmix64 (Steele, Lea and Flood, 2014).
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_WORD = (1 << 64) - 1


class Account(NamedTuple):
    """Some sequence numbers of a spool.

    ``numbers``, ``digest``: how many there are, one that is there twice counted twice; the sum of
    them, mixed; ``torn``: records whose rows are not numbered one by one from their first row on;
    ``undecodable``: requests of whose bodies nothing could be decoded: cut, or by a fault of the
    decoder; ``shadows``: how many of the numbers are answers of shadows, which are no requests.
    """

    numbers: int = 0
    digest: int = 0
    rows: int = 0
    torn: int = 0
    undecodable: int = 0
    shadows: int = 0

    @property
    def requests(self) -> int:
        """How many of the numbers are requests of callers."""
        return self.numbers - self.shadows

    def plus(self, other: Account) -> Account:
        """Return the sum of two accounts."""
        return Account(
            self.numbers + other.numbers,
            (self.digest + other.digest) & _WORD,
            self.rows + other.rows,
            self.torn + other.torn,
            self.undecodable + other.undecodable,
            self.shadows + other.shadows,
        )

    def is_same_set(self, other: Account) -> bool:
        """Whether the numbers are the same."""
        return self.numbers == other.numbers and self.digest == other.digest


EMPTY = Account()
# The first and the last of some consecutive numbers.
Run = tuple[int, int]


def account_of(numbers: np.ndarray) -> Account:
    """Return the account of an array of whole numbers, int64, of at least 0."""
    return Account(len(numbers), int(_mix(numbers).sum(dtype=np.uint64)))


def run_account(first: int, last: int) -> Account:
    """Return the account of all numbers from a first to a last one, both included."""
    total = EMPTY
    for start in range(first, last + 1, _CHUNK):
        stop = min(start + _CHUNK, last + 1)
        total = total.plus(account_of(np.arange(start, stop, dtype=np.int64)))
    return total


def runs_of(chosen: np.ndarray, start: int) -> list[Run]:
    """Return the runs of chosen numbers of a window that begins at ``start``."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    return [
        (start + int(a), start + int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def runs_account(runs: Sequence[Run]) -> Account:
    """Return the account of all numbers in runs that do not overlap."""
    total = EMPTY
    for first, last in runs:
        total = total.plus(run_account(first, last))
    return total


def length_of(runs: Sequence[Run]) -> int:
    """Count the numbers in runs that do not overlap."""
    return sum(last - first + 1 for first, last in runs)


def read_accounts(folder: DeltaFolder, files: Iterable[str]) -> dict[str, Account]:
    """Add up the rows of some files of a capture table, by spool.

    One file at a time is in memory, of it five columns.
    """
    total: dict[str, Account] = {}
    if names := sorted(files):
        for fragment in folder.read_files(names, _SCHEMA).get_fragments():
            table = fragment.to_table(schema=_SCHEMA, columns=_SCHEMA.names)
            add_accounts(total, dict(_accounts(table)))
    return total


def add_accounts(total: dict[str, Account], accounts: Mapping[str, Account]) -> None:
    """Add accounts to a total, by spool."""
    for spool_id, account in accounts.items():
        total[spool_id] = total.get(spool_id, EMPTY).plus(account)


def _accounts(table: pa.Table) -> Iterator[tuple[str, Account]]:
    """Add up the rows of one file; the rows of a request are never in two."""
    table = table.append_column("is_first", is_first(table)).drop_columns("request_bytes")
    flags = table["flags"].fill_null(0)
    table = table.set_column(table.schema.get_field_index("flags"), "flags", flags).drop_null()
    first = table["is_first"].to_numpy()
    if not table.num_rows:
        return
    encoded = table["spool_id"].combine_chunks().dictionary_encode()
    spools = encoded.indices.to_numpy().astype(np.int64)
    names = encoded.dictionary.to_pylist()
    numbers, index = table["spool_seq"].to_numpy(), table["row_index"].to_numpy()
    counts = np.bincount(spools[first], minlength=len(names))
    rows = np.bincount(spools, minlength=len(names))
    flags = table["flags"]
    is_shadow = is_flagged(flags, Flag.SHADOW).to_numpy()
    shadows = np.bincount(spools[first & is_shadow], minlength=len(names))
    is_lost = pc.or_(is_flagged(flags, Flag.DECODER_FAULT), is_cut(flags)).to_numpy()
    undecodable = np.bincount(spools[first & is_lost & ~is_shadow], minlength=len(names))
    digests = np.zeros(len(names), np.uint64)
    np.add.at(digests, spools[first], _mix(numbers[first]))
    torn = np.zeros(len(names), np.int64)
    if not first.all():
        np.add.at(torn, _torn(spools, numbers, index, first), 1)
    columns = counts, digests, rows, torn, undecodable, shadows
    for at, name in enumerate(names):
        yield name, Account(*(int(column[at]) for column in columns))


def _torn(
    spools: np.ndarray, numbers: np.ndarray, index: np.ndarray, first: np.ndarray
) -> np.ndarray:
    """Return, for each record whose rows do not follow its first one, the code of its spool."""
    order = np.lexsort((index, numbers, spools))
    spools, numbers, index, first = spools[order], numbers[order], index[order], first[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (spools[1:] != spools[:-1]) | (numbers[1:] != numbers[:-1])
    starts = np.flatnonzero(is_new)
    request = np.cumsum(is_new) - 1
    is_wrong = index != index[starts][request] + np.arange(len(order)) - starts[request]
    is_wrong |= first != is_new
    torn: np.ndarray = spools[starts[np.unique(request[is_wrong])]]
    return torn


def _mix(numbers: np.ndarray) -> np.ndarray:
    """Spread whole numbers over 64 bits, each to another value."""
    with np.errstate(over="ignore"):
        value = (numbers.astype(np.uint64) + np.uint64(1)) * _STEP
        value = (value ^ (value >> np.uint64(30))) * _FIRST
        value = (value ^ (value >> np.uint64(27))) * _SECOND
        mixed: np.ndarray = value ^ (value >> np.uint64(31))
    return mixed
