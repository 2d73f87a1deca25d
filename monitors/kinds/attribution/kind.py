"""The kind "attribution" as one value: what it reads, publishes and shows."""

from __future__ import annotations

from driftline.monitors.kind import Kind, MetricSeries, MetricSpec

NAMESPACE = "aws/sagemaker/Endpoints/explainability-metrics"

KIND = Kind(
    name="attribution",
    evaluation="driftline.monitors.kinds.attribution.evaluation",
    compat_evaluation="driftline.monitors.kinds.attribution.evaluation",
    columns=lambda signature, baseline: [one.name for one in signature.inputs],
    needs_model=True,
    needs="the reference needs a model to ask; name one",
    violations_version="1.0",
    namespace=NAMESPACE,
    # SageMaker's feature_… are values, not the shares that are compared.
    series=MetricSeries(prefix="attribution_"),
    metrics=(
        MetricSpec(
            "ndcg",
            "NDCG",
            "how well the reference's ranking of features still holds; 1 is the same ranking",
        ),
        MetricSpec("level", "sum of all attributions"),
        MetricSpec("attribution_ndcg", "NDCG of the features' ranking"),
        MetricSpec("attribution_level", "sum of all attributions"),
    ),
    headline_metrics=("ndcg", "shap"),
    panels=("attribution",),
    default_alarms=(
        {
            "title": "attribution",
            "alarm_description": "The model decides by other features than in the reference.",
            "metric_name": "violations",
            "severity": "ticket",
            "treat_missing_data": "ignore",
        },
    ),
    is_deployable=lambda roles, has_model: has_model,
)
