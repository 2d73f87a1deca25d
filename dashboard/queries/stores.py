"""What the pages ask for, answered from the database and the storage root.

This file and queries.py are the only ones that read state. The storage root holds documents,
baselines and captured rows; SQL, which queries.py reads, holds the rest. Nothing here writes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine

from driftline.alerts.alarms.composite_records import CompositeRecord, get_any
from driftline.alerts.alarms.known import require_alarm
from driftline.alerts.alarms.records import AlarmRecord, list_alarms
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.notify.incidents import get_incident
from driftline.capture.tables.dataset import Gap
from driftline.dashboard.address import Address
from driftline.dashboard.queries.alarm_views import AlarmsView, Story
from driftline.dashboard.queries.alarms import alarm_line, alarm_lines, alarm_view, changes
from driftline.dashboard.queries.annotations import marks_view
from driftline.dashboard.queries.composites import composite_view
from driftline.dashboard.queries.contributing_rows import evidence
from driftline.dashboard.queries.documents import detail_of
from driftline.dashboard.queries.measured import kind_view
from driftline.dashboard.queries.metric_views import ColumnView, KindView, ReferenceSummary
from driftline.dashboard.queries.monitors import dead_count, deliveries, monitor_line
from driftline.dashboard.queries.notifications import Affairs
from driftline.dashboard.queries.preview import try_out
from driftline.dashboard.queries.report_cache import Past
from driftline.dashboard.queries.series import column_history, newest_expected, newest_labels
from driftline.dashboard.queries.storage import Holdings
from driftline.dashboard.queries.suppression import Surroundings
from driftline.dashboard.queries.views import (
    EndpointLine,
    MonitorLine,
    MonitorView,
    OverviewView,
    WindowRun,
)
from driftline.dashboard.queries.warm_up import held_view
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError, NotFoundError
from driftline.monitors.definitions import get_definition, list_definitions
from driftline.monitors.report.datapoints import UNQUOTED
from driftline.monitors.run.status import overdue
from driftline.signature import Signature

log = logging.getLogger(__name__)

QUANTILES = np.array([0.05, 0.5, 0.95])


class Stores:
    """What the pages ask; safe to use from several threads.

    Parameters
    ----------
    engine
        The installation's database.
    root
        Storage root, a path or URI.
    now
        The clock by which ages are told.
    signature_of
        Gives an endpoint's signature by its name; None where it has none.
    """

    def __init__(
        self,
        engine: Engine,
        root: str,
        now: Callable[[], datetime],
        signature_of: Callable[[str], Signature | None] = lambda _: None,
    ) -> None:
        self.engine = engine
        self.now = now
        self.holdings = Holdings(root, signature_of)
        self.past = Past(self.holdings.document)
        self.bands = BandModels()
        self.affairs = Affairs(engine, now)

    def overview(self) -> OverviewView:
        """Give everything that the first page shows."""
        with read_connection(self.engine) as connection:
            records = list_alarms(connection)
            alarms = alarm_lines(connection, Surroundings.read(connection, self.now()))
            late = {one.monitor: one.due_at for one in overdue(connection, self.now())}
            lines = [
                monitor_line(connection, definition, records)
                for definition in list_definitions(connection)
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
            sent, dead = deliveries(connection), dead_count(connection)
        return OverviewView(
            now=self.now(),
            monitors=monitors,
            endpoints=tuple(self._endpoints(monitors)),
            alarms=alarms,
            deliveries=sent,
            dead_count=dead,
        )

    def alarms(
        self, state: str | None = None, text: str | None = None, severity: str | None = None
    ) -> AlarmsView:
        """Give all alarms, and say which of them are asked for."""
        now = self.now()
        with read_connection(self.engine) as connection:
            around = Surroundings.read(connection, now)
            found = alarm_lines(connection, around)
            return AlarmsView(now, found, state, text, severity, around.incidents)

    def alarm(self, name: str, trial: Mapping[str, str] | None = None) -> Story:
        """Give one alarm of any kind with what it looks at, its history and its messages.

        ``trial`` holds the values of a preview, by their names in the address.

        Raises
        ------
        NotFoundError
            When there is no such alarm.
        """
        with read_connection(self.engine) as connection:
            record = get_any(connection, name)
            if isinstance(record, CompositeRecord):
                return composite_view(connection, record, self.now())
            view = alarm_view(connection, record, self.now(), self.bands)
            start = view.points[0].start if view.points else None
            tried = try_out(connection, record, trial or {}, start, self.now(), self.bands)
            return replace(view, trial=tried)

    def monitor(
        self, name: str, window: str | None, feature: str | None, keep: str | None = None
    ) -> MonitorView:
        """Give one monitor in one window, the newest when unset, and one of its features.

        ``keep`` is the feature of the window before, shown again if this window has it.

        Raises
        ------
        NotFoundError
            When there is no such monitor, or no such window or feature of it.
        """
        with read_connection(self.engine) as connection:
            definition = get_definition(connection, name)
            alarms = list_alarms(connection)
            line = monitor_line(connection, definition, alarms)
            run = _choose(line, window)
            past = changes(connection, alarms, line)
        view = MonitorView(self.now(), line, None, None, None, None, past)
        if run is None:
            return view
        report = self.holdings.document(run.folder)
        detail = replace(detail_of(run, report), documents=run.folder if report else None)
        if feature is None and keep is not None and detail.feature(keep):
            feature = keep
        chosen = detail.feature(feature)
        if chosen is None and feature is not None and detail.features:
            raise NotFoundError(f'feature "{feature}" is not one of monitor "{name}"')
        said = marks_view(self.engine, line, run, report, chosen.name if chosen else None)
        held = held_view(self.engine, self.holdings, definition) if line.held else None
        view = replace(
            view, detail=detail, feature=chosen, kept=feature or keep, marks=said, held=held
        )
        if chosen is None:
            return view
        found = evidence(self.holdings, line, run, report, chosen)
        return replace(view, comparison=found.comparison, rows=found.rows, notes=found.notes)

    def judged(self, name: str, window: str | None) -> tuple[MonitorLine, WindowRun | None]:
        """Give a monitor and one of its windows, the newest when unset; None before the first.

        Raises
        ------
        NotFoundError
            When there is no such monitor, or no such window of it.
        """
        with read_connection(self.engine) as connection:
            definition = get_definition(connection, name)
            line = monitor_line(connection, definition, list_alarms(connection))
        return line, _choose(line, window)

    def require(self, address: Address) -> None:
        """Refuse an address of an alarm, an incident or a monitor that is not there.

        Raises
        ------
        NotFoundError
            When there is none of the name.
        """
        with read_connection(self.engine) as connection:
            match address.page:
                case "alarm":
                    require_alarm(connection, address.alarm)
                case "incident":
                    get_incident(connection, address.incident)
                case "monitor" | "column":
                    get_definition(connection, address.monitor)

    def kind(self, name: str) -> str:
        """Say of which kind a monitor is; NotFoundError when there is none of that name."""
        with read_connection(self.engine) as connection:
            return get_definition(connection, name).kind

    def measured(
        self, name: str, window: str | None, metric: str | None, keep: str | None = None
    ) -> KindView:
        """Give one window of a monitor that measures, and one of its metrics over time.

        Raises
        ------
        NotFoundError
            When there is no such monitor, window or metric.
        """
        with read_connection(self.engine) as connection:
            definition = get_definition(connection, name)
            records = list_alarms(connection)
            line = monitor_line(connection, definition, records)
            run = _choose(line, window)
            past = changes(connection, records, line)
            if run is None:
                return KindView(self.now(), line, definition.kind, None, changes=past)
            report = self.holdings.document(run.folder)
            view = kind_view(
                connection,
                line,
                definition.kind,
                run,
                report,
                asked=metric,
                keep=keep,
                known=self.past.told(line.runs),
                changes=past,
                now=self.now(),
            )
        found = evidence(self.holdings, line, run, report)
        said = marks_view(self.engine, line, run, report, None)
        return replace(view, marks=said, rows=found.rows, notes=found.notes)

    def column(self, name: str, column: str, window: str | None) -> ColumnView:
        """Give one column of a monitor over all windows, and in one of them.

        Raises
        ------
        NotFoundError
            When there is no such monitor or window, or no window has such a column.
        """
        with read_connection(self.engine) as connection:
            definition = get_definition(connection, name)
            records = list_alarms(connection)
            line = monitor_line(connection, definition, records)
            run = _choose(line, window)
            history = column_history(connection, line, column, line.runs)
            alarms = tuple(
                alarm_line(connection, record)
                for record in records
                if _watches(record, line, column)
            )
        if run is None:
            return ColumnView(self.now(), line, column, None, None, None, None, None, None, alarms)
        shown = self.monitor(name, run.stamp, None, column)
        feature = shown.feature if shown.feature and shown.feature.name == column else None
        if feature is None and np.isnan(history.missing).all():
            raise NotFoundError(f'no window of monitor "{name}" has a column "{column}"')
        known = self.past.told(line.runs)
        bounds = [
            known[one.execution].bounds.get(column, np.nan) if one.execution in known else np.nan
            for one in line.runs
        ]
        return ColumnView(
            now=shown.now,
            monitor=line,
            column=column,
            detail=shown.detail,
            feature=feature,
            history=replace(history, bound=np.array(bounds, dtype=np.float64)),
            reference=self._summary(line, column),
            comparison=shown.comparison if feature else None,
            rows=shown.rows if feature else None,
            alarms=alarms,
            notes=shown.notes,
            unread=len(line.runs) - len(known),
            quantiles=self._quantiles(run, column),
            marks=shown.marks,
        )

    def _quantiles(self, run: WindowRun, column: str) -> tuple[float, ...] | None:
        found = self.holdings.quantiles(run.folder, column, QUANTILES)
        return tuple(found) if found else None

    def _summary(self, line: MonitorLine, column: str) -> ReferenceSummary | None:
        """Sum up one column of the baseline; None when it cannot be read or never had it."""
        try:
            baseline = self.holdings.baseline(line.baseline, line.baseline_version)
        except (DriftlineError, OSError, pa.ArrowException):
            log.exception("baseline_unreadable monitor=%s baseline=%s", line.name, line.baseline)
            return None
        profile = baseline.profile.columns.get(column) if baseline.profile else None
        if profile is None:
            return None
        missing = 1.0 - profile.completeness
        if not profile.is_number or not profile.sketch.count:
            return ReferenceSummary(profile.row_count, missing)
        low, middle, high = profile.sketch.quantiles(QUANTILES).tolist()
        return ReferenceSummary(profile.row_count, missing, profile.moments.mean, low, middle, high)

    def _endpoints(self, monitors: Iterable[MonitorLine]) -> Iterable[EndpointLine]:
        """Count the capture of each endpoint that has rows or a monitor."""
        watched: dict[str, list[MonitorLine]] = {name: [] for name in self.holdings.captured()}
        for line in monitors:
            watched.setdefault(line.endpoint, []).append(line)
        audited = self.holdings.unaccounted()
        for name, lines in sorted(watched.items()):
            monitors_of = tuple(line.name for line in lines)
            try:
                stats = self.holdings.capture_stats(name)
            except (DriftlineError, OSError, ValueError, pa.ArrowException):
                # A broken table must not hide the alarms, nor the other endpoints.
                log.exception("capture_unreadable endpoint=%s", name)
                yield EndpointLine(name, None, None, None, None, None, monitors_of)
                continue
            yield EndpointLine(
                name=name,
                requests=stats.requests,
                rows=stats.rows,
                lost=stats.dropped,
                size_bytes=stats.size_bytes,
                newest=stats.newest,
                monitors=monitors_of,
                reasons=_reasons(stats.gaps),
                unaccounted=audited.get(name, 0),
                faults=stats.faults,
                cut=stats.cut,
            )


def _reasons(gaps: Iterable[Gap]) -> tuple[tuple[str, int], ...]:
    """Count lost records by reason, the most frequent first."""
    found: Counter[str] = Counter()
    for gap in gaps:
        found[gap.reason] += gap.records or 0
    return tuple(found.most_common())


def _watches(record: AlarmRecord, line: MonitorLine, column: str) -> bool:
    """Say whether an alarm is on the whole monitor, or on a metric of this column."""
    rule = record.definition
    if rule.dimensions.get("MonitoringSchedule") != line.name:
        return False
    text = quote(column, safe=UNQUOTED)
    return not rule.metric_name.startswith("feature_") or rule.metric_name.endswith(f"_{text}")


def _choose(line: MonitorLine, stamp: str | None) -> WindowRun | None:
    """Find the window that was asked for; the newest when none was."""
    if stamp is None:
        return line.last
    found = next((run for run in line.runs if run.stamp == stamp), None)
    if found is None:
        raise NotFoundError(f'monitor "{line.name}" has no window "{stamp}"')
    return found
