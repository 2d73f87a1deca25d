"""Chooses the spans of windows that are judged together when a window has ended.

Aligned blocks of 1, 4, 16 ... windows: a long block finds a small change that no single window
shows, and ends seldom. A window with too few rows is pooled with windows before it, and that span
takes the place of its own test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from driftline.baseline.times import EPOCH
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.drift_test.window_counts import WindowCounts


@dataclass(frozen=True, slots=True)
class Span:
    """Windows that are judged together."""

    windows: tuple[WindowCounts, ...]  # The last first; missing ones left out.
    scale: int  # As the test of how many windows it counts in the budget.
    width: int  # Windows from first to last, missing ones too.

    @property
    def row_count(self) -> int:
        """Rows of all windows."""
        return sum(window.row_count for window in self.windows)

    @property
    def start(self) -> datetime | None:
        """When the first begins."""
        return self.windows[-1].start


def window_index(start: datetime, length: timedelta) -> int:
    """Return the index of a window among all since 1970-01-01T00:00Z."""
    return (start - EPOCH) // length


def spans_ending_with(
    window: WindowCounts,
    past: Sequence[WindowCounts],
    scales: Sequence[int],
    length: timedelta | None,
) -> list[Span]:
    """List the spans that end with a window and have rows enough, shortest first.

    `scales` are ascending numbers of windows, from 1. Past windows that do not lie before the
    judged one are skipped. Windows of unknown length have no longer spans.
    """
    own = [Span((window,), 1, 1)] if window.row_count >= MIN_ROWS else []
    if window.start is None or length is None or scales[-1] == 1:
        return own
    begin = window.start
    index = window_index(begin, length)
    before = [
        (window_index(one.start, length), one)
        for one in past
        if one.start is not None and one.start < begin
    ]
    before.sort(key=lambda pair: pair[1].start or begin, reverse=True)
    before = [pair for pair in before if pair[0] > index - scales[-1]]
    found = own or _pooled(window, before, index, scales)
    for scale in scales:
        if scale == 1 or (index + 1) % scale:
            continue
        members = (window, *(one for place, one in before if place > index - scale))
        span = Span(members, scale, scale)
        if span.row_count >= MIN_ROWS:
            found.append(span)
    return found


def _pooled(
    window: WindowCounts,
    before: Sequence[tuple[int, WindowCounts]],
    index: int,
    scales: Sequence[int],
) -> list[Span]:
    """Go back from a small window until there are rows enough.

    The span replaces the test of that window alone, so the budget stays whole. A window without
    rows adds nothing that was not judged before.
    """
    rows = window.row_count
    if rows == 0:
        return []
    members = [window]
    for place, one in before:
        members.append(one)
        rows += one.row_count
        if rows >= MIN_ROWS:
            width = next(scale for scale in scales if scale >= index - place + 1)
            return [Span(tuple(members), 1, width)]
    return []
