"""From a violation to the rows, values and segments that caused it.

One pass over the window: each violation's condition is applied to every batch, its rows counted
by level of each text column and by minute, and the first are pointed to. Some rows are kept for
what needs columns beside each other: slices of two conditions, and of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.condition import Condition
from driftline.baseline.predicate import UNFIT
from driftline.capture.windows.window import ROW_IDS
from driftline.monitors.results.row_references import row_pointers
from driftline.monitors.results.violation import Onset, Segment
from driftline.monitors.root_cause.counted_rows import TARGETS_MAX, Scene
from driftline.monitors.root_cause.onset import TimeCounts, find_onset
from driftline.monitors.root_cause.slices import MIN_EXCESS, MIN_LIFT, Slice
from driftline.monitors.root_cause.tally import Tally

# Pointers kept per violation; the rest is found again by the condition.
FIRST_ROWS = 20
TOP_VALUES = 3
# Targets laid beside segment columns, some 60 microseconds each and batch: where thousands of
# columns are broken at once, as by a failed join, all pairs would take hours.
PAIRS_MAX = 20_000
FEWEST_SEGMENTS = 4
# The same of numbers, each of which is cut in sixteen ways.
NUMBER_PAIRS_MAX = 4_000

Batches = Iterable[pa.RecordBatch]
Pointers = Iterable[Mapping[str, str | int]]


@dataclass(frozen=True, slots=True)
class Target:
    """One condition to look for.

    Parameters
    ----------
    predicate
        What the rows behind the violation meet.
    share_reference
        Share of the reference's rows that meet it, 0-1: so many are no culprits.
    """

    predicate: Condition
    share_reference: float


@dataclass(slots=True)
class Culprits:
    """What one pass found about one target.

    Parameters
    ----------
    target
        What was looked for.
    row_count, share_of_rows
        Rows that meet the condition, and their share of the window's, 0-1.
    first_rows
        Pointers to the first of them.
    values
        The most frequent texts of the column among them.
    segment
        The level that holds most of the excess, if one stands out; or two conditions that do.
    slice
        Those two, or the one on a number, as they were counted; None for a level.
    onset
        The span of time in which it happened, if it was not there all the while.
    """

    target: Target
    row_count: int = 0
    share_of_rows: float = 0.0
    first_rows: list[Mapping[str, str | int]] = field(default_factory=list)
    values: tuple[str, ...] = ()
    segment: Segment | None = None
    slice: Slice | None = None
    onset: Onset | None = None


@dataclass(slots=True)
class CulpritCounter:
    """The search for the rows behind some targets, over one part of the data or all.

    Parameters
    ----------
    found
        One for each target, in order.
    tallies
        Rows of each target by level of each segment column.
    everyone
        All rows by level.
    scene
        Some of the rows, for slices.
    times
        Rows by minute, of the most blamed targets.
    time
        The column that says when; None: nobody knows.
    row_count
        Rows that were looked at.
    """

    found: list[Culprits]
    tallies: list[Tally]
    everyone: Tally
    scene: Scene
    times: TimeCounts
    time: str | None = None
    row_count: int = 0

    @classmethod
    def start(
        cls,
        targets: Sequence[Target],
        segment_columns: Sequence[str],
        numbers: Sequence[str] = (),
        time: str | None = None,
    ) -> CulpritCounter:
        """Begin without rows; parameters as in `find_culprits`."""
        looked = _looked_at(targets, segment_columns)
        own = frozenset(name for target in targets for name in target.predicate.columns)
        return cls(
            [Culprits(target) for target in targets],
            [Tally.of(looked) for _ in targets],
            Tally.of(looked),
            # A number that is at fault itself is a consequence, wherever it lies.
            Scene.start(looked, [one for one in _cut(targets, numbers) if one not in own]),
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
        self.everyone.add(batch, None)
        masks: list[NDArray[np.bool_] | None] = []
        for culprits, tally in zip(self.found, self.tallies, strict=True):
            mask = culprits.target.predicate.mask(batch)
            count = pc.sum(mask).as_py() or 0
            if len(masks) < TARGETS_MAX:
                masks.append(mask.to_numpy(zero_copy_only=False) if count else None)
            if not count:
                continue
            culprits.row_count += count
            room = FIRST_ROWS - len(culprits.first_rows)
            culprits.first_rows.extend(_pointers(batch, mask, self.row_count, room))
            tally.add(batch, mask)
            predicate = culprits.target.predicate
            # Codes are compared as text, whatever type they came in.
            is_listed = predicate.op in ("in", "not_in")
            tally.add_values(batch, mask, predicate.column, is_listed=is_listed)
        self.scene.update(batch, masks)
        if self.time is not None and self.time in batch.schema.names:
            self.times.update(batch.column(self.time), masks)
        self.row_count += batch.num_rows

    def merge(self, other: CulpritCounter) -> CulpritCounter:
        """Give what is known of the rows of both; the other's rows are numbered after these."""
        found = [
            Culprits(
                one.target,
                row_count=one.row_count + two.row_count,
                first_rows=[*one.first_rows, *_after(two.first_rows, self.row_count)][:FIRST_ROWS],
            )
            for one, two in zip(self.found, other.found, strict=True)
        ]
        tallies = [one.merge(two) for one, two in zip(self.tallies, other.tallies, strict=True)]
        return CulpritCounter(
            found,
            tallies,
            self.everyone.merge(other.everyone),
            self.scene.merge(other.scene),
            self.times.merge(other.times),
            self.time,
            self.row_count + other.row_count,
        )

    def result(self) -> list[Culprits]:
        """Say what was found about each target, in order."""
        slices = self.scene.slices([one.target for one in self.found])
        for index, (culprits, tally) in enumerate(zip(self.found, self.tallies, strict=True)):
            target = culprits.target
            culprits.share_of_rows = culprits.row_count / max(self.row_count, 1)
            culprits.values = tuple(value for value, _ in tally.values.most_common(TOP_VALUES))
            culprits.segment = _segment(
                culprits,
                tally,
                self.everyone,
                row_count=self.row_count,
                leave_out=target.predicate.column,
            )
            if (found := slices.get(index)) is not None:
                culprits.slice, culprits.segment = found, segment_of(found)
            if index < self.times.size:
                blocks = self.times.blocks(index)
                culprits.onset = find_onset(*blocks, target.share_reference)
        return self.found


def _looked_at(targets: Sequence[Target], segment_columns: Sequence[str]) -> Sequence[str]:
    """Give the segment columns that there is time for."""
    return segment_columns[: max(FEWEST_SEGMENTS, PAIRS_MAX // max(len(targets), 1))]


def _cut(targets: Sequence[Target], numbers: Sequence[str]) -> Sequence[str]:
    """Give the numbers that there is time for."""
    return numbers[: max(FEWEST_SEGMENTS, NUMBER_PAIRS_MAX // max(len(targets), 1))]


def find_culprits(
    batches: Batches,
    targets: Sequence[Target],
    segment_columns: Sequence[str],
    numbers: Sequence[str] = (),
    time: str | None = None,
) -> list[Culprits]:
    """Find the rows behind each target.

    Parameters
    ----------
    batches
        All rows of the window, columns by the user's names; ``event_id`` and ``row_index`` point
        to captured rows where they are there.
    targets
        Conditions to look for.
    segment_columns
        Text columns whose levels may hold the culprits; of thousands the first, so many that the
        cost grows as the columns do.
    numbers
        Columns of numbers whose ranges may hold them; those of a target's own are left out.
    time
        The column that says when a row came; None: nobody knows, and nothing is said of it.

    Returns
    -------
    list of Culprits
        One for each target, in order.
    """
    counter = CulpritCounter.start(targets, segment_columns, numbers, time)
    for batch in batches:
        counter.update(batch)
    return counter.result()


def segment_of(found: Slice) -> Segment:
    """Put a slice in the words of a segment."""
    first = found.conditions[0]
    return Segment(
        first.column,
        first.value if isinstance(first.value, str) else first.phrase,
        found.share_of_guilty,
        found.share_of_rows,
        conditions=found.conditions,
        share_of_excess=found.share_of_excess,
    )


def _segment(
    culprits: Culprits, tally: Tally, everyone: Tally, *, row_count: int, leave_out: str
) -> Segment | None:
    """Name the level with the largest share of the excess, if it stands out."""
    best: tuple[float, Segment] | None = None
    expected = culprits.target.share_reference
    total = culprits.row_count - expected * row_count
    if total <= 0:
        return None
    for name, guilty in tally.levels.items():
        rows = everyone.levels.get(name)
        if name == leave_out or rows is None or len(rows) < 2:
            continue
        for level, count in guilty.items():
            share_of_rows = rows[level] / row_count
            excess = (count - expected * rows[level]) / total
            share = count / culprits.row_count
            lift = share - share_of_rows
            stands_out = excess >= MIN_EXCESS and share >= MIN_LIFT * share_of_rows
            if stands_out and (best is None or lift > best[0]):
                best = (lift, Segment(name, level, share, share_of_rows))
    return best[1] if best else None


def _after(pointers: Pointers, rows: int) -> Iterator[Mapping[str, str | int]]:
    """Move a part's row numbers so many further on; captured rows have ids of their own."""
    for one in pointers:
        yield {"row": int(one["row"]) + rows} if "row" in one else dict(one)


def _pointers(
    batch: pa.RecordBatch, mask: pa.BooleanArray, first: int, room: int
) -> Iterator[Mapping[str, str | int]]:
    """Point to the first marked rows: by event id, or by their number in the data."""
    if room <= 0:
        return
    places = np.flatnonzero(mask.to_numpy(zero_copy_only=False))[:room]
    yield from row_pointers(batch, places, first)
