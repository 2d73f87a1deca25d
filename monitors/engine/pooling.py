"""Several windows judged together, and windows since the reference that it learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from driftline.baseline.times import EPOCH
from driftline.monitors.engine.block_test import Tested, judge
from driftline.monitors.engine.metric import NO_SUPPORT, Array
from driftline.monitors.engine.reference import Reference
from driftline.monitors.state import State

SCALES = (1, 4, 16)  # Numbers of windows that are judged together.
# A window with a smaller p-value looks changed: neither it nor the windows right before it are
# learnt from.
CHANGED = 1e-3
# Windows after one that must look unchanged before it is learnt from. Without them a lasting change
# would be learnt as days that remember.
QUARANTINE = SCALES[-1]
MOST_LATER = 64  # Newest windows since the reference that are learnt from.
MOST_PAST = MOST_LATER + QUARANTINE  # Windows before the judged one that are of use.
FEWEST_BLOCKS = 14
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@dataclass(frozen=True, slots=True, eq=False)
class WindowSums:
    """What a window leaves for later ones."""

    start: datetime
    end: datetime
    buckets: Array  # (G, K); of windows too old to be judged with others (1, K).
    # What the sums are of: only windows of equal layout are added up.
    layout: str = ""
    # The smallest of all numbers and spans that ended with the window; NaN: nothing was tested.
    p_value: float = np.nan

    @property
    def length(self) -> timedelta:
        """From start to end."""
        return self.end - self.start


def block_length(window: timedelta, reference: timedelta | None = None) -> timedelta:
    """Return the length of the blocks into which a reference with times is cut for a window.

    They are days; a shorter window has blocks of its own length. A reference of less than
    FEWEST_BLOCKS of these is cut into so many, since few blocks do not show how they differ.
    """
    block = min(window, DAY)
    return block if reference is None else max(min(block, reference / FEWEST_BLOCKS), SECOND)


def judge_spans(
    reference: Reference, window: WindowSums, past: Sequence[WindowSums] | None, *, level: float
) -> list[Tested]:
    """Judge a window, and the spans of 4 and 16 windows that end with it.

    Spans are aligned: a window is in one span of each number of windows. Each number of windows has
    an equal part of the budget.

    Parameters
    ----------
    reference
        What is expected, in blocks of `block_length`, or of its own.
    window
        The judged one.
    past
        Windows before it in order of time, MOST_PAST are of use; those of another length or
        layout are left out. None: nothing is remembered, and the window alone has the whole budget.
    level
        Accepted false alarms in one window.

    Returns
    -------
    list of Tested
        First of the window alone, then of the longer spans.
    """
    is_timed = reference.days is not None
    # Blocks in a window; a reference without times takes windows as its blocks.
    block = reference.block or block_length(window.length)
    blocks = max(window.length / block, 1.0) if is_timed else 1.0
    if past is None:
        return judge(reference, window.buckets, length=blocks, level=level)
    past = [
        one
        for one in past
        if (one.length, one.layout) == (window.length, window.layout) and one.end <= window.start
    ]
    reference = reference.with_later(None if blocks > 1.0 else _learnt(past))
    index = (window.start - EPOCH) // window.length
    tested: list[Tested] = []
    for scale in SCALES:
        first = window.start - (scale - 1) * window.length
        members = [one.buckets for one in past if one.start >= first] + [window.buckets]
        if (index + 1) % scale or (scale > 1 and len(members) == 1):
            continue
        tested += judge(
            reference,
            np.sum(members, axis=0),
            length=scale * blocks,
            level=level * scale / len(SCALES),
            windows=scale,
        )
    return tested


def judged_spans(tested: Sequence[Tested]) -> tuple[int, ...]:
    """Return over how many windows, above one, `judge_spans` judged a number.

    The last window has rows of that number: others do not answer for it.
    """
    has_rows = [one.support > NO_SUPPORT for one in tested if one.windows == 1]
    judged = {
        one.windows
        for at, one in enumerate(tested)
        if one.windows > 1 and one.state == State.JUDGED and has_rows[at % len(has_rows)]
    }
    return tuple(sorted(judged))


def smallest_p_value(tested: Sequence[Tested]) -> float:
    """Return the smallest p-value of several numbers; NaN where none was tested."""
    return min((one.p_value for one in tested if not np.isnan(one.p_value)), default=np.nan)


def _learnt(past: Sequence[WindowSums]) -> Array | None:
    """Return the sums (B, K) of windows that, with all in their quarantine, look unchanged."""
    changed = np.array([one.p_value < CHANGED for one in past], np.bool_)
    learnt = [
        window.buckets.sum(axis=0)
        for at, window in enumerate(past[: len(past) - QUARANTINE])
        if not changed[at : at + QUARANTINE + 1].any()
    ]
    return np.array(learnt[-MOST_LATER:]) if learnt else None
