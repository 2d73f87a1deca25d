"""What is known of a monitor's fitting period when a window is judged, and what is found in it.

A reference may never have looked like production: rows without times, rows that somebody shuffled
or rebalanced, another population. Its drift alarms would not stop. So, while a monitor is new to a
version of its baseline, such drift is held back, and one finding says why and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.results.violation import JsonValue

Ground = Literal["no_times", "shuffled", "misfit"]
# The fitting period lasts until both are reached: a fortnight holds each day of the week twice, and
# fewer windows do not tell how much windows differ (drift-methods.md sections 6.3 and 7).
FITTING_SPAN = timedelta(days=14)
FITTING_WINDOWS = 14


@dataclass(frozen=True, slots=True)
class StableSpan:
    """Judged windows one after the other that agree with each other in every column.

    Parameters
    ----------
    start, end
        From the first window's start to the last one's end.
    row_count
        Their rows.
    """

    start: datetime
    end: datetime
    row_count: int

    def to_dict(self) -> dict[str, JsonValue]:
        """Give plain JSON values."""
        return {
            "from": self.start.isoformat(),
            "to": self.end.isoformat(),
            "row_count": self.row_count,
        }


@dataclass(frozen=True, slots=True)
class Commission:
    """What is known before a window is judged.

    Parameters
    ----------
    monitor
        Its name, for the commands that a finding names.
    is_running
        Whether the window lies in the fitting period.
    history
        Windows of the fitting period before this one, in order of time. After it they are given
        only where they tell what the reference cannot: how windows vary.
    past
        After the fitting period: all windows before this one, in order of time, as long as spans of
        windows reach back to the first.
    fitted_at
        When the fitting period ended; None while it lasts.
    held
        Columns that differ from the reference since the first window, and in which words.
    is_shuffled
        Whether the reference was found to be shuffled.
    is_told
        Whether the report of another window tells the finding: it is told once.
    is_accepted
        Whether somebody said that drift is to be judged against the reference as it is.
    """

    monitor: str
    is_running: bool = True
    history: tuple[WindowCounts, ...] = ()
    past: tuple[WindowCounts, ...] = ()
    fitted_at: datetime | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    is_shuffled: bool = False
    is_told: bool = False
    is_accepted: bool = False

    def holds_all(self, *, has_times: bool) -> bool:
        """Say whether all drift is held back, since nobody knows how much windows vary.

        Parameters
        ----------
        has_times
            Whether the reference is known by the hour.
        """
        return self.is_running and not self.is_accepted and (self.is_shuffled or not has_times)

    @property
    def knows_first(self) -> bool:
        """Whether it is known what columns were like in the first windows."""
        return self.is_running or bool(self.history or self.past)

    def learns_variation(self, *, has_times: bool) -> bool:
        """Say whether production's own windows tell by now how much windows vary."""
        return not self.is_running and bool(self.history) and (self.is_shuffled or not has_times)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the judgement of one window adds.

    Parameters
    ----------
    grounds
        By column whose drift is held back in this window: why.
    words
        By column that differs since the first window: how, in words.
    is_shuffled
        Whether the reference looks shuffled.
    stable
        What a baseline could be taken from; None when there is nothing yet.
    text
        The finding in words; empty where it was told before.
    """

    grounds: Mapping[str, Ground]
    words: Mapping[str, str] = field(default_factory=dict)
    is_shuffled: bool = False
    stable: StableSpan | None = None
    text: str = ""

    def to_dict(self) -> dict[str, JsonValue]:
        """Give plain JSON values in a fixed order."""
        return {
            "grounds": dict(sorted(self.grounds.items())),
            "is_shuffled": self.is_shuffled,
            "stable": None if self.stable is None else self.stable.to_dict(),
            "text": self.text,
        }


def is_fitted(begun_at: datetime, window_count: int, until: datetime) -> bool:
    """Say whether the fitting period is over.

    Parameters
    ----------
    begun_at
        Start of the first window.
    window_count, until
        Windows that were judged, and the end of the last.
    """
    return window_count >= FITTING_WINDOWS and until - begun_at >= FITTING_SPAN
