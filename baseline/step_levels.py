"""Finds the text column within whose levels a numeric column steps from row to row.

Where rows of several sensors alternate, the distance between sensors hides the steps of each.
Shapes: n rows, M columns of numbers, S steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.profile import Profile
from driftline.baseline.steps import CODE_COUNT, StepCounter, step_codes
from driftline.baseline.value_runs import TimeOrder
from driftline.formats.coercion import coerce
from driftline.stats.day_scores import StepScores
from driftline.stats.day_variation import REFERENCE_DAYS

# The first rows of the reference that are looked at, fewer of wide tables.
MOST_ROWS, MOST_CELLS, FEWEST_ROWS = 16_384, 1 << 20, 1_024
# Columns of texts that may be it. Of more levels than cells have, those with most rows count.
MOST_COLUMNS = 32
# Longer lists of different texts are no names of sensors.
MOST_TEXTS = 512
# Steps within levels are the smaller ones in so many comparisons more than half, and by so many
# standard errors.
ADVANTAGE, CLEAR = 0.05, 3.0
# They are no larger than those between rows of a level at any times, and most are a step at all:
# what a level always holds, such as the distance to an airport, does not move.
FAR_SHARE, STILL_SHARE = 0.45, 0.5
# Levels take turns: they change from row to row half as often as rows drawn at random would. A
# state, such as a price that rises, stays for some rows.
TURNS_SHARE = 0.5

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]


class FirstRows:
    """The first rows of the data, with their times, texts and numbers."""

    def __init__(
        self, event_time: str | None, numbers: Sequence[str], texts: Sequence[str]
    ) -> None:
        self.event_time = event_time
        self.numbers, self.texts = tuple(numbers), tuple(texts)
        self.limit = min(MOST_ROWS, max(MOST_CELLS // max(len(numbers), 1), FEWEST_ROWS))
        self.parts: list[pa.Table] = []

    @property
    def room(self) -> int:
        """How many more rows are kept; none where there is nothing to choose."""
        if self.event_time is None or not self.numbers or not self.texts:
            return 0
        return self.limit - sum(len(part) for part in self.parts)

    def update(self, batch: pa.RecordBatch, order: TimeOrder) -> None:
        """Add the earliest rows of a batch, given their order in time."""
        room = self.room
        if not room or self.event_time is None:
            return
        places = np.arange(len(order.times_us)) if order.places is None else order.places
        rows = batch.take(pa.array(places[:room]))
        found = {self.event_time: rows.column(self.event_time)}
        found |= {name: coerce(rows.column(name), "double")[0] for name in self.numbers}
        for name in self.texts:
            texts = coerce(rows.column(name), "string")[0]
            if pc.count_distinct(texts).as_py() > MOST_TEXTS:
                texts = pa.nulls(len(texts), texts.type)
            found[name] = texts
        self.parts.append(pa.table(found))

    def merge(self, other: FirstRows) -> FirstRows:
        """Return the first rows of both, the other's after these."""
        room = self.room
        if not room:
            return self
        merged = FirstRows(self.event_time, self.numbers, self.texts)
        merged.parts = list(self.parts)
        for part in other.parts:
            if room <= 0:
                break
            merged.parts.append(part[:room])
            room -= len(part)
        return merged

    def levels(self, cells: Mapping[str, Cells]) -> dict[str, Cells]:
        """Choose for each numeric column the text column within whose levels its steps are smaller.

        Returns the text column's cells; columns that step from row to row are left out.

        References
        ----------
        Mann, Whitney, Annals of Mathematical Statistics 18, 1947 (comparisons of two samples).
        """
        names = [name for name in self.numbers if name in cells and cells[name].is_number]
        texts = [name for name in self.texts if name in cells]
        texts = [name for name in texts if len(cells[name].levels) >= 2]
        if not self.parts or not names or not texts or self.event_time is None:
            return {}
        rows = pa.concat_tables(self.parts).combine_chunks()
        order = TimeOrder.of(rows.column(self.event_time).combine_chunks())
        numbers = [order.ordered(rows.column(name).combine_chunks()) for name in names]
        times = order.times_us
        plain = _tallies(numbers, np.arange(len(times) - 1), np.arange(1, len(times)), times)
        best = np.zeros(len(names))
        found: dict[str, Cells] = {}
        for text in texts[:MOST_COLUMNS]:
            levels = cells[text].assign(rows.column(text).combine_chunks())
            levels = levels if order.places is None else levels[order.places]
            if not _take_turns(levels, times):
                continue
            near, far = _pairs(levels, len(cells[text].levels))
            within = _tallies(numbers, *near, times)
            apart = _tallies(numbers, *far, None)
            for at, name in enumerate(names):
                gain = _gain(plain[at], within[at], apart[at])
                if gain > best[at]:
                    best[at], found[name] = gain, cells[text]
        return found


def keep_steps(
    profile: Profile,
    counter: StepCounter | None,
    blocks: BlockCounts | None,
    levels: Mapping[str, Cells],
) -> None:
    """Store each column's steps, where the reference has enough days."""
    if counter is None or blocks is None or blocks.span_days < REFERENCE_DAYS:
        return
    for name, found in counter.result(since_day=int(blocks.hours[0]) // 24).items():
        within = levels[name].column if name in levels else None
        profile.columns[name].steps = StepScores.of(found, within)


def _take_turns(levels: Integers, times: Integers) -> bool:
    shares = np.bincount(levels) / max(len(levels), 1)
    changes = (levels[1:] != levels[:-1])[times[1:] > times[:-1]]
    return len(changes) > 0 and bool(changes.mean() >= TURNS_SHARE * (1 - shares @ shares))


def _pairs(
    levels: Integers, count: int
) -> tuple[tuple[Integers, Integers], tuple[Integers, Integers]]:
    """Return rows of a level with its next one, and with one far away."""
    by_level = np.argsort(levels, kind="stable")
    by_level = by_level[levels[by_level] < count]
    own = levels[by_level]
    same = own[1:] == own[:-1]
    starts = np.flatnonzero(np.diff(own, prepend=-1))
    sizes = np.diff(np.append(starts, len(own)))
    first, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    place = np.arange(len(own)) - first
    turned = by_level[first + (place + size // 2) % np.maximum(size, 1)]
    return (by_level[:-1][same], by_level[1:][same]), (by_level, turned)


def _tallies(
    numbers: Sequence[Numbers], former: Integers, later: Integers, times: Integers | None
) -> Integers:
    """Count each column's steps by size, (M, CODE_COUNT); rows of one time have no order."""
    if times is not None:
        moved = times[later] > times[former]
        former, later = former[moved], later[moved]
    found = np.zeros((len(numbers), CODE_COUNT), np.int64)
    for at, own in enumerate(numbers):
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.abs(own[later] - own[former])
        found[at] = np.bincount(step_codes(steps[np.isfinite(steps)]), minlength=CODE_COUNT)
    return found


def _gain(plain: Integers, within: Integers, apart: Integers) -> float:
    """Return how much smaller steps within levels are; 0 where that is not clear."""
    rows, own = int(plain.sum()), int(within.sum())
    if not rows or not own or within[0] > STILL_SHARE * own:
        return 0.0
    gain = _above(plain, within) - 0.5
    error = ((1 / rows + 1 / own) / 12) ** 0.5
    if gain < max(ADVANTAGE, CLEAR * error) or _above(apart, within) < FAR_SHARE:
        return 0.0
    return gain


def _above(one: Integers, two: Integers) -> float:
    """Return the chance that a draw from one exceeds a draw from the other, ties half."""
    below = np.cumsum(two) - two / 2
    return float(one @ below) / max(int(one.sum()) * int(two.sum()), 1)
