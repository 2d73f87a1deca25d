"""What the pages ask for, answered from the database and the storage root. Nothing here writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

import numpy as np
from sqlalchemy import Connection, Engine

from driftline.access.principal import CURRENT
from driftline.alerts.alarms.composite_records import CompositeRecord
from driftline.alerts.alarms.records import AlarmRecord
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.notify.incidents import get_incident
from driftline.dashboard.address import Address
from driftline.dashboard.queries import reach
from driftline.dashboard.queries.alarms import (
    alarm_line,
    alarm_view,
    alarms_view,
    changes,
)
from driftline.dashboard.queries.baselines import require_baseline
from driftline.dashboard.queries.composites import composite_view
from driftline.dashboard.queries.monitors import (
    annotations_view,
    dead_count,
    kind_view,
    monitor_line,
    newest_sent,
    warm_up_view,
    with_window,
)
from driftline.dashboard.queries.notifications import Notifications
from driftline.dashboard.queries.preview import preview_alarm
from driftline.dashboard.queries.series import (
    ReportCache,
    column_history,
    newest_expected,
    newest_labels,
)
from driftline.dashboard.queries.storage import Evidence, Storage
from driftline.dashboard.queries.views import (
    AlarmsView,
    AlarmView,
    ColumnView,
    CompositeView,
    EndpointLine,
    KindView,
    MonitorLine,
    MonitorView,
    OverviewView,
    WindowRun,
)
from driftline.database.engine import read_connection
from driftline.errors import NotFoundError
from driftline.monitors.external.source import UNLIMITED, Access
from driftline.monitors.report.datapoints import UNQUOTED
from driftline.monitors.run.overdue import overdue
from driftline.monitors.run.progress import list_runs, log_of
from driftline.signature import Signature

FIRING_SHOWN = 10
"""Alarms in ALARM on the first page; the list has all."""


class Stores:
    """What the pages ask; safe to use from several threads.

    ``signature_of`` returns an endpoint's signature by its name, None where it has none.
    """

    def __init__(
        self,
        engine: Engine,
        root: str,
        now: Callable[[], datetime],
        signature_of: Callable[[str], Signature | None] = lambda _: None,
        access: Access = UNLIMITED,
    ) -> None:
        self.engine = engine
        self.now = now
        self.storage = Storage(root, signature_of, access)
        self.reports = ReportCache(self.storage.report)
        self.bands = BandModels()
        self.notifications = Notifications(engine, now)

    def overview(self) -> OverviewView:
        """Return everything that the first page shows."""
        now = self.now()
        with read_connection(self.engine) as connection:
            records = reach.alarms(connection)
            alarms = alarms_view(connection, now, state="ALARM", size=FIRING_SHOWN, is_newest=True)
            late = {one.monitor: one.due_at for one in overdue(connection, now)}
            lines = [
                monitor_line(connection, definition, records)
                for definition in reach.monitors(connection)
            ]
            monitors = tuple(
                replace(
                    line,
                    labelled=newest_labels(connection, line),
                    expected=newest_expected(connection, line),
                    overdue_since=late.get(line.name),
                )
                for line in lines
            )
            sent, dead = newest_sent(connection), dead_count(connection)
            if reach.is_limited():
                sent, dead = (), 0
        endpoints = tuple(self._endpoints(monitors))
        return OverviewView(now, monitors, endpoints, alarms, sent, dead)

    def alarms(
        self,
        state: str | None = None,
        text: str | None = None,
        severity: str | None = None,
        number: int = 1,
    ) -> AlarmsView:
        """Return a page of the alarms that are asked for."""
        with read_connection(self.engine) as connection:
            return alarms_view(
                connection, self.now(), state=state, text=text, severity=severity, number=number
            )

    def alarm(self, name: str, asked: Mapping[str, str] | None = None) -> AlarmView | CompositeView:
        """Return one alarm of any kind; NotFoundError when there is none of that name.

        ``asked`` are other values of it to preview; empty: only the form for them.
        """
        now = self.now()
        with read_connection(self.engine) as connection:
            record = reach.alarm(connection, name)
            if isinstance(record, CompositeRecord):
                return composite_view(connection, record, now)
            view = alarm_view(connection, record, now, self.bands)
            start = view.points[0].start if view.points else None
            preview = preview_alarm(connection, record, asked or {}, start, now, self.bands)
            return replace(view, preview=preview)

    def monitor(
        self, name: str, window: str | None, feature: str | None, keep: str | None = None
    ) -> MonitorView:
        """Return one monitor, one of its windows and one of its features.

        ``keep`` is the feature of the window before, shown again if this window has it.
        """
        with read_connection(self.engine) as connection:
            records = reach.alarms(connection)
            line, run = self._window(connection, name, window, records)
            past = changes(connection, records, line)
        view = MonitorView(now=self.now(), monitor=line, changes=past)
        if run is None:
            return view
        report = self.storage.report(run.folder)
        features = report.judged_features if report else ()
        by_name = {one.feature: one for one in features}
        if feature is None and keep in by_name:
            feature = keep
        chosen = features[0] if feature is None and features else by_name.get(feature or "")
        if chosen is None and feature is not None and features:
            raise NotFoundError(f'feature "{feature}" is not one of monitor "{name}"')
        of = chosen.feature if chosen else None
        found = self.storage.evidence(line, run, report, chosen) if chosen else Evidence()
        return replace(
            view,
            run=run,
            report=report,
            features=features,
            feature=chosen,
            comparison=found.comparison,
            rows=found.rows,
            notes=found.notes,
            kept=feature or keep,
            annotations=annotations_view(self.engine, line, run, report, of),
            warm_up=warm_up_view(self.engine, self.storage, line),
        )

    def judged(self, name: str, window: str | None) -> tuple[MonitorLine, WindowRun | None]:
        """Return a monitor and one of its windows, the newest when unset; None before the first."""
        with read_connection(self.engine) as connection:
            return self._window(connection, name, window, reach.alarms(connection))

    def require(self, address: Address) -> None:
        """Refuse an address of an alarm, an incident or a monitor that is not there."""
        with read_connection(self.engine) as connection:
            match address.page:
                case page if reach.refused_page(page):
                    return  # Whatever it asks for: the page says so.
                case "alarm":
                    reach.check_alarm(connection, address.alarm)
                case "incident":
                    get_incident(connection, address.incident)
                case "monitor" | "column":
                    reach.monitor(connection, address.monitor)
                case "baseline":
                    require_baseline(self.storage, address.baseline)

    def kind(self, name: str) -> str:
        """Return the kind of a monitor; NotFoundError when there is none of that name."""
        with read_connection(self.engine) as connection:
            return reach.monitor(connection, name).kind

    def measured(
        self, name: str, window: str | None, metric: str | None, keep: str | None = None
    ) -> KindView:
        """Return one window of a monitor that measures, and one of its metrics over time."""
        with read_connection(self.engine) as connection:
            records = reach.alarms(connection)
            line, run = self._window(connection, name, window, records)
            past = changes(connection, records, line)
            if run is None:
                return KindView(now=self.now(), monitor=line, changes=past)
            report = self.storage.report(run.folder)
            view = kind_view(
                connection, line, run, report,
                asked=metric, keep=keep, digests=self.reports.digests(line.runs), changes=past,
                now=self.now(),
            )  # fmt: skip
        found = self.storage.evidence(line, run, report)
        said = annotations_view(self.engine, line, run, report, None)
        return replace(view, annotations=said, rows=found.rows, notes=found.notes)

    def column(self, name: str, column: str, window: str | None) -> ColumnView:
        """Return one column of a monitor over all windows, and in one of them."""
        with read_connection(self.engine) as connection:
            records = reach.alarms(connection)
            line, run = self._window(connection, name, window, records)
            digests = self.reports.digests(line.runs)
            history = column_history(connection, line, column, digests)
            alarms = tuple(
                alarm_line(connection, record)
                for record in records
                if _watches(record, line, column)
            )
        if run is None:
            return ColumnView(MonitorView(now=self.now(), monitor=line), column, alarms)
        shown = self.monitor(name, run.stamp, None, column)
        if shown.feature is None or shown.feature.feature != column:
            if np.isnan(history.missing).all():
                raise NotFoundError(f'no window of monitor "{name}" has a column "{column}"')
            shown = replace(shown, feature=None, comparison=None, rows=None)
        return ColumnView(
            shown=shown,
            column=column,
            alarms=alarms,
            history=history,
            reference=self.storage.summary(line, column),
            unread=len(line.runs) - len(digests),
            quantiles=self.storage.quantiles(run.folder, column),
        )

    def _window(
        self,
        connection: Connection,
        name: str,
        stamp: str | None,
        alarms: Iterable[AlarmRecord],
    ) -> tuple[MonitorLine, WindowRun | None]:
        """Read a monitor and the window that was asked for; the newest when none was."""
        line = monitor_line(connection, reach.monitor(connection, name), alarms)
        begun = list_runs(connection, line.name, endpoints=CURRENT.get().endpoints)
        line = replace(line, begun=tuple(begun))
        run = line.last
        if stamp is not None:
            line, run = with_window(connection, line, stamp)
        return line, run and replace(run, log=tuple(log_of(connection, run.execution)))

    def _endpoints(self, monitors: Iterable[MonitorLine]) -> Iterable[EndpointLine]:
        """Count the capture of each endpoint that has rows or a monitor."""
        captured = filter(reach.is_reached, self.storage.captured())
        watched: dict[str, list[str]] = {name: [] for name in captured}
        for line in monitors:
            if line.endpoint:
                watched.setdefault(line.endpoint, []).append(line.name)
        audited = self.storage.unaccounted()
        for name, names in sorted(watched.items()):
            stats = self.storage.capture_stats(name, self.now())
            yield EndpointLine(name, stats, tuple(names), audited.get(name, 0))


def _watches(record: AlarmRecord, line: MonitorLine, column: str) -> bool:
    """Whether an alarm is on the whole monitor, or on a metric of this column."""
    rule = record.definition
    if rule.dimensions.get("MonitoringSchedule") != line.name:
        return False
    text = quote(column, safe=UNQUOTED)
    return not rule.metric_name.startswith("feature_") or rule.metric_name.endswith(f"_{text}")
