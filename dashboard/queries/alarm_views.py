"""What the pages of alarms show, as small frozen values: see views.py for what all hold to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.rule_tree import RuleLine
from driftline.alerts.evaluation.explain import Explanation
from driftline.alerts.evaluation.preview import AlarmPoint, Preview, StateSpan
from driftline.alerts.notify.channels import ChannelStatus
from driftline.alerts.notify.deliveries import Delivery
from driftline.alerts.notify.silences import SilenceRecord


@dataclass(frozen=True, slots=True)
class AlarmLine:
    """An alarm as it stands: since when, and what the datapoint said that made it so.

    ``latest`` is what a newer breaching datapoint says, where that is something else.
    ``deliveries`` are those of the newest change that was to be sent, by channel. ``quiet`` says
    what keeps the alarm from notifying anybody now, ``incident`` is the id of its open incident.
    """

    name: str
    state: str
    since: datetime
    severity: str
    condition: str
    reason: str
    cause: str | None = None
    link: str | None = None
    latest: str | None = None
    latest_link: str | None = None
    monitor: str | None = None
    deliveries: tuple[Delivery, ...] = ()
    kind: Literal["metric", "composite"] = "metric"
    quiet: tuple[str, ...] = ()
    incident: str | None = None
    actions_enabled: bool = True


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """One change of an alarm's state."""

    time: datetime
    alarm: str
    old: str
    new: str
    reason: str
    cause: str | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class AlarmsView:
    """A page of the alarms that are asked for, the gravest first.

    ``counts`` are of all alarms by state, ``paging`` of those in ALARM that page, whatever is asked
    for; ``total`` counts those asked for. ``number`` is the page's, from 1, ``size`` its length.
    """

    now: datetime
    shown: tuple[AlarmLine, ...]
    counts: Counter[str]
    paging: int
    total: int
    number: int
    size: int
    state: str | None = None
    text: str | None = None
    severity: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelLine:
    """A channel that an alarm notifies, of which states; ``status`` is None when it was deleted."""

    name: str
    states: tuple[str, ...]
    status: ChannelStatus | None

    @property
    def health(self) -> str | None:
        """What is wrong with it; None for one that works."""
        if self.status is None:
            return "does not exist any more"
        if not self.status.enabled:
            return self.status.disabled_reason or "switched off"
        count = self.status.failure_count
        return f"failed {count} times in a row" if count else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryView:
    """What the pages of alarms of all kinds show.

    ``why`` says how it is judged now; None when that cannot be told, ``why_not`` then says so.
    """

    now: datetime
    alarm: AlarmLine
    description: str
    changed_at: datetime
    changes: tuple[AlarmChange, ...]
    messages: tuple[Delivery, ...]
    channels: tuple[ChannelLine, ...]
    why: Explanation | None
    why_not: str
    silences: tuple[SilenceRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmView(StoryView):
    """Everything that the page of an alarm on a metric shows."""

    rule: AlarmDefinition
    threshold: float | None
    points: tuple[AlarmPoint, ...]
    spans: tuple[StateSpan, ...]
    others: tuple[AlarmLine, ...]
    preview: Preview


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeView(StoryView):
    """Everything that the page of a composite alarm shows.

    ``suppressor_state`` is None where there is no such alarm; ``held`` says what is suppressed.
    """

    rule: CompositeDefinition
    lines: tuple[RuleLine, ...]
    suppressor_state: str | None
    held: str
    parents: tuple[AlarmLine, ...]
