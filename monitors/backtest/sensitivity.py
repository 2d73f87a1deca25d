"""The smallest change that the rule would find: by trying it on the rule itself.

Rows are moved from one half of a column's values to the other, in the last windows of a stretch of
unchanged ones, more or fewer, until it is known from how many on the column alarms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.backtest.resampling import unchanged_windows
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.drift_test import Decider
from driftline.monitors.drift_test.window_counts import WindowCounts

SPANS: Mapping[str, timedelta] = {
    "one window": timedelta(0),
    "a day": timedelta(days=1),
    "a week": timedelta(days=7),
}
# Halvings of all rows: to a two-thousandth of them.
BISECTIONS = 11
# Unchanged stretches that are tried, for the median: by luck one is nearer to its bound.
DRAWS = 3

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Finding:
    """The smallest change of one column that is found within some time.

    Parameters
    ----------
    column, within
        The column, and one of `SPANS`.
    windows
        How many windows that is.
    share
        Share of all rows, 0-1, that must move from one half of the values to the other (of texts:
        of the most frequent and the others); None when even all of a half would not do.
    deviations
        For numbers: the shift of a normal column that moves as many, in standard deviations.
    """

    column: str
    within: str
    windows: int
    share: float | None
    deviations: float | None


def smallest_shifts(
    decider: Decider, blocks: BlockCounts | None, *, rows: int, seed: int = 0
) -> tuple[Finding, ...]:
    """Find for each column the smallest change that alarms within a window, a day and a week.

    Parameters
    ----------
    decider
        The rule, of windows of a known length.
    blocks
        The reference by the hour; without it, windows of independent rows are tried.
    rows
        Rows of a window at the user's traffic.
    seed
        Of the draw.
    """
    halves = {name: _half(one) for name, one in decider.references.items()}
    cuts = {name: half for name, half in halves.items() if half is not None}
    length = decider.length
    if not cuts or length is None or rows < 1:
        return ()
    generator = np.random.default_rng(seed)
    spans = {
        name: max(1, round(span / length))
        for name, span in SPANS.items()
        if not span or span > length
    }
    longest = max(spans.values())
    stretches = [
        unchanged_windows(decider, blocks, decider.memory + longest, rows, generator)
        for _ in range(DRAWS)
    ]
    found = []
    for within, count in spans.items():
        shares = [_smallest(decider, stretch, count, cuts) for stretch in stretches]
        for name in cuts:
            share = float(np.median([one[name] for one in shares]))
            found.append(_finding(decider.references[name], cuts[name], within, count, share))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Half:
    """The first cells of a column, in their order, that hold about half of its rows.

    Parameters
    ----------
    cells
        How many cells; the others follow, without the last two, of rows without a value.
    below, above
        Shares of all rows in these cells and in the others, 0-1, both above 0; what is left are
        rows without a value.
    """

    cells: int
    below: float
    above: float

    def deviations(self, share: float) -> float | None:
        """Give the shift of a normal column that takes so much of all rows over the cut, in sd.

        Rows go from the larger side to the smaller one; None where that side has no more.
        """
        present = self.below + self.above
        source = max(self.below, self.above) / present
        left = source - share / present
        return float(special.ndtri(source) - special.ndtri(left)) if left > 0 else None


def _half(reference: ReferenceColumn) -> _Half | None:
    """Cut nearest to the middle; None for a column with a single cell."""
    counts = reference.counts[:-2]
    if reference.row_count <= 0:
        return None
    below = np.cumsum(counts)[:-1] / reference.row_count
    above = counts.sum() / reference.row_count - below
    possible = np.flatnonzero((below > 0) & (above > 0))
    if not len(possible):
        return None
    at = int(possible[np.argmin(np.abs(below - above)[possible])])
    return _Half(at + 1, float(below[at]), float(above[at]))


def _smallest(
    decider: Decider,
    stretch: Sequence[WindowCounts],
    count: int,
    cuts: Mapping[str, _Half],
) -> dict[str, float]:
    """Halve between nothing and all, for all columns at once; infinite where all is not enough."""
    past = list(stretch[: len(stretch) - count][-decider.memory :] if decider.memory else [])
    changed = stretch[-count:]
    rising = {name: _is_lower(changed, name, half) for name, half in cuts.items()}
    low, high = dict.fromkeys(cuts, 0.0), dict.fromkeys(cuts, 1.0)
    reached = _alarming(decider, past, changed, cuts, high, rising)
    for _ in range(BISECTIONS):
        middle = {name: (low[name] + high[name]) / 2 for name in cuts}
        alarming = _alarming(decider, past, changed, cuts, middle, rising)
        for name in cuts:
            (high if name in alarming else low)[name] = middle[name]
    return {name: high[name] if name in reached else np.inf for name in cuts}


def _alarming(
    decider: Decider,
    past: Sequence[WindowCounts],
    changed: Sequence[WindowCounts],
    cuts: Mapping[str, _Half],
    shares: Mapping[str, float],
    rising: Mapping[str, bool],
) -> set[str]:
    """Say which columns alarm in the changed windows: in those that end the longest spans."""
    moved = [
        replace(
            window,
            cells={
                name: _moved(counts, cuts[name], shares[name], rising=rising[name])
                if name in cuts
                else counts
                for name, counts in window.cells.items()
            },
        )
        for window in changed
    ]
    found: set[str] = set()
    for at in _telling(decider, changed):
        before = [*past, *moved[:at]][-decider.memory :] if decider.memory else []
        found.update(decider.judge(moved[at], before).drifted)
    return found


def _telling(decider: Decider, changed: Sequence[WindowCounts]) -> set[int]:
    """Choose the windows to judge: the last, and those that end the longest changed spans.

    Spans of several windows end at fixed places of the calendar, so the last window alone would
    often be judged by itself.
    """
    length, scored = decider.length, []
    for at, window in enumerate(changed):
        place = 0 if window.start is None or length is None else (window.start - EPOCH) // length
        spans = [scale for scale in decider.scales if (place + 1) % scale == 0 and scale <= at + 1]
        scored.append((max(spans, default=1), at))
    return {len(changed) - 1, *(at for _, at in sorted(scored)[-2:])}


def _is_lower(windows: Sequence[WindowCounts], name: str, half: _Half) -> bool:
    """Say whether most rows lie in the first cells, so that there are some to be moved away."""
    counts = np.sum([one.cells[name][:-2] for one in windows], axis=0)
    return bool(counts[: half.cells].sum() >= counts[half.cells :].sum())


def _moved(counts: Counts, half: _Half, share: float, *, rising: bool) -> Counts:
    """Move so much of all rows from one half of the cells to the other, each in proportion."""
    values = counts[:-2].astype(np.float64)
    first = np.arange(len(values)) < half.cells
    source = first if rising else ~first
    taken = min(share * float(counts.sum()), float(values[source].sum()))
    if taken <= 0:
        return counts
    room = float(values[~source].sum())
    moved = values.copy()
    moved[source] *= 1 - taken / values[source].sum()
    moved[~source] += taken * (values[~source] / room if room > 0 else 1 / (~source).sum())
    # Rounded along the way, so that no row is lost.
    whole = np.rint(np.cumsum(moved))
    return np.concatenate([np.diff(whole, prepend=0.0).astype(np.int64), counts[-2:]])


def _finding(
    reference: ReferenceColumn, half: _Half, within: str, count: int, share: float
) -> Finding:
    name = reference.cells.column
    if not np.isfinite(share):
        return Finding(name, within, count, None, None)
    deviations = half.deviations(share) if reference.cells.is_number else None
    return Finding(name, within, count, share, deviations)
