"""The hours of event time for which new records or labels came.

A monitor runs a finished window again only when something new belongs to it. The logs of the two
tables say what is new: only added files are read, of records only their times; one search for the
ids of labels among the captured records finds theirs. A label without a record is no change yet:
its record, when it comes, is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from driftline.capture.labels.labels import RECEIVED_DATE, gathered, label_folder
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.delta_log import Added, added_since
from driftline.capture.tables.storage import StorageError
from driftline.capture.tables.table import NO_TABLE, DeltaFolder
from driftline.formats.arrow_types import UTC_MICROSECONDS

# Most labels are for records of the last days, so that older ones are not searched.
_SPANS = (2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class Position:
    """How far changes were read: versions of the table of records and of that of labels.

    -1 stands for a table that did not exist yet. For tables that others write these are digests,
    and ``files`` holds eight bytes for each file.
    """

    capture: int = NO_TABLE
    truth: int = NO_TABLE
    files: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Changes:
    """What came since a position.

    ``position``: from where to look the next time; ``hours``: starts of the UTC hours of event time
    that records or labels came for, in order.
    """

    position: Position
    hours: tuple[datetime, ...]


def changes(
    root: str,
    endpoint: str,
    since: Position | None,
    *,
    before: datetime,
    labels: bool,
    after: datetime | None = None,
) -> Changes:
    """Return which hours of event time were touched by what was stored after a position."""
    records = Dataset(root, endpoint)
    truth = label_folder(root, endpoint)
    if since is None:
        return Changes(Position(records.newest_version(), truth.newest_version()), ())
    # Labels first: a record that comes between the two looks is then seen by the second.
    new_labels = added_since(truth, since.truth) if labels else Added(since.truth)
    new_records = added_since(records, since.capture)
    try:
        times = [_record_hours(records, new_records)]
        if keys := _new_keys(truth, new_labels):
            times.append(_label_hours(records, *keys, after))
    except (OSError, pa.ArrowInvalid) as error:
        raise StorageError(f'records and labels of "{endpoint}": {error}') from error
    first = None if after is None else _hour(after)
    hours = sorted(
        hour
        for hour in {moment.replace(tzinfo=UTC) for moments in times for moment in moments}
        if hour < before and (first is None or hour >= first)
    )
    return Changes(Position(new_records.version, new_labels.version), tuple(hours))


def _record_hours(folder: DeltaFolder, added: Added) -> set[datetime]:
    """Return the hours of new records; all hours of a day of which it is not known."""
    hours: set[datetime] = set()
    for part in added.parts:
        day = datetime.fromisoformat(part)
        hours.update(day + timedelta(hours=hour) for hour in range(24))
    if added.files:
        schema = pa.schema([("event_time", UTC_MICROSECONDS)])
        for batch in folder.read_files(added.files, schema).to_batches():
            hours |= _hours(batch["event_time"])
    return hours


def _new_keys(folder: DeltaFolder, added: Added) -> tuple[pa.Array, str] | None:
    """Return the ids of new labels, and the last day on which one was received."""
    schema = pa.schema([("key", pa.string())])
    sources: list[pads.Dataset] = []
    if added.files:
        sources.append(folder.read_files(added.files, schema))
    for part in added.parts:
        data = folder.open(part, part)
        if data is not None:
            sources.append(data)
    if not sources:
        return None
    keys = [
        pc.unique(batch["key"])
        for source in sources
        for batch in source.to_batches(columns=["key"])
    ]
    days = [*added.parts, *(_part(file) for file in added.files)]
    return pc.unique(pa.chunked_array(keys, pa.string())), max(days)


def _label_hours(
    folder: DeltaFolder, keys: pa.Array, received: str, after: datetime | None
) -> set[datetime]:
    """Return the hours of the records that labels are for, from a search over their ids.

    As in windows, a label is received at the earliest the day before its event. Days are searched
    from the newest on, and the search ends when each label was found by its event id: older records
    cannot have it. An inference id may be that of many records, near and far.
    """
    last = datetime.fromisoformat(received).date() + timedelta(days=1)
    first = None if after is None else after.astimezone(UTC).date()
    hours: set[datetime] = set()
    left = keys
    for begin, end in _spans(first, last):
        data = folder.open(None if begin is None else begin.isoformat(), end.isoformat())
        if data is None:
            break
        for rows in gathered(data.to_batches(columns=["event_id", "inference_id", "event_time"])):
            by_event, by_inference = (
                pc.is_in(rows[name], value_set=keys) for name in ("event_id", "inference_id")
            )
            hours |= _hours(rows["event_time"].filter(pc.or_(by_event, by_inference)))
            seen = pc.unique(rows["event_id"].filter(by_event))
            left = left.filter(pc.invert(pc.is_in(left, value_set=seen)))
        if not len(left):
            break
    return hours


def _spans(first: date | None, last: date) -> Iterator[tuple[date | None, date]]:
    """Cut the days up to a last one into spans, both ends included, the newest and shortest first.

    Without a first day the last of them has no beginning.
    """
    for days in _SPANS:
        begin = last - timedelta(days=days - 1)
        if first is not None and begin <= first:
            break
        yield begin, last
        last = begin - timedelta(days=1)
    yield first, last


def _part(file: str) -> str:
    return file.split("/")[0].removeprefix(f"{RECEIVED_DATE}=")


def _hours(times: pa.Array | pa.ChunkedArray) -> set[datetime]:
    """Return the starts of the hours that times lie in, UTC without zone."""
    floored = pc.floor_temporal(times.cast(pa.timestamp("us")), unit="hour")
    return set(pc.unique(floored).to_pylist())


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
