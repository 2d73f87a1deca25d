"""The kind "outliers" as one value: what it reads, publishes and shows."""

from __future__ import annotations

from driftline.monitors.kind import Kind, MetricSpec

KIND = Kind(
    name="outliers",
    evaluation="driftline.monitors.kinds.outliers.evaluation",
    metrics=(MetricSpec("outlier_share", "share of outliers among the rows"),),
    headline_metrics=("outlier_share",),
)
