"""Request and response bodies to typed columns, by the endpoint's signature.

Many bodies are decoded together: clean CSV is joined and parsed once, JSON column by column. An
unreadable body gives no values and one sentence; a value that does not fit its type goes, as text,
to the map ``unfit``, and so do unknown fields of a JSON object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.spool.frame import FIRST_FAILURE, Flag
from driftline.capture.spool.records import Records
from driftline.formats.bodies import Sent, read_requests, read_responses
from driftline.formats.body_columns import Bodies
from driftline.signature import Signature

_NULL = "null"  # How an id that is missing stands among the texts of extras.
_NO_SIGNATURE = "the endpoint has no signature"


@dataclass(frozen=True, slots=True)
class Decoded:
    """The columns decoded from a batch of records.

    ``row_counts``: rows of each record, at least 1, so that no record is lost; ``columns``: arrays
    by their name in the capture table, one value a row; ``unfit``: for each row a map of column
    name to text; ``errors``: for each record why a body could not be read, or None;
    ``inference_ids``: for each row the id that its body names, where the signature has one and the
    request has one row; ``flags``: REQUEST_UNPARSED and RESPONSE_UNPARSED of each record.
    """

    row_counts: np.ndarray
    columns: dict[str, pa.Array]
    unfit: pa.MapArray
    errors: list[str | None]
    flags: np.ndarray
    inference_ids: pa.Array


def decode(records: Records, signature: Signature | None) -> Decoded:
    """Read the bodies of records; those of failed requests (status 400 or above) are left out."""
    status = records.status
    answered = (status > 0) & (status < FIRST_FAILURE)
    if signature is None:
        return _undecoded(answered)
    asked = read_requests(_sent(records, "request", answered), signature)
    counts = np.maximum(asked.counts, 1)
    replied = read_responses(_sent(records, "response", answered), signature, counts)
    unfit = UnfitTexts()
    ids: dict[int, str] = {}
    columns: dict[str, pa.Array] = {}
    for bodies, described in ((asked, signature.inputs), (replied, signature.outputs)):
        source, target = _places(bodies, counts)
        for column, coerced in zip(described, bodies.columns, strict=True):
            values = coerced.values
            columns[column.column] = values if source is None else values.take(source)
            unfit.add(target[coerced.unfit], column.name, coerced.texts)
        for row, name, text in bodies.extras:
            if name == signature.inference_id:
                ids[int(target[row])] = text
            else:
                unfit.add(target[[row]], name, [text])
    flags = np.zeros(len(records), np.int32)
    flags[[error is not None for error in asked.errors]] |= int(Flag.REQUEST_UNPARSED)
    flags[[error is not None for error in replied.errors]] |= int(Flag.RESPONSE_UNPARSED)
    errors = [
        None if request is None and response is None else _both(request, response)
        for request, response in zip(asked.errors, replied.errors, strict=True)
    ]
    return Decoded(
        counts, columns, unfit.array(int(counts.sum())), errors, flags, _alone(ids, counts)
    )


def _undecoded(answered: np.ndarray) -> Decoded:
    flags = np.where(answered, int(Flag.REQUEST_UNPARSED | Flag.RESPONSE_UNPARSED), 0)
    return Decoded(
        row_counts=np.ones(len(answered), np.int64),
        columns={},
        unfit=UnfitTexts().array(len(answered)),
        errors=[_NO_SIGNATURE if told else None for told in answered],
        flags=flags.astype(np.int32),
        inference_ids=pa.nulls(len(answered), pa.string()),
    )


def _alone(ids: dict[int, str], counts: np.ndarray) -> pa.Array:
    """Return the ids as a column, null for requests with several rows.

    An id names a request; labels, too, tell its rows apart by their index.
    """
    is_alone = np.repeat(counts == 1, counts)
    chosen = {row: text for row, text in ids.items() if is_alone[row] and text != _NULL}
    rows = sorted(chosen)
    values = pa.array([chosen[row] for row in rows], pa.string())
    return spread(values, np.array(rows, np.int64), len(is_alone))


def spread(values: pa.Array, rows: np.ndarray, row_count: int) -> pa.Array:
    """Return an array of texts or bytes with values at ``rows``, which rise, null at all others.

    Their bytes are shared. Arrow's ``take`` first reserves room for as many values of the mean size
    as there are rows: 28.8 GB for one body of 480 KB with 60,000 rows.
    """
    is_there = np.zeros(row_count, np.bool_)
    is_there[rows] = True
    ends = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, 4 * values.offset)
    offsets = ends[np.concatenate([[0], np.cumsum(is_there)])]
    is_there[rows] = values.is_valid().to_numpy(zero_copy_only=False)
    validity = pa.array(is_there).buffers()[1]
    data = values.buffers()[2]
    return pa.Array.from_buffers(
        values.type, row_count, [validity, pa.py_buffer(offsets), data or pa.py_buffer(b"")]
    )


def _sent(records: Records, side: Literal["request", "response"], answered: np.ndarray) -> Sent:
    """Return one side's bodies, with the reason where one cannot be whole."""
    contents = records.request if side == "request" else records.response
    flags = records.flags
    told: list[str | None] = [None] * len(records)
    cut = Flag.BODY_OMITTED | (
        Flag.REQUEST_TRUNCATED if side == "request" else Flag.RESPONSE_TRUNCATED
    )
    true = records.request_bytes if side == "request" else records.response_bytes
    for index in np.flatnonzero(answered & ((flags & int(cut)) != 0)).tolist():
        kept = len(contents[index].as_py())
        told[index] = f"only {kept} of {true[index]} bytes were kept"
    failed = (flags & int(Flag.REDACTION_FAILED)) != 0
    is_empty = pc.equal(pc.binary_length(contents), 0).to_numpy(zero_copy_only=False)
    for index in np.flatnonzero(answered & failed & is_empty).tolist():
        told[index] = "left out, for it could not be redacted"
    if side == "response":
        for index in np.flatnonzero(answered & ((flags & int(Flag.INCOMPLETE)) != 0)).tolist():
            told[index] = "it was not completed"
    return Sent(
        contents,
        records.meta(f"{side}_content_type"),
        records.meta(f"{side}_encoding"),
        records.meta(f"{side}_inference_header_length"),
        answered,
        told,
    )


def _places(bodies: Bodies, counts: np.ndarray) -> tuple[pa.Array | None, np.ndarray]:
    """Map rows of the table to rows that were read (null: none), and the other way round.

    None: both are the same, as when all bodies could be read at once.
    """
    starts = np.cumsum(counts) - counts
    total, read_total = int(counts.sum()), int(bodies.counts.sum())
    record = np.repeat(np.arange(len(counts)), counts)
    inside = np.arange(total) - starts[record]
    is_read = bodies.counts[record] > 0
    source = np.where(is_read, bodies.starts[record] + inside, 0)
    target = np.zeros(read_total, np.int64)
    target[source[is_read]] = np.flatnonzero(is_read)
    if total == read_total and (source == np.arange(total)).all():
        return None, target
    return pa.array(source, pa.int64(), mask=~is_read), target


def _both(request: str | None, response: str | None) -> str | None:
    told = [
        f"{side}: {error}"
        for side, error in (("request", request), ("response", response))
        if error is not None
    ]
    return "; ".join(told) or None


class UnfitTexts:
    """Gathers (row, name, text) and gives them as one map column."""

    def __init__(self) -> None:
        self._rows: list[np.ndarray] = []
        self._names: list[str] = []
        self._texts: list[str] = []

    def add(self, rows: np.ndarray, name: str, texts: list[str]) -> None:
        """Add the texts of one column."""
        if len(texts):
            self._rows.append(rows)
            self._names += [name] * len(texts)
            self._texts += texts

    def array(self, row_count: int) -> pa.MapArray:
        """Return the map column; names of a row stand in the order in which they were added."""
        rows = np.concatenate(self._rows) if self._rows else np.empty(0, np.int64)
        order = np.argsort(rows, kind="stable")
        ends = np.cumsum(np.bincount(rows, minlength=row_count))
        return pa.MapArray.from_arrays(
            pa.array(np.concatenate([[0], ends]), pa.int32()),
            pa.array(self._names, pa.string()).take(order),
            pa.array(self._texts, pa.string()).take(order),
        )
