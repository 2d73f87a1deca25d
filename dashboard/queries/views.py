"""The types between queries, charts and pages: small frozen values.

A store's own value, such as a definition or a delivery, is used as it is. Times are aware UTC,
windows half-open [start, end), shares lie in 0–1, arrays have shape (windows,) with NaN where
nothing was measured, and a missing number is None, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.explain import Explanation
from driftline.alerts.evaluation.preview import AlarmPoint, Preview, StateSpan
from driftline.alerts.notify.channels import ChannelStatus
from driftline.alerts.notify.deliveries import Delivery
from driftline.alerts.notify.silences import SilenceRecord
from driftline.capture.audit.report import Coverage
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.executions import Execution
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.results.measured import Measured
from driftline.monitors.results.violation import Violation
from driftline.monitors.run.monitor_line import RANKS as RANKS
from driftline.monitors.run.monitor_line import MonitorLine as MonitorLine
from driftline.monitors.run.series import LabelHistory, MetricHistory
from driftline.monitors.run.stored_report import Feature, StoredReport
from driftline.roles import Roles


def page_within(number: int, total: int, size: int) -> int:
    """Return the number of a page, from 1, or of the last one where there are not so many."""
    return max(1, min(number, -(-total // size)))


@dataclass(frozen=True, slots=True)
class AlarmLine:
    """An alarm as it stands: since when, and what the datapoint said that made it so.

    ``latest`` is what a newer breaching datapoint says, where that is something else.
    ``deliveries`` are those of the newest change that was to be sent, by channel. ``quiet`` says
    what keeps the alarm from notifying anybody now.
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
    actions_enabled: bool = True


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """One change of an alarm's state; ``is_own``: the window that is shown made it."""

    time: datetime
    alarm: str
    old: str
    new: str
    reason: str
    cause: str | None = None
    link: str | None = None
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class AlarmsView:
    """A page of the alarms that are asked for, the gravest first.

    ``counts`` are of all alarms by state, ``firing`` of those in ALARM that do more than scale, and
    ``paging`` of those of them that page, whatever is asked for; ``total`` counts those asked for,
    ``outside`` those that a list leaves out, since they do not fire and did not change in the time
    that is shown. ``number`` is the page's, from 1, ``size`` its length.
    """

    now: datetime
    shown: tuple[AlarmLine, ...]
    counts: Counter[str]
    firing: int
    paging: int
    total: int
    number: int
    size: int
    state: str | None = None
    text: str | None = None
    severity: str | None = None
    outside: int = 0


@dataclass(frozen=True, slots=True)
class ChannelLine:
    """A channel that an alarm notifies, of which states; ``status`` is None when it was deleted."""

    name: str
    states: tuple[str, ...]
    status: ChannelStatus | None

    @property
    def health(self) -> str | None:
        """The problem of a channel; None for one that works."""
        return self.status.problem if self.status else "does not exist any more"


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
    why: Explanation | None
    why_not: str
    messages: tuple[Delivery, ...] = ()
    channels: tuple[ChannelLine, ...] = ()
    silences: tuple[SilenceRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmView(StoryView):
    """Everything that the page of an alarm on a metric shows."""

    rule: AlarmDefinition
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
    suppressor_state: str | None
    held: str
    parents: tuple[AlarmLine, ...]


@dataclass(frozen=True)
class EndpointLine:
    """An endpoint with its monitors; "" stands for all tables that others write.

    ``coverage`` counts its requests, None where nobody has counted them or the table cannot be
    read; ``firing`` counts the alarms in ALARM on its metrics. ``deployed_at`` is None for one that
    is not declared here; ``owner`` and ``tags`` are its own.
    """

    name: str
    monitors: tuple[MonitorLine, ...] = ()
    coverage: Coverage | None = None
    firing: int = 0
    deployed_at: datetime | None = None
    owner: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def owners(self) -> tuple[str, ...]:
        """Whose it is, and whose its monitors are, each once."""
        owners = (self.owner, *(one.definition.owner for one in self.monitors))
        return tuple(dict.fromkeys(one for one in owners if one))

    @cached_property
    def worst(self) -> MonitorLine | None:
        """The monitor that stands worst; None without any."""
        return min(self.monitors, key=lambda one: one.rank, default=None)

    def says(self, text: str) -> bool:
        """Whether one of its texts holds this one, whatever the case."""
        all_tags = (self.tags, *(one.definition.tags for one in self.monitors))
        tags = (f"{key}={value}" for tags in all_tags for key, value in tags.items())
        texts = (self.name, *self.owners, *(one.name for one in self.monitors), *tags)
        return any(text.casefold() in one.casefold() for one in texts)


@dataclass(frozen=True, slots=True)
class Mark:
    """An event of an endpoint, in a lane of its time axis; ``end`` of those that last."""

    lane: str
    words: str
    start: datetime | None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class OverviewView:
    """Everything that the first page shows; ``dead_count`` counts the deliveries that failed.

    ``alarms`` are the first of those in ALARM, with the counts of all. ``shown`` are the endpoints
    on this page of ``total`` that are asked for, ``endpoints`` all of them.
    """

    now: datetime
    endpoints: tuple[EndpointLine, ...]
    shown: tuple[EndpointLine, ...]
    alarms: AlarmsView
    dead_count: int = 0
    text: str | None = None
    state: str | None = None
    total: int = 0
    number: int = 1
    size: int = 100

    @property
    def monitors(self) -> tuple[MonitorLine, ...]:
        """The monitors of all endpoints."""
        return tuple(one for line in self.endpoints for one in line.monitors)


@dataclass(frozen=True, slots=True)
class ContributingRows:
    """The first rows behind a violation, as text, the offending column apart from the others.

    ``feature`` is the column that the violation's condition looks at, ``predicate`` the condition,
    ``phrase`` the same without the column's name.
    """

    violation: Violation
    feature: str
    predicate: str
    phrase: str
    total: int
    events: tuple[str, ...]
    times: tuple[str, ...]
    offending: tuple[str, ...]
    columns: tuple[str, ...]
    records: tuple[tuple[str, ...], ...]
    unlisted: int = 0  # Columns that only the files have.
    where: str | None = None  # The condition as a text of an address, where it has such a form.


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowView:
    """What the pages of monitors of all kinds show of one window.

    ``run`` is None before the first window, ``report`` where it has none. ``kept`` is the feature
    or metric that somebody chose, for the links to other windows; None when the page chose.
    ``annotations`` are those that reach the window, the newest first; ``feature`` is the one shown.
    """

    now: datetime
    monitor: MonitorLine
    run: Execution | None = None
    log: Sequence[Mapping[str, str]] = ()
    report: StoredReport | None = None
    comparison: Comparison | None = None
    rows: ContributingRows | None = None
    changes: tuple[AlarmChange, ...] = ()
    notes: tuple[str, ...] = ()
    kept: str | None = None
    annotations: tuple[Annotation, ...] = ()
    feature: Feature | None = None

    @property
    def found(self) -> StoredReport:
        """The report; an empty one where there is none."""
        return self.report or StoredReport()

    @property
    def cause(self) -> str:
        """The report's own cause, else the execution's."""
        return self.found.cause or (self.run and self.run.cause) or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorView(WindowView):
    """Everything that the page of a monitor of data quality shows, for one feature.

    ``features`` are those of the window by contribution, then by ratio; ``number`` is the page of
    them that is asked for, ``text`` what their names have to hold. ``column``, where the page is
    about one, has ``histories``: its distance, missing values and mean over all windows.
    """

    features: tuple[Feature, ...] = ()
    number: int | None = None
    text: str | None = None
    column: str = ""
    histories: tuple[MetricHistory, ...] = ()

    @property
    def columns(self) -> tuple[Feature, ...]:
        """The features that are columns: not what stands in the place of one in a violation."""
        return tuple(feature for feature in self.features if feature.type)

    @property
    def violating(self) -> tuple[Feature, ...]:
        """The columns that break a constraint."""
        return tuple(column for column in self.columns if column.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindView(WindowView):
    """Everything that the page of a monitor of another kind shows; ``chosen`` is drawn over time.

    ``estimates`` are a metric over time by labels, and the same without them. ``roles`` name the
    columns of answers and labels.
    """

    chosen: Measured | None = None
    history: MetricHistory | None = None
    labels: LabelHistory | None = None
    estimates: tuple[MetricHistory, MetricHistory] | None = None
    facet: str | None = None
    threshold: float | None = None
    roles: Roles | None = None
