"""Time series of columns, metrics and labels over a monitor's windows.

Every series is aligned with the windows, NaN where a window has no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Connection, func, select

from driftline.baseline.column import ColumnProfile
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution
from driftline.monitors.results.measured import Measured
from driftline.monitors.run.stored_report import DISTANCE, MEAN, MISSING, StoredReport, read_report
from driftline.monitors.state import State
from driftline.monitors.tables import executions, reports, results

ESTIMATED = "estimated_"
"""Begins the name of a metric that is estimated without labels."""


@dataclass(frozen=True, slots=True)
class MetricHistory:
    """A metric, or one property of a column, over all windows, NaN where nothing was measured.

    Of a mean, the interval is the least and greatest value. ``pooled``: the number of windows,
    ending with its own, behind a value.
    """

    metric: Measured
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bound: np.ndarray
    violated: np.ndarray
    pooled: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def limit(self) -> float:
        """The newest known bound, else the reference's value, else 0."""
        known = self.bound[np.isfinite(self.bound)]
        return float(known[-1]) if known.size else self.metric.reference or 0.0

    @property
    def apart(self) -> np.ndarray:
        """Windows worse than the reference beyond both intervals, without a violation."""
        ends = np.stack([self.value, self.low, self.high], axis=1).tolist()
        worse = np.array([bool(self.metric.worse_side(*one)) for one in ends], dtype=bool)
        apart: np.ndarray = worse & ~self.violated & np.isfinite(self.bound)
        return apart


@dataclass(frozen=True, slots=True)
class LabelHistory:
    """Rows judged and rows with a label, over all windows."""

    rows: np.ndarray
    labelled: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """Share of a window's rows that have a label, NaN without rows."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.rows > 0, self.labelled / self.rows, np.nan)


def histories(
    connection: Connection, runs: Sequence[Execution], metrics: Sequence[tuple[str, Measured]]
) -> list[MetricHistory]:
    """Read numbers over windows, each by its key, with the metric that it is one of."""
    table, place = results.c, {run.id: at for at, run in enumerate(runs)}
    names = ("value", "low", "high", "bound", "window_count", "is_violated")
    numbers = {key: np.full((len(names), len(runs)), np.nan) for key, _ in metrics}
    query = select(table.execution, table.key, *(table[name] for name in names)).where(
        table.execution.in_(place), table.key.in_(numbers)
    )
    for execution, key, *found in connection.execute(query):
        numbers[key][:, place[execution]] = np.array(found, np.float64)
    drawn = []
    for key, metric in metrics:
        values = np.where(np.isfinite(numbers[key]), numbers[key], np.nan)
        value, low, high, bound, pooled, violated = values
        drawn.append(MetricHistory(metric, value, low, high, bound, violated == 1.0, pooled))
    return drawn


def column_histories(
    connection: Connection, runs: Sequence[Execution], column: str, profile: ColumnProfile | None
) -> tuple[MetricHistory, ...]:
    """Read a column's series over all windows: distance and bound, missing values, mean.

    ``profile`` is the reference's; the mean comes with the range of each window's values.
    """
    missing = None if profile is None else 1.0 - profile.completeness
    mean = Measured("mean")
    if profile is not None and profile.is_number and profile.moments.count:
        cells, counts, of = profile.cells, profile.cell_counts, profile.moments.mean
        span = cells.span(counts, 0.9) if cells and counts is not None else None
        low, high = span or (None, None)
        mean = Measured("mean", reference=of, reference_low=low, reference_high=high)
    found = histories(
        connection, runs,
        [
            (DISTANCE + column, Measured("distance")),
            (MISSING + column, Measured("share missing", reference=missing)),
            (MEAN + column, mean),
        ],
    )  # fmt: skip
    return tuple(one for one in found if np.isfinite(one.value).any())


def unjudged_reasons(
    connection: Connection, runs: Sequence[Execution], column: str
) -> Mapping[str, int]:
    """Count the windows in which a column had no bound, by the reason in words."""
    table = results.c
    query = select(table.state, func.count()).where(
        table.execution.in_([run.id for run in runs]), table.key == DISTANCE + column,
        table.bound.is_(None), table.state != State.JUDGED,
    )  # fmt: skip
    counted = connection.execute(query.group_by(table.state)).all()
    return {State(state).words or "not compared": count for state, count in counted}


def label_history(definition: MonitorDefinition, runs: Sequence[Execution]) -> LabelHistory | None:
    """Return how many rows of each window had a label; None for a kind that needs none."""
    labelled = np.array([run.labelled_count for run in runs], dtype=np.float64)
    rows = np.array([run.judged_rows for run in runs], dtype=np.float64)
    if not definition.kind_value.uses_labels or np.isnan(labelled).all():
        return None
    return LabelHistory(rows=rows, labelled=labelled)


def estimates(
    connection: Connection, runs: Sequence[Execution], chosen: Measured | None
) -> tuple[MetricHistory, MetricHistory] | None:
    """Read the chosen metric, or the first that is estimated, by labels and without them."""
    table = results.c
    query = select(table.key).where(
        table.execution.in_([run.id for run in runs]),
        table.key.startswith(ESTIMATED, autoescape=True),
    )
    names = connection.scalars(query.distinct())
    keys = sorted(
        (one.removeprefix(ESTIMATED) for one in names),
        key=lambda key: (chosen is None or key != chosen.key, key),
    )
    for key in keys:
        metric = chosen if chosen and chosen.key == key else Measured(key)
        pair = [(key, metric), (ESTIMATED + key, Measured(ESTIMATED + key))]
        by_labels, without = histories(connection, runs, pair)
        if np.isfinite(by_labels.value).any():
            return by_labels, without
    return None


def newest_report(connection: Connection, runs: Sequence[Execution]) -> StoredReport | None:
    """Return the newest report of some windows; None where none has one."""
    table, identity = reports.c, executions.c.id
    query = (
        select(table.execution)
        .join(executions, identity == table.execution)
        .where(identity.in_([run.id for run in runs]))
        .order_by(executions.c.window_start.desc())
        .limit(1)
    )
    newest = connection.scalar(query)
    return None if newest is None else read_report(connection, newest)
