"""From a violation to the rows, values and segments that caused it.

One pass over the window: each violation's condition is applied to every batch, its rows are counted
by level of each text column, and the first are pointed to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.coercion import coerce
from driftline.baseline.condition import Condition
from driftline.baseline.predicate import UNFIT
from driftline.baseline.texts import shortened
from driftline.capture.windows.window import ROW_IDS
from driftline.monitors.violation import Segment

__all__ = ["CulpritCounter", "Culprits", "Target", "find_culprits", "matching_rows"]

# Pointers kept per violation; the rest is found again by the condition.
FIRST_ROWS = 20
TOP_VALUES = 3
# A column with more levels than this in one window is no segment that a person would name.
LEVELS_MAX = 1000
# A segment is named when it holds so much of the excess, and so much more than its share of rows.
SEGMENT_EXCESS = 0.5
SEGMENT_LIFT = 1.3
# Targets laid beside segment columns, some 60 microseconds each and batch: where thousands of
# columns are broken at once, as by a failed join, all pairs would take hours.
PAIRS_MAX = 20_000
FEWEST_SEGMENTS = 4

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
        The level that holds most of the excess, if one stands out.
    """

    target: Target
    row_count: int = 0
    share_of_rows: float = 0.0
    first_rows: list[Mapping[str, str | int]] = field(default_factory=list)
    values: tuple[str, ...] = ()
    segment: Segment | None = None


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
    row_count
        Rows that were looked at.
    """

    found: list[Culprits]
    tallies: list[_Tally]
    everyone: _Tally
    row_count: int = 0

    @classmethod
    def start(cls, targets: Sequence[Target], segment_columns: Sequence[str]) -> CulpritCounter:
        """Begin without rows; parameters as in `find_culprits`."""
        looked = _looked_at(targets, segment_columns)
        return cls(
            [Culprits(target) for target in targets],
            [_Tally.of(looked) for _ in targets],
            _Tally.of(looked),
        )

    @staticmethod
    def columns(targets: Sequence[Target], segment_columns: Sequence[str]) -> tuple[str, ...]:
        """Name the columns that a search needs, each once."""
        own = (name for target in targets for name in target.predicate.columns)
        looked = _looked_at(targets, segment_columns)
        return tuple(dict.fromkeys((*ROW_IDS, UNFIT, *own, *looked)))

    def update(self, batch: pa.RecordBatch) -> None:
        """Look at rows."""
        self.everyone.add(batch, None)
        for culprits, tally in zip(self.found, self.tallies, strict=True):
            mask = culprits.target.predicate.mask(batch)
            count = pc.sum(mask).as_py() or 0
            if not count:
                continue
            culprits.row_count += count
            room = FIRST_ROWS - len(culprits.first_rows)
            culprits.first_rows.extend(_pointers(batch, mask, self.row_count, room))
            tally.add(batch, mask)
            tally.add_values(batch, mask, culprits.target.predicate.column)
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
        rows = self.row_count + other.row_count
        return CulpritCounter(found, tallies, self.everyone.merge(other.everyone), rows)

    def result(self) -> list[Culprits]:
        """Say what was found about each target, in order."""
        for culprits, tally in zip(self.found, self.tallies, strict=True):
            own = culprits.target.predicate.column
            culprits.share_of_rows = culprits.row_count / max(self.row_count, 1)
            culprits.values = tuple(value for value, _ in tally.values.most_common(TOP_VALUES))
            culprits.segment = _segment(
                culprits, tally, self.everyone, row_count=self.row_count, leave_out=own
            )
        return self.found


def _looked_at(targets: Sequence[Target], segment_columns: Sequence[str]) -> Sequence[str]:
    """Give the segment columns that there is time for."""
    return segment_columns[: max(FEWEST_SEGMENTS, PAIRS_MAX // max(len(targets), 1))]


def find_culprits(
    batches: Batches, targets: Sequence[Target], segment_columns: Sequence[str]
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

    Returns
    -------
    list of Culprits
        One for each target, in order.
    """
    counter = CulpritCounter.start(targets, segment_columns)
    for batch in batches:
        counter.update(batch)
    return counter.result()


def matching_rows(
    batches: Batches, predicate: Condition, *, limit: int, position: str | None = None
) -> pa.Table:
    """Give the first rows that meet a condition, the offending column in front.

    Parameters
    ----------
    batches
        Columns by the user's names; a map column ``unfit`` gives back the texts that did not fit.
    predicate
        The condition.
    limit
        Most rows to give.
    position
        Name of a column that is to hold each row's number in the data, from 0; rows with an event
        id get none.

    Returns
    -------
    pa.Table
        Ids first, then the condition's column, then all others; without the map column.
    """
    parts: list[pa.Table] = []
    left, first = limit, 0
    for batch in batches:
        if left <= 0:
            break
        mask = predicate.mask(batch)
        chosen = pa.Table.from_batches([batch]).filter(mask).slice(0, left)
        left -= chosen.num_rows
        if position is not None and "event_id" not in batch.schema.names:
            places = np.flatnonzero(mask.to_numpy(zero_copy_only=False))[: chosen.num_rows]
            chosen = chosen.append_column(position, pa.array(first + places, pa.int64()))
        parts.append(_with_texts(chosen, predicate))
        first += batch.num_rows
    if not parts:
        return pa.table({})
    table = pa.concat_tables(parts, promote_options="permissive")
    front = [name for name in (*ROW_IDS, *predicate.columns) if name in table.column_names]
    return table.select([*front, *(name for name in table.column_names if name not in front)])


@dataclass(slots=True)
class _Tally:
    """Counts rows by level of each segment column; a column with too many is let go."""

    levels: dict[str, Counter[str]]
    values: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, columns: Sequence[str]) -> _Tally:
        """Begin with no rows counted."""
        return cls({name: Counter() for name in columns})

    def add(self, batch: pa.RecordBatch, mask: pa.BooleanArray | None) -> None:
        """Count the rows of a batch, or those that are marked."""
        for name in list(self.levels):
            if name in batch.schema.names:
                self.levels[name].update(_counts(batch.column(name), mask))
                if len(self.levels[name]) > LEVELS_MAX:
                    del self.levels[name]

    def add_values(self, batch: pa.RecordBatch, mask: pa.BooleanArray, column: str) -> None:
        """Count the marked texts of one column, for as long as they are few."""
        if column not in batch.schema.names or len(self.values) > LEVELS_MAX:
            return
        if _is_text(batch.schema.field(column).type):
            self.values.update(_counts(batch.column(column), mask))

    def merge(self, other: _Tally) -> _Tally:
        """Give the counts of both; a column that either let go is let go."""
        both = {
            name: counts + other.levels[name]
            for name, counts in self.levels.items()
            if name in other.levels
        }
        few = {name: counts for name, counts in both.items() if len(counts) <= LEVELS_MAX}
        values = self.values if len(self.values) > LEVELS_MAX else self.values + other.values
        return _Tally(few, values)


def _is_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def _counts(array: pa.Array, mask: pa.BooleanArray | None) -> dict[str, int]:
    text, _ = coerce(array if mask is None else array.filter(mask), "string")
    counted = shortened(text.drop_null()).value_counts()
    return dict(
        zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    )


def _segment(
    culprits: Culprits, tally: _Tally, everyone: _Tally, *, row_count: int, leave_out: str
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
            stands_out = excess >= SEGMENT_EXCESS and share >= SEGMENT_LIFT * share_of_rows
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
    if "event_id" not in batch.schema.names:
        yield from ({"row": first + int(place)} for place in places)
        return
    ids = batch.column("event_id").take(pa.array(places)).to_pylist()
    indices = (
        batch.column("row_index").take(pa.array(places)).to_pylist()
        if "row_index" in batch.schema.names
        else [0] * len(ids)
    )
    for one, index in zip(ids, indices, strict=True):
        pointer: dict[str, str | int] = {"event_id": str(one), "row_index": int(index)}
        yield pointer


def _with_texts(table: pa.Table, predicate: Condition) -> pa.Table:
    """Put the text that did not fit where its value is missing, and drop the map column."""
    if UNFIT not in table.column_names or not pa.types.is_map(table.schema.field(UNFIT).type):
        return table
    if predicate.op == "unfit" and predicate.column in table.column_names:
        texts = pc.map_lookup(table.column(UNFIT).combine_chunks(), predicate.column, "first")
        values, _ = coerce(table.column(predicate.column), "string")
        place = table.schema.get_field_index(predicate.column)
        shown = pc.coalesce(values, texts.cast(pa.string()))
        table = table.set_column(place, predicate.column, shown)
    return table.drop_columns([UNFIT])
