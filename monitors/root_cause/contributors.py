"""From a violation to the rows, values and segments that caused it.

One pass over the window: each violation's condition is applied to every batch, its rows counted
by level of each text column and by minute, and the first are pointed to. Some rows are kept for
what needs columns beside each other: slices of two conditions, and of numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.condition import Condition
from driftline.baseline.predicate import UNFIT
from driftline.baseline.texts import shortened
from driftline.capture.windows.window import ROW_IDS
from driftline.formats.coercion import coerce
from driftline.monitors.results.row_references import row_pointers
from driftline.monitors.results.violation import Onset, Segment
from driftline.monitors.root_cause.onset import TimeCounts, find_onset
from driftline.monitors.root_cause.row_sample import TARGETS_MAX, RowSample
from driftline.monitors.root_cause.slices import MIN_EXCESS, MIN_LIFT, Slice

# Pointers kept per violation; the rest is found again by the condition.
FIRST_ROWS = 20
TOP_VALUES = 3
# Targets laid beside segment columns, some 60 microseconds each and batch: where thousands of
# columns are broken at once, as by a failed join, all pairs would take hours.
PAIRS_MAX = 20_000
FEWEST_SEGMENTS = 4
# The same of numbers, each of which is cut in sixteen ways.
NUMBER_PAIRS_MAX = 4_000

# A column with more levels than this in one window is no segment that a person would name.
LEVELS_MAX = 1000

Batches = Iterable[pa.RecordBatch]
Pointers = Iterable[Mapping[str, str | int]]


@dataclass(frozen=True, slots=True)
class Target:
    """One condition to look for."""

    predicate: Condition
    share_reference: float  # Of the reference's rows, 0-1: so many are expected.


@dataclass(slots=True)
class ContributingRows:
    """What one pass found about one target."""

    target: Target
    row_count: int = 0
    share_of_rows: float = 0.0  # Of the window's, 0-1.
    first_rows: list[Mapping[str, str | int]] = field(default_factory=list)
    values: tuple[str, ...] = ()  # The most frequent texts of the column.
    # The level, or the conditions, that most of the excess has in common.
    segment: Segment | None = None
    slice: Slice | None = None  # The segment as it was counted; None for a level.
    onset: Onset | None = None  # When it happened, if not all the while.


@dataclass(slots=True)
class ContributorCounter:
    """The search for the rows behind some targets, over one part of the data or all."""

    found: list[ContributingRows]  # One for each target, in order.
    target_counts: list[LevelCounts]  # Of each target.
    all_counts: LevelCounts  # All rows.
    sample: RowSample  # Some of the rows, for slices.
    times: TimeCounts  # Rows by minute, of the first targets.
    time: str | None = None  # The column that says when.
    row_count: int = 0

    @classmethod
    def start(
        cls,
        targets: Sequence[Target],
        segment_columns: Sequence[str],
        numbers: Sequence[str] = (),
        time: str | None = None,
    ) -> ContributorCounter:
        """Begin without rows; parameters as in `find_contributing_rows`."""
        looked = _looked_at(targets, segment_columns)
        own = frozenset(name for target in targets for name in target.predicate.columns)
        return cls(
            [ContributingRows(target) for target in targets],
            [LevelCounts.of(looked) for _ in targets],
            LevelCounts.of(looked),
            # A number that is at fault itself is a consequence, wherever it lies.
            RowSample.start(looked, [one for one in _cut(targets, numbers) if one not in own]),
            TimeCounts(min(len(targets), TARGETS_MAX)),
            time,
        )

    @staticmethod
    def columns(
        targets: Sequence[Target],
        segment_columns: Sequence[str],
        numbers: Sequence[str] = (),
        time: str | None = None,
    ) -> tuple[str, ...]:
        """Name the columns that a search needs, each once."""
        own = (name for target in targets for name in target.predicate.columns)
        looked = _looked_at(targets, segment_columns)
        when = () if time is None else (time,)
        cut = _cut(targets, numbers)
        return tuple(dict.fromkeys((*ROW_IDS, UNFIT, *own, *looked, *cut, *when)))

    def update(self, batch: pa.RecordBatch) -> None:
        """Look at rows."""
        self.all_counts.add(batch, None)
        masks: list[NDArray[np.bool_] | None] = []
        for contributors, level_counts in zip(self.found, self.target_counts, strict=True):
            mask = contributors.target.predicate.mask(batch)
            count = pc.sum(mask).as_py() or 0
            if len(masks) < TARGETS_MAX:
                masks.append(mask.to_numpy(zero_copy_only=False) if count else None)
            if not count:
                continue
            contributors.row_count += count
            room = FIRST_ROWS - len(contributors.first_rows)
            contributors.first_rows.extend(_pointers(batch, mask, self.row_count, room))
            level_counts.add(batch, mask)
            predicate = contributors.target.predicate
            # Codes are compared as text, whatever type they came in.
            is_listed = predicate.op in ("in", "not_in")
            level_counts.add_values(batch, mask, predicate.column, is_listed=is_listed)
        self.sample.update(batch, masks)
        if self.time is not None and self.time in batch.schema.names:
            self.times.update(batch.column(self.time), masks)
        self.row_count += batch.num_rows

    def merge(self, other: ContributorCounter) -> ContributorCounter:
        """Return what is known of the rows of both; the other's rows are numbered after these."""
        found = [
            ContributingRows(
                one.target,
                row_count=one.row_count + two.row_count,
                first_rows=[*one.first_rows, *_after(two.first_rows, self.row_count)][:FIRST_ROWS],
            )
            for one, two in zip(self.found, other.found, strict=True)
        ]
        target_counts = [
            count.merge(two)
            for count, two in zip(self.target_counts, other.target_counts, strict=True)
        ]
        return ContributorCounter(
            found,
            target_counts,
            self.all_counts.merge(other.all_counts),
            self.sample.merge(other.sample),
            self.times.merge(other.times),
            self.time,
            self.row_count + other.row_count,
        )

    def result(self) -> list[ContributingRows]:
        """Return what was found about each target, in order."""
        slices = self.sample.slices([one.target for one in self.found])
        for index, (contributors, level_counts) in enumerate(
            zip(self.found, self.target_counts, strict=True)
        ):
            target = contributors.target
            contributors.share_of_rows = contributors.row_count / max(self.row_count, 1)
            contributors.values = tuple(
                value for value, _ in level_counts.values.most_common(TOP_VALUES)
            )
            contributors.segment = _segment(
                contributors,
                level_counts,
                self.all_counts,
                row_count=self.row_count,
                leave_out=target.predicate.column,
            )
            if (found := slices.get(index)) is not None:
                contributors.slice, contributors.segment = found, segment_of(found)
            if index < self.times.size:
                blocks = self.times.blocks(index)
                contributors.onset = find_onset(*blocks, target.share_reference)
        return self.found


def _looked_at(targets: Sequence[Target], segment_columns: Sequence[str]) -> Sequence[str]:
    """Return the segment columns that there is time for."""
    return segment_columns[: max(FEWEST_SEGMENTS, PAIRS_MAX // max(len(targets), 1))]


def _cut(targets: Sequence[Target], numbers: Sequence[str]) -> Sequence[str]:
    """Return the numbers that there is time for."""
    return numbers[: max(FEWEST_SEGMENTS, NUMBER_PAIRS_MAX // max(len(targets), 1))]


def find_contributing_rows(
    batches: Batches,
    targets: Sequence[Target],
    segment_columns: Sequence[str],
    numbers: Sequence[str] = (),
    time: str | None = None,
) -> list[ContributingRows]:
    """Find the rows behind each target."""
    counter = ContributorCounter.start(targets, segment_columns, numbers, time)
    for batch in batches:
        counter.update(batch)
    return counter.result()


def segment_of(found: Slice) -> Segment:
    """Put a slice in the words of a segment."""
    first = found.conditions[0]
    return Segment(
        first.column,
        first.value if isinstance(first.value, str) else first.phrase,
        found.share_of_matching,
        found.share_of_rows,
        conditions=found.conditions,
        share_of_excess=found.share_of_excess,
    )


def _segment(
    contributors: ContributingRows,
    level_counts: LevelCounts,
    all_counts: LevelCounts,
    *,
    row_count: int,
    leave_out: str,
) -> Segment | None:
    """Name the level with the largest share of the excess, if it stands out."""
    best: tuple[float, Segment] | None = None
    expected = contributors.target.share_reference
    total = contributors.row_count - expected * row_count
    if total <= 0:
        return None
    for name, matching in level_counts.levels.items():
        rows = all_counts.levels.get(name)
        if name == leave_out or rows is None or len(rows) < 2:
            continue
        for level, count in matching.items():
            share_of_rows = rows[level] / row_count
            excess = (count - expected * rows[level]) / total
            share = count / contributors.row_count
            lift = share - share_of_rows
            stands_out = excess >= MIN_EXCESS and share >= MIN_LIFT * share_of_rows
            if stands_out and (best is None or lift > best[0]):
                best = (lift, Segment(name, level, share, share_of_rows))
    return best[1] if best else None


def _after(pointers: Pointers, rows: int) -> Iterator[Mapping[str, str | int]]:
    """Move a part's row numbers so many further on; captured rows have ids of their own."""
    for pointer in pointers:
        yield {"row": int(pointer["row"]) + rows} if "row" in pointer else dict(pointer)


def _pointers(
    batch: pa.RecordBatch, mask: pa.BooleanArray, first: int, room: int
) -> Iterator[Mapping[str, str | int]]:
    """Point to the first marked rows: by event id, or by their number in the data."""
    if room <= 0:
        return
    places = np.flatnonzero(mask.to_numpy(zero_copy_only=False))[:room]
    yield from row_pointers(batch, places, first)


@dataclass(slots=True)
class LevelCounts:
    """Counts rows by level of each segment column; a column with too many is let go."""

    levels: dict[str, Counter[str]]
    values: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, columns: Sequence[str]) -> LevelCounts:
        """Begin with no rows counted."""
        return cls({name: Counter() for name in columns})

    def add(self, batch: pa.RecordBatch, mask: pa.BooleanArray | None) -> None:
        """Count the rows of a batch, or those that are marked."""
        for name in list(self.levels):
            if name in batch.schema.names:
                self.levels[name].update(_counts(batch.column(name), mask))
                if len(self.levels[name]) > LEVELS_MAX:
                    del self.levels[name]

    def add_values(
        self, batch: pa.RecordBatch, mask: pa.BooleanArray, column: str, *, is_listed: bool
    ) -> None:
        """Count the marked texts of one column, or what is listed as text, while they are few."""
        if column not in batch.schema.names or len(self.values) > LEVELS_MAX:
            return
        if is_listed or _is_text(batch.schema.field(column).type):
            self.values.update(_counts(batch.column(column), mask))

    def merge(self, other: LevelCounts) -> LevelCounts:
        """Return the counts of both; a column that either let go is let go."""
        both = {
            name: counts + other.levels[name]
            for name, counts in self.levels.items()
            if name in other.levels
        }
        few = {name: counts for name, counts in both.items() if len(counts) <= LEVELS_MAX}
        values = self.values if len(self.values) > LEVELS_MAX else self.values + other.values
        return LevelCounts(few, values)


def _is_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def _counts(array: pa.Array, mask: pa.BooleanArray | None) -> dict[str, int]:
    text, _ = coerce(array if mask is None else array.filter(mask), "string")
    counted = shortened(text.drop_null()).value_counts()
    return dict(
        zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    )
