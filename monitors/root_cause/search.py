"""The search for contributing rows: its columns, and the onset of a fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.condition import Condition
from driftline.baseline.predicate import UNFIT
from driftline.baseline.store import Baseline
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.results.violation import Onset, Segment
from driftline.monitors.root_cause.contributors import (
    ContributingRows,
    ContributorCounter,
    Target,
)
from driftline.monitors.root_cause.onset import find_onset
from driftline.monitors.root_cause.row_sample import SegmentColumn
from driftline.monitors.root_cause.segments import TOO_FEW, find_segments
from driftline.monitors.rows import Rows
from driftline.stats.decomposition import MIN_ROWS

# Hours of the reference with so many rows, and so many of them, say what its hours are like.
HOUR_ROWS, HOURS_MIN = 20, 48
TEXTS, NUMBERS = ("string", "bool"), ("int64", "double")


def search(rows: Rows, targets: Sequence[Target], baseline: Baseline) -> list[ContributingRows]:
    """Find the rows behind each target, in one pass.

    Segments are texts, booleans and numbers of the baseline, and senders of captured rows. Where
    only a sample was kept, the found segment is counted on all rows.
    """
    # The same rows may break several constraints: they are looked for once.
    keys = [(str(target.predicate.to_dict()), target.is_loss) for target in targets]
    once: dict[tuple[str, bool], Target] = {}
    for key, target in zip(keys, targets, strict=True):
        once.setdefault(key, target)
    if not once:
        return []
    # Without a sample of the reference a text needs no cells, and tells of what is new.
    columns = [
        SegmentColumn(column.name, baseline.cells.get(column.name))
        for types in (TEXTS, NUMBERS)
        for column in baseline.signature.columns
        if column.role == "feature" and column.type in types
        and (column.name in baseline.cells or (baseline.sample is None and types is TEXTS))
    ]  # fmt: skip
    if rows.callers is not None:
        sent = rows.callers()
        columns = [*map(SegmentColumn, sent.names), *columns]
        rows = replace(rows, batches=sent.batches, splitter=None)
    signature = baseline.signature
    times = (column.name for column in signature.columns if column.role == "timestamp")
    time = next(times, None) if rows.facts is None else rows.time_column
    asked = (list(once.values()), columns, time)
    counter = rows.gather(
        partial(ContributorCounter.start, *asked, rows.row_count),
        ContributorCounter.columns(*asked),
    )
    found = counter.result()
    profiles = baseline.profile.columns if baseline.profile is not None else {}
    coded = counter.sample.coded(baseline.sample, profiles)
    named = find_segments(coded, asked[0], baseline.cells, baseline.sample)
    for one, place in zip(found, named, strict=True):
        one.segment, one.unplaced, one.is_mix = place.segment, place.words, place.is_mix
        if columns and not one.target.is_loss and one.row_count < min(MIN_ROWS, counter.row_count):
            one.unplaced = TOO_FEW
    if not counter.sample.is_whole:
        _count_all(rows, found)
    by_key = dict(zip(once, found, strict=True))
    return [by_key[key] for key in keys]


def began_before(
    condition: Condition | None,
    reference: ReferenceColumn,
    past: Sequence[WindowCounts],
    now: WindowCounts,
) -> Onset | None:
    """Return the earlier window in which a fault began; None when it began in this one."""
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


def is_unheard_of(
    onset: Onset,
    condition: Condition | None,
    reference: ReferenceColumn,
    blocks: BlockCounts | None,
) -> bool:
    """Whether no hour of the reference had as large a share of such rows as the span.

    A warm day begins every noon. Hours with a few rows each prove nothing.
    """
    cells = reference.cells
    own = None if blocks is None else blocks.of(cells.column)
    if own is None or condition not in cells.predicates:
        return False
    counts = own.counts[cells.column].astype(np.int64)
    rows, place = counts.sum(axis=1), cells.predicates.index(condition)
    full = rows >= HOUR_ROWS
    if np.count_nonzero(full) < HOURS_MIN:
        return False
    shares = cells.scan(counts[full])[:, place] / rows[full]
    return bool(onset.share_inside > shares.max())


@dataclass(slots=True)
class _SegmentCounter:
    """Counts all rows of segments found in a sample."""

    asked: list[tuple[Target, Segment]]
    # All rows, those that match, those inside, and those of them that match, shape (asked, 4).
    counts: NDArray[np.int64]

    @classmethod
    def start(cls, asked: list[tuple[Target, Segment]]) -> _SegmentCounter:
        return cls(asked, np.zeros((len(asked), 4), np.int64))

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        masks: dict[str, NDArray[np.bool_]] = {}  # Of several targets the segment is the same.

        def marked(condition: Condition) -> NDArray[np.bool_]:
            key = str(condition.to_dict())
            if key not in masks:
                masks[key] = np.asarray(condition.mask(batch).to_numpy(zero_copy_only=False))
            return masks[key]

        everywhere = np.ones(batch.num_rows, np.bool_)
        for counts, (target, segment) in zip(self.counts, self.asked, strict=True):
            whole = everywhere if target.within is None else marked(target.within)
            inside = whole.copy()
            for condition in segment.conditions:
                inside &= marked(condition)
            matching = marked(target.predicate)
            counts += [
                np.count_nonzero(one) for one in (whole, matching, inside, inside & matching)
            ]

    def merge(self, other: _SegmentCounter) -> _SegmentCounter:
        """Return the counts of both."""
        return _SegmentCounter(self.asked, self.counts + other.counts)


def _count_all(rows: Rows, found: Sequence[ContributingRows]) -> None:
    """Replace counts of a sample by those of all rows."""
    placed = [(one, one.segment) for one in found if one.segment is not None]
    asked = [(one.target, segment) for one, segment in placed]
    if not asked:
        return
    names = dict.fromkeys(
        name for target, segment in asked
        for condition in (target.predicate, *segment.conditions) for name in condition.columns
    )  # fmt: skip
    counter = rows.gather(partial(_SegmentCounter.start, asked), (*names, UNFIT))
    for (one, segment), counts in zip(placed, counter.counts.tolist(), strict=True):
        one.segment = segment.counted(*counts)
