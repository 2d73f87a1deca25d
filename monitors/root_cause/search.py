"""The search for contributing rows: which columns are looked at, and when a fault began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.results.violation import Onset
from driftline.monitors.root_cause.contributors import (
    ContributingRows,
    ContributorCounter,
    Target,
    segment_of,
)
from driftline.monitors.root_cause.onset import find_onset
from driftline.monitors.root_cause.slices import Slice, measured
from driftline.monitors.rows import Rows
from driftline.signature import Signature

_EVENT_TIME = "event_time"


def search(rows: Rows, targets: Sequence[Target], signature: Signature) -> list[ContributingRows]:
    """Find the rows behind each target, in one pass.

    Texts, truth values and numbers of the baseline are where they may sit, and, of captured rows,
    who sent them. Where only some rows could be kept, what was found is counted on all.
    """
    if not targets:
        return []
    features = [column for column in signature.columns if column.role == "feature"]
    texts = [feature.name for feature in features if feature.type in ("string", "bool")]
    numbers = [feature.name for feature in features if feature.type in ("int64", "double")]
    if rows.callers is not None:
        sent = rows.callers()
        texts += sent.names
        rows = replace(rows, batches=sent.batches, splitter=None)
    times = (column.name for column in signature.columns if column.role == "timestamp")
    asked = (targets, texts, numbers, _EVENT_TIME if rows.facts is not None else next(times, None))
    counter = rows.gather(
        partial(ContributorCounter.start, *asked), ContributorCounter.columns(*asked)
    )
    found = counter.result()
    if not counter.sample.is_whole:
        _count_all(rows, found, counter.row_count)
    return found


def began_before(
    condition: Condition | None,
    reference: ReferenceColumn,
    past: Sequence[WindowCounts],
    now: WindowCounts,
) -> Onset | None:
    """Return since which earlier window a fault lasts; None when it began in this one."""
    cells = reference.cells
    windows = [
        one for one in (*past, now) if cells.column in one.cells and one.start is not None
        and one.row_count
    ]  # fmt: skip
    if condition not in cells.predicates or len(windows) < 3 or windows[-1] is not now:
        return None
    place = cells.predicates.index(condition)
    counts = np.stack([window.cells[cells.column] for window in windows])
    matching = cells.scan(counts)[:, place]
    starts = [window.start for window in windows if window.start is not None]
    expected = float(cells.scan(reference.counts)[place] / reference.counts.sum())
    rows = np.array([window.row_count for window in windows])
    found = find_onset(starts, rows, matching, expected, lasting=True)
    return None if found is None or found.start == now.start else found


@dataclass(slots=True)
class _SliceCounter:
    """Counts all rows of slices that were found in some."""

    asked: list[tuple[Condition, tuple[Predicate, ...]]]
    rows: list[int]
    matching: list[int]

    @classmethod
    def start(cls, asked: list[tuple[Condition, tuple[Predicate, ...]]]) -> _SliceCounter:
        return cls(asked, [0] * len(asked), [0] * len(asked))

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        for index, (matching, conditions) in enumerate(self.asked):
            inside = conditions[0].mask(batch)
            for condition in conditions[1:]:
                inside = pc.and_(inside, condition.mask(batch))
            self.rows[index] += pc.sum(inside).as_py() or 0
            self.matching[index] += pc.sum(pc.and_(inside, matching.mask(batch))).as_py() or 0

    def merge(self, other: _SliceCounter) -> _SliceCounter:
        """Return the counts of both."""
        return _SliceCounter(
            self.asked,
            [row + two for row, two in zip(self.rows, other.rows, strict=True)],
            [one + two for one, two in zip(self.matching, other.matching, strict=True)],
        )


def _count_all(rows: Rows, found: Sequence[ContributingRows], row_count: int) -> None:
    """Put the counts of all rows in the place of those of some."""
    sliced = [(one, one.slice) for one in found if one.slice is not None]
    if not sliced:
        return
    asked = [(one.target.predicate, held.conditions) for one, held in sliced]
    names = dict.fromkeys(
        name for matching, conditions in asked for condition in (matching, *conditions)
        for name in condition.columns
    )  # fmt: skip
    counter = rows.gather(partial(_SliceCounter.start, asked), (*names, "unfit"))
    for (one, held), size, matching in zip(sliced, counter.rows, counter.matching, strict=True):
        whole = Slice(held.conditions, matching, size, *measured(
            matching, size, one.row_count, row_count, one.target.share_reference
        ))  # fmt: skip
        one.slice, one.segment = whole, segment_of(whole)
