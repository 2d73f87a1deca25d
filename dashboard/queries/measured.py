"""One window of a monitor of model quality, bias or attribution, and its metrics over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import Connection

from driftline.dashboard.queries.documents import (
    Document,
    confusion_of,
    count_of,
    findings_of,
    groups_of,
    metrics_of,
    warnings_of,
)
from driftline.dashboard.queries.metric_views import KindView, MetricHistory
from driftline.dashboard.queries.report_cache import Digest
from driftline.dashboard.queries.series import label_history, metric_values
from driftline.dashboard.queries.views import AlarmChange, MonitorLine, WindowRun
from driftline.errors import NotFoundError
from driftline.monitors.kind import kind_named
from driftline.monitors.results.metric import MetricResult


def kind_view(
    connection: Connection,
    line: MonitorLine,
    kind: str,
    run: WindowRun,
    report: Document | None,
    *,
    asked: str | None,
    keep: str | None,
    known: Mapping[str, Digest],
    changes: tuple[AlarmChange, ...],
    now: datetime,
) -> KindView:
    """Join one window's document with what the database and other documents say over time.

    Raises
    ------
    NotFoundError
        When the window has metrics, but not the one that was asked for.
    """
    metrics = metrics_of(report)
    chosen = choose_metric(metrics, kind, asked, keep)
    if chosen is None and asked is not None and metrics:
        raise NotFoundError(f'metric "{asked}" is not one of monitor "{line.name}"')
    if chosen is None:
        # The document is gone, or this window could not be judged: draw what others say.
        others = [one for digest in known.values() for one in digest.metrics.values()]
        chosen = choose_metric(others, kind, asked or keep, None)
    return KindView(
        now=now,
        monitor=line,
        kind=kind,
        run=run,
        metrics=metrics,
        chosen=chosen,
        history=_history(connection, line, kind, chosen, known) if chosen else None,
        labels=label_history(connection, line, line.runs) if kind_named(kind).uses_labels else None,
        labelled=count_of(report, "labelled_count"),
        unfit=count_of(report, "unfit_label_count"),
        stray=count_of(report, "stray_label_count"),
        confusion=confusion_of(report),
        groups=groups_of(report),
        warnings=warnings_of(report),
        cause=run.cause,
        violations=findings_of(report),
        documents=run.folder if report else None,
        changes=changes,
        kept=asked or keep,
        unread=sum(one.execution not in known for one in line.runs),
    )


def choose_metric(
    metrics: Sequence[MetricResult], kind: str, asked: str | None, keep: str | None
) -> MetricResult | None:
    """Pick the metric to draw: the one asked for, the gravest violation, else the kind's first."""
    by_key = {one.key: one for one in metrics}
    if asked is not None:
        return by_key.get(asked)
    if keep is not None and keep in by_key:
        return by_key[keep]
    known = [one for one in metrics if one.value is not None]
    worst = sorted((one for one in known if one.violated), key=lambda one: one.severity != "page")
    if worst:
        return worst[0]
    names = kind_named(kind).headline_metrics
    ranked = sorted(
        known, key=lambda one: names.index(one.name) if one.name in names else len(names)
    )
    return ranked[0] if ranked else None


def _history(
    connection: Connection,
    line: MonitorLine,
    kind: str,
    metric: MetricResult,
    known: Mapping[str, Digest],
) -> MetricHistory:
    """Take values from the database, and from documents what only they hold."""
    values = metric_values(connection, line, kind, metric, line.runs)
    ends = np.full((3, len(line.runs)), np.nan)
    violated = np.zeros(len(line.runs), dtype=bool)
    for index, run in enumerate(line.runs):
        digest = known.get(run.execution)
        found = digest.metrics.get(metric.key) if digest else None
        if found is None:
            continue
        ends[:, index] = [_finite(end) for end in (found.low, found.high, found.bound)]
        violated[index] = found.violated
        if np.isnan(values[index]):
            values[index] = _finite(found.value)
    return MetricHistory(metric, values, ends[0], ends[1], ends[2], violated)


def _finite(value: float | None) -> float:
    return value if value is not None and np.isfinite(value) else np.nan
