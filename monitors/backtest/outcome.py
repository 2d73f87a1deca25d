"""The result of a backtest, as values and plain JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from driftline.capture.windows.window import Window
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation
from driftline.monitors.state import State

# Of a window; the last, as `State.INSUFFICIENT`, is no pass.
ALARM, QUIET, UNDECIDABLE = "alarm", "quiet", "undecidable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The monitor's verdict on one window.

    Parameters
    ----------
    window
        Its span.
    row_count
        Rows in it.
    state
        "alarm", "quiet", or what is no pass: "insufficient_data", and "undecidable" where nothing
        could have been a violation, whatever the values.
    alarms
        Its violations, as the monitor reports them.
    unjudged
        Columns or metrics that it did not judge.
    """

    window: Window
    row_count: int
    state: str
    alarms: tuple[Violation, ...]
    unjudged: frozenset[str]

    @classmethod
    def of(cls, window: Window, report: Report) -> Verdict:
        """Read a window's report."""
        state = ALARM if report.violations else QUIET
        if not report.decided:
            is_few = any(one.state == State.INSUFFICIENT for one in report.unjudged)
            state = State.INSUFFICIENT if is_few else UNDECIDABLE
        unjudged = frozenset(one.name for one in report.unjudged)
        return cls(window, report.row_count, state, tuple(report.violations), unjudged)


@dataclass(frozen=True)
class Backtest:
    """The windows of a history, judged as the monitor would have judged them.

    Parameters
    ----------
    monitor
        Its name, or "" when there is none.
    kind
        Of the monitor.
    baseline_version
        What was expected.
    window
        How time is cut, in words: "1d", or the timetable.
    false_alarms_per_year
        The budget: what is accepted on data that do not change.
    verdicts
        One for each window that has rows, in order.
    undated_count
        Rows without a time, which are in no window.
    reference_dated
        Whether the reference has times; without, nobody knows how much its windows vary.
    """

    monitor: str
    kind: str
    baseline_version: str
    window: str
    false_alarms_per_year: float
    verdicts: tuple[Verdict, ...]
    undated_count: int = 0
    reference_dated: bool = True

    @property
    def alarms(self) -> tuple[Verdict, ...]:
        """The windows that would have alarmed."""
        return tuple(one for one in self.verdicts if one.state == ALARM)

    @property
    def episode_count(self) -> int:
        """Runs of windows that alarm, one after the other."""
        loud = [False, *(one.state == ALARM for one in self.verdicts)]
        return sum(now and not before for before, now in pairwise(loud))

    @property
    def alarms_by_column(self) -> dict[str, int]:
        """In how many windows each column, or metric, alarms, most first."""
        names = ({alarm.feature_name for alarm in one.alarms} for one in self.alarms)
        return dict(Counter(name for found in names for name in sorted(found)).most_common())

    @property
    def unjudged(self) -> tuple[str, ...]:
        """The columns or metrics that were judged in no window."""
        found = [one.unjudged for one in self.verdicts]
        return tuple(sorted(frozenset.intersection(*found))) if found else ()

    def as_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        states = Counter(one.state for one in self.verdicts)
        return {
            "monitor": self.monitor,
            "kind": self.kind,
            "baseline_version": self.baseline_version,
            "window": self.window,
            "false_alarms_per_year": self.false_alarms_per_year,
            "window_count": len(self.verdicts),
            "unjudged": list(self.unjudged),
            "alarm_count": len(self.alarms),
            "episode_count": self.episode_count,
            "alarms_by_column": self.alarms_by_column,
            "insufficient_count": states[State.INSUFFICIENT],
            "undecidable_count": states[UNDECIDABLE],
            "undated_count": self.undated_count,
            "reference_dated": self.reference_dated,
            "windows": [_window(one) for one in self.verdicts],
        }


def _window(verdict: Verdict) -> Mapping[str, object]:
    return {
        "start": verdict.window.start.isoformat(),
        "end": verdict.window.end.isoformat(),
        "row_count": verdict.row_count,
        "state": verdict.state,
        "alarms": [
            {
                "column": one.feature_name,
                "check": one.constraint_check_type,
                "severity": one.severity,
                "cause": f"{one.feature_name}: {one.cause or one.description}",
            }
            for one in verdict.alarms
        ],
    }
