"""One check to begin with: the last tenth of the data, by time, against the rest of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.store import Baseline
from driftline.formats.coercion import coerce
from driftline.formats.source import Source
from driftline.monitors.check import check_roles
from driftline.monitors.report.report import Report
from driftline.roles import Roles

LAST_SHARE = 0.1
MIN_ROWS = 100


@dataclass(frozen=True, slots=True)
class Trial:
    """A dry run: the data, the baseline, and the result."""

    note: str
    baseline: Baseline
    report: Report


def try_out(source: Source, roles: Roles) -> Trial:
    """Judge the last tenth against the rest; without usable times, the data against itself."""
    cut = None if roles.timestamp is None else _cut(source, roles.timestamp)
    if cut is None or roles.timestamp is None:
        why = "without an event time" if roles.timestamp is None else "with too few times"
        note = f"the data against itself ({why} there is no later part), so nothing should drift"
        return _judged(note, source, source, roles)
    before = _part(source, roles.timestamp, lambda times: pc.less(times, cut))
    after = _part(source, roles.timestamp, lambda times: pc.greater_equal(times, cut))
    note = f"rows from {cut.as_py():%Y-%m-%d %H:%M} on, the last tenth, against those before"
    return _judged(note, after, before, roles)


def _judged(note: str, data: Source, reference: Source, roles: Roles) -> Trial:
    baseline = Baseline.of(reference, roles)
    return Trial(note, baseline, check_roles(data, baseline, roles, kind="data-quality"))


def _cut(source: Source, timestamp: str) -> pa.Scalar | None:
    """Find the time from which on the last tenth lies; None when that leaves a part too small."""
    parts = [_microseconds(batch, timestamp) for batch in source.batches()]
    moments = np.concatenate([np.empty(0, np.int64), *parts])
    if not len(moments):
        return None
    cut = np.quantile(moments, 1 - LAST_SHARE, method="higher")
    later = int(np.sum(moments >= cut))
    if min(later, len(moments) - later) < MIN_ROWS:
        return None
    return pa.scalar(int(cut), pa.timestamp("us", "UTC"))


def _microseconds(batch: pa.RecordBatch, timestamp: str) -> np.ndarray:
    times, _ = coerce(batch.column(timestamp), "timestamp")
    return np.asarray(times.drop_null().cast(pa.int64()))


def _part(source: Source, timestamp: str, inside: Callable[[pa.Array], pa.Array]) -> Source:
    """Return the rows of a source whose time lies inside; those without a time are in no part."""

    def read() -> Iterator[pa.RecordBatch]:
        for batch in source.batches():
            times, _ = coerce(batch.column(timestamp), "timestamp")
            yield batch.filter(inside(times), null_selection_behavior="drop")

    # Not a copy with another reader: a splitter would still hand out all the rows.
    return Source(source.schema, read, source.textual)
