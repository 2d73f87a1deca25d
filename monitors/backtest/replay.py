"""Windows through the monitor's own rule, one after the other, as they would have come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.drift_test import INSUFFICIENT, Decider
from driftline.monitors.drift_test.window_counts import WindowCounts

ALARM, QUIET = "alarm", "quiet"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the monitor would have said of one window.

    Parameters
    ----------
    start, end
        The window, aware.
    row_count
        Its rows.
    state
        "alarm", "quiet" or "insufficient_data", which is no pass.
    alarms
        The columns that have drifted, strongest first.
    strength
        The greatest evidence over what a violation needs; None when nothing was judged.
    """

    start: datetime | None
    end: datetime | None
    row_count: int
    state: str
    alarms: tuple[ColumnDrift, ...]
    strength: float | None


def replay(decider: Decider, windows: Iterable[WindowCounts]) -> Iterator[Verdict]:
    """Judge windows in order of time; each knows of those before it what the monitor would know."""
    past: deque[WindowCounts] = deque(maxlen=decider.memory)
    for window in windows:
        decision = decider.judge(window, tuple(past))
        past.append(window)
        drifts = decision.drifts.values()
        alarms = sorted((one for one in drifts if one.drifted), key=lambda one: -_strength(one))
        strength = max(map(_strength, drifts), default=None)
        state = INSUFFICIENT if strength is None else ALARM if alarms else QUIET
        yield Verdict(window.start, window.end, window.row_count, state, tuple(alarms), strength)


def _strength(drift: ColumnDrift) -> float:
    return drift.evidence / drift.needed
