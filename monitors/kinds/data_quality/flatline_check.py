"""Checks what no reference justifies: columns that are gone, and columns that stay constant. Pure.

One bad day in the reference makes the drift test so patient that a column may stay empty for days.
And weather varies so much by week that one reading repeated for a week is no drift. Shapes: H
hours, C cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import ATOM_SHARE, members
from driftline.baseline.column import ColumnProfile
from driftline.baseline.predicate import Predicate
from driftline.baseline.value_runs import ValueRuns
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.drift_test.window_counts import LastRun, WindowCounts

# From this share of empty rows on a column is as good as gone.
GONE_SHARE = 0.9
# What no stretch of the reference came near, simulated on outages of an hour and less: below a
# day, one outage may fill the window, and few of them do not tell how long the next one lasts.
NEAR_SHARE = 0.6
STRETCH = 0.5
DAY_H = 24
# No session fills so many rows.
LEAST_ROWS = 300
# A run of one value is a standstill from so many times on, and from so many times the longest run
# of the reference on (docs/why/drift-test.md).
LEAST_RUN = 20
RUN_FACTOR = 3
# Where values stay by themselves for so long, from a day and a whole window on, or so many times.
STAY_FACTOR = 10
# A value with this share of the reference usually stands still, as no rain does.
USUAL_SHARE = 0.5
# Fewer runs than these do not tell how long the next one is.
LEAST_RUNS = 5
# A shorter reference has not seen how long its values may stay.
LEAST_DAYS = 27
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Standstill:
    """The longest run of one value."""

    value: float
    length: int  # In times.
    usual: int  # The reference's longest run that it was compared with.
    most: float  # How long a run may be by that, with as many times an hour as the window has.
    excess: float  # The length beside that of a standstill, which begins at 1.


def standstill(
    window: ValueRuns,
    reference: ValueRuns,
    column: ReferenceColumn,
    before: LastRun | None = None,
) -> Standstill | None:
    """Find the run of a window that exceeds the reference's by most.

    The first run may continue one from the window before, if that ended in a value of the same
    cell.
    """
    runs = list(_runs(window, reference, column))
    first = window.first_value
    if before and not math.isnan(first) and column.cells.place(first) == before.cell:
        length = window.first_length + before.length
        runs += _runs(replace(window, values=np.array([first]), lengths=np.array([length])),
                      reference, column)  # fmt: skip
    found = max(runs, key=lambda one: one.excess, default=None)
    return found if found is not None and found.excess >= 1.0 else None


def shortened_runs(
    counts: WindowCounts,
    window: Mapping[str, ValueRuns],
    known: Mapping[str, ColumnProfile],
    references: Mapping[str, ReferenceColumn],
) -> WindowCounts:
    """Return a window's counts with runs cut to the reference's longest.

    One visitor who stays for a day is a third of its rows, but not a third of the visitors; a
    standstill counts all rows. Each surplus time takes off as many rows as the time with the fewest
    has, which a run surely has.
    """
    cells = dict(counts.cells)
    for name in cells.keys() & window.keys() & known.keys() & references.keys():
        runs = window[name]
        if runs.lengths.max(initial=0) <= LEAST_RUN:
            continue
        cells[name] = cells[name].copy()
        for one in _runs(runs, known[name].runs, references[name]):
            beyond = one.length - max(one.most, LEAST_RUN)
            if beyond > 0 and one.excess < 1.0:
                place = references[name].cells.place(one.value)
                cells[name][place] -= runs.least_rows * int(beyond)
    return replace(counts, cells=cells)


def _runs(window: ValueRuns, reference: ValueRuns, column: ReferenceColumn) -> Iterator[Standstill]:
    """Pair the runs of a window with comparable ones of the reference.

    A frequent value is compared with its own longest run, any other with the longest run of all
    others. With too few of those runs, the longest run of any value is used; with too few at all,
    as for months, the column changes in steps.
    """
    days = (reference.end_us - reference.start_us) / DAY_US
    if not (window.is_ordered and reference.is_ordered) or days < LEAST_DAYS:
        return
    shares, times = _frequent(column), reference.time_count
    # More traffic draws runs out: a reading of one hour is in all rows of that hour.
    pace = max(1.0, window.times_per_hour / reference.times_per_hour)
    lasting = max(window.time_count, DAY_H * window.times_per_hour)
    rest = 1.0 - math.fsum(shares.values())
    of_others, of_any = reference.longest_of_others(shares), reference.longest_of_others(())
    for value, length in zip(window.values.tolist(), window.lengths.tolist(), strict=True):
        usual, own = (
            (reference.longest(value), times * shares[value])
            if value in shares
            else (of_others, times * rest)
        )
        if own < LEAST_RUNS * usual:
            usual, own = of_any, times
        if own >= LEAST_RUNS * usual and shares.get(value, 0.0) < USUAL_SHARE:
            most = pace * usual
            limit = max(LEAST_RUN, RUN_FACTOR * most)
            if usual >= LEAST_RUN:
                limit = max(limit, min(STAY_FACTOR * most, lasting))
            yield Standstill(value, length, usual, most, length / limit)


def _frequent(column: ReferenceColumn) -> dict[float, float]:
    """Return the reference's shares of the values that are frequent in it, of all its numbers."""
    cells, numbers = column.cells, max(float(column.counts[:-2].sum()), 1.0)
    places = {atom: members(cells, Predicate(cells.column, "eq", atom)) for atom in cells.atoms}
    shares = {atom: float(column.counts[place]) / numbers for atom, place in places.items()}
    return {atom: share for atom, share in shares.items() if share >= ATOM_SHARE}


def is_gone(blocks: BlockCounts | None, profile: ColumnProfile) -> bool:
    """Whether a column is nearly empty, as no part of the reference was."""
    if profile.completeness > 1 - GONE_SHARE:
        return False
    hours, counts = _by_hour(blocks, profile.name)
    return _never_near(hours, counts[:, -2:-1], counts.sum(axis=1), profile.row_count)


def constant_value(profile: ColumnProfile) -> float | None:
    """Return the one value of all numbers of a column; None for several, or few."""
    found = profile.moments
    if not profile.is_number or found.count < MIN_ROWS or found.minimum < found.maximum:
        return None
    return found.minimum if found.count == profile.present_count else None


def _by_hour(blocks: BlockCounts | None, name: str) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the reference's hours, (H,), and rows per cell, (H, C); H is 0 without hours."""
    part = None if blocks is None else blocks.of(name)
    if part is None:
        return np.zeros(0, np.int64), np.zeros((0, 2), np.int32)
    return part.hours, part.counts[name]


def _never_near(
    hours: NDArray[np.int64],
    counts: NDArray[np.int32],
    rows: NDArray[np.int64],
    window_rows: int,
) -> bool:
    """Whether no hours with half as many rows as a window had most in one cell."""
    days = max(np.unique(hours[rows > 0] // DAY_H).size, 1)
    if window_rows < max(LEAST_ROWS, rows.sum() / days):
        return False
    reached = np.concatenate([[0], np.cumsum(rows)])
    held = np.concatenate([np.zeros((1, counts.shape[1])), np.cumsum(counts, axis=0)])
    last = np.searchsorted(reached, reached[:-1] + STRETCH * window_rows)
    first = np.flatnonzero(last < reached.size)
    if not first.size:
        return False
    last = last[first]
    shares = (held[last] - held[first]) / (reached[last] - reached[first])[:, None]
    return bool(shares.max() <= NEAR_SHARE)
