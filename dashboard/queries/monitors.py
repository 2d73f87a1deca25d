"""Monitors, read from the database: their windows, what was said of one, what it measured."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Select, select

from driftline.access.principal import CURRENT
from driftline.capture.windows.window import Window
from driftline.dashboard.queries import reach, views
from driftline.dashboard.queries.series import Digest, label_history, metric_history
from driftline.dashboard.queries.storage import UNREADABLE, Storage
from driftline.database.engine import read_connection
from driftline.errors import NotFoundError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import COLUMNS, WITHOUT_REPORT, Execution, state_of
from driftline.monitors.kind import kind_named
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.run.progress import list_runs, log_of
from driftline.monitors.tables import executions
from driftline.monitors.warm_up.status import suppressed_columns, suppressed_now

log = logging.getLogger(__name__)

WINDOWS_SHOWN = 400
LATER_SHOWN = 100
"""Windows after one that is not among the newest."""

ESTIMATED = "estimated_"
"""Begins the name of a metric that is estimated without labels."""

STAMP = "%Y%m%dT%H%M%SZ"
_NEWEST_FIRST = (executions.c.window_start.desc(), executions.c.finished_at.desc())


class NoWindowError(NotFoundError):
    """The monitor is there, but not the window."""


def read_window(
    connection: Connection, name: str, stamp: str | None
) -> tuple[views.MonitorLine, views.WindowRun | None]:
    """Return a monitor and the window of a start, however old it is, with those around it.

    Without a start it is the newest one, None before the first; NotFoundError: there is no such
    monitor, or NoWindowError: no execution of it is on a window of that start.
    """
    definition = reach.monitor(connection, name)
    newest = _judged(definition).order_by(*_NEWEST_FIRST).limit(WINDOWS_SHOWN)
    rows = reach.runs(connection, newest)
    version = rows[0].baseline_version if rows else None
    line = views.MonitorLine(
        definition=definition,
        baseline_version=version or definition.baseline_version or "",
        runs=_as_runs(definition, rows),
        suppressed=suppressed_columns(connection, definition),
        begun=tuple(list_runs(connection, name, endpoints=CURRENT.get().endpoints)),
    )
    run = line.last
    if stamp is not None:
        run = next((run for run in line.runs[1:] if run.stamp == stamp), None)
        if run is None:  # Before the oldest, too, there may be others to step to.
            line = replace(line, runs=_around(connection, definition, stamp), are_newest=False)
            run = next((run for run in line.runs if run.stamp == stamp), None)
        if run is None:
            why = "none was judged then, or it is no longer kept"
            raise NoWindowError(f'monitor "{name}" has no window "{stamp}": {why}')
    return line, run and replace(run, log=tuple(log_of(connection, run.execution)))


def _around(
    connection: Connection, definition: MonitorDefinition, stamp: str
) -> tuple[views.WindowRun, ...]:
    """Read the windows around a start, oldest first; none for what is no start."""
    try:
        start = datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        return ()
    judged, begin = _judged(definition), executions.c.window_start
    end = start + timedelta(seconds=1)  # A stamp leaves out what is shorter.
    later = judged.where(begin >= end).order_by(begin, executions.c.finished_at.desc())
    earlier = judged.where(begin < end).order_by(*_NEWEST_FIRST)
    rows = [
        *reversed(reach.runs(connection, later.limit(LATER_SHOWN))),
        *reach.runs(connection, earlier.limit(WINDOWS_SHOWN - LATER_SHOWN)),
    ]
    return _as_runs(definition, rows)


def _judged(definition: MonitorDefinition) -> Select[Any]:
    """Select the executions of a monitor that stand."""
    return select(*COLUMNS).where(executions.c.monitor == definition.name, executions.c.is_current)


def _as_runs(
    definition: MonitorDefinition, rows: Sequence[Execution]
) -> tuple[views.WindowRun, ...]:
    """Turn executions, newest first, into windows, oldest first."""
    runs = (
        views.WindowRun(
            start=row.window_start,
            end=row.window_end,
            execution=row.id,
            state=state_of(row.status, row.failure_reason, row.violation_count),
            row_count=None if row.status in WITHOUT_REPORT else row.row_count,
            violation_count=row.violation_count,
            hard_count=row.page_count,
            ratio=row.max_drift_ratio,
            cause=row.cause or None,
            failure=row.failure_reason,
            failure_type=row.failure_type,
            failure_record=row.failure_record,
            folder=row.folder,
            baseline_version=row.baseline_version,
        )
        for row in rows
    )
    return one_a_start(definition, runs)


def one_a_start(
    definition: MonitorDefinition, newest_first: Iterable[views.WindowRun]
) -> tuple[views.WindowRun, ...]:
    """Return windows, oldest first; of those with one start the schedule's own, else the first."""
    runs: dict[datetime, views.WindowRun] = {}
    for run in newest_first:
        # Somebody may have run a part of a window by hand, which must not hide the whole.
        if run.start not in runs or definition.timetable.has_window(Window(run.start, run.end)):
            runs[run.start] = run
    return tuple(reversed(runs.values()))


def warm_up_view(
    engine: Engine, storage: Storage, line: views.MonitorLine
) -> views.WarmUpView | None:
    """Return what is suppressed now; None when nothing is, or the baseline cannot be read."""
    definition = line.definition
    if not line.suppressed:
        return None
    try:
        baseline = storage.baseline(definition.baseline, definition.baseline_version or "")
    except UNREADABLE:
        # The overview and the window's verdict still say what is suppressed.
        log.exception("baseline_unreadable monitor=%s", definition.name)
        return None
    with read_connection(engine) as connection:
        words, stable = suppressed_now(connection, definition, baseline)
    return views.WarmUpView(definition.name, words, stable) if words else None


def over_time(
    connection: Connection, view: views.KindView, asked: str | None, digests: Mapping[str, Digest]
) -> views.KindView:
    """Add to a window what the database and other documents say over time of one metric.

    ``asked`` is the one asked for; without it, ``view.kept`` if the window has it.
    """
    line, metrics = view.monitor, view.found.metrics
    kind, kept = line.definition.kind, view.kept
    chosen = choose_metric(metrics, kind, asked, kept)
    if chosen is None and asked is not None and metrics:
        raise NotFoundError(f'metric "{asked}" is not one of monitor "{line.name}"')
    if chosen is None:
        # The document is gone, or this window could not be judged: draw what others say.
        others = [one for digest in digests.values() for one in digest.metrics.values()]
        chosen = choose_metric(others, kind, kept, None)
    return replace(
        view,
        chosen=chosen,
        history=metric_history(connection, line, chosen, digests) if chosen else None,
        labels=label_history(connection, line),
        estimates=_estimates(connection, line, chosen, digests),
        unread=sum(one.execution not in digests for one in line.runs),
    )


def _estimates(
    connection: Connection,
    line: views.MonitorLine,
    chosen: MetricResult | None,
    digests: Mapping[str, Digest],
) -> tuple[views.MetricHistory, views.MetricHistory] | None:
    """Read the chosen metric, or the first that is estimated, by labels and without them."""
    known = {key: one for digest in digests.values() for key, one in digest.metrics.items()}
    names = [chosen.key if chosen else "", *known]
    name = next((one for one in names if one in known and ESTIMATED + one in known), None)
    if name is None:
        return None
    by_labels = metric_history(connection, line, known[name], digests)
    return by_labels, metric_history(connection, line, known[ESTIMATED + name], digests)


def choose_metric(
    metrics: Sequence[MetricResult], kind: str, asked: str | None, keep: str | None
) -> MetricResult | None:
    """Pick the metric to draw: the one asked for, the gravest violation, else the kind's first."""
    by_key = {one.key: one for one in metrics}
    if asked is not None:
        return by_key.get(asked)
    if keep is not None:
        ways = (keep, f"{keep} / ", f"{keep}=")  # Of a name alone, the first of its groups.
        keys = [key for key in by_key if key == keep or key.startswith(ways[1:])]
        if keys:
            return by_key[min(keys, key=len)]
    names = kind_named(kind).headline_metrics

    def rank(one: MetricResult) -> tuple[int, int]:
        if one.violated:
            return (0, int(one.severity != "page"))
        return (1, names.index(one.name) if one.name in names else len(names))

    return min((one for one in metrics if one.value is not None), key=rank, default=None)
