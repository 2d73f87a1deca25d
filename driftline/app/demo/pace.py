"""Moves the demo's clock: as fast as the installation can follow, never faster.

Scheduler, alarms and pages read their clock from a file. It moves on only when the table holds
every request of a day, the labels that are known by then are loaded, and no monitor has more than
one window waiting. So they see complete days in order, as they would over a year of waiting; only
the times at which alarms changed may be a day or two later than they would be then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from driftline.app.demo.labels import LabelFeed

DAY = timedelta(days=1)
# Windows are run when their end has passed, so the clock stands a moment after midnight.
PAST_MIDNIGHT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Cadence:
    """When the windows of one monitor are due."""

    monitor: str
    first: datetime
    length: timedelta
    delay: timedelta  # From a window's end until it is judged.

    def ends(self, until: datetime) -> list[datetime]:
        """Return the ends of all windows that are due at or before a moment."""
        count = max(0, (until - self.delay - self.first) // self.length)
        return [self.first + (index + 1) * self.length for index in range(count)]


class ClockFile:
    """The clock that scheduler, alarms and pages read; it never goes back."""

    def __init__(self, file: Path, start: datetime) -> None:
        self._file = file
        self.time = start
        self._write(start)

    def advance(self, time_utc: datetime) -> None:
        """Move on to a time; one that has passed changes nothing."""
        if time_utc > self.time:
            self.time = time_utc
            self._write(time_utc)

    def go_on(self, now: datetime) -> None:
        """Let it go on by itself from where it stands, as fast as real time does."""
        self._write(self.time, now)

    def _write(self, *times: datetime) -> None:
        # Replaced as a whole, so that no reader sees half of it.
        fresh = self._file.with_suffix(".fresh")
        text = "\n".join(one.isoformat() for one in times)
        fresh.write_text(text + "\n", encoding="ascii")
        fresh.replace(self._file)


class Pace:
    """Decides how far the clock may go."""

    def __init__(
        self,
        start: datetime,
        clock: ClockFile,
        cadences: Sequence[Cadence],
        judged_until: Callable[[str], datetime | None],
        labels: LabelFeed,
    ) -> None:
        self._start = start
        self._clock = clock
        self._cadences = cadences
        self._ask = judged_until
        self._labels = labels
        self._stored = start
        self._judged = {one.monitor: one.first for one in cadences}

    @property
    def passed_days(self) -> int:
        """How many whole days the clock has passed."""
        return (self._clock.time - self._start) // DAY

    def follow(self, whole_days: Callable[[], int], event_ids: Mapping[int, str]) -> None:
        """Move on as far as everything has followed."""
        if self._stored <= min(map(self._limit, self._cadences)):
            self._stored = self._start + whole_days() * DAY
        # Only the one that is furthest behind holds the clock back: the others are not asked.
        while self._limit(slowest := min(self._cadences, key=self._limit)) < self._stored:
            judged = self._ask(slowest.monitor) or slowest.first
            if judged == self._judged[slowest.monitor]:
                break
            self._judged[slowest.monitor] = judged
        target = min(self._stored, self._limit(slowest))
        if target + PAST_MIDNIGHT > self._clock.time:
            self._labels.load_until(target, event_ids)
            self._clock.advance(target + PAST_MIDNIGHT)

    def _limit(self, one: Cadence) -> datetime:
        """Return how far the clock may go as far as one monitor is concerned.

        One window may be due and a day more: an alarm waits a day before a datapoint is missing.
        """
        return self._judged[one.monitor] + one.length + one.delay + DAY
