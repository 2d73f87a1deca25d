"""Endpoints and their monitors: how they stand, by the rows that jobs keep, and their windows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from driftline.access.audit import AuditEntry
from driftline.access.audit import entries as audit_entries
from driftline.access.principal import CURRENT
from driftline.alerts.alarms.composite_records import alarms_of_endpoints, any_record
from driftline.alerts.counts import count_by
from driftline.alerts.metrics.variants import Variant
from driftline.alerts.notify.labels import labels_of
from driftline.alerts.notify.silences import list_silences
from driftline.alerts.tables import FIRING, alarms
from driftline.capture.audit.report import EndpointReport
from driftline.capture.audit.traffic import Traffic
from driftline.dashboard.address import RANGE
from driftline.dashboard.queries import lookup, views
from driftline.dashboard.queries.views import MonitorLine
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution
from driftline.monitors.run.drift_map import DriftMap
from driftline.monitors.run.planning import list_states
from driftline.monitors.run.standing import standing_lines, window_line
from driftline.monitors.tables import executions

log = logging.getLogger(__name__)

MARKS_SHOWN = 1_600
"""Windows of all monitors of an endpoint that one chart has room for."""

TAB_KINDS = {"quality": "model-quality", "fairness": "bias", "attribution": "attribution"}
"""The kind of monitors that a tab of an endpoint's page is about; others: who judges columns."""

CHANGES_SHOWN = 200
LANES = {"Endpoint": "deployments", "Baseline": "baselines", "Monitor": "definitions",
         "Alarm": "definitions"}  # fmt: skip
"""Where changes stand over time, by the kind of what was changed."""


@dataclass(frozen=True, slots=True)
class EndpointView:
    """Everything that a tab of an endpoint's page shows; ``text`` narrows the features.

    ``drift`` or ``measured`` is of ``monitor``, on the tabs of drift and of kinds, ``others`` are
    those that it was chosen from; ``stats`` is of the tab of traffic, None where the table cannot
    be read, ``served`` are the variants of that tab, ``traffic`` and ``invocations`` its hours, as
    captured and as the server counts them; ``changes`` and ``annotations`` are of their tab,
    ``logs``, newest first, of theirs. ``why_untold`` says why the server did not tell of variants
    or logs; ``deployment`` is the last one, as it tells it. ``baseline`` is what another monitor
    would be judged by, ``lacked`` what it has not for one of the tab's kind.
    """

    now: datetime
    line: views.EndpointLine
    tab: str
    alarms: views.AlarmsView
    monitor: MonitorLine | None = None
    others: tuple[MonitorLine, ...] = ()
    drift: DriftMap | None = None
    measured: views.KindView | None = None
    changes: Sequence[AuditEntry] | None = None
    stats: EndpointReport | None = None
    unaccounted: int = 0
    traffic: Traffic | None = None
    invocations: Mapping[datetime, float] = field(default_factory=dict)
    text: str | None = None
    annotations: tuple[Annotation, ...] = ()
    marks: tuple[views.Mark, ...] = ()
    logs: Sequence[Mapping[str, Any]] = ()
    baseline: str = "NAME"
    lacked: str = ""
    served: tuple[Variant, ...] = ()
    deployment: Mapping[str, Any] | None = None
    why_untold: str = ""


def state_lines(
    connection: Connection, now: datetime, endpoint: str | None = None
) -> tuple[MonitorLine, ...]:
    """Return how the monitors stand, of one endpoint or of all, with their newest windows."""
    known = list_states(connection)
    of = [one.definition for one in known]
    watched = [one for one in of if endpoint in (None, one.endpoint)]
    return standing_lines(connection, watched, known, now)


in_range = partial(lookup.in_range, executions.c.window_start, executions.c.window_end)


def is_of_tab(definition: MonitorDefinition, tab: str) -> bool:
    """Whether a tab of an endpoint's page is about a monitor."""
    kind = TAB_KINDS.get(tab)
    return definition.kind == kind if kind else definition.kind_value.judges_columns


def read_changes(connection: Connection, line: views.EndpointLine) -> list[AuditEntry] | None:
    """Read the newest entries about an endpoint and what it has; None for who may not read them."""
    if not CURRENT.get().may("admin"):
        return None
    return _entries_about(connection, line)


def _entries_about(connection: Connection, line: views.EndpointLine) -> list[AuditEntry]:
    found = connection.scalars(select(alarms_of_endpoints(line.name).c.name))
    monitors = [f"Monitor/{one.name}" for one in line.monitors]
    baselines = {f"Baseline/{one.definition.baseline}" for one in line.monitors}
    about = [*(f"Alarm/{one}" for one in found), *monitors, *baselines, f"Endpoint/{line.name}"]
    since, until = RANGE.get().start, RANGE.get().end
    return audit_entries(connection, limit=CHANGES_SHOWN, targets=about, since=since, until=until)


def firing_by_endpoint(connection: Connection) -> dict[str, int]:
    """Count the alarms that fire by the endpoint that they watch."""
    watching = alarms_of_endpoints()
    is_firing = FIRING & (alarms.c.name == watching.c.name)
    return count_by(connection, watching.c.endpoint, is_firing)


def read_marks(
    connection: Connection, line: views.EndpointLine, days: Iterable[str], now: datetime
) -> tuple[views.Mark, ...]:
    """Read what happened to an endpoint: changes, silences of its alarms, labels that came.

    ``days`` are the folders of its labels, by the day on which they came.
    """
    found = [
        views.Mark(lane, f"{one.action} {one.target}", one.at)
        for one in _entries_about(connection, line)
        if one.status is None and (lane := LANES.get(one.target.partition("/")[0]))
    ]
    for day in days:
        came = datetime.fromisoformat(day.removeprefix("received_date=")).replace(tzinfo=UTC)
        found.append(views.Mark("labels", "labels came", came))
    if silences := list_silences(connection, now):
        names = select(alarms_of_endpoints(line.name).c.name)
        own = connection.execute(select(alarms).where(alarms.c.name.in_(names))).all()
        labels = [labels_of(any_record(row).definition) for row in own]
        for one in silences:
            start, end = one.silence.starts_at, one.expired_at or one.silence.last_end
            if (start is None or start <= now) and any(map(one.silence.fits, labels)):
                found.append(views.Mark("silences", f"silence {one.silence.name}", start, end))
    return tuple(one for one in found if RANGE.get().covers(one.start, one.end or one.start))


def read_window(
    connection: Connection, name: str, stamp: str | None
) -> tuple[MonitorLine, Execution | None]:
    """Return a monitor and the window of a start, however old it is, with those around it.

    Without a start it is the newest one, None before the first. NotFoundError: no such monitor;
    NoWindowError: no execution on a window of that start.
    """
    return window_line(connection, lookup.monitor(connection, name), stamp, in_range())
