"""Requests to erase and what was erased: two small tables under ``erasures/``.

``requests`` keeps a request for as long as such records may still come from a spool or a broker:
never an id itself, but its keyed hash, so that nobody who reads the folder, or a backup of it,
learns whose data were erased. The key is in the table and goes with the last request. ``removed``
keeps only which numbers of which spools were erased, so that the audit adds up. Why:
docs/why/capture-table.md.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.tables.rewriting import OvertakenError, held_files, rewrite
from driftline.capture.tables.table import DeltaFolder, WatermarkMovedError, table_of
from driftline.formats.arrow_types import UTC_MICROSECONDS

Kind = Literal["inference_id", "event_id"]
KINDS: tuple[Kind, ...] = ("inference_id", "event_id")
REQUEST_SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        # Null: of all endpoints.
        ("endpoint", pa.string()),
        ("kind", pa.string()),
        ("digest", pa.string()),
        ("requested_time", UTC_MICROSECONDS),
        ("forget_time", UTC_MICROSECONDS),
    ]
)
REMOVED_SCHEMA = pa.schema(
    [
        ("spool_id", pa.string()),
        ("spool_seq", pa.int64()),
        ("endpoint", pa.string()),
        ("erased_time", UTC_MICROSECONDS),
    ]
)
_KEY = "key"
_WATERMARK = "requests"
_ATTEMPTS = 20
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """The open requests to erase: hashes of ids, by kind and endpoint.

    ``until``: when the last of them expires; None when there are none.
    """

    key: bytes = field(default=b"", repr=False)
    digests: Mapping[tuple[str, str | None], frozenset[str]] = field(default_factory=dict)
    until: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.digests)

    def matches(self, endpoint: str, ids: pa.Array | pa.ChunkedArray, *kinds: Kind) -> np.ndarray:
        """Return which ids are to be erased, bool, shape (ids,); null is never."""
        sought = frozenset[str]().union(
            *(
                self.digests.get((kind, of), frozenset())
                for kind in kinds
                for of in (endpoint, None)
            )
        )
        if not sought:
            return np.zeros(len(ids), np.bool_)
        coded = pc.dictionary_encode(ids)
        chunks = coded.chunks if isinstance(coded, pa.ChunkedArray) else [coded]
        return np.concatenate(
            [np.zeros(0, np.bool_), *(self._hits(chunk, sought) for chunk in chunks)]
        )

    def _hits(self, coded: pa.DictionaryArray, sought: frozenset[str]) -> np.ndarray:
        texts = coded.dictionary.to_pylist()
        is_sought = np.array([digest_of(self.key, text) in sought for text in texts] + [False])
        return np.asarray(is_sought[coded.indices.fill_null(len(texts)).to_numpy()])


def digest_of(key: bytes, text: str) -> str:
    """Return the keyed hash of an id."""
    hasher = hashlib.blake2b(text.encode(), key=key, digest_size=_DIGEST_BYTES)
    return hasher.hexdigest()


def requests_folder(root: str, *, writer: str = "erasures") -> DeltaFolder:
    """Open the table of requests to erase."""
    return DeltaFolder(
        root,
        "erasures/requests",
        partition=None,
        writer=writer,
        repeated=("kind", "endpoint", "request_id"),
        order=("requested_time",),
    )


def removed_folder(root: str, *, writer: str = "erasures") -> DeltaFolder:
    """Open the table of what was erased."""
    return DeltaFolder(
        root,
        "erasures/removed",
        partition=None,
        writer=writer,
        repeated=("spool_id", "endpoint"),
        order=("erased_time", "spool_id", "spool_seq"),
    )


def removal_version(root: str) -> int:
    """Return a number that grows with each removal of rows, of whatever endpoint."""
    return removed_folder(root).newest_version()


def record_requests(
    root: str,
    ids: Mapping[Kind, Iterable[str]],
    endpoint: str | None,
    *,
    now: datetime,
    keep: timedelta,
) -> datetime:
    """Record that ids are erased from now on wherever they come; return until when.

    Repeating a request only extends it.
    """
    folder = requests_folder(root)
    until = now + keep
    for _ in range(_ATTEMPTS):
        folder.refresh()
        key = _read(folder).key
        rows: list[tuple[object, ...]] = []
        if not key:
            key = secrets.token_bytes(32)
            rows.append((None, None, _KEY, key.hex(), now, None))
        request = str(uuid.uuid4())
        for kind, texts in ids.items():
            rows += [(request, endpoint, kind, digest_of(key, text), now, until) for text in texts]
        number = folder.watermark(_WATERMARK) + 1
        with suppress(WatermarkMovedError):
            folder.append(table_of(rows, REQUEST_SCHEMA), {_WATERMARK: number})
            return until
    raise WatermarkMovedError(f'table "{folder.uri}": too many requests at once; ask again')


def open_requests(folder: DeltaFolder) -> Wanted:
    """Return the open requests; ``folder``: of ``requests_folder``."""
    return _read(folder.catch_up())


def forget(folder: DeltaFolder, now: datetime) -> int:
    """Delete expired requests; return how many ids that were.

    With the last one goes the key, without which its hash reveals nothing.
    """
    folder.refresh()
    table = folder.table
    if table is None:
        return 0
    rows = folder.rows(REQUEST_SCHEMA)
    kept = rows.filter(pc.greater(pc.fill_null(rows["forget_time"], now), now))
    if kept.num_rows == pc.sum(pc.is_valid(rows["forget_time"])).as_py():
        return 0
    keys = rows.filter(pc.equal(rows["kind"], _KEY))
    left = pa.concat_tables([keys, kept]) if kept.num_rows else kept
    new = []
    if left.num_rows:
        file = folder.new_file(None, left.schema)
        file.write(left)
        new.append(file.finish())
    old = held_files(table)
    # By the requests' own watermark, too: one that comes in between may go by the key that goes.
    counts = {f"s/{_WATERMARK}": 1}
    with suppress(OvertakenError):
        rewrite(folder, table, old, new, is_change=True, reason="forget", counts=counts)
        return int(rows.num_rows - left.num_rows)
    return 0


def record_removed(
    folder: DeltaFolder, endpoint: str, pairs: Sequence[tuple[str, int]], now: datetime
) -> None:
    """Record which sequence numbers of which spools were erased; repetitions count once."""
    if pairs:
        rows = table_of([(*pair, endpoint, now) for pair in pairs], REMOVED_SCHEMA)
        folder.refresh()
        folder.append(rows, {})


def erased_sequences(root: str) -> dict[str, np.ndarray]:
    """Return the numbers that were erased, by spool: int64, in order, each once."""
    rows = removed_folder(root).catch_up().rows(REMOVED_SCHEMA)
    spools = rows["spool_id"].combine_chunks().dictionary_encode()
    codes, seqs = spools.indices.to_numpy(), rows["spool_seq"].to_numpy()
    return {
        spool: np.unique(seqs[codes == code])
        for code, spool in enumerate(spools.dictionary.to_pylist())
    }


def erasure_counts(root: str) -> dict[str, int]:
    """Count the requests that were erased, by endpoint."""
    rows = (
        removed_folder(root)
        .catch_up()
        .rows(REMOVED_SCHEMA)
        .group_by(["endpoint", "spool_id", "spool_seq"])
        .aggregate([])
    )
    return {
        count["values"]: count["counts"] for count in pc.value_counts(rows["endpoint"]).to_pylist()
    }


def _read(folder: DeltaFolder) -> Wanted:
    rows = folder.rows(REQUEST_SCHEMA).to_pylist()
    keys = [row["digest"] for row in rows if row["kind"] == _KEY]
    asked = [row for row in rows if row["kind"] != _KEY]
    digests: dict[tuple[str, str | None], set[str]] = {}
    for row in asked:
        digests.setdefault((row["kind"], row["endpoint"]), set()).add(row["digest"])
    return Wanted(
        bytes.fromhex(keys[0]) if keys else b"",
        {of: frozenset(sought) for of, sought in digests.items()},
        max((row["forget_time"] for row in asked), default=None),
    )
