"""What the pages of alarms show, as small frozen values; times are aware UTC."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from driftline.dashboard.frames import AlarmChange, AlarmLine

__all__ = [
    "AlarmPoint",
    "AlarmRule",
    "AlarmView",
    "AlarmsView",
    "ChannelLine",
    "MessageLine",
    "StateSpan",
]

ORDER = {"ALARM": 0, "INSUFFICIENT_DATA": 1, "OK": 2}


@dataclass(frozen=True, slots=True)
class AlarmsView:
    """All alarms, and which of them are asked for."""

    now: datetime
    alarms: tuple[AlarmLine, ...]
    state: str | None = None
    text: str | None = None

    @property
    def counts(self) -> Counter[str]:
        """How many alarms are in each state, whatever is asked for."""
        return Counter(alarm.state for alarm in self.alarms)

    @property
    def shown(self) -> tuple[AlarmLine, ...]:
        """The alarms asked for: firing ones first, pages before tickets, then the newest change."""
        wanted = (self.text or "").casefold()
        found = [
            alarm
            for alarm in self.alarms
            if (self.state is None or alarm.state == self.state)
            and (not wanted or any(wanted in text.casefold() for text in _texts(alarm)))
        ]
        found.sort(key=_rank)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class AlarmPoint:
    """One period of an alarm's metric; ``decided`` marks those that its state rests on.

    ``value`` is None for a period without data that was judged all the same.
    """

    start: datetime
    end: datetime
    value: float | None
    breaching: bool
    decided: bool = False
    link: str | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class StateSpan:
    """A stretch of periods after which the alarm was in one state."""

    start: datetime
    end: datetime
    state: str


@dataclass(frozen=True, slots=True)
class MessageLine:
    """One message of an alarm to one channel; ``next_at`` while it is still to be sent."""

    id: str
    time: datetime
    state: str
    channel: str
    status: str
    attempts: int
    code: int | None
    error: str | None
    finished_at: datetime | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class ChannelLine:
    """A channel that an alarm tells: of which states, and how the channel fares.

    ``health`` is None for one that works; ``exists`` is False for one that was deleted.
    """

    name: str
    states: tuple[str, ...]
    format: str
    exists: bool
    enabled: bool
    health: str | None


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """What an alarm asks, as declared."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    period_s: int
    evaluation_periods: int
    required: int
    threshold: float
    operator: str
    treatment: str
    description: str
    actions_enabled: bool
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class AlarmView:
    """Everything that the page of one alarm shows.

    ``similar`` names metrics that have data, when the alarm's own has none.
    """

    now: datetime
    alarm: AlarmLine
    rule: AlarmRule
    points: tuple[AlarmPoint, ...]
    decided: tuple[AlarmPoint, ...]
    spans: tuple[StateSpan, ...]
    changes: tuple[AlarmChange, ...]
    messages: tuple[MessageLine, ...]
    channels: tuple[ChannelLine, ...]
    others: tuple[AlarmLine, ...]
    similar: tuple[str, ...] = ()


def _texts(alarm: AlarmLine) -> tuple[str, ...]:
    found = (alarm.name, alarm.condition, alarm.monitor, alarm.cause, alarm.severity)
    return tuple(text for text in found if text)


def _rank(alarm: AlarmLine) -> tuple[int, bool, float, str]:
    since = -alarm.since.timestamp()
    return (ORDER.get(alarm.state, 1), alarm.severity != "page", since, alarm.name.casefold())
