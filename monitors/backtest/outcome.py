"""The result of a backtest, as values, plain JSON, and lines of text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from driftline.monitors.backtest.replay import ALARM, Verdict
from driftline.monitors.day_test.day_test import DayFinding
from driftline.monitors.drift_test.detectability import UNDECIDABLE
from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.drift_test import INSUFFICIENT
from driftline.monitors.kinds.data_quality.checks import day_words, drift_words


@dataclass(frozen=True)
class Backtest:
    """The windows of a history, judged as the monitor would have judged them.

    Parameters
    ----------
    monitor
        Its name, or "" when there is none.
    baseline_version
        What was expected.
    window
        How time is cut, in words: "1d", or the timetable.
    false_alarms_per_year
        The budget: what is accepted on data that do not change.
    columns
        Those that are compared.
    verdicts
        One for each window that has rows, in order.
    undated_count
        Rows without a time, which are in no window.
    reference_dated
        Whether the reference has times; without, nobody knows how much its windows vary.
    """

    monitor: str
    baseline_version: str
    window: str
    false_alarms_per_year: float
    columns: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    undated_count: int = 0
    reference_dated: bool = True

    @property
    def alarms(self) -> tuple[Verdict, ...]:
        """The windows that would have alarmed."""
        return tuple(verdict for verdict in self.verdicts if verdict.state == ALARM)

    @property
    def episode_count(self) -> int:
        """Number of runs of consecutive alarming windows."""
        alarming = [verdict.state == ALARM for verdict in self.verdicts]
        starts = zip([False, *alarming], alarming, strict=False)
        return sum(now and not before for before, now in starts)

    @property
    def alarms_by_column(self) -> dict[str, int]:
        """Number of windows in which each column alarms, most first."""
        counts = Counter(alarm.column for verdict in self.alarms for alarm in verdict.alarms)
        return dict(counts.most_common())

    @property
    def insufficient_count(self) -> int:
        """Windows with too few rows to be judged."""
        return sum(verdict.state == INSUFFICIENT for verdict in self.verdicts)

    @property
    def undecidable_count(self) -> int:
        """Windows in which no column could alarm, because all vary too much."""
        return sum(verdict.state == UNDECIDABLE for verdict in self.verdicts)

    @property
    def unjudged(self) -> tuple[str, ...]:
        """The columns that could alarm in no window."""
        judged = frozenset[str]().union(*(verdict.judged for verdict in self.verdicts))
        return tuple(name for name in self.columns if name not in judged)

    def as_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "monitor": self.monitor,
            "baseline_version": self.baseline_version,
            "window": self.window,
            "false_alarms_per_year": self.false_alarms_per_year,
            "columns": list(self.columns),
            "window_count": len(self.verdicts),
            "unjudged": list(self.unjudged),
            "alarm_count": len(self.alarms),
            "episode_count": self.episode_count,
            "alarms_by_column": self.alarms_by_column,
            "insufficient_count": self.insufficient_count,
            "undecidable_count": self.undecidable_count,
            "undated_count": self.undated_count,
            "reference_dated": self.reference_dated,
            "windows": [_window(verdict) for verdict in self.verdicts],
        }

    def to_json(self) -> str:
        """Write it as JSON."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"


def cause_of(alarm: ColumnDrift | DayFinding) -> str:
    """Describe what has drifted, in the words of the monitor's violations."""
    if isinstance(alarm, DayFinding):
        return f"{alarm.column}: {day_words(alarm)}, since {alarm.since:%Y-%m-%d %H:%M} UTC"
    return f"{alarm.column}: {drift_words(alarm)}"


def _window(verdict: Verdict) -> Mapping[str, object]:
    return {
        "start": _text(verdict.start),
        "end": _text(verdict.end),
        "row_count": verdict.row_count,
        "state": verdict.state,
        "strength": verdict.strength,
        "alarms": [_alarm(alarm) for alarm in verdict.alarms],
    }


def _alarm(alarm: ColumnDrift | DayFinding) -> Mapping[str, object]:
    head = {"column": alarm.column, "cause": cause_of(alarm)}
    if isinstance(alarm, DayFinding):
        return {**head, **alarm.to_dict()}
    return {
        **head,
        "distance": alarm.distance,
        "bound": alarm.bound,
        "p_value": alarm.p_value,
        "share_reference": alarm.share_reference,
        "share_window": alarm.share_window,
        "share_low": alarm.share_interval[0],
        "share_high": alarm.share_interval[1],
        "window_count": alarm.window_count,
        "since": _text(alarm.since),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
