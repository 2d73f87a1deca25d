"""Finds the hours of an external table that changed since the last look.

New and changed files name their hours. Queries, labels of another table and deleted files do not,
and touch all hours of the source's look-back. Rows of a query are counted twice, up to the last
count and up to now: rows that only came later touch their own hours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.windows.changes import Changes, Position
from driftline.capture.windows.window import Window
from driftline.monitors.external.files import DIGEST_BYTES, FileTable, TimeColumn
from driftline.monitors.external.query import counting, running
from driftline.monitors.external.rows import event_times
from driftline.monitors.external.source import Access, ExternalSource, Place

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


def external_changes(
    source: ExternalSource,
    access: Access,
    since: Position | None,
    *,
    before: datetime,
    labels: bool,
    after: datetime | None = None,
) -> Changes:
    """Return the hours of event time that changed since a position, up to a time."""
    back = _look_back(source, before)
    truth = 0
    if labels and source.labels is not None:
        truth = _number(_state(source.labels, access, back, source.labels.timestamp))
    if source.query:
        return _query_changes(source, access, since, back=back, before=before, truth=truth)
    table = FileTable(source.path, access)
    states = {file.digest: file for file in table.files}
    seen = b"".join(sorted(states))
    position = Position(_number(seen), truth, seen)
    if since is None:
        return Changes(position, ())
    known = {since.files[at : at + DIGEST_BYTES] for at in range(0, len(since.files), DIGEST_BYTES)}
    new = [file for digest, file in states.items() if digest not in known]
    time = TimeColumn(source.timestamp, source.time_zone)
    hours = {
        hour
        for array in (table.of(new, source.timestamp) if new else ())
        for hour in _hours_of(event_times(array, time))
    }
    # Of a Delta table files go whenever others take their place.
    if since.truth != truth or (not table.is_delta and known - {*states}):
        hours.update(_hours(back, before))
    chosen = (hour for hour in hours if hour < before and (after is None or hour + _HOUR > after))
    return Changes(position, tuple(sorted(chosen)))


def _query_changes(
    source: ExternalSource,
    access: Access,
    since: Position | None,
    *,
    back: Window,
    before: datetime,
    truth: int,
) -> Changes:
    """Return the hours of a query's changed rows; its position stores an end, not files."""

    def counted(end: datetime) -> int:
        # An hour more: at midnight a look-back of no days would be empty.
        window = Window(_look_back(source, end).start - _HOUR, end)
        return _number(_state(source, access, window, source.timestamp, source.time_zone))

    position = Position(counted(before), truth, before.isoformat().encode())
    if since is None or since == position:
        return Changes(position, ())
    hours: Iterator[datetime] = _hours(back, before)
    if since.truth == truth and since.files:
        earlier = datetime.fromisoformat(since.files.decode())
        if counted(earlier) == since.capture:
            hours = (hour for hour in hours if hour + _HOUR > earlier)
    return Changes(position, tuple(hours))


def _look_back(source: ExternalSource, before: datetime) -> Window:
    """Return the days to look back: whole ones, so that the span moves once a day."""
    end = before.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    return Window(end - timedelta(days=source.look_back_days) - _DAY, end)


def _state(
    place: Place, access: Access, back: Window, time: str | None, zone: str = "UTC"
) -> bytes:
    """Describe the state of files or a query, without reading rows."""
    if place.path:
        return b"".join(sorted(file.digest for file in FileTable(place.path, access).files))
    with running(
        counting(place.query, time), access.url(place.connection), place.connection,
        window=back, zone=zone, timeout_s=access.timeout_s,
    ) as rows:  # fmt: skip
        return repr(rows.first()).encode()


def _number(state: bytes) -> int:
    """Return a non-negative number for a position."""
    return int.from_bytes(hashlib.blake2b(state, digest_size=DIGEST_BYTES).digest()) >> 1


def _hours(back: Window, before: datetime) -> Iterator[datetime]:
    at = back.start
    while at < min(back.end, before):
        yield at
        at += _HOUR


def _hours_of(times: pa.TimestampArray) -> list[datetime]:
    """Return the starts of the hours that times lie in."""
    floored = pc.unique(pc.floor_temporal(times.drop_null().cast(pa.timestamp("us")), unit="hour"))
    return [moment.replace(tzinfo=UTC) for moment in floored.to_pylist()]
