"""Time series: columns, metrics and labels from the database, bounds from documents.

Every series is aligned with a monitor's windows, NaN where a window has no datapoint. Bounds and
intervals are only in the documents, which each process reads once. A page waits for them briefly;
the rest follows with its next refresh, newest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
from sqlalchemy import Connection, Row, select

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics import store as metrics
from driftline.alerts.tables import datapoints
from driftline.alerts.tables import metrics as metric_table
from driftline.baseline.column import ColumnProfile
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.kind import OWN_METRICS, metric_place
from driftline.monitors.report.datapoints import DATA_METRICS, UNQUOTED
from driftline.monitors.results.history import LabelHistory, MetricHistory
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.run.judged_windows import WindowRun
from driftline.monitors.run.report_cache import Digest

ESTIMATED = "estimated_"
"""Begins the name of a metric that is estimated without labels."""

LARGEST = 1e100
"""SageMaker writes an infinite value as 2.348543e108; no measured one comes near."""


class Judged(Protocol):
    """A monitor with its windows, oldest first."""

    @property
    def definition(self) -> MonitorDefinition:
        """The monitor."""

    @property
    def runs(self) -> Sequence[WindowRun]:
        """Its windows."""


@dataclass(frozen=True, slots=True)
class _Series:
    """Datapoints of one metric, aligned with windows."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    notes: tuple[Mapping[str, object], ...]


def column_histories(
    connection: Connection, line: Judged, column: str, digests: Mapping[str, Digest],
    profile: ColumnProfile | None,
) -> tuple[MetricHistory, ...]:  # fmt: skip
    """Read a column's series over all windows: distance and bound, missing values, mean.

    ``profile`` is the reference's; the mean comes with the range of each window's values.
    """
    name, unknown = quote(column, safe=UNQUOTED), np.full(len(line.runs), np.nan)
    drift, present, data = (
        _read(connection, line, DATA_METRICS, prefix + name)
        for prefix in ("feature_baseline_drift_", "feature_non_null_", "feature_data_")
    )
    told = [digests.get(run.execution, Digest()) for run in line.runs]
    bound = np.array([one.bounds.get(column, np.nan) for one in told], dtype=np.float64)
    pooled = np.array([one.pooled.get(column, np.nan) for one in told], dtype=np.float64)
    broken = np.array([bool(note.get("cause")) for note in present.notes], dtype=bool)
    missing = None if profile is None else 1.0 - profile.completeness
    mean = MetricResult("mean")
    if profile is not None and profile.is_number and profile.moments.count:
        cells, counts, of = profile.cells, profile.cell_counts, profile.moments.mean
        span = cells.span(counts, 0.9) if cells and counts is not None else None
        low, high = span or (None, None)
        mean = MetricResult("mean", reference=of, reference_low=low, reference_high=high)
    shares = MetricResult("share missing", reference=missing)
    histories = (
        MetricHistory(
            MetricResult("distance"), drift.mean, unknown, unknown, bound, broken, pooled
        ),
        MetricHistory(shares, 1.0 - present.mean, unknown, unknown, unknown, broken),
        MetricHistory(mean, data.mean, data.low, data.high, unknown, broken),
    )
    return tuple(one for one in histories if np.isfinite(one.value).any())


def label_history(connection: Connection, line: Judged) -> LabelHistory | None:
    """Read how many rows of each window had a label; None for a kind that needs none."""
    labelled = _read(connection, line, OWN_METRICS, "labelled_rows").mean
    if not line.definition.kind_value.uses_labels or np.isnan(labelled).all():
        return None
    rows = np.array([np.nan if run.row_count is None else run.row_count for run in line.runs])
    return LabelHistory(rows=rows, labelled=labelled)


def estimates(
    connection: Connection, line: Judged, chosen: MetricResult | None,
    digests: Mapping[str, Digest],
) -> tuple[MetricHistory, MetricHistory] | None:  # fmt: skip
    """Read the chosen metric, or the first that is estimated, by labels and without them."""
    known = {key: one for digest in digests.values() for key, one in digest.metrics.items()}
    names = [chosen.key if chosen else "", *known]
    name = next((one for one in names if one in known and ESTIMATED + one in known), None)
    if name is None:
        return None
    by_labels = metric_history(connection, line, known[name], digests)
    return by_labels, metric_history(connection, line, known[ESTIMATED + name], digests)


def metric_history(
    connection: Connection, line: Judged, metric: MetricResult,
    digests: Mapping[str, Digest],
) -> MetricHistory:  # fmt: skip
    """Take values from the database, and from documents what only they hold."""
    none, told_of = MetricResult(metric.name), (digests.get(run.execution) for run in line.runs)
    found = [one.metrics.get(metric.key, none) if one else none for one in told_of]
    numbers = np.array([(one.value, one.low, one.high, one.bound) for one in found], np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    told, low, high, bound = numbers.reshape(-1, 4).T
    values = _metric_values(connection, line, metric)
    values = np.where(np.isnan(values), told, values)
    violated = np.array([one.violated for one in found], dtype=bool)
    return MetricHistory(metric, values, low, high, bound, violated)


def stored_metrics(
    connection: Connection, line: Judged, metric: MetricResult
) -> Iterator[Row[Any]]:
    """Find where one metric is stored, the metric itself before its parts.

    A kind may add dimensions: those of the metric must be among them.
    """
    series = line.definition.kind_value.series
    name = series.prefix + quote(metric.name, safe=UNQUOTED)
    table = metric_table.c
    namespace, wanted = metric_place(
        series.namespace, line.definition.name, line.definition.endpoint
    )
    query = select(metric_table).where(table.namespace == namespace, table.name == name)
    for key, value in (("Facet", metric.facet), ("FacetValue", metric.facet_value)):
        if value:
            wanted[key] = quote(value, safe=UNQUOTED)
    # The metric itself has the fewest dimensions.
    for row in sorted(connection.execute(query), key=lambda one: len(one.dimensions)):
        dimensions = dict(row.dimensions)
        label = dimensions.get("Label", metric.label) if series.has_label else metric.label
        if wanted.items() <= dimensions.items() and (not metric.label or label == metric.label):
            yield row


def _metric_values(connection: Connection, line: Judged, metric: MetricResult) -> np.ndarray:
    """Read one measured metric over all windows, NaN where it has no finite value."""
    for row in stored_metrics(connection, line, metric):
        values = _aligned(connection, row.id, line.runs).mean
        if not np.isnan(values).all():
            return values
    return np.full(len(line.runs), np.nan)


def _read(connection: Connection, line: Judged, namespace: str, name: str) -> _Series:
    try:
        namespace, dimensions = metric_place(
            namespace, line.definition.name, line.definition.endpoint
        )
        metric_id = metrics.find(connection, namespace, name, dimensions)
    except DatapointError:
        metric_id = None  # No metric can have such a name, as one that is too long.
    return _aligned(connection, metric_id, line.runs)


def _aligned(connection: Connection, metric_id: int | None, runs: Sequence[WindowRun]) -> _Series:
    """Lay a metric's datapoints over windows by the windows' starts."""
    numbers = np.full((3, len(runs)), np.nan)
    notes: list[Mapping[str, object]] = [{}] * len(runs)
    if metric_id is not None and runs:
        place = {run.start: index for index, run in enumerate(runs)}
        table = datapoints.c
        query = (
            select(table.time, table.sample_count, table.sum, table.minimum, table.maximum)
            .add_columns(table.note)
            .where(table.metric_id == metric_id, table.time.between(min(place), max(place)))
            .order_by(table.time, table.id)
        )
        for row in connection.execute(query):
            index = place.get(row.time)
            if index is not None:
                numbers[:, index] = (row.sum / row.sample_count, row.minimum, row.maximum)
                notes[index] = row.note or {}
    numbers[np.abs(numbers) > LARGEST] = np.nan
    return _Series(numbers[0], numbers[1], numbers[2], tuple(notes))
