"""Counts the requests in capture tables, by spool and by endpoint, from their rows.

Each file that a table's log names is looked for: a file that somebody removed leaves no other
trace.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from driftline.capture.spool.frame import Flag
from driftline.capture.tables.dataset import (
    FIRST_COLUMNS,
    META_SCHEMA,
    Dataset,
    is_callers,
    is_cut,
    is_first,
    is_flagged,
)
from driftline.capture.tables.rewriting import held_files
from driftline.capture.tables.storage import reaching

log = logging.getLogger(__name__)

_SCHEMA = pa.schema(
    [META_SCHEMA.field(name) for name in ("spool_id", "spool_seq", "flags", *FIRST_COLUMNS)]
)
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Decides where a number of a spool is counted.

    ``final``: up to which number a spool's records are surely in all tables, or lost; ``erased``:
    the erased numbers, in order; rows that are still there are about to go.
    """

    final: Mapping[str, int]
    erased: Mapping[str, np.ndarray]


@dataclass(slots=True)
class Stored:
    """The requests in tables.

    ``final``, ``later``: requests of each spool, up to its final number and beyond; ``requests``,
    ``undecodable``: requests of callers, and those whose bodies could not be decoded at all.
    """

    final: Counter[str] = field(default_factory=Counter)
    later: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    undecodable: int = 0

    def include(self, other: Stored) -> None:
        """Add the requests of another file or table."""
        self.final.update(other.final)
        self.later.update(other.later)
        self.requests += other.requests
        self.undecodable += other.undecodable


def count_files(dataset: Dataset, damaged: set[str], limits: Limits) -> tuple[Stored, list[str]]:
    """Count the requests of an open table; return also its files that can be read.

    ``damaged`` receives the files that are gone or changed.
    """
    files = _present(dataset, damaged)
    with suppress(pa.ArrowInvalid, OSError):
        return _count(dataset, files, limits), files
    total, readable = Stored(), []
    for file in files:
        try:
            total.include(_count(dataset, [file], limits))
        except (pa.ArrowInvalid, OSError) as error:
            # A page that cannot be decompressed is an OSError, too: does the storage answer?
            _read_through(dataset, file)
            log.warning("capture file damaged endpoint=%s file=%s", dataset.endpoint, file)
            log.debug("error=%s", error)
            damaged.add(f"{dataset.endpoint}/{file}")
            continue
        readable.append(file)
    return total, readable


def first_rows(
    dataset: Dataset, files: Collection[str], spools: Collection[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the numbers of the requests of some spools, int64, as they lie in files."""
    if not files:
        return
    wanted = pads.field("spool_id").isin(sorted(spools))
    data = dataset.read_files(sorted(files), _SCHEMA)
    with reaching(dataset.uri):
        for batch in data.to_batches(columns=_SCHEMA.names, filter=wanted):
            yield from _by_spool(batch.filter(is_first(batch)))


def _present(dataset: Dataset, damaged: set[str]) -> list[str]:
    """Return the files of an open table that are there."""
    assert dataset.table is not None
    sizes = {name: entry.size for name, entry in dataset.stored_files().items()}
    held = held_files(dataset.table)
    damaged.update(
        f"{dataset.endpoint}/{file.path}" for file in held if sizes.get(file.path) != file.size
    )
    return sorted(file.path for file in held if file.path in sizes)


def _count(dataset: Dataset, files: Collection[str], limits: Limits) -> Stored:
    total = Stored()
    if not files:
        return total
    data = dataset.read_files(sorted(files), _SCHEMA)
    for batch in data.to_batches(columns=_SCHEMA.names):
        first = batch.filter(is_first(batch))
        for spool_id, numbers in _by_spool(first):
            erased = limits.erased.get(spool_id)
            left = numbers if erased is None else numbers[~np.isin(numbers, erased)]
            final = int(np.count_nonzero(left <= limits.final.get(spool_id, 0)))
            total.final[spool_id] += final
            total.later[spool_id] += len(left) - final
        callers = first.filter(is_callers(first))
        flags = pc.fill_null(callers["flags"], 0)
        is_lost = pc.or_(is_flagged(flags, Flag.DECODER_FAULT), is_cut(flags))
        total.requests += callers.num_rows
        total.undecodable += pc.sum(is_lost).as_py() or 0
    return total


def _by_spool(first: pa.RecordBatch) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the numbers of each spool in some rows."""
    first = first.filter(pc.and_(pc.is_valid(first["spool_id"]), pc.is_valid(first["spool_seq"])))
    encoded = first["spool_id"].dictionary_encode()
    codes, numbers = encoded.indices.to_numpy(), first["spool_seq"].to_numpy()
    for code, spool_id in enumerate(encoded.dictionary.to_pylist()):
        yield spool_id, numbers[codes == code]


def _read_through(dataset: Dataset, file: str) -> None:
    """Read a file to its end, to find out whether its bytes can be read."""
    path = f"{dataset.path}/{file}"
    with (
        reaching(dataset.uri),
        dataset.filesystem.open_input_stream(path, compression=None) as stream,
    ):
        while stream.read(_READ_BYTES):
            pass
