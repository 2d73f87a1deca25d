"""Finds the rows behind violations: their number, the first of them, their values and times.

One pass applies each condition to every batch and counts by minute. Some rows are kept, coded, for
the search for segments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.condition import Condition
from driftline.baseline.predicate import UNFIT, Predicate
from driftline.baseline.texts import shortened
from driftline.capture.windows.window import ROW_IDS
from driftline.formats.coercion import coerce
from driftline.monitors.results.row_references import row_pointers
from driftline.monitors.results.violation import Onset, Segment
from driftline.monitors.root_cause.onset import TimeCounts, find_onset
from driftline.monitors.root_cause.row_sample import (
    COLUMNS_MAX,
    LEVELS_MAX,
    TARGETS_MAX,
    SegmentColumn,
    WindowSample,
)

# Pointers kept per violation; the rest is found again by the condition.
FIRST_ROWS = 20
TOP_VALUES = 3

Pointers = Iterable[Mapping[str, str | int]]


@dataclass(frozen=True, slots=True)
class Target:
    """One condition to look for."""

    predicate: Condition
    share_reference: float  # Of the reference's rows, 0-1: so many are expected.
    is_loss: bool = False  # Whether there are fewer than expected: then it is asked where.
    design_effect: float = 1.0  # How many times more it varies than independent rows.

    @property
    def within(self) -> Predicate | None:
        """The segment to which the rows are limited."""
        return self.predicate.within if isinstance(self.predicate, Predicate) else None


@dataclass(slots=True)
class ContributingRows:
    """Rows found for one target."""

    target: Target
    row_count: int = 0
    share_of_rows: float = 0.0  # Of the window's, 0-1.
    first_rows: list[Mapping[str, str | int]] = field(default_factory=list)
    values: tuple[str, ...] = ()  # The most frequent texts of the column.
    # Where most of the change lies, and why no segment is named; "" where none was looked for.
    segment: Segment | None = None
    unplaced: str = ""
    is_mix: bool = False  # More rows of a kind that was like this before, in place of others.
    onset: Onset | None = None  # When it happened, if not all the while.


@dataclass(slots=True)
class ContributorCounter:
    """Searches the rows behind some targets, over one part of the data or all."""

    found: list[ContributingRows]  # One for each target, in order.
    values: list[Counter[str]]  # Of each target: its column's texts.
    sample: WindowSample  # Some of the rows, for segments.
    times: TimeCounts  # Rows by minute, of the first targets.
    time: str | None = None  # The column that says when.
    row_count: int = 0

    @classmethod
    def start(
        cls,
        targets: Sequence[Target],
        columns: Sequence[SegmentColumn] = (),
        time: str | None = None,
        row_count: int | None = None,
    ) -> ContributorCounter:
        """Begin without rows; without columns no segments are searched."""
        first = targets[:TARGETS_MAX]
        within = dict.fromkeys(target.within for target in first if target.within is not None)
        own = {target.predicate.column for target in first}
        valued = {one.name for one in columns if one.name in own and one.is_number}
        return cls(
            [ContributingRows(target) for target in targets],
            [Counter() for _ in targets],
            WindowSample.start(columns[:COLUMNS_MAX], list(within), row_count, frozenset(valued)),
            TimeCounts(len(first)),
            time,
        )

    @staticmethod
    def columns(
        targets: Sequence[Target],
        columns: Sequence[SegmentColumn] = (),
        time: str | None = None,
    ) -> tuple[str, ...]:
        """Name the columns that a search needs, each once."""
        own = (name for target in targets for name in target.predicate.columns)
        looked = (column.name for column in columns[:COLUMNS_MAX])
        when = () if time is None else (time,)
        return tuple(dict.fromkeys((*ROW_IDS, UNFIT, *own, *looked, *when)))

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        masks: list[NDArray[np.bool_]] = []
        for contributors, values in zip(self.found, self.values, strict=True):
            predicate = contributors.target.predicate
            mask = predicate.mask(batch)
            marked = mask.to_numpy(zero_copy_only=False)
            count = int(np.count_nonzero(marked))
            if len(masks) < TARGETS_MAX:
                masks.append(marked)
            if not count:
                continue
            contributors.row_count += count
            room = FIRST_ROWS - len(contributors.first_rows)
            if room > 0:
                places = np.flatnonzero(marked)[:room]
                contributors.first_rows.extend(row_pointers(batch, places, self.row_count))
            _add_values(values, batch, mask, predicate)
        if self.sample.columns:
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
        return ContributorCounter(
            found,
            [
                one if len(one) > LEVELS_MAX else one + two
                for one, two in zip(self.values, other.values, strict=True)
            ],
            self.sample.merge(other.sample),
            self.times.merge(other.times),
            self.time,
            self.row_count + other.row_count,
        )

    def result(self) -> list[ContributingRows]:
        """Return the rows found for each target, in order, without segments."""
        for index, (contributors, values) in enumerate(zip(self.found, self.values, strict=True)):
            contributors.share_of_rows = contributors.row_count / max(self.row_count, 1)
            contributors.values = tuple(value for value, _ in values.most_common(TOP_VALUES))
            if index < self.times.size and not contributors.target.is_loss:
                expected = contributors.target.share_reference
                contributors.onset = find_onset(*self.times.blocks(index), expected)
        return self.found


def find_contributing_rows(
    batches: Iterable[pa.RecordBatch], targets: Sequence[Target]
) -> list[ContributingRows]:
    """Find the rows behind each target, without their segments."""
    counter = ContributorCounter.start(targets)
    for batch in batches:
        counter.update(batch)
    return counter.result()


def _after(pointers: Pointers, rows: int) -> Iterator[Mapping[str, str | int]]:
    """Shift a part's row numbers; captured rows have ids instead."""
    for pointer in pointers:
        yield {"row": int(pointer["row"]) + rows} if "row" in pointer else dict(pointer)


def _add_values(
    values: Counter[str], batch: pa.RecordBatch, mask: pa.BooleanArray, predicate: Condition
) -> None:
    """Count the marked texts of a condition's column, or what is listed as text, while few."""
    if predicate.column not in batch.schema.names or len(values) > LEVELS_MAX:
        return
    kind = batch.schema.field(predicate.column).type
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    # Codes are compared as text, whatever type they came in.
    is_listed = predicate.op in ("in", "not_in")
    if is_listed or pa.types.is_string(inner) or pa.types.is_large_string(inner):
        texts, _ = coerce(batch.column(predicate.column).filter(mask), "string")
        counted = shortened(texts.drop_null()).value_counts()
        pairs = zip(
            *(counted.field(name).to_pylist() for name in ("values", "counts")), strict=True
        )
        values.update(dict(pairs))
