"""What the pages of alarms show, as small frozen values; times are aware UTC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.explain import Explanation
from driftline.alerts.notify.incidents import Incident
from driftline.alerts.notify.silences import SilenceRecord
from driftline.dashboard.queries.views import AlarmChange, AlarmLine

ORDER = {"ALARM": 0, "INSUFFICIENT_DATA": 1, "OK": 2}


@dataclass(frozen=True, slots=True)
class AlarmsView:
    """All alarms, and which of them are asked for."""

    now: datetime
    alarms: tuple[AlarmLine, ...]
    state: str | None = None
    text: str | None = None
    severity: str | None = None
    incidents: tuple[Incident, ...] = ()

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
            and (self.severity is None or alarm.severity == self.severity)
            and (not wanted or any(wanted in text.casefold() for text in _texts(alarm)))
        ]
        found.sort(key=_rank)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class AlarmPoint:
    """One period of an alarm's metric; ``decided`` marks those that its state rests on.

    ``value`` is None for a period without data that was judged all the same; ``lower`` and
    ``upper`` are the band, where there is one.
    """

    start: datetime
    end: datetime
    value: float | None
    breaching: bool
    decided: bool = False
    link: str | None = None
    words: str | None = None
    lower: float | None = None
    upper: float | None = None


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
    reason: str | None = None
    alarm: str = ""


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
    threshold: float | None
    operator: str
    treatment: str
    description: str
    actions_enabled: bool
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class TrialRun:
    """What an alarm did in a preview: how often it went off, how long, and where it ended."""

    fired: int
    in_alarm: timedelta
    state: str
    spans: tuple[StateSpan, ...]
    points: tuple[AlarmPoint, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """An alarm with other values beside itself as declared, over the same stretch of time.

    ``problem`` says what is wrong with the values; there are no runs then. ``given`` holds the
    values as they stand in the form.
    """

    given: Mapping[str, str]
    is_asked: bool
    start: datetime | None = None
    end: datetime | None = None
    declared: TrialRun | None = None
    changed: TrialRun | None = None
    definition: AlarmDefinition | None = None
    problem: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class AlarmView:
    """Everything that the page of one alarm shows.

    ``similar`` names metrics that have data, when the alarm's own has none. ``why`` says how it is
    judged now; None when that cannot be told, ``why_not`` then says so.
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
    trial: Trial | None = None
    why: Explanation | None = None
    why_not: str = ""
    silences: tuple[SilenceRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One line of a composite's rule drawn as a tree: AND, OR, NOT, or a condition.

    ``depth`` is 0 for the whole rule; ``alarms`` holds (name, state, since) of a condition's
    alarms, since is None for one that does not exist.
    """

    depth: int
    text: str
    holds: bool
    alarms: tuple[tuple[str, str, datetime | None], ...] = ()


@dataclass(frozen=True, slots=True)
class SuppressorLine:
    """The alarm that holds a composite's actions back, and what it does now.

    ``state`` is None when there is no such alarm; ``held`` is empty while nothing is held.
    """

    name: str
    state: str | None
    wait_s: float
    extension_s: float
    held: str = ""


@dataclass(frozen=True, slots=True)
class CompositeView:
    """Everything that the page of a composite alarm shows."""

    now: datetime
    alarm: AlarmLine
    description: str
    changed_at: datetime
    lines: tuple[RuleLine, ...]
    suppressor: SuppressorLine | None
    parents: tuple[AlarmLine, ...]
    changes: tuple[AlarmChange, ...]
    messages: tuple[MessageLine, ...]
    channels: tuple[ChannelLine, ...]
    why: Explanation | None = None
    why_not: str = ""
    silences: tuple[SilenceRecord, ...] = ()


Story = AlarmView | CompositeView
"""What the parts of a page take that are the same for alarms of all kinds."""


def _texts(alarm: AlarmLine) -> tuple[str, ...]:
    found = (alarm.name, alarm.condition, alarm.monitor, alarm.cause, alarm.severity)
    return tuple(text for text in found if text)


def _rank(alarm: AlarmLine) -> tuple[int, bool, float, str]:
    since = -alarm.since.timestamp()
    return (ORDER.get(alarm.state, 1), alarm.severity != "page", since, alarm.name.casefold())
