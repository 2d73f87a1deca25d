"""Decoding again what is stored raw: the endpoint had no signature then, or one that did not fit.

A file at a time: the rows that can be read now go to a file of their own, all others to a second
one, and both take the place of the old file in one commit. Whoever is killed when, each row is in
the table once, raw or decoded; doing it again goes on where it ended. Bodies are those of the
table, so that what was redacted or erased stays so.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import astuple, dataclass
from operator import add
from threading import Event

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.transaction import AddAction

from driftline.capture.spool.frame import Flag, Frame, Kind
from driftline.capture.spool.records import Records
from driftline.capture.tables.dataset import (
    FIRST_COLUMNS,
    META_SCHEMA,
    PARTITION,
    Dataset,
    is_answered,
    is_first,
    is_flagged,
    table_schema,
)
from driftline.capture.tables.merging import fitted, read_groups
from driftline.capture.tables.rewriting import DECODING, Held, OvertakenError, held_files, rewrite
from driftline.capture.tables.rows import build_rows
from driftline.capture.tables.storage import trouble
from driftline.capture.tables.table import DeltaFolder
from driftline.errors import ConflictError
from driftline.signature import Signature

log = logging.getLogger(__name__)

_ATTEMPTS = 20
_UNPARSED = int(Flag.REQUEST_UNPARSED | Flag.RESPONSE_UNPARSED)
_CHANGED = _UNPARSED | int(Flag.DECODER_FAULT)
_IN_FRAME = (1 << 16) - 1
# What decoding makes; all else of a row stays as it was stored.
_MADE = {"row_index", "inference_id", "flags", "parse_error", "request_bytes", "response_bytes",
         "request_body", "response_body"}  # fmt: skip
# The table does not keep how a body was packed; these say so themselves.
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class Redecoded:
    """The counts of requests decoded again, by outcome.

    ``decoded``, ``rows``: requests that could be read now, and their rows; ``left``: requests that
    still cannot be read in full.
    """

    decoded: int = 0
    rows: int = 0
    left: int = 0

    def __add__(self, other: Redecoded) -> Redecoded:
        return Redecoded(*map(add, astuple(self), astuple(other)))


def decode_again(
    dataset: Dataset,
    signature: Signature,
    *,
    only: Collection[str] | None = None,
    stop: Event | None = None,
) -> Redecoded:
    """Decode with a signature the requests that could not be decoded when they arrived."""
    total = Redecoded()
    done: set[str] = set()
    for _ in range(_ATTEMPTS):
        dataset.refresh()
        if dataset.table is None:
            return total
        settled = dataset.settle(signature)
        assert settled is not None, "it was given"
        try:
            for file in sorted(held_files(dataset.table), key=lambda entry: entry.path):
                if stop is not None and stop.is_set():
                    return total
                if file.path not in done and (only is None or file.path in only):
                    total += _decode_file(dataset, file, settled)
                    done.add(file.path)
        except (OvertakenError, FileNotFoundError) as error:
            log.info("decoding looks again table=%s: %s", dataset.uri, error)
            only = None  # Compaction may have put the rows elsewhere.
            continue
        except (OSError, pa.ArrowException) as error:
            raise trouble(dataset.uri, error) from error
        if total.decoded:
            log.info("decoded again endpoint=%s requests=%d", dataset.endpoint, total.decoded)
        return total
    raise ConflictError(f'table "{dataset.uri}": others rewrite it all the while; ask again')


def _decode_file(folder: DeltaFolder, held: Held, signature: Signature) -> Redecoded:
    """Replace the raw rows of one file that can now be decoded."""
    seen = pa.schema([META_SCHEMA.field(name) for name in (*FIRST_COLUMNS, "status", "flags")])
    if not any(_raw(rows).any() for rows in read_groups(folder, held.path, seen)):
        return Redecoded()
    folder.widen(table_schema(signature))
    table = folder.table
    assert table is not None, "it has files"
    if held.path not in {one.path for one in held_files(table)}:
        raise OvertakenError(f'table "{folder.uri}": {held.path} was replaced')
    held_schema = pa.schema(table.schema().to_arrow())
    schema = held_schema.remove(held_schema.get_field_index(PARTITION))
    total = Redecoded()
    new: list[AddAction] = []
    with folder.new_file(held.part, schema) as raw, folder.new_file(held.part, schema) as read:
        for rows in read_groups(folder, held.path, schema):
            kept, made, counts = _decoded(rows, signature)
            total += counts
            for file, part in ((raw, kept), (read, made)):
                if part.num_rows:
                    file.write(fitted(part, schema))
        if read.rows:
            new += [file.finish(is_change=file is read) for file in (raw, read) if file.rows]
    if new:
        rewrite(folder, table, [held], new, is_change=True, reason=DECODING)
    return total


def _raw(rows: pa.Table) -> np.ndarray:
    """Return the first rows of records that were answered and not read, shape (rows,)."""
    unparsed = pc.and_(is_flagged(rows["flags"], _UNPARSED), is_first(rows))
    return np.asarray(pc.and_(unparsed, is_answered(rows["status"])).to_numpy())


def _decoded(rows: pa.Table, signature: Signature) -> tuple[pa.Table, pa.Table, Redecoded]:
    """Split rows into unchanged and newly decoded ones."""
    raw = _raw(rows)
    requests = rows.filter(pa.array(raw))
    nothing = rows.slice(0, 0)
    if not requests.num_rows:
        return rows, nothing, Redecoded()
    built = build_rows(_records(requests), signature)
    if built.unreadable:
        return rows, nothing, Redecoded(left=requests.num_rows)
    made = built.rows
    first = is_first(made)
    owner = np.cumsum(first.to_numpy()) - 1
    stored = _request_numbers(rows)
    sizes = np.bincount(stored)[stored[raw]]
    before = requests["flags"].to_numpy() & _UNPARSED
    after = made.filter(first)["flags"].to_numpy() & _UNPARSED
    # A raw request is one row; of one whose answer alone was not read, all rows have to be here,
    # and some may lie in another row group.
    is_raw = (before & int(Flag.REQUEST_UNPARSED)) != 0
    is_whole = is_raw | (sizes == np.bincount(owner))
    is_other = pc.not_equal(_texts(requests), _texts(made.filter(first))).to_numpy()
    is_new = ((after != before) | is_other) & ((after & ~before) == 0) & is_whole
    chosen = np.zeros(int(stored.max()) + 1, np.bool_)
    chosen[stored[raw][is_new]] = True
    keep = is_new[owner]
    made = _with_stored(made.filter(pa.array(keep)), requests, owner[keep])
    is_read = is_new & (after == 0)
    decoded = int(is_read.sum())
    counts = Redecoded(decoded, int(is_read[owner].sum()), requests.num_rows - decoded)
    return rows.filter(pa.array(~chosen[stored])), made, counts


def _texts(requests: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(requests["parse_error"], "")


def _request_numbers(rows: pa.Table) -> np.ndarray:
    """Return a number for each row that is the same for the rows of one request."""
    spools = rows["spool_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    keys = np.stack([spools.astype(np.int64), rows["spool_seq"].to_numpy()])
    _, numbers = np.unique(keys, axis=1, return_inverse=True)
    return np.asarray(numbers).reshape(-1)


def _with_stored(made: pa.Table, requests: pa.Table, owner: np.ndarray) -> pa.Table:
    """Join the stored columns of the requests with their decoded bodies."""
    at = pa.array(owner)
    columns = {name: made[name] for name in made.schema.names}
    for name in META_SCHEMA.names:
        if name not in _MADE:
            columns[name] = requests[name].take(at)
    columns["inference_id"] = pc.coalesce(requests["inference_id"].take(at), made["inference_id"])
    flags = requests["flags"].to_numpy()[owner] & ~_CHANGED
    flags |= made["flags"].to_numpy() & _CHANGED
    columns["flags"] = pa.array(flags | int(Flag.DECODED_LATER), pa.int32())
    return pa.table(columns)


def _records(requests: pa.Table) -> Records:
    """Make records of stored requests, with all that their decoding looks at."""
    return Records.of((row["spool_id"], _frame(row)) for row in requests.to_pylist())


def _frame(row: dict[str, object]) -> Frame:
    # Of a record without an id one would be made.
    meta = {"event_id": str(row["event_id"])}
    if row["row_index"]:  # A later part of a batch.
        meta["first_row"] = str(row["row_index"])
    bodies: dict[str, bytes] = {}
    for side in ("request", "response"):
        body = row[f"{side}_body"]
        bodies[side] = body if isinstance(body, bytes) else b""
        if isinstance(kind := row[f"{side}_content_type"], str):
            meta[f"{side}_content_type"] = kind
        for magic, name in _MAGIC.items():
            if bodies[side].startswith(magic):
                meta[f"{side}_encoding"] = name
    flags, seq, status = (_whole(row[name]) for name in ("flags", "spool_seq", "status"))
    asked, replied = (_whole(row[f"{side}_bytes"]) for side in ("request", "response"))
    return Frame(
        Kind.RECORD, flags & _IN_FRAME, seq, 0, 0, 0, 0, asked, replied, status, meta,
        bodies["request"], bodies["response"],
    )  # fmt: skip


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
