"""What the pages show of series and measured metrics, as small frozen values.

Arrays have shape (windows,), aligned with the monitor's windows, NaN where nothing was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from driftline.dashboard.queries.annotation_views import MarksView
from driftline.dashboard.queries.views import (
    AlarmChange,
    AlarmLine,
    FeatureLine,
    GuiltyRows,
    MonitorLine,
    WindowDetail,
    WindowRun,
)
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.results.metric import MetricResult


@dataclass(frozen=True, slots=True)
class ColumnHistory:
    """One column over all windows of a monitor.

    ``distance`` is the distance from the reference (0–1), ``bound`` the window's own bound where
    its document was read, ``missing`` the share of rows without a value; ``mean``, ``low`` and
    ``high`` are of the numbers. ``causes`` says for each window what the column broke, "" for
    nothing.
    """

    distance: np.ndarray
    bound: np.ndarray
    missing: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    causes: tuple[str, ...]

    @property
    def broken(self) -> np.ndarray:
        """Windows in which the column broke a constraint, as booleans."""
        return np.array([bool(cause) for cause in self.causes], dtype=bool)


@dataclass(frozen=True, slots=True)
class ReferenceSummary:
    """One column of the reference: rows, share missing, and of numbers mean and quantiles."""

    rows: int
    missing: float
    mean: float | None = None
    p05: float | None = None
    median: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class ColumnView:
    """Everything that the page of one column shows, for one window.

    ``unread`` counts the windows whose bound is not known yet: documents are read a few at a time.
    ``quantiles`` are the chosen window's 5th, 50th and 95th percentile.
    """

    now: datetime
    monitor: MonitorLine
    column: str
    detail: WindowDetail | None
    feature: FeatureLine | None
    history: ColumnHistory | None
    reference: ReferenceSummary | None
    comparison: Comparison | None
    rows: GuiltyRows | None
    alarms: tuple[AlarmLine, ...]
    notes: tuple[str, ...] = ()
    unread: int = 0
    quantiles: tuple[float, ...] | None = None
    marks: MarksView | None = None


@dataclass(frozen=True, slots=True)
class MetricHistory:
    """One metric over all windows; intervals and bounds where the documents were read."""

    line: MetricResult
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bound: np.ndarray
    violated: np.ndarray


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


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of a confusion matrix, shape (classes, classes): rows are the truth."""

    classes: tuple[str, ...]
    counts: np.ndarray


@dataclass(frozen=True, slots=True)
class GroupLine:
    """A group in one window: its rows, and the share of positive predictions, its own and others'.

    Shares are None where nothing was predicted.
    """

    name: str
    rows: int
    positive: float | None
    others: float | None
    labelled: float | None


@dataclass(frozen=True, slots=True)
class KindView:
    """Everything that the page of a monitor of model quality, bias or attribution shows.

    ``chosen`` is the metric drawn over time; ``histories`` holds further ones that the kind shows
    beside it. ``labelled`` counts the shown window's rows with a label, ``unfit`` those whose label
    does not fit its type, ``stray`` the labels that name a row which their request does not have.
    """

    now: datetime
    monitor: MonitorLine
    kind: str
    run: WindowRun | None
    metrics: tuple[MetricResult, ...] = ()
    chosen: MetricResult | None = None
    history: MetricHistory | None = None
    labels: LabelHistory | None = None
    labelled: int = 0
    unfit: int = 0
    stray: int = 0
    confusion: Confusion | None = None
    groups: tuple[GroupLine, ...] = ()
    warnings: tuple[str, ...] = ()
    cause: str | None = None
    violations: tuple[tuple[str, str], ...] = ()
    documents: str | None = None
    changes: tuple[AlarmChange, ...] = ()
    notes: tuple[str, ...] = ()
    kept: str | None = None
    unread: int = 0
    marks: MarksView | None = None
    rows: GuiltyRows | None = None
