"""Windows through the monitor's own rule, one after the other, as they would have come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from driftline.monitors.day_test.day_test import DayFinding, DayTest
from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.drift_test import INSUFFICIENT, DriftTest
from driftline.monitors.drift_test.window_counts import WindowCounts

ALARM, QUIET = "alarm", "quiet"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the monitor would have said of one window."""

    start: datetime | None
    end: datetime | None
    row_count: int
    state: str  # "alarm", "quiet" or "insufficient_data", which is no pass.
    alarms: tuple[ColumnDrift | DayFinding, ...]  # Strongest first; what days tell comes last.
    # The largest evidence over what a violation needs; None: nothing was judged.
    strength: float | None


def replay(
    drift_test: DriftTest,
    windows: Iterable[WindowCounts],
    day_test: DayTest | None = None,
    *,
    with_bounds: bool = True,
) -> Iterator[Verdict]:
    """Judge windows in order of time; each knows of those before it what the monitor would know.

    Without bounds, which take a third of the time, the distances stand for those of alarms.
    """
    past: deque[WindowCounts] = deque(maxlen=drift_test.earlier_windows)
    past_days: deque[WindowCounts] = deque(
        maxlen=0 if day_test is None else day_test.earlier_windows
    )
    for window in windows:
        drifts = drift_test.drifts(window, tuple(past), with_bounds=with_bounds).values()
        by_days = {} if day_test is None else day_test.judge(window, past_days).findings
        past.append(window)
        past_days.append(window)
        alarms = sorted(
            (drift for drift in drifts if drift.drifted), key=lambda one: -_strength(one)
        )
        strength = max(map(_strength, drifts), default=None)
        told = {drift.column for drift in alarms}
        days = [one for name, one in by_days.items() if name not in told]
        days.sort(key=lambda one: -one.evidence)
        found: tuple[ColumnDrift | DayFinding, ...] = (*alarms, *days)
        state = ALARM if found else INSUFFICIENT if strength is None else QUIET
        yield Verdict(window.start, window.end, window.row_count, state, found, strength)


def _strength(drift: ColumnDrift) -> float:
    return drift.likelihood_ratio / drift.critical_value
