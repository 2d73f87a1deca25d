"""What the pages show, as small frozen values: the types between queries, charts, parts and pages.

Queries fill them from the stores, everything after only reads them. Times are aware UTC, windows
half-open [start, end), shares lie in 0–1, and a missing number is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from driftline.dashboard.queries.annotation_views import MarksView
from driftline.dashboard.queries.warm_up import HeldView
from driftline.monitors.report.comparison import Comparison

WindowState = Literal["ok", "violations", "failed", "unlabelled", "insufficient", "waiting"]
"""``unlabelled``: no label has come yet; ``waiting``: before the first window."""

DRIFT = "baseline_drift_check"


@dataclass(frozen=True, slots=True)
class WindowRun:
    """The newest execution of a monitor on one window.

    ``ratio`` is the greatest distance over its bound among the window's features (violation from
    1 on); None when nothing was measured. ``hard_count`` counts the violations that season cannot
    explain. ``failure`` is the reason of a failed execution. ``folder`` holds its documents, as
    seen from the storage root; "" for none.
    """

    start: datetime
    end: datetime
    stamp: str
    execution: str
    state: WindowState
    row_count: int | None
    violation_count: int
    hard_count: int
    ratio: float | None
    cause: str | None = None
    failure: str | None = None
    folder: str = ""


@dataclass(frozen=True, slots=True)
class MonitorLine:
    """One monitor with its windows, oldest first, and the alarms that watch it now.

    ``labelled`` counts the newest judged window's rows with a label, and all its rows, for kinds
    that need labels. ``overdue_since`` is when the next window should have been judged, if it was
    not. ``held`` names the columns whose drift is held back now, since the baseline does not fit.
    ``expected`` counts the newest judged window's violations that somebody marked as expected.
    """

    name: str
    kind: str
    endpoint: str
    baseline: str
    baseline_version: str
    schedule: str
    false_alarms_per_year: float
    runs: tuple[WindowRun, ...]
    alarms: tuple[str, ...] = ()
    labelled: tuple[int, int] | None = None
    overdue_since: datetime | None = None
    held: tuple[str, ...] = ()
    expected: int = 0

    @property
    def last(self) -> WindowRun | None:
        """The newest window that was judged; while labels are to come, the one before."""
        judged = (run for run in reversed(self.runs) if run.state != "unlabelled")
        return next(judged, self.runs[-1] if self.runs else None)

    @property
    def state(self) -> WindowState:
        """The state of the newest judged window; ``waiting`` before the first one."""
        return self.last.state if self.last else "waiting"


@dataclass(frozen=True, slots=True)
class AlarmLine:
    """An alarm as it stands: since when, and what the newest breaching datapoint said.

    ``told`` holds the messages of the newest change that was to be told, by channel. ``quiet`` says
    what keeps the alarm from telling anybody now, ``incident`` is the id of the open one it is in.
    """

    name: str
    state: str
    since: datetime
    severity: str
    condition: str
    reason: str
    cause: str | None
    link: str | None
    monitor: str | None
    metric: str = ""
    told: tuple[DeliveryLine, ...] = ()
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
class DeliveryLine:
    """One notification on its way to a channel, or arrived; ``time`` is the change it tells of."""

    time: datetime
    alarm: str
    state: str
    channel: str
    status: str
    attempts: int
    detail: str | None


@dataclass(frozen=True, slots=True)
class EndpointLine:
    """What was captured of one endpoint; ``lost`` counts records that are known to be missing.

    ``reasons`` says why, ``unaccounted`` how many the last audit found missing or doubled without a
    reason, ``faults`` how many requests a fault of the decoder kept from becoming rows, ``cut`` how
    many the tap cut. All counts are None when the table cannot be read.
    """

    name: str
    requests: int | None
    rows: int | None
    lost: int | None
    size_bytes: int | None
    newest: datetime | None
    monitors: tuple[str, ...]
    reasons: tuple[tuple[str, int], ...] = ()
    unaccounted: int = 0
    faults: int = 0
    cut: int = 0

    @property
    def coverage(self) -> float | None:
        """Share that is stored and can be decoded; None when there was nothing."""
        total = (self.requests or 0) + (self.lost or 0)
        return ((self.requests or 0) - self.faults - self.cut) / total if total else None


@dataclass(frozen=True, slots=True)
class OverviewView:
    """Everything that the first page shows; ``dead_count`` counts messages that were given up."""

    now: datetime
    monitors: tuple[MonitorLine, ...]
    endpoints: tuple[EndpointLine, ...]
    alarms: tuple[AlarmLine, ...]
    deliveries: tuple[DeliveryLine, ...]
    dead_count: int = 0

    @property
    def firing(self) -> tuple[AlarmLine, ...]:
        """The alarms in ALARM, pages before tickets, newest first."""
        found = [alarm for alarm in self.alarms if alarm.state == "ALARM"]
        found.sort(key=lambda alarm: (alarm.severity != "page", -alarm.since.timestamp()))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class FeatureLine:
    """How one feature stands in one window.

    ``blame`` is its share in the window's excess evidence (the violating features sum to 1).
    ``what`` names the set of values that moved most; ``share_*`` are that set's shares.
    ``note`` says why nothing was measured.
    ``change`` says in words how far a column that drifted lies from its reference. ``findings`` are
    the constraints that it breaks, by check and in words, the gravest first; empty
    when it keeps all. ``accused`` names the values that the gravest is about, ``brief`` tells it
    without where its rows lie. ``is_expected``: somebody has marked a violation of it as expected.
    """

    name: str
    type: str
    distance: float | None
    bound: float | None
    p_value: float | None
    blame: float
    hard: bool
    what: str | None
    share_reference: float | None
    share_window: float | None
    share_interval: tuple[float, float] | None
    findings: tuple[tuple[str, str], ...]
    note: str = ""
    accused: str | None = None
    brief: str = ""
    change: str = ""
    is_expected: bool = False

    @property
    def judged(self) -> bool:
        """Whether its distribution was compared."""
        return self.distance is not None

    @property
    def checks(self) -> tuple[str, ...]:
        """The names of the constraints that it breaks, each once."""
        return tuple(dict.fromkeys(check for check, _ in self.findings))

    @property
    def drifted(self) -> bool:
        """Whether its drift is a violation."""
        return DRIFT in self.checks

    @property
    def tells_drift(self) -> bool:
        """Whether the set that moved most is what to tell: no graver violation names another."""
        if not self.findings or self.findings[0][0] == DRIFT:
            return True
        return self.accused is not None and self.accused == self.what

    @property
    def ratio(self) -> float | None:
        """Distance over bound; above 1 the drift is a violation."""
        if self.distance is None or not self.bound:
            return None
        return self.distance / self.bound


@dataclass(frozen=True, slots=True)
class GuiltyRows:
    """The first rows behind a violation, as text, the offending column apart from the others.

    ``blamed`` is what the violation is of, ``feature`` the column that its condition looks at.
    ``check`` and ``words`` are the violation's, ``phrase`` its condition without the column's name,
    ``onset`` from when to when it lasted, ``share_of_blame`` its feature's, 0-1.
    """

    feature: str
    blamed: str
    total: int
    predicate: str
    segment: str | None
    events: tuple[str, ...]
    times: tuple[str, ...]
    offending: tuple[str, ...]
    columns: tuple[str, ...]
    records: tuple[tuple[str, ...], ...]
    check: str = ""
    words: str = ""
    phrase: str = ""
    onset: str | None = None
    share_of_blame: float = 0.0


@dataclass(frozen=True, slots=True)
class WindowDetail:
    """One execution of a monitor, with its features sorted by blame, then by ratio."""

    run: WindowRun
    features: tuple[FeatureLine, ...]
    cause: str | None
    segment: str | None
    late: int
    unparsed: int
    documents: str | None

    @property
    def violating(self) -> tuple[FeatureLine, ...]:
        """The features that break a constraint."""
        return tuple(feature for feature in self.features if feature.checks)

    def feature(self, name: str | None) -> FeatureLine | None:
        """Find a feature by name; without a name, the one with the most blame."""
        if name is None:
            return self.features[0] if self.features else None
        return next((feature for feature in self.features if feature.name == name), None)


@dataclass(frozen=True, slots=True)
class MonitorView:
    """Everything that the page of one monitor shows, for one window and one feature.

    ``kept`` is the feature that somebody chose, for the links to other windows; None when the
    page chose it.
    """

    now: datetime
    monitor: MonitorLine
    detail: WindowDetail | None
    feature: FeatureLine | None
    comparison: Comparison | None
    rows: GuiltyRows | None
    changes: tuple[AlarmChange, ...]
    notes: tuple[str, ...] = ()
    kept: str | None = None
    marks: MarksView | None = None
    held: HeldView | None = None
