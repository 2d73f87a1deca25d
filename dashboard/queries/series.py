"""Questions to the database about numbers over time: columns, measured metrics, labels.

Every series is aligned with a monitor's windows: NaN where a window gave no datapoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import numpy as np
from sqlalchemy import Connection, select

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics import store as metrics
from driftline.alerts.tables import datapoints
from driftline.alerts.tables import metrics as metric_table
from driftline.dashboard.queries.metric_views import ColumnHistory, LabelHistory
from driftline.dashboard.queries.views import MonitorLine, WindowRun
from driftline.monitors.kind import OWN_METRICS, kind_named
from driftline.monitors.report.datapoints import DATA_METRICS, UNQUOTED
from driftline.monitors.results.metric import MetricResult

LARGEST = 1e100
"""SageMaker writes an infinite value as 2.348543e108; no measured one comes near."""


@dataclass(frozen=True, slots=True)
class _Series:
    """Datapoints of one metric, aligned with windows."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    notes: tuple[Mapping[str, object], ...]


def column_history(
    connection: Connection, line: MonitorLine, column: str, runs: Sequence[WindowRun]
) -> ColumnHistory:
    """Read one column over the given windows; bounds are not in the database, and stay NaN."""
    text = quote(column, safe=UNQUOTED)
    found = {
        prefix: _read(connection, DATA_METRICS, prefix + text, _dimensions(line), runs)
        for prefix in ("feature_baseline_drift_", "feature_non_null_", "feature_data_")
    }
    drift, present, data = found.values()
    return ColumnHistory(
        distance=drift.mean,
        bound=np.full(len(runs), np.nan),
        missing=1.0 - present.mean,
        mean=data.mean,
        low=data.low,
        high=data.high,
        causes=tuple(_cause(note, column) for note in present.notes),
    )


def label_history(
    connection: Connection, line: MonitorLine, runs: Sequence[WindowRun]
) -> LabelHistory | None:
    """Read how many rows of each window had a label; None for a kind that needs none."""
    labelled = _read(connection, OWN_METRICS, "labelled_rows", _dimensions(line), runs)
    if np.isnan(labelled.mean).all():
        return None
    rows = np.array([np.nan if run.row_count is None else run.row_count for run in runs])
    return LabelHistory(rows=rows, labelled=labelled.mean)


def newest_labels(connection: Connection, line: MonitorLine) -> tuple[int, int] | None:
    """Give rows with a label, and all rows, of a monitor's newest judged window."""
    if not kind_named(line.kind.replace(" ", "-")).uses_labels:
        return None
    judged = [run for run in line.runs if run.row_count]
    found = label_history(connection, line, judged[-1:]) if judged else None
    if found is None:
        return None
    return int(found.labelled[0]), int(found.rows[0])


def newest_expected(connection: Connection, line: MonitorLine) -> int:
    """Count the violations of a monitor's newest judged window that somebody marked as expected."""
    if line.last is None:
        return 0
    counts = _read(
        connection, OWN_METRICS, "expected_violations", _dimensions(line), (line.last,)
    ).high
    return 0 if np.isnan(counts[0]) else int(counts[0])


def metric_values(
    connection: Connection, line: MonitorLine, kind: str, metric: MetricResult,
    runs: Sequence[WindowRun],
) -> np.ndarray:  # fmt: skip
    """Read one measured metric over the given windows, NaN where it has no finite value.

    Which dimensions a kind adds is its own matter: those of the metric must be among them.
    """
    series_of = kind_named(kind).series
    namespace, name = series_of.namespace, series_of.prefix + quote(metric.name, safe=UNQUOTED)
    table = metric_table.c
    query = select(metric_table).where(table.namespace == namespace, table.name == name)
    wanted = _dimensions(line)
    if metric.facet:
        wanted |= {"Facet": quote(metric.facet, safe=UNQUOTED)}
    if metric.facet_value:
        wanted |= {"FacetValue": quote(metric.facet_value, safe=UNQUOTED)}
    for row in connection.execute(query):
        dimensions = dict(row.dimensions)
        # Of bias, the dimension names the column; of the others, the metric's own class.
        label = dimensions.get("Label", metric.label) if series_of.has_label else metric.label
        if wanted.items() <= dimensions.items() and (not metric.label or label == metric.label):
            series = _aligned(connection, row.id, runs)
            if not np.isnan(series.mean).all():
                return series.mean
    return np.full(len(runs), np.nan)


def _dimensions(line: MonitorLine) -> dict[str, str]:
    return {"Endpoint": line.endpoint, "MonitoringSchedule": line.name}


def _read(
    connection: Connection,
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    runs: Sequence[WindowRun],
) -> _Series:
    try:
        metric_id = metrics.find(connection, namespace, name, dimensions)
    except DatapointError:
        metric_id = None  # No metric can have such a name, as one that is too long.
    return _aligned(connection, metric_id, runs)


def _aligned(connection: Connection, metric_id: int | None, runs: Sequence[WindowRun]) -> _Series:
    """Lay a metric's datapoints over windows by the windows' starts."""
    numbers = np.full((3, len(runs)), np.nan)
    notes: list[Mapping[str, object]] = [{}] * len(runs)
    if metric_id is not None and runs:
        place: dict[datetime, int] = {run.start: index for index, run in enumerate(runs)}
        table = datapoints.c
        query = (
            select(
                table.time, table.sample_count, table.sum, table.minimum, table.maximum, table.note
            )
            .where(
                table.metric_id == metric_id,
                table.time >= min(place),
                table.time <= max(place),
            )
            .order_by(table.time, table.id)
        )
        for row in connection.execute(query):
            index = place.get(row.time)
            if index is not None:
                numbers[:, index] = (row.sum / row.sample_count, row.minimum, row.maximum)
                notes[index] = row.note or {}
    numbers[np.abs(numbers) > LARGEST] = np.nan
    return _Series(numbers[0], numbers[1], numbers[2], tuple(notes))


def _cause(note: Mapping[str, object], column: str) -> str:
    """Say what the column broke in a window; the note's sentence begins with its name."""
    cause = note.get("cause")
    return cause.removeprefix(f"{column}: ") if isinstance(cause, str) else ""
