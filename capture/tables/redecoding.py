"""Decodes stored bodies again, by another signature than before.

A file at a time: the rows that are read otherwise now go to a file of their own, all others to a
second one, and both replace the old file in one commit. Each row records the signature that last
read it, so that each reads it once. After a kill each row is in the table once, and repeating
resumes. Bodies come from the table, so what was redacted or erased stays so.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import astuple, dataclass, replace
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
    FORM,
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
         "request_body", "response_body", "signature_digest"}  # fmt: skip
# What decoding looks at.
_READ = ("spool_id", "spool_seq", "event_id", "row_index", "flags", "status",
         *(f"{side}_{what}" for side in ("request", "response")
           for what in ("body", "bytes", "content_type")))  # fmt: skip
# The table does not keep how a body was packed; these say so themselves.
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class Redecoded:
    """The counts of requests read again, by outcome.

    ``decoded``, ``rows``: requests that are read otherwise now, and their rows; ``left``: requests
    that cannot be read in full, neither now nor before.
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
    served: Collection[str] = (),
    only: Collection[str] | None = None,
    stop: Event | None = None,
) -> Redecoded:
    """Decode by a signature the requests that another one decoded, or none could.

    ``served``: the endpoint's current models; answers of others are not decoded as theirs.
    """
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
                    total += _decode_file(dataset, file, settled, served)
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


def _decode_file(
    folder: DeltaFolder, held: Held, signature: Signature, served: Collection[str]
) -> Redecoded:
    """Replace the rows of one file that are read otherwise now."""
    names = (*FIRST_COLUMNS, "status", "flags", "signature_digest")
    seen = pa.schema([META_SCHEMA.field(name) for name in names])
    groups = read_groups(folder, held.path, seen)
    looks = [(_unparsed(rows).sum(), _pending(rows, signature).any()) for rows in groups]
    if not any(is_pending for _, is_pending in looks):
        return Redecoded(left=int(sum(count for count, _ in looks)))
    folder.widen(table_schema(signature))
    table = folder.table
    assert table is not None, "it has files"
    if held.path not in {one.path for one in held_files(table)}:
        raise OvertakenError(f'table "{folder.uri}": {held.path} was replaced')
    held_schema = pa.schema(table.schema().to_arrow())
    schema = held_schema.remove(held_schema.get_field_index(PARTITION))
    total = Redecoded()
    new: list[AddAction] = []
    with folder.new_file(held.part, schema) as same, folder.new_file(held.part, schema) as read:
        for rows in _whole_requests(read_groups(folder, held.path, schema)):
            kept, made, counts = _decoded(rows, signature, served)
            total += counts
            for file, part in ((same, kept), (read, made)):
                if part.num_rows:
                    file.write(fitted(part, schema))
        new = [file.finish(is_change=file is read) for file in (same, read) if file.rows]
    rewrite(folder, table, [held], new, is_change=bool(read.rows), reason=DECODING)
    return total


def _whole_requests(groups: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Return the rows of a file in tables that each hold whole requests."""
    waiting: pa.Table | None = None
    for rows in groups:
        joined = rows if waiting is None else pa.concat_tables([waiting, rows])
        last = joined.slice(joined.num_rows - 1)
        is_last = pc.and_(
            pc.equal(joined["spool_id"], last["spool_id"][0]),
            pc.equal(joined["spool_seq"], last["spool_seq"][0]),
        )
        begin = is_last.index(True).as_py()
        if begin:
            yield joined.slice(0, begin)
        waiting = joined.slice(begin)
    if waiting is not None:
        yield waiting


def _unparsed(rows: pa.Table) -> np.ndarray:
    """Return the first rows of records that were answered and not read, shape (rows,)."""
    unparsed = pc.and_(is_flagged(rows["flags"], _UNPARSED), is_first(rows))
    return np.asarray(pc.and_(unparsed, is_answered(rows["status"])).to_numpy())


def _pending(rows: pa.Table, signature: Signature) -> np.ndarray:
    """Return the first rows of records that were read by another signature, shape (rows,).

    Records read by a signature that is not the endpoint's, as by a job's, count only if unreadable.
    """
    digests = rows["signature_digest"]
    other = pc.fill_null(pc.not_equal(digests, signature.digest), False)
    answered = pc.and_(is_first(rows), is_answered(rows["status"]))
    raw = pc.and_(is_flagged(rows["flags"], _UNPARSED), pc.is_null(digests))
    return np.asarray(pc.and_(answered, pc.or_(other, raw)).to_numpy())


def _decoded(
    rows: pa.Table, signature: Signature, served: Collection[str]
) -> tuple[pa.Table, pa.Table, Redecoded]:
    """Split rows into those that stay, and those of requests that are read otherwise now."""
    pending = _pending(rows, signature)
    nothing, left = rows.slice(0, 0), int(_unparsed(rows).sum())
    if not pending.any():
        return rows, nothing, Redecoded(left=left)
    requests = rows.filter(pa.array(pending))
    stored = _request_numbers(rows)
    looked = np.zeros(int(stored.max()) + 1, np.bool_)
    looked[stored[pending]] = True
    rows = _signed(rows, looked[stored], signature)
    made, is_made = _built(requests, signature)
    requests = requests.filter(pa.array(is_made))
    pending[pending] = is_made
    if not is_made.any():
        return rows, nothing, Redecoded(left=left)
    first = is_first(made)
    owner = np.cumsum(first.to_numpy()) - 1
    sizes = np.bincount(stored)[stored[pending]]
    before = requests["flags"].to_numpy() & _UNPARSED
    after = made.filter(first)["flags"].to_numpy() & _UNPARSED
    # A raw request is one row; of any other all rows have to be here, and some may lie in another
    # file.
    is_raw = (before & int(Flag.REQUEST_UNPARSED)) != 0
    is_whole = is_raw | (sizes == np.bincount(owner))
    # What could be read is not given up for what cannot.
    keep = (is_whole & ((after & ~before) == 0))[owner]
    made = _with_stored(made.filter(pa.array(keep)), requests, owner[keep])
    numbers = stored[pending][owner[keep]]
    changed = np.zeros(len(looked), np.bool_)
    old = _old_rows(made, numbers, rows, stored)
    changed[numbers[~_are_equal(made, old)]] = True
    inputs, outputs = _moved(made, old)
    of_others = pc.invert(pc.is_in(requests["model"], pa.array(["", None, *served], pa.string())))
    by_position = _are_by_position(requests, owner[keep], inputs, signature)
    is_kept = (inputs & by_position) | (outputs & of_others.to_numpy()[owner[keep]])
    changed[numbers[is_kept]] = False
    made = made.filter(pa.array(changed[numbers]))
    is_read = changed[stored[pending]] & (after == 0)
    decoded = Redecoded(
        int(is_read.sum()), int(is_read[owner].sum()), left - int((is_read & (before != 0)).sum())
    )
    return rows.filter(pa.array(~changed[stored])), made, decoded


def _signed(rows: pa.Table, is_looked: np.ndarray, signature: Signature) -> pa.Table:
    """Return rows, some of which say that they were looked at by a signature."""
    at = rows.schema.get_field_index("signature_digest")
    digests = pc.if_else(pa.array(is_looked), signature.digest, rows["signature_digest"])
    return rows.set_column(at, rows.schema.field(at), digests)


def _built(requests: pa.Table, signature: Signature) -> tuple[pa.Table, np.ndarray]:
    """Return the rows that stored requests become, and which of them do, shape (requests,)."""
    built = build_rows(_records(requests), signature)
    odd = {(spool, frame.seq) for spool, frame in built.unreadable}
    keys = zip(requests["spool_id"].to_pylist(), requests["spool_seq"].to_pylist(), strict=True)
    return built.rows, np.array([key not in odd for key in keys], np.bool_)


def _old_rows(made: pa.Table, numbers: np.ndarray, rows: pa.Table, stored: np.ndarray) -> pa.Table:
    """Return for each row the stored one that it is to replace, null where there is none.

    ``numbers``, ``stored``: the request number of each row of the two.
    """
    keys = _row_keys(numbers, made)
    known = _row_keys(stored, rows)
    order = np.argsort(known)
    at = np.searchsorted(known[order], keys).clip(max=len(order) - 1)
    source = order[at]
    return rows.take(pa.array(source, mask=known[source] != keys))


def _are_equal(made: pa.Table, old: pa.Table) -> np.ndarray:
    """Return which rows say what the stored ones do, shape (rows,)."""
    equal = np.ones(made.num_rows, np.bool_)
    for name in (set(old.schema.names) | set(made.schema.names)) - {"flags", PARTITION}:
        if name in made.schema.names and name in old.schema.names:
            equal &= _equal(made[name], old[name])
        else:
            table = made if name in made.schema.names else old
            equal &= table[name].is_null().to_numpy()
    return np.asarray(equal)


def _moved(made: pa.Table, old: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return where an input, and an answer, would no longer stand where it was read, (rows,)."""
    inputs, outputs = (np.zeros(made.num_rows, np.bool_) for _ in range(2))
    for name in set(old.schema.names) - {*META_SCHEMA.names, "unfit", FORM, PARTITION}:
        lost = old[name].is_valid().to_numpy()
        if name in made.schema.names:
            lost = lost & ~_equal(made[name], old[name])
        side = inputs if name.startswith("feature_") else outputs
        side |= lost
    return inputs, outputs


def _are_by_position(
    requests: pa.Table, owner: np.ndarray, is_asked: np.ndarray, signature: Signature
) -> np.ndarray:
    """Return which rows are read whatever their inputs are called, shape (rows,).

    ``owner``: the request of each row; ``is_asked``: the rows to look at.
    """
    asked = np.unique(owner[is_asked])
    inputs = [replace(one, name=f"\0{at}") for at, one in enumerate(signature.inputs)]
    rows, is_made = _built(requests.take(pa.array(asked)), Signature(tuple(inputs)))
    first = is_first(rows)
    sizes = np.bincount(np.cumsum(first.to_numpy()) - 1, minlength=int(is_made.sum()))
    unread = is_flagged(rows.filter(first)["flags"], Flag.REQUEST_UNPARSED).to_numpy()
    # A header would be one row more.
    is_made[is_made] = (sizes == np.bincount(owner)[asked][is_made]) & ~unread
    found = np.zeros(requests.num_rows, np.bool_)
    found[asked] = is_made
    made: np.ndarray = found[owner]
    return made


def _row_keys(numbers: np.ndarray, rows: pa.Table) -> np.ndarray:
    """Return a number for each row that is the same for the same row of the same request."""
    keys = (numbers.astype(np.int64) << 32) | rows["row_index"].to_numpy().astype(np.int64)
    return np.asarray(keys)


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> np.ndarray:
    """Return where two columns are equal, also where both are null."""
    if pa.types.is_nested(one.type):
        pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
        return np.array([a == b for a, b in pairs], np.bool_)
    same = pc.fill_null(pc.equal(one, other), False)
    if pa.types.is_floating(one.type):
        same = pc.or_(same, pc.fill_null(pc.and_(pc.is_nan(one), pc.is_nan(other)), False))
    return np.asarray(pc.or_(same, pc.and_(one.is_null(), other.is_null())).to_numpy())


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
    if FORM in requests.schema.names:
        once = pa.array(owner, mask=~np.asarray(is_first(made).to_numpy()))
        columns[FORM] = requests[FORM].take(once)
    columns["inference_id"] = pc.coalesce(requests["inference_id"].take(at), made["inference_id"])
    flags = requests["flags"].to_numpy()[owner] & ~_CHANGED
    flags |= made["flags"].to_numpy() & _CHANGED
    columns["flags"] = pa.array(flags | int(Flag.DECODED_LATER), pa.int32())
    return pa.table(columns)


def _records(requests: pa.Table) -> Records:
    """Make records of stored requests, with all that their decoding looks at."""
    return Records.of((row["spool_id"], _frame(row)) for row in requests.select(_READ).to_pylist())


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
