"""The kind "joint" as one value: what it reads, publishes and shows."""

from __future__ import annotations

from driftline.monitors.kind import Kind, MetricSeries, MetricSpec

# Windows of each span, with the one that is judged. Longer ones would find little more, and go on
# alarming for long when what was wrong is mended.
SPANS = (1, 4, 16)

KIND = Kind(
    name="joint",
    evaluation="driftline.monitors.kinds.joint.evaluation",
    pooled_windows=SPANS[-1] - 1,
    series=MetricSeries(prefix="joint_"),
    metrics=(
        MetricSpec("correlation", "correlation"),
        MetricSpec("domain_auc", "AUC of telling the window from the reference"),
        MetricSpec("embedding_drift", "drift of the embedding"),
        MetricSpec("text_drift", "drift of the text"),
        MetricSpec("joint_correlation_ratio", "strongest change of a correlation, over its bound"),
        MetricSpec("joint_domain_auc", "AUC of telling the window from the reference"),
        MetricSpec("joint_share_ratio", "strongest change of an embedding or text, over its bound"),
    ),
    headline_metrics=("domain_auc", "correlation"),
)
