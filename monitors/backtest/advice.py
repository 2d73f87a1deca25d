"""Other lengths of windows and other tolerances: what each would find at this traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.backtest.history import History
from driftline.monitors.backtest.outcome import Advice
from driftline.monitors.backtest.sensitivity import Finding, smallest_shifts
from driftline.monitors.backtest.spans import YEAR
from driftline.monitors.drift_test.drift_test import Decider
from driftline.monitors.drift_test.significance import MIN_ROWS

LENGTHS = tuple(timedelta(hours=hours) for hours in (1, 6, 24, 168))
TOLERANCES = (0.01, 0.03, 0.1)
# Nearly as good as the best: a tenth more is no reason to wait for longer windows.
NEARLY = 1.1
# Where half of all rows have to move, no length is worth suggesting.
WORTH = 0.5
HOUR, WEEK = timedelta(hours=1), timedelta(days=7)


def advised(
    decider: Decider, blocks: BlockCounts | None, history: History, seed: int
) -> tuple[Advice, ...]:
    """Try each length at the tolerances in use, then each other tolerance at the length in use."""
    hours = float((history.ends - history.starts).sum()) / (HOUR / timedelta(microseconds=1))
    hourly = float(history.rows.sum()) / hours
    own = float(np.median(list(decider.tolerances.values())))
    found = [_tried(_with_length(decider, length), blocks, hourly, own, seed) for length in LENGTHS]
    best = _suggested(found)
    lines = [replace(one, is_suggested=one is best) for one in found]
    for tolerance in TOLERANCES:
        if tolerance != own and decider.length is not None:
            other = replace(decider, tolerances=dict.fromkeys(decider.references, tolerance))
            lines.append(_tried(other, blocks, hourly, tolerance, seed))
    return tuple(lines)


def _with_length(decider: Decider, length: timedelta) -> Decider:
    budget = replace(decider.budget, windows_per_year=YEAR / length)
    return replace(decider, length=length, budget=budget)


def _tried(
    decider: Decider, blocks: BlockCounts | None, hourly: float, tolerance: float, seed: int
) -> Advice:
    assert decider.length is not None
    rows = hourly * (decider.length / HOUR)
    found: Sequence[Finding] = ()
    if rows >= 1:
        found = smallest_shifts(decider, blocks, rows=round(rows), seed=seed)
    first = _median([one for one in found if one.within == "one window"])
    # A window that is a week is not tried twice.
    later = _median([one for one in found if one.within == "a week"])
    week = first if decider.length == WEEK else later
    return Advice(decider.length / HOUR, tolerance, rows, first, week)


def _median(found: Sequence[Finding]) -> float | None:
    shares = [np.inf if one.share is None else one.share for one in found]
    middle = float(np.median(shares)) if shares else np.inf
    return middle if np.isfinite(middle) else None


def _suggested(found: Sequence[Advice]) -> Advice | None:
    """Choose the shortest windows that have rows enough and find nearly as small a change."""
    known = [one.week_share for one in found if one.week_share is not None]
    if not known or min(known) > WORTH:
        return None
    enough = (
        one
        for one in found
        if one.row_count >= 2 * MIN_ROWS
        and one.week_share is not None
        and one.week_share <= NEARLY * min(known)
    )
    return next(enough, None)
