"""When a fault began: the span of time in which the matching rows' share is raised.

The span is where the likelihood of two shares, one inside and one outside, beats that of a single
share by most. Rows that come together tend to share a fault, so that their number overstates the
evidence: it is divided by how much more the shares of the blocks scatter than chance allows.

References
----------
Siegmund, "Sequential Analysis", 1985, ch. 2 (likelihood of a change point); Wedderburn, "Quasi-
likelihood functions", Biometrika 61, 1974 (scatter beyond the binomial).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.formats.coercion import coerce
from driftline.monitors.results.violation import Onset

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_MINUTE_US = 60_000_000
# Of the calendar: years 1 to 9999.
_FIRST_MINUTE, _LAST_MINUTE = -62_135_596_800 // 60, 253_402_300_799 // 60
# Blocks of a window, in minutes: the longest of which it has enough, so that an hour is named.
_WIDTHS = (24 * 60, 60, 15, 5, 1)
_BLOCKS_MIN = 12
_BLOCKS_MAX = 400
# Chance that rows which match evenly over time give a span, over all that are tried.
_FALSE_ONSET = 1e-3
# Outside of the span, so much of the excess inside may be left.
_QUIET = 0.25
# An end is named besides a beginning only if it explains clearly more.
_END_GAIN = 3.0


@dataclass(slots=True)
class TimeCounts:
    """Rows by block of time, all and those of each target.

    Blocks widen as the time span grows, so that their number is bounded.
    """

    size: int  # Number of targets.
    # Beginnings of the blocks that have rows, since 1970, in order, shape (m,).
    minutes: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    # Rows by block, shape (m, 1 + targets): all, then those that match each.
    counts: Ints | None = None
    seen: tuple[int, int] | None = None  # First and last minute.

    def update(self, times: pa.Array, matching: Sequence[Bools | None]) -> None:
        """Add rows; None: none of them matches.

        Rows without a time, or with one outside of the years 1 to 9999, are left out.
        """
        found, _ = coerce(times, "timestamp")
        micro = found.cast(pa.timestamp("us", found.type.tz)).cast(pa.int64())
        minutes = micro.fill_null(0).to_numpy(zero_copy_only=False) // _MINUTE_US
        known = micro.is_valid().to_numpy(zero_copy_only=False)
        known = known & (minutes >= _FIRST_MINUTE) & (minutes <= _LAST_MINUTE)
        minutes = minutes[known]
        if not minutes.size:
            return
        seen = _together(self.seen, (int(minutes.min()), int(minutes.max())))
        distinct, places = np.unique(_blocks_of(minutes, seen), return_inverse=True)
        counts = np.zeros((distinct.size, 1 + self.size), np.int64)
        counts[:, 0] = np.bincount(places, minlength=distinct.size)
        for index, mask in enumerate(matching, 1):
            if mask is not None:
                counts[:, index] = np.bincount(places[mask[known]], minlength=distinct.size)
        self._add(distinct, counts, seen)

    def merge(self, other: TimeCounts) -> TimeCounts:
        """Return the counts of both."""
        merged = TimeCounts(self.size, self.minutes, self.counts, self.seen)
        if other.counts is not None and other.seen is not None:
            merged._add(other.minutes, other.counts, _together(self.seen, other.seen))
        return merged

    def _add(self, minutes: Ints, counts: Ints, seen: tuple[int, int]) -> None:
        known = np.empty((0, 1 + self.size), np.int64) if self.counts is None else self.counts
        joined = _blocks_of(np.concatenate([self.minutes, minutes]), seen)
        distinct, places = np.unique(joined, return_inverse=True)
        total = np.zeros((distinct.size, 1 + self.size), np.int64)
        np.add.at(total, places, np.concatenate([known, counts]))
        self.minutes, self.counts, self.seen = distinct, total, seen

    def blocks(self, target: int) -> tuple[list[datetime], Ints, Ints]:
        """Return the starts of blocks with rows, their rows and the target's matching rows.

        A block is an hour, a day in long spans, some minutes in short ones.
        """
        if self.counts is None:
            return [], np.empty(0, np.int64), np.empty(0, np.int64)
        starts = [_moment(int(minute)) for minute in self.minutes]
        return starts, self.counts[:, 0], self.counts[:, 1 + target]


def _together(one: tuple[int, int] | None, two: tuple[int, int]) -> tuple[int, int]:
    """Return first and last minute of both."""
    return two if one is None else (min(one[0], two[0]), max(one[1], two[1]))


def _blocks_of(minutes: Ints, seen: tuple[int, int]) -> Ints:
    """Return the start of each minute's block, as wide as the time span needs.

    Wider blocks consist of whole narrower ones, so it does not matter when they widen.
    """
    span = seen[1] - seen[0] + 1
    width = next((one for one in _WIDTHS if span >= _BLOCKS_MIN * one), _WIDTHS[-1])
    if width == _WIDTHS[0] and span <= _BLOCKS_MAX * _WIDTHS[1]:
        width = _WIDTHS[1]  # Of some days an hour can be named.
    return minutes // width * width


def _moment(minute: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)


def find_onset(
    starts: list[datetime], rows: Ints, matching: Ints, expected: float, *, lasting: bool = False
) -> Onset | None:
    """Find the span of blocks in which the share of matching rows is raised.

    Parameters
    ----------
    starts
        When each of T blocks begins, in order, aware.
    rows, matching
        Rows of each block, at least one, and those that match, shape (T,).
    expected
        Share that would match without a fault, 0-1.
    lasting
        Ask for a beginning only: the span lasts to the last block.

    Returns
    -------
    Onset or None
        None when the share is raised in all blocks alike, or too little is known to say.
    """
    size = len(starts)
    if size < 3 or size > _BLOCKS_MAX or not 0 < matching.sum() < rows.sum():
        return None
    gains = _gains(rows.astype(np.float64), matching.astype(np.float64))
    if lasting:
        gains[:, :-1] = -np.inf
    if not np.isfinite(gains).any():
        return None  # The share is the same in all blocks, to the last row.
    first, last = np.unravel_index(int(np.argmax(gains)), gains.shape)
    suffix = int(np.argmax(gains[:, -1]))
    # Scatter is taken of the best explanation: what a span explains is no scatter.
    scatter = _scatter(rows, matching, int(first), int(last))
    if gains[first, last] - gains[suffix, -1] < scatter * (math.log(size) + _END_GAIN):
        first, last = np.intp(suffix), np.intp(size - 1)
        scatter = _scatter(rows, matching, suffix, size - 1)
    if gains[first, last] < scatter * math.log(size * (size + 1) / 2 / _FALSE_ONSET):
        return None
    inside = np.zeros(size, np.bool_)
    inside[first : last + 1] = True
    share_inside = float(matching[inside].sum() / rows[inside].sum())
    share_outside = float(matching[~inside].sum() / rows[~inside].sum())
    if share_outside - expected > _QUIET * (share_inside - expected):
        return None
    return Onset(
        None if first == 0 else starts[first].astimezone(UTC),
        None if last == size - 1 else starts[last + 1].astimezone(UTC),
        share_inside,
        share_outside,
    )


def _gains(rows: NDArray[np.float64], matching: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gain in log-likelihood of each span [first, last], shape (T, T); -inf if none.

    Only spans with a higher share than outside count, and not the span of all blocks.
    """
    held = np.concatenate([[0.0], np.cumsum(rows)])
    bad = np.concatenate([[0.0], np.cumsum(matching)])
    inside = held[None, 1:] - held[:-1, None]
    bad_inside = bad[None, 1:] - bad[:-1, None]
    outside, bad_outside = held[-1] - inside, bad[-1] - bad_inside
    possible = (inside > 0) & (outside > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        possible &= bad_inside / inside > bad_outside / outside
    found = np.full(inside.shape, -np.inf)
    found[possible] = (
        _likelihood(bad_inside[possible], inside[possible])
        + _likelihood(bad_outside[possible], outside[possible])
        - float(_likelihood(bad[-1:], held[-1:])[0])
    )
    return found


def _likelihood(bad: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-likelihood of the best-fitting share, in nats; 0 where all rows are alike."""
    share = bad / rows
    with np.errstate(divide="ignore", invalid="ignore"):
        held = np.where(bad > 0, bad * np.log(share), 0.0)
        left = np.where(bad < rows, (rows - bad) * np.log1p(-share), 0.0)
    return np.asarray(held + left)


def _scatter(rows: Ints, matching: Ints, first: int, last: int) -> float:
    """Return the dispersion of the blocks' shares about two shares, relative to chance."""
    inside = np.zeros(rows.size, np.bool_)
    inside[first : last + 1] = True
    total = 0.0
    for chosen in (inside, ~inside):
        held = rows[chosen]
        if not held.size:
            continue
        share = matching[chosen].sum() / held.sum()
        if 0 < share < 1:
            total += float(
                np.sum((matching[chosen] - held * share) ** 2 / (held * share * (1 - share)))
            )
    return max(1.0, total / max(rows.size - 2, 1))
