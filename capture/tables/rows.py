"""Builds the rows of the endpoint's table from records: one per predicted row."""

from __future__ import annotations

import logging
import uuid
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.spool.frame import Flag, Frame
from driftline.capture.spool.records import Records
from driftline.capture.tables.dataset import (
    META_SCHEMA,
    PARTITION,
    is_answered,
    table_schema,
)
from driftline.capture.tables.decoding import Decoded, decode, spread
from driftline.signature import Signature

log = logging.getLogger(__name__)

_MAX_STATUS = 32_767
_US = 1000  # ns
_DAY_US = 86_400_000_000
# So far ahead of its arrival the event of a request may lie: forecasts are of days to come.
_AHEAD_US = 366 * _DAY_US
# They describe the request, not the row: given on row 0 only, so that sums come out right.
_BODIES = ("request_body", "response_body")
_ONCE = ("request_bytes", "response_bytes")


class Built(NamedTuple):
    """The rows of some records, and the records that could not become rows."""

    rows: pa.Table
    unreadable: tuple[tuple[str, Frame], ...] = ()


def states_time(records: Records) -> bool:
    """Whether any of these records has a client's event time."""
    stated = records.meta("stated_time_us")
    return bool(stated.null_count < len(stated))


def build_rows(
    records: Records, signature: Signature | None, *, is_time_trusted: bool = False
) -> Built:
    """Decode records to a table in the schema of the signature.

    ``is_time_trusted``: whether the endpoint takes the event times that its clients state. A record
    that makes the decoder itself fail is kept raw, with the fault as its parse error; one that
    cannot even be kept so is left out and returned: one odd record never stops the others.
    """
    if not len(records):
        return Built(table_schema(signature).empty_table())
    try:
        decoded = decode(records, signature)
        return Built(_rows(records, decoded, signature, is_time_trusted=is_time_trusted))
    # What a record may do that nobody thought of is anything; the halves tell which one it was.
    # Where memory does not suffice for all of them, it may for half.
    except Exception as error:  # noqa: BLE001
        if len(records) == 1:
            return _kept_raw(records, signature, error, is_time_trusted=is_time_trusted)
    half = len(records) // 2
    first, second = (
        build_rows(records.take(part), signature, is_time_trusted=is_time_trusted)
        for part in (slice(half), slice(half, None))
    )
    return Built(
        pa.concat_tables([first.rows, second.rows]), (*first.unreadable, *second.unreadable)
    )


def _kept_raw(
    record: Records, signature: Signature | None, error: Exception, *, is_time_trusted: bool
) -> Built:
    """Return the row of a single record without what is in its bodies, or no row."""
    spool, frame = record.spools[record.codes[0]], record.frame(0)
    # Without its message: that may quote the body.
    name = type(error).__name__
    log.error("decoder fault spool=%s seq=%d error=%s", spool, frame.seq, name)
    decoded = decode(record, None)
    decoded.errors[0] = f"decoder fault: {name}"
    decoded.flags[0] |= int(Flag.DECODER_FAULT)
    try:
        return Built(_rows(record, decoded, signature, is_time_trusted=is_time_trusted))
    except Exception as again:  # noqa: BLE001 - as above
        name = type(again).__name__
        log.error("unreadable record spool=%s seq=%d error=%s", spool, frame.seq, name)
        return Built(table_schema(signature).empty_table(), ((spool, frame),))


def _rows(
    records: Records, decoded: Decoded, signature: Signature | None, *, is_time_trusted: bool
) -> pa.Table:
    columns = _meta(records, decoded)
    if is_time_trusted:
        columns |= _stated_times(records, columns["flags"])
    columns[PARTITION] = _dates(columns["event_time"])
    counts = decoded.row_counts
    total = int(counts.sum())
    inside = np.zeros(total, np.int64)
    if total != len(records):
        record = np.repeat(np.arange(len(records)), counts)
        inside = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        source = pa.array(record)
        first = pa.array(record, mask=inside > 0)
        at = np.flatnonzero(inside == 0)
        columns = {
            name: spread(array, at, total)
            if name in _BODIES
            else array.take(first if name in _ONCE else source)
            for name, array in columns.items()
        }
    # What the caller said of the request wins over what its body says.
    ids = decoded.inference_ids
    parts = records.meta("first_row")
    if parts.null_count < len(parts):
        # Of a batch that was logged in parts; an id names a request with one row alone.
        inside = inside + np.repeat(pc.fill_null(parts.cast(pa.int64()), 0).to_numpy(), counts)
        is_alone = np.repeat(parts.is_null().to_numpy(zero_copy_only=False), counts)
        ids = pc.if_else(pa.array(is_alone), ids, pa.scalar(None, pa.string()))
    columns["inference_id"] = pc.coalesce(columns["inference_id"], ids)
    columns["row_index"] = pa.array(inside, pa.int32())
    columns.update(decoded.columns)
    columns["unfit"] = decoded.unfit
    if signature is not None:
        digest = pa.scalar(signature.digest, pa.string())
        columns["signature_digest"] = pc.if_else(
            is_answered(columns["status"]), digest, pa.scalar(None, pa.string())
        )
    schema = table_schema(signature)
    arrays = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(total, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _meta(records: Records, decoded: Decoded) -> dict[str, pa.Array]:
    """Return the columns that describe records, one value a record."""
    meta = records.meta
    arrival = records.wall_ns // _US
    times, is_suspect = _event_times(meta("event_time_us"), arrival)
    values: dict[str, object] = {
        "event_id": _event_ids(records),
        "inference_id": meta("inference_id"),
        "variant": meta("variant"),
        "model": meta("model"),
        "event_time": times,
        "arrival_time": arrival,
        "status": np.minimum(records.status, _MAX_STATUS),
        "latency_us": records.total_us,
        "flags": decoded.flags | records.flags | is_suspect * np.int32(Flag.EVENT_TIME_SUSPECT),
        "request_content_type": meta("request_content_type"),
        "response_content_type": meta("response_content_type"),
        "request_bytes": records.request_bytes,
        "response_bytes": records.response_bytes,
        "request_body": records.request,
        "response_body": records.response,
        "custom_attributes": meta("custom_attributes"),
        "headers": _headers(meta("headers")),
        "parse_error": pa.array(decoded.errors, pa.string()),
        "spool_id": records.spool_id,
        "spool_seq": records.seq,
        "sampling_rate": _shares(meta("rate")),
    }
    return {
        name: value
        if isinstance(value, pa.Array)
        else pa.array(value).cast(META_SCHEMA.field(name).type)
        for name, value in values.items()
    }


def _event_ids(records: Records) -> pa.StringArray:
    """Return the request ids; a record without one gets an id derived from its contents."""
    ids = records.meta("event_id")
    missing = pc.fill_null(pc.equal(ids, ""), True).to_numpy(zero_copy_only=False)
    if not missing.any():
        return ids
    made: list[str | None] = [None] * len(records)
    for index in np.flatnonzero(missing):
        spool_id = records.spools[records.codes[index]]
        made[index] = str(uuid.uuid5(uuid.UUID(spool_id), str(records.seq[index])))
    return pc.if_else(pa.array(missing), pa.array(made, pa.string()), ids)


def _stated_times(records: Records, flags: pa.Array) -> dict[str, pa.Array]:
    """Return event times and flags with the times that clients stated, where no other is given.

    An empty stated time could not be parsed.
    """
    trusted, stated = records.meta("event_time_us"), records.meta("stated_time_us")
    is_stated = pc.and_(pc.is_valid(stated), pc.is_null(trusted))
    is_malformed = pc.fill_null(pc.equal(stated, ""), False)
    taken = pc.if_else(pc.and_(is_stated, pc.invert(is_malformed)), stated, trusted)
    times, is_suspect = _event_times(taken, records.wall_ns // _US)
    told = np.where(is_malformed, int(Flag.EVENT_TIME_MALFORMED), int(Flag.EVENT_TIME_GIVEN))
    told = np.where(is_stated, told, 0) | is_suspect * int(Flag.EVENT_TIME_SUSPECT)
    return {
        "event_time": pa.array(times).cast(META_SCHEMA.field("event_time").type),
        "flags": pc.bit_wise_or(flags, pa.array(told, pa.int32())),
    }


def _event_times(texts: pa.StringArray, arrival: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the client's event time, else the arrival time, in microseconds since 1970.

    An impossible time (before 1970, or more than a year ahead) is replaced by that of arrival: no
    window would ever reach the year 9999, and not every reader of the table could read it. The
    second array marks these rows.
    """
    if texts.null_count == len(texts):
        return arrival, np.zeros(len(arrival), np.bool_)
    times = [
        arrived if text is None else int(text)
        for text, arrived in zip(texts.to_pylist(), arrival.tolist(), strict=True)
    ]
    event_times = np.array(times, np.int64)
    is_suspect = (event_times != arrival) & (
        (event_times < 0) | (event_times - _AHEAD_US > arrival)
    )
    return np.where(is_suspect, arrival, event_times), is_suspect


def _headers(given: pa.StringArray) -> pa.MapArray:
    """Read lines of ``name:value``, as the tap writes them; null where none was kept."""
    kind = META_SCHEMA.field("headers").type
    if given.null_count == len(given):
        return pa.nulls(len(given), kind)
    lines = pc.split_pattern(given, "\n")
    pairs = pc.split_pattern(lines.flatten(), ":", max_splits=1)
    if not pc.all(pc.equal(pc.list_value_length(pairs), 2)).as_py():
        # Not of our tap: a line that names nothing is left out.
        return pa.array([_named(text) for text in given.to_pylist()], kind)
    texts = pairs.flatten()
    names, values = texts[::2], texts[1::2]
    return pa.MapArray.from_arrays(lines.offsets, names, values, kind, mask=given.is_null())


def _named(text: str | None) -> list[tuple[str, str]] | None:
    if text is None:
        return None
    return [(name, value) for name, watermark, value in _parted(text) if watermark]


def _parted(text: str) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in text.split("\n")]


def _dates(times: pa.Array) -> pa.Array:
    """Write the days of times, each different day once."""
    days = times.cast(pa.int64()).to_numpy() // _DAY_US
    different, at = np.unique(days, return_inverse=True)
    firsts = pa.array(different * _DAY_US).cast(times.type)
    return pc.strftime(firsts, format="%Y-%m-%d").take(pa.array(at))


def _shares(texts: pa.StringArray) -> pa.Array:
    """Read the sampling rates, each distinct one once; 1 where none is stated."""
    encoded = pc.fill_null(texts, "1").dictionary_encode()
    shares = pa.array([float(text) for text in encoded.dictionary.to_pylist()], pa.float32())
    return shares.take(encoded.indices)
