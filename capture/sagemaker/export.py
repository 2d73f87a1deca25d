"""Captured records as SageMaker's capture lines, hour by hour, as its own tools read them.

Only answered requests with both bodies whole are written: SageMaker's capture knows no others, and
a cut body would be read as wrong values. The others are counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from driftline.capture.labels.labels import gathered
from driftline.capture.sagemaker.lines import LINE_COLUMNS, lines_of
from driftline.capture.spool.frame import FIRST_FAILURE, Flag
from driftline.capture.tables.dataset import (
    FORM,
    IS_FIRST,
    Dataset,
    answered_by,
    is_answered,
    is_within,
)
from driftline.capture.tables.storage import reaching
from driftline.errors import ConflictError
from driftline.formats.capture_line import CaptureLine

# A record may lie in the spool for a while; what comes even later is in the next export.
CLOSED_AFTER = timedelta(minutes=5)
_HOUR = timedelta(hours=1)
# Bodies that are held in memory at once.
_SPAN_BYTES = 64 << 20
_CUT = int(
    Flag.REQUEST_TRUNCATED | Flag.RESPONSE_TRUNCATED | Flag.BODY_OMITTED | Flag.REDACTION_FAILED
)
_ORDER = ("event_time", "spool_id", "spool_seq")


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of one variant for an export.

    ``start``: the UTC hour, by event time; ``left_out``: requests that are not exported, by reason:
    ``failed``, ``truncated``, ``incomplete``.
    """

    start: datetime
    variant: str
    lines: int
    left_out: dict[str, int] = field(default_factory=dict)


def closed_before(now: datetime) -> datetime:
    """Return the end of the last hour that is over and whose records had time to be stored."""
    return _floor(now.astimezone(UTC) - CLOSED_AFTER)


def captured_hours(
    root: str, endpoint: str, start: datetime | None, end: datetime, *, variant: str | None = None
) -> list[Hour]:
    """List the hours of an endpoint that have records, in order; only whole ones before ``end``.

    Hours of shadows are listed only when a shadow is named.
    """
    start, last = start and _floor(start.astimezone(UTC)), _floor(end.astimezone(UTC))
    data = Dataset(root, endpoint).open(*_days(start, last))
    if data is None:
        return []
    chosen = is_within(start, last) & IS_FIRST & answered_by(variant)
    with reaching(f"{root}/capture/{endpoint}"):
        counts = _counted(data, chosen)
    return [
        Hour(hour, name, outcomes.pop("", 0), dict(sorted(outcomes.items())))
        for (hour, name), outcomes in sorted(counts.items())
    ]


def _counted(
    data: pads.Dataset, chosen: pads.Expression
) -> dict[tuple[datetime, str], Counter[str]]:
    """Count requests by hour and variant, and by why they are left out; empty: they are not."""
    counts: dict[tuple[datetime, str], Counter[str]] = defaultdict(Counter)
    columns = ["event_time", "variant", "status", "flags"]
    for rows in gathered(data.to_batches(columns=columns, filter=chosen)):
        table = pa.table(
            {
                "hour": pc.floor_temporal(rows["event_time"], unit="hour"),
                "variant": pc.fill_null(rows["variant"], ""),
                "outcome": pa.array(_outcomes(rows), pa.string()),
            }
        )
        counted = table.group_by(["hour", "variant", "outcome"]).aggregate([([], "count_all")])
        for row in counted.to_pylist():
            key = row["hour"].astimezone(UTC), row["variant"]
            counts[key][row["outcome"]] += row["count_all"]
    return counts


def captured_lines(root: str, endpoint: str, hour: datetime, variant: str) -> Iterator[CaptureLine]:
    """Return the lines of one hour of a variant, by event time, spool and sequence."""
    begin = _floor(hour.astimezone(UTC))
    return lines_between(root, endpoint, begin, begin + _HOUR, variant=variant)


def lines_between(
    root: str, endpoint: str, start: datetime, end: datetime, *, variant: str | None = None
) -> Iterator[CaptureLine]:
    """Return the lines of a half-open span of event time, of one or all variants; order as above.

    All variants means what callers were answered, without shadows. All lines are of one state of
    the table, and some 64 MB of bodies are held at once.
    """
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    data = Dataset(root, endpoint).open(*_days(start, end))
    named = answered_by(variant)
    if variant == "":
        named = named | pads.field("variant").is_null()
    begin = _floor(start)
    while data is not None and begin < end:
        chosen = named & is_within(max(start, begin), min(end, begin + _HOUR))
        yield from _lines(data, chosen, begin, endpoint)
        begin += _HOUR


def _lines(
    data: pads.Dataset, chosen: pads.Expression, begin: datetime, endpoint: str
) -> Iterator[CaptureLine]:
    """Return the chosen lines of one hour."""
    chosen &= IS_FIRST & is_answered(pads.field("status"))
    columns = [*LINE_COLUMNS, *([FORM] if FORM in data.schema.names else [])]
    read = list(dict.fromkeys([*columns, *_ORDER, "row_index", "status", "flags"]))
    try:
        for first, last in _spans(data, chosen, begin):
            rows = data.to_table(read, filter=chosen & is_within(first, last))
            rows = _with_own_ids(rows.filter(pa.array(_outcomes(rows) == "")))
            yield from lines_of(rows.sort_by([(name, "ascending") for name in _ORDER]))
    except FileNotFoundError as error:
        raise ConflictError(
            f'records of "{endpoint}" were moved meanwhile; export again'
        ) from error


def _with_own_ids(rows: pa.Table) -> pa.Table:
    """Make event ids unique: a batch that was logged in parts has one id, and a line a part.

    The later parts get ``+`` and the index of their first row as a suffix.
    """
    index = rows["row_index"]
    if not pc.any(pc.greater(index, 0)).as_py():
        return rows
    longer = pc.binary_join_element_wise(rows["event_id"], index.cast(pa.string()), "+")
    ids = pc.if_else(pc.greater(index, 0), longer, rows["event_id"])
    return rows.set_column(rows.column_names.index("event_id"), "event_id", ids)


def _spans(
    data: pads.Dataset, chosen: pads.Expression, begin: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Cut an hour at minutes into spans whose bodies are held in memory."""
    sizes = data.to_table(["event_time", "request_bytes", "response_bytes"], filter=chosen)
    minutes = pc.minute(sizes["event_time"]).to_numpy()
    weights = pc.add(
        pc.fill_null(sizes["request_bytes"], 0), pc.fill_null(sizes["response_bytes"], 0)
    )
    by_minute = np.bincount(minutes, weights=weights.to_numpy(), minlength=60)
    first, size = 0, 0.0
    for minute in range(60):
        if size and size + by_minute[minute] > _SPAN_BYTES:
            yield begin + timedelta(minutes=first), begin + timedelta(minutes=minute)
            first, size = minute, 0.0
        size += by_minute[minute]
    yield begin + timedelta(minutes=first), begin + _HOUR


def _outcomes(rows: pa.Table) -> np.ndarray:
    """Return of each request why it is left out; empty: it is not."""
    status, flags = rows["status"].to_numpy(), rows["flags"].to_numpy()
    outcomes = np.full(len(status), "", dtype="<U10")
    outcomes[flags & _CUT > 0] = "truncated"
    outcomes[flags & int(Flag.INCOMPLETE) > 0] = "incomplete"
    outcomes[(status <= 0) | (status >= FIRST_FAILURE)] = "failed"
    return outcomes


def _days(start: datetime | None, end: datetime) -> tuple[str | None, str]:
    first = None if start is None else start.astimezone(UTC).date().isoformat()
    return first, (end - timedelta(microseconds=1)).date().isoformat()


def _floor(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
