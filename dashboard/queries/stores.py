"""Answers the pages' queries from the database and the storage root; read-only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy import Connection, Engine

from driftline.access.principal import CURRENT
from driftline.alerts.alarms.composite_records import CompositeRecord, get_any
from driftline.alerts.alarms.known import require_alarm
from driftline.alerts.counts import count_by
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.metrics.variants import hourly_invocations, published_variants, told_variants
from driftline.alerts.tables import FIRING, outbox
from driftline.alerts.tables import alarms as alarms_table
from driftline.capture.audit.traffic import HOUR, read_traffic
from driftline.capture.tables.storage import list_folders
from driftline.dashboard.address import ALL, RANGE, Address
from driftline.dashboard.queries import fleet, lookup, views
from driftline.dashboard.queries.alarms import alarm_view, alarms_view, changes, composite_view
from driftline.dashboard.queries.storage import TRAFFIC_S, TRAFFIC_SHOWN, Storage
from driftline.dashboard.words import plural
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError, NotFoundError, UnavailableError
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.annotations.store import annotations_between, list_annotations
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import (
    JUDGED_STATES,
    Execution,
    get_execution,
    log_of,
)
from driftline.monitors.external.source import UNLIMITED, Access
from driftline.monitors.results.shown import choose_metric
from driftline.monitors.run.drift_map import drift_map
from driftline.monitors.run.series import (
    column_histories,
    estimates,
    histories,
    label_history,
    newest_report,
    unjudged_reasons,
)
from driftline.monitors.run.standing import ran_at, require_window, with_older_windows
from driftline.monitors.run.stored_report import read_report
from driftline.signature import Signature
from driftline.validation import nearest

COUNTED = 4
"""Up to so many endpoints a page counts by all their rows, until an audit has; of more, none."""

ENDPOINTS_SHOWN = 100
LOG_LINES = 200
ANNOTATIONS_SHOWN = 50
FIRING_SHOWN = 10
"""Alarms in ALARM on the first page; the list has all."""

STORED = (
    "overview", "endpoint", "monitor", "column", "explain", "setup", "baseline", "window",
)  # fmt: skip
"""Pages that tell of the storage root; the others tell of the database alone."""


Declared = tuple[str | None, datetime | None, str | None, Mapping[str, str]]
UNDECLARED: Declared = (None, None, None, {})


class Stores:
    """What the pages ask; safe to use from several threads.

    ``signature_of`` returns an endpoint's signature by its name, None where it has none; ``ask``
    what a path of the server answers to whoever asks here; ``declared`` the endpoints that are
    declared, by their names: baseline and last deployment, None where there is none, owner and
    tags; ``access`` says what tables of others may be read from.
    """

    def __init__(
        self, engine: Engine, root: str, now: Callable[[], datetime],
        signature_of: Callable[[str], Signature | None] = lambda _: None,
        access: Access = UNLIMITED, ask: Callable[[str], str] | None = None,
        declared: Callable[[], Mapping[str, Declared]] = dict,
        settings: Sequence[Mapping[str, Any]] = (),
    ) -> None:  # fmt: skip
        self.engine = engine
        self.settings = settings
        self.now = now
        self.ask, self._declared = ask, declared
        self.storage = Storage(root, signature_of, access)
        self.bands = BandModels()

    def overview(
        self, text: str | None = None, state: str | None = None, number: int = 1
    ) -> views.OverviewView:
        """Return everything that the first page shows, of the endpoints that are asked for."""
        now = self.now()
        with read_connection(self.engine) as connection:
            alarms = alarms_view(connection, now, size=FIRING_SHOWN, is_firing=True)
            lines = fleet.state_lines(connection, now)
            table, tables = alarms_table.c, [one.name for one in lines if not one.endpoint]
            firing = fleet.firing_by_endpoint(connection)
            of_tables = count_by(connection, table.monitor, FIRING & table.monitor.in_(tables))
            firing[""] = sum(of_tables.values())
            sent = count_by(connection, outbox.c.status, outbox.c.status == "failed")
        declared = self._declared()
        watched: dict[str, list[views.MonitorLine]]
        watched = {name: [] for name in self.endpoint_names(declared)}
        for line in lines:  # Of tables that others write, too, which are of no endpoint.
            watched.setdefault(line.endpoint, []).append(line)
        endpoints = [
            views.EndpointLine(name, tuple(found), None, firing.get(name, 0), *own[1:])
            for name, found in sorted(watched.items())
            for own in (declared.get(name, UNDECLARED),)
        ]
        asked = [one for one in endpoints if one.says(text or "")]
        if state is not None:
            asked = [one for one in asked if state in {it.shown_state for it in one.monitors}]
        asked.sort(key=lambda one: (one.worst.rank if one.worst else 9, -one.firing, one.name))
        number = views.page_within(number, len(asked), ENDPOINTS_SHOWN)
        shown = asked[ENDPOINTS_SHOWN * (number - 1) : ENDPOINTS_SHOWN * number]
        return views.OverviewView(
            now, tuple(endpoints), tuple(self._counted(shown)), alarms, sent.get("failed", 0), text,
            state, len(asked), number, ENDPOINTS_SHOWN,
        )  # fmt: skip

    def endpoint(self, address: Address) -> fleet.EndpointView:
        """Return a tab of an endpoint's page; NotFoundError when there is none of the name."""
        now, name, tab = self.now(), address.endpoint, address.tab
        declared = self._declared().get(name, UNDECLARED)
        with read_connection(self.engine) as connection:
            if not (lines := fleet.state_lines(connection, now, name)):
                self._require_endpoint(connection, name)
            if not tab:  # As many as one chart has room for.
                lines = with_older_windows(connection, lines, fleet.MARKS_SHOWN, fleet.in_range())
            alarms = alarms_view(connection, now, endpoint=name, size=FIRING_SHOWN, is_firing=True)
            line = views.EndpointLine(name, lines, None, alarms.total, *declared[1:])
            others = tuple(one for one in lines if fleet.is_of_tab(one.definition, tab))
            chosen = _chosen(others, address)
            view = fleet.EndpointView(now, line, tab, alarms, chosen, others, text=address.text)
            if tab == "drift" and chosen is not None:
                within = [fleet.in_range()] * (RANGE.get() != ALL)
                drift = drift_map(connection, chosen.name, address.text, address.number, *within)
                view = replace(view, drift=drift)
            if not tab:
                days = list_folders(self.storage.root, f"truth/{name}")
                days = [one for one in days if one.startswith("received_date=")]
                view = replace(view, marks=fleet.read_marks(connection, line, days, now))
            if tab == "changes":
                changes = fleet.read_changes(connection, line)
                view = replace(view, annotations=_annotations(connection, lines), changes=changes)
        baseline = lines[0].definition.baseline if lines else declared[0]
        (line,), kind = self._counted([line]), fleet.TAB_KINDS.get(tab, "")
        view = replace(
            view, line=line, baseline=baseline or "NAME",
            lacked="" if chosen else self.storage.lacked(baseline or "", kind),
        )  # fmt: skip
        if tab in fleet.TAB_KINDS and chosen is not None:
            facet = f"DPPL / {address.facet}" if address.facet else None
            keep = {"fairness": facet, "attribution": "ndcg"}.get(tab)
            measured = self.measured(chosen.name, address.window, address.metric, keep)
            measured = replace(measured, facet=address.facet, threshold=address.threshold)
            return replace(view, measured=measured)
        if tab == "traffic":
            told, error = self._told(f"/api/v1/endpoints/{quote(name, safe='')}")
            if isinstance(error, NotFoundError):
                error = None  # Of another server, whose rows alone come here.
            with read_connection(self.engine) as connection:
                variants = told["status"]["variants"] if told else ()
                served = told_variants(connection, name, variants, now)
            stats, lost = self.storage.capture_stats(name, now), self.storage.unaccounted(name)
            deployment = told["status"]["deployment"] if told else None
            view = replace(
                view, stats=stats, unaccounted=lost, served=served, deployment=deployment
            )
            return self._with_hours(replace(view, why_untold=str(error or "")))
        if tab == "logs":
            asked = urlencode({"endpoint": name, "limit": LOG_LINES})
            told, error = self._told(f"/api/v1/logs?{asked}")
            low, lines = (address.text or "").casefold(), told["items"] if told else ()
            logs = [
                one for one in lines if low in one["message"].casefold()
                and RANGE.get().has(datetime.fromisoformat(one["time"]))
            ]  # fmt: skip
            return replace(view, logs=logs, why_untold=str(error or ""))
        return view

    def _with_hours(self, view: fleet.EndpointView) -> fleet.EndpointView:
        """Add the traffic of the newest hours that are shown; nothing of a table without a row."""
        when, span, name = RANGE.get(), TRAFFIC_SHOWN, view.line.name
        newest, end = (view.stats and view.stats.newest) or view.now, when.end or view.now + HOUR
        if (when.start or newest) <= newest < end - span:
            end = newest + HOUR
        start = max(when.start or end - span, end - span).replace(minute=0, second=0, microsecond=0)
        if start >= end:
            return view
        shadows = {one.name for one in view.served if one.is_shadow}
        with read_connection(self.engine) as connection:
            names = [one for one in published_variants(connection, name) if one not in shadows]
            counted = hourly_invocations(connection, name, names, start, end)
        if view.stats is None:  # What cannot be read is noted there.
            return replace(view, invocations=counted)
        found = read_traffic(self.storage.root, name, start, end, view.stats.gaps, TRAFFIC_S)
        if not CURRENT.get().may("analyst"):  # Their names are values of a header.
            found = replace(found, clients={})
        return replace(view, invocations=counted, traffic=found)

    def endpoint_names(self, declared: Iterable[str] | None = None) -> set[str]:
        """Name the endpoints that are declared or have rows."""
        captured = list_folders(self.storage.root, "capture")
        return {*captured, *(self._declared() if declared is None else declared)}

    def monitors(self, name: str = "") -> list[MonitorDefinition]:
        """Return the monitors, or the named one; NotFoundError: none."""
        with read_connection(self.engine) as connection:
            return [lookup.monitor(connection, name)] if name else lookup.monitors(connection)

    def _told(self, path: str) -> tuple[Any, Exception | None]:
        """Ask the server; None of it with what went wrong."""
        if self.ask is None:
            return None, UnavailableError("this dashboard has no server to ask")
        try:
            return json.loads(self.ask(path)), None
        except (DriftlineError, ValueError) as error:
            return None, error

    def _require_endpoint(self, connection: Connection, name: str) -> list[MonitorDefinition]:
        """Return an endpoint's monitors; NotFoundError where it has none, nor rows."""
        monitors = lookup.monitors(connection)
        if not (found := [one for one in monitors if one.endpoint == name]) and (
            name not in (names := self.endpoint_names())
        ):
            known = sorted((names | {one.endpoint for one in monitors}) - {""})
            near = nearest(name, known) or "expected one that was deployed"
            raise NotFoundError(f'endpoint "{name}" has no monitor and no captured rows; {near}')
        return found

    def alarms(
        self, state: str | None = None, text: str | None = None, severity: str | None = None,
        number: int = 1,
    ) -> views.AlarmsView:  # fmt: skip
        """Return a page of the alarms that are asked for."""
        with read_connection(self.engine) as connection:
            return alarms_view(
                connection, self.now(), state=state, text=text, severity=severity, number=number
            )

    def alarm(
        self, name: str, asked: Mapping[str, str] | None = None
    ) -> views.AlarmView | views.CompositeView:
        """Return one alarm of any kind; NotFoundError when there is none of that name.

        ``asked`` are other values of it to preview; empty: only the form for them.
        """
        now = self.now()
        with read_connection(self.engine) as connection:
            record = get_any(connection, name)
            if isinstance(record, CompositeRecord):
                return composite_view(connection, record, now)
            return alarm_view(connection, record, now, self.bands, asked or {})

    def monitor(
        self, name: str, window: str | None, feature: str | None, keep: str | None = None
    ) -> views.MonitorView:
        """Return one monitor, one of its windows and one of its features.

        ``keep`` is the feature of the window before, shown again if this window has it.
        """
        view = views.MonitorView(**self._window(name, window))
        if view.run is None:
            return view
        features = view.found.judged_features
        by_name = {one.feature: one for one in features}
        if feature is None and keep in by_name:
            feature = keep
        chosen = features[0] if feature is None and features else by_name.get(feature or "")
        if chosen is None and feature is not None and features:
            raise NotFoundError(f'feature "{feature}" is not one of monitor "{name}"')
        kept = feature or keep
        view = replace(view, features=features, feature=chosen, kept=kept)
        return self.storage.with_evidence(view) if chosen else view

    def _window(self, name: str, window: str | None) -> dict[str, Any]:
        """Read what the pages of monitors of all kinds show: the fields of `WindowView`."""
        with read_connection(self.engine) as connection:
            line, run = fleet.read_window(connection, name, window)
            past = changes(connection, name, run)
            shown = {"now": self.now(), "monitor": line, "run": run, "changes": past}
            if run is None:
                return shown
            said = annotations_between(connection, name, run.window_start, run.window_end)
            shown |= {"report": read_report(connection, run.id), "log": log_of(connection, run.id)}
        return shown | {"annotations": tuple(said)}

    def windows_of(
        self, endpoint: str, stamp: str
    ) -> tuple[views.MonitorView | views.KindView, ...]:
        """Return the windows of a start of all monitors of an endpoint, the worst first."""
        with read_connection(self.engine) as connection:
            watched = self._require_endpoint(connection, endpoint)
            ran = ran_at(connection, watched, endpoint, stamp)
        found: list[views.MonitorView | views.KindView] = []
        for one in ran:
            read = self._window(one.name, stamp)
            if not one.kind_value.judges_columns:
                found.append(views.KindView(**read))
                continue
            view = views.MonitorView(**read)
            found.append(replace(view, features=view.found.judged_features))
        ranked = [(views.RANKS[run.state], -run.page_count, one) for one in found
                  if (run := one.run)]  # fmt: skip
        return tuple(one for *_, one in sorted(ranked, key=lambda entry: entry[:2]))

    def judged(self, name: str, window: str | None) -> tuple[views.MonitorLine, Execution]:
        """Return a monitor and one of its windows, the newest when unset; there must be one."""
        with read_connection(self.engine) as connection:
            line, run = fleet.read_window(connection, name, window)
        if run is None:
            raise NotFoundError(f'monitor "{name}" has judged no window yet')
        return line, run

    def require_storage(self, address: Address) -> None:
        """Refuse a page that tells of the storage root, while that has gone."""
        if address.page in STORED and not (address.page == "setup" and address.tab):
            self.storage.require(self.engine, self.now())

    def require(self, address: Address) -> None:
        """Refuse an address of an alarm or a monitor that is not there."""
        with read_connection(self.engine) as connection:
            match address.page:
                case "alarm":
                    require_alarm(connection, address.alarm)
                case "monitor" | "column" | "explain":
                    found = lookup.monitor(connection, address.monitor)
                    if address.window and address.page in ("monitor", "column", "explain"):
                        require_window(connection, found, address.window)
                case "endpoint" | "window":
                    watched = self._require_endpoint(connection, address.endpoint)
                    if address.window and address.page == "window":
                        ran_at(connection, watched, address.endpoint, address.window)
                case "job":
                    get_execution(connection, address.job)
                case "baseline":
                    self.storage.versions(address.baseline)

    def measured(
        self, name: str, window: str | None, metric: str | None, keep: str | None = None
    ) -> views.KindView:
        """Return one window of a monitor that measures, and one of its metrics over time."""
        view = views.KindView(**self._window(name, window), kept=metric or keep)
        if view.run is None:
            return view
        with read_connection(self.engine) as connection:
            view = _over_time(connection, view, metric)
        view = replace(view, roles=self.storage.roles_of(view.monitor))
        return self.storage.with_evidence(view)

    def column(self, name: str, column: str, window: str | None) -> views.MonitorView:
        """Return one column of a monitor over all windows, and in one of them."""
        view = self.monitor(name, window, None, column)
        line = view.monitor
        reference = self.storage.reference_of(line, column)
        with read_connection(self.engine) as connection:
            drawn = column_histories(connection, line.runs, column, reference)
            reasons = unjudged_reasons(connection, line.runs, column)
        if view.run is None:
            return replace(view, column=column)
        if view.feature is None or view.feature.feature != column:
            if not drawn:
                raise NotFoundError(f'no window of monitor "{name}" has a column "{column}"')
            view = replace(view, feature=None, comparison=None, rows=None)
        if many := sum(reasons.values()):
            whole = plural(len(line.runs), "window")
            words = f"Not judged in {many} of {whole}, without a bound: "
            view = replace(view, notes=(*view.notes, f"{words}{', or '.join(reasons)}."))
        return replace(view, column=column, histories=drawn)

    def _counted(self, lines: Iterable[views.EndpointLine]) -> Iterator[views.EndpointLine]:
        """Add what was captured, as the last audit has it; a few that it has not seen are read."""
        audited, lines = self.storage.coverage(), tuple(lines)
        is_read = sum(bool(one.name) and one.name not in audited for one in lines) <= COUNTED
        for line in lines:
            found = audited.get(line.name)
            if found is None and line.name and is_read:
                stats = self.storage.capture_stats(line.name, self.now())
                found = stats.overall if stats else None
            yield replace(line, coverage=found)


def _chosen(others: Sequence[views.MonitorLine], address: Address) -> views.MonitorLine | None:
    """Return the monitor of a tab: unasked one that has judged, before one whose runs failed."""
    judges = {one.name for one in others for run in one.runs if run.state in JUDGED_STATES}
    ranked = sorted(others, key=lambda one: one.name not in judges)
    found = next((one for one in ranked if address.monitor in ("", one.name)), None)
    if found is None and address.monitor and address.tab in ("drift", *fleet.TAB_KINDS):
        has = ", ".join(one.name for one in others) or "none"
        raise NotFoundError(f'this tab has no monitor "{address.monitor}"; it has {has}')
    return found


def _over_time(connection: Connection, view: views.KindView, asked: str | None) -> views.KindView:
    """Add what the database says over time of one metric.

    ``asked`` is the one asked for; without it, ``view.kept`` if the window has it.
    """
    line, metrics = view.monitor, view.found.metrics
    kind, kept = line.definition.kind, view.kept
    chosen = choose_metric(metrics, kind, asked, kept)
    if chosen is None and asked is not None and metrics:
        raise NotFoundError(f'metric "{asked}" is not one of monitor "{line.name}"')
    if chosen is None and (newest := newest_report(connection, line.runs)):
        # This window could not be judged: draw what others say.
        chosen = choose_metric(newest.metrics, kind, kept, None)
    drawn = histories(connection, line.runs, [(chosen.key, chosen)] if chosen else [])
    return replace(
        view, chosen=chosen, history=next(iter(drawn), None),
        labels=label_history(line.definition, line.runs),
        estimates=estimates(connection, line.runs, chosen),
    )  # fmt: skip


def _annotations(
    connection: Connection, lines: Iterable[views.MonitorLine]
) -> tuple[Annotation, ...]:
    """Read the newest annotations of monitors, withdrawn ones too."""
    newest = partial(list_annotations, connection, limit=ANNOTATIONS_SHOWN)
    found = (one for line in lines for one in newest(line.name) if RANGE.get().has(one.made_at))
    return tuple(sorted(found, key=lambda one: one.made_at, reverse=True)[:ANNOTATIONS_SHOWN])
