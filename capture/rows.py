"""Capture records to rows of the endpoint's table: one a predicted row, bodies on the first."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.dataset import META_SCHEMA, PARTITION, table_schema
from driftline.capture.decode import Decoded, decode
from driftline.capture.frame import Frame
from driftline.signature import Signature

__all__ = ["Built", "build_rows"]

log = logging.getLogger(__name__)

_MAX_STATUS = 32_767
_US = 1000  # ns
# They describe the request, not the row: given on row 0 only, so that sums come out right.
_ONCE = ("request_bytes", "response_bytes", "request_body", "response_body")


class Built(NamedTuple):
    """The rows of some records, and the records that no row could be made of."""

    rows: pa.Table
    unreadable: tuple[tuple[str, Frame], ...] = ()


def build_rows(records: Sequence[tuple[str, Frame]], signature: Signature | None) -> Built:
    """Decode records, each with its spool's id, to a table in the schema of the signature.

    A record that makes the decoder itself fail is kept raw, with the fault as its parse error; one
    that cannot even be kept so is left out and given back: one odd record never stops the others.
    """
    if not records:
        return Built(table_schema(signature).empty_table())
    frames = [frame for _, frame in records]
    try:
        return Built(_rows(records, decode(frames, signature), signature))
    # What a record may do that nobody thought of is anything; the halves tell which one it was.
    except Exception as error:  # noqa: BLE001
        if len(records) == 1:
            return _kept_raw(records[0], signature, error)
    half = len(records) // 2
    first, second = build_rows(records[:half], signature), build_rows(records[half:], signature)
    return Built(
        pa.concat_tables([first.rows, second.rows]), (*first.unreadable, *second.unreadable)
    )


def _kept_raw(record: tuple[str, Frame], signature: Signature | None, error: Exception) -> Built:
    """Give the row of a record without what is in its bodies, or no row."""
    spool, frame = record
    # Without its message: that may quote the body.
    name = type(error).__name__
    log.error("decoder fault spool=%s seq=%d error=%s", spool, frame.seq, name)
    decoded = decode([frame], None)
    decoded.errors[0] = f"decoder fault: {error!r}"
    try:
        return Built(_rows([record], decoded, signature))
    except MemoryError:
        raise  # That says nothing about the record.
    except Exception as again:  # noqa: BLE001 - as above
        name = type(again).__name__
        log.error("unreadable record spool=%s seq=%d error=%s", spool, frame.seq, name)
        return Built(table_schema(signature).empty_table(), (record,))


def _rows(
    records: Sequence[tuple[str, Frame]], decoded: Decoded, signature: Signature | None
) -> pa.Table:
    counts = decoded.row_counts
    record = np.repeat(np.arange(len(records)), counts)
    row_index = np.arange(len(record)) - np.repeat(np.cumsum(counts) - counts, counts)
    source = pa.array(record)
    first = pa.array(record, mask=row_index > 0)
    meta = _meta(records, decoded)
    columns = {name: array.take(first if name in _ONCE else source) for name, array in meta.items()}
    # What the caller said of the request wins over what its body says.
    columns["inference_id"] = pc.coalesce(columns["inference_id"], decoded.inference_ids)
    columns["row_index"] = pa.array(row_index, pa.int32())
    columns.update(decoded.columns)
    columns["unfit"] = decoded.unfit
    columns[PARTITION] = pc.strftime(columns["event_time"], format="%Y-%m-%d")
    arrays = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(len(record), field.type)
        for field in table_schema(signature)
    ]
    return pa.Table.from_arrays(arrays, schema=table_schema(signature))


def _meta(records: Sequence[tuple[str, Frame]], decoded: Decoded) -> dict[str, pa.Array]:
    """Give the columns that describe records, one value a record."""
    frames = [frame for _, frame in records]
    metas = [frame.meta for frame in frames]
    arrival = np.array([frame.wall_ns for frame in frames], np.int64) // _US
    given = [meta.get("event_time_us") for meta in metas]
    event = [
        arrived if text is None else int(text)
        for text, arrived in zip(given, arrival.tolist(), strict=True)
    ]
    values: dict[str, Sequence[object] | np.ndarray] = {
        "event_id": [
            frame.meta.get("event_id") or _made_id(spool, frame.seq) for spool, frame in records
        ],
        "inference_id": [meta.get("inference_id") for meta in metas],
        "variant": [meta.get("variant") for meta in metas],
        "model": [meta.get("model") for meta in metas],
        "event_time": event,
        "arrival_time": arrival,
        "status": [min(frame.status, _MAX_STATUS) for frame in frames],
        "latency_us": [frame.total_us for frame in frames],
        "flags": decoded.flags | np.array([frame.flags for frame in frames], np.int32),
        "request_content_type": [meta.get("request_content_type") for meta in metas],
        "response_content_type": [meta.get("response_content_type") for meta in metas],
        "request_bytes": [frame.request_bytes for frame in frames],
        "response_bytes": [frame.response_bytes for frame in frames],
        "request_body": [frame.request for frame in frames],
        "response_body": [frame.response for frame in frames],
        "custom_attributes": [meta.get("custom_attributes") for meta in metas],
        "parse_error": decoded.errors,
        "spool_id": [spool for spool, _ in records],
        "spool_seq": [frame.seq for frame in frames],
        "sampling_rate": [float(meta.get("rate", "1")) for meta in metas],
    }
    return {name: pa.array(value, META_SCHEMA.field(name).type) for name, value in values.items()}


def _made_id(spool_id: str, seq: int) -> str:
    """Give a record without a request id one that is the same each time it is read."""
    return str(uuid.uuid5(uuid.UUID(spool_id), str(seq)))
