"""Replays windows through the monitor's rule, in order of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from driftline.monitors.day_test.day_test import DayFinding, DayTest, DayTestResult
from driftline.monitors.drift_test.detectability import UNDECIDABLE
from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.drift_test import INSUFFICIENT, DriftTest
from driftline.monitors.drift_test.window_counts import WindowCounts

ALARM, QUIET = "alarm", "quiet"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The monitor's verdict on one window."""

    start: datetime | None
    end: datetime | None
    row_count: int
    # "alarm", "quiet", or what is no pass: "insufficient_data", and "undecidable" where values of
    # no column could have been an alarm, whatever they were.
    state: str
    alarms: tuple[ColumnDrift | DayFinding, ...]  # Strongest first; what days tell comes last.
    # The largest evidence over what a violation needs; None: nothing was judged.
    strength: float | None
    judged: frozenset[str] = frozenset()  # The columns whose values could have been an alarm.


def replay(
    drift_test: DriftTest,
    windows: Iterable[WindowCounts],
    day_test: DayTest | None = None,
) -> Iterator[Verdict]:
    """Judge windows in order of time, each with the monitor's history before it."""
    past: deque[WindowCounts] = deque(maxlen=drift_test.earlier_windows)
    past_days: deque[WindowCounts] = deque(
        maxlen=0 if day_test is None else day_test.earlier_windows
    )
    for window in windows:
        found = drift_test.judge(window, tuple(past), all_bounds=False)
        days = DayTestResult() if day_test is None else day_test.judge(window, past_days)
        past.append(window)
        past_days.append(window)
        by_days = days.judged | days.findings.keys()
        judged = (found.drifts.keys() - found.notes.keys()) | by_days
        drifted = [found.drifts[name] for name in found.drifted]
        told = [one for name, one in days.findings.items() if name not in found.drifted]
        alarms: tuple[ColumnDrift | DayFinding, ...] = (
            *sorted(drifted, key=lambda one: -_strength(one)),
            *sorted(told, key=lambda one: -one.evidence),
        )
        if alarms or judged:
            state = ALARM if alarms else QUIET
            strength = max(map(_strength, found.drifts.values()), default=None)
        else:
            state, strength = UNDECIDABLE if found.drifts else INSUFFICIENT, None
        yield Verdict(
            window.start, window.end, window.row_count, state, alarms, strength, frozenset(judged)
        )


def _strength(drift: ColumnDrift) -> float:
    return drift.likelihood_ratio / drift.critical_value
