"""The Delta table of an endpoint: rows, and how far each spool is in it, in one commit.

``<root>/capture/<endpoint>/`` is partitioned by ``event_date``. A commit adds files and, for each
spool, an application transaction ``s/<spool id>`` with the last sequence number, so rows and
watermarks are in the table together or not at all (docs/why/capture-table.md). delta-rs
refuses a commit on a stale snapshot that carries a watermark which moved meanwhile: that is the
fence against a second sink; the check against one's own repetition is ``watermark``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from driftline.capture.spool.frame import FIRST_FAILURE, Flag
from driftline.capture.tables.storage import list_folders
from driftline.capture.tables.table import DeltaFolder, table_of
from driftline.formats.arrow_types import ARROW_TYPES, UTC_MICROSECONDS
from driftline.signature import Column, Signature

PARTITION = "event_date"
# What tells the first row of each record: a batch that was logged in several records has row 0 in
# the first of them only, but all of them tell their length.
FIRST_COLUMNS = ("row_index", "request_bytes")
IS_FIRST = (pads.field("row_index") == 0) | pads.field("request_bytes").is_valid()
# In time, and then as they were written: no two rows are equal in all four.
ROW_ORDER = ("event_time", "spool_id", "spool_seq", "row_index")
META_SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("row_index", pa.int32()),
        ("inference_id", pa.string()),
        ("variant", pa.string()),
        ("model", pa.string()),
        ("event_time", UTC_MICROSECONDS),
        ("arrival_time", UTC_MICROSECONDS),
        ("status", pa.int16()),
        ("latency_us", pa.int64()),
        ("flags", pa.int32()),
        ("request_content_type", pa.string()),
        ("response_content_type", pa.string()),
        ("request_bytes", pa.int64()),
        ("response_bytes", pa.int64()),
        ("request_body", pa.binary()),
        ("response_body", pa.binary()),
        ("custom_attributes", pa.string()),
        ("headers", pa.map_(pa.string(), pa.string())),
        ("parse_error", pa.string()),
        ("spool_id", pa.string()),
        ("spool_seq", pa.int64()),
        ("sampling_rate", pa.float32()),
        # Digest of the signature by which the bodies were last read; null where no such one was.
        ("signature_digest", pa.string()),
    ]
)
# Of rows of imported lines, what of the line no other column holds.
FORM = "line_form"

GAP_SCHEMA = pa.schema(
    [
        ("spool_id", pa.string()),
        ("seq", pa.int64()),
        ("endpoint", pa.string()),
        ("reason", pa.string()),
        ("dropped_records", pa.int64()),
        ("dropped_bytes", pa.int64()),
        ("first_time", UTC_MICROSECONDS),
        ("last_time", UTC_MICROSECONDS),
    ]
)

# Dictionary pages help where few values repeat; ids and bodies only pay for them.
_REPEATED = (
    "variant", "model", "request_content_type", "response_content_type", "spool_id", "parse_error",
    "inference_id", "custom_attributes", "signature_digest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gap:
    """Records that were not stored, as counted where they were lost.

    ``records`` is None when the number is unknown (power loss); ``endpoint`` is empty when the loss
    cannot be attributed (damaged segments).
    """

    spool_id: str
    seq: int
    endpoint: str
    reason: str
    records: int | None
    size_bytes: int
    first_time: datetime | None
    last_time: datetime | None


def answered_by(
    variant: str | None, target_model: str | None = None, *, shadows: bool = False
) -> pads.Expression:
    """Return the filter of the rows of one variant, be it a shadow; None: what callers got.

    ``target_model``: one of many models behind it; ``shadows``: include the answers of all shadows.
    """
    if target_model is not None:
        return answered_by(variant, shadows=shadows) & (pads.field("model") == target_model)
    if variant is not None:
        return pads.field("variant") == variant
    return pads.scalar(True) if shadows else ~is_flagged(pads.field("flags"), Flag.SHADOW)


def is_flagged(
    flags: pa.Array | pa.ChunkedArray | pads.Expression, bits: int
) -> pa.Array | pa.ChunkedArray | pads.Expression:
    """Return where any of some bits is set in the column of flags."""
    return pc.not_equal(pc.bit_wise_and(flags, pa.scalar(int(bits), pa.int32())), 0)


def is_first(rows: pa.Table | pa.RecordBatch) -> pa.Array | pa.ChunkedArray:
    """Return which rows are the first of their record, by ``FIRST_COLUMNS``."""
    return pc.or_(pc.equal(rows["row_index"], 0), pc.is_valid(rows["request_bytes"]))


def is_callers(rows: pa.Table | pa.RecordBatch) -> pa.Array | pa.ChunkedArray:
    """Return which rows a caller was answered with: all but those of shadows."""
    return pc.invert(is_flagged(pc.fill_null(rows["flags"], 0), Flag.SHADOW))


def is_answered(status: pa.ChunkedArray | pads.Expression) -> pa.ChunkedArray | pads.Expression:
    """Return where a request was answered: with a status, and one below 400."""
    # Not ``and_``, which Arrow does not know in a filter.
    return pc.and_kleene(pc.greater(status, 0), pc.less(status, FIRST_FAILURE))


def is_within(start: datetime | None, end: datetime) -> pads.Expression:
    """Return the filter of the rows whose event time is in a half-open span."""
    time = pads.field("event_time")
    inside = time < pa.scalar(end, UTC_MICROSECONDS)
    return inside if start is None else inside & (time >= pa.scalar(start, UTC_MICROSECONDS))


def is_cut(flags: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return where a body that should have been decoded was cut or left out by the tap."""
    cut = Flag.REQUEST_TRUNCATED | Flag.RESPONSE_TRUNCATED | Flag.BODY_OMITTED
    unparsed = Flag.REQUEST_UNPARSED | Flag.RESPONSE_UNPARSED
    return pc.and_(is_flagged(flags, cut), is_flagged(flags, unparsed))


def table_schema(signature: Signature | None) -> pa.Schema:
    """Return the Arrow schema of an endpoint's table; no signature means no typed columns."""
    columns = () if signature is None else (*signature.inputs, *signature.outputs)
    typed = [pa.field(column.column, ARROW_TYPES[column.type]) for column in columns]
    unfit = pa.field("unfit", pa.map_(pa.string(), pa.string()))
    return pa.schema([*META_SCHEMA, *typed, unfit, pa.field(PARTITION, pa.string())])


class Dataset(DeltaFolder):
    """The capture table of one endpoint.

    ``writer``: who writes, part of its file names; only a sink needs to say so.
    """

    def __init__(self, root: str, endpoint: str, *, writer: str = "sink") -> None:
        super().__init__(
            root,
            f"capture/{endpoint}",
            partition=PARTITION,
            writer=writer,
            repeated=_REPEATED,
            order=ROW_ORDER,
        )
        self.endpoint = endpoint

    def settle(self, signature: Signature | None) -> Signature | None:
        """Return the signature with the types that columns of the same name already have here.

        A changed type should come as a new column; where it does not, the old column keeps its
        type, and what does not fit goes to ``unfit`` instead of stopping the sink.
        """
        schema = self.schema()
        if signature is None or schema is None:
            return signature
        names = {kind: name for name, kind in ARROW_TYPES.items()}

        def settled(column: Column) -> Column:
            at = schema.get_field_index(column.column)
            stored = column.type if at < 0 else names.get(schema.field(at).type, column.type)
            return column if stored == column.type else replace(column, type=stored)

        return replace(
            signature,
            features=tuple(map(settled, signature.features)),
            outputs=tuple(map(settled, signature.outputs)),
        )


def list_endpoints(root: str) -> list[str]:
    """Return the endpoints that have a folder of captured records, in order."""
    return list_folders(root, "capture")


def gap_folder(root: str, *, writer: str = "sink") -> DeltaFolder:
    """Open the table of gaps of an installation."""
    return DeltaFolder(
        root,
        "gaps",
        partition=None,
        writer=writer,
        repeated=("reason", "endpoint"),
        order=("first_time", "spool_id", "seq"),
    )


def record_gaps(folder: DeltaFolder, gaps: Iterable[Gap]) -> int:
    """Commit gaps that the table does not have yet; return how many were new."""
    new = [gap for gap in gaps if gap.seq > folder.watermark(gap.spool_id)]
    if not new:
        return 0
    watermarks = {
        gap.spool_id: max(g.seq for g in new if g.spool_id == gap.spool_id) for gap in new
    }
    return folder.append(gap_rows(new), watermarks)


def gap_rows(gaps: Iterable[Gap]) -> pa.Table:
    """Return gaps as rows of their table."""
    return table_of(map(astuple, gaps), GAP_SCHEMA)


def read_gaps(root: str) -> list[Gap]:
    """Read all gaps of an installation, oldest spool first."""
    rows = gap_folder(root).catch_up().rows(GAP_SCHEMA)
    in_order = rows.sort_by([("spool_id", "ascending"), ("seq", "ascending")])
    return [Gap(*gap.values()) for gap in in_order.to_pylist()]


def time_of(wall_ns: int) -> datetime | None:
    """Turn nanoseconds since 1970 into a time; None for 0."""
    return datetime.fromtimestamp(wall_ns / 1e9, UTC) if wall_ns else None
