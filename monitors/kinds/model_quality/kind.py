"""The kind "model-quality" as one value: what it reads, publishes and shows."""

from __future__ import annotations

from driftline.baseline.store import Baseline
from driftline.monitors.kind import ONE_OF_FOUR, Kind, MetricSeries, MetricSpec, answer_columns
from driftline.signature import Signature

NAMESPACE = "aws/sagemaker/Endpoints/model-metrics"


def _columns(signature: Signature, baseline: Baseline) -> list[str]:
    """Return columns of predictions, texts (to locate losses) and inputs (for estimates)."""
    texts = [one.name for one in signature.inputs if one.type in ("string", "bool")]
    inputs = () if baseline.estimation is None else baseline.estimation.cells
    return answer_columns(signature, baseline, *texts, *inputs)


KIND = Kind(
    name="model-quality",
    evaluation="driftline.monitors.kinds.model_quality.evaluation",
    compat_evaluation="driftline.monitors.kinds.model_quality.evaluation",
    columns=_columns,
    uses_labels=True,
    needs_labels=True,
    reads_timestamp=True,
    needs="the reference needs the true answer and the model's; name a label and "
    "a prediction or probability",
    namespace=NAMESPACE,
    series=MetricSeries(NAMESPACE),
    metrics=(
        MetricSpec(
            "auc", "AUC", "the chance that a positive case gets a higher score than a negative one"
        ),
        MetricSpec("accuracy", meaning="share of predictions that are right"),
        MetricSpec("precision", meaning="share of positive predictions that are right"),
        MetricSpec("recall", meaning="share of positive cases that are found"),
        MetricSpec("f0_5", "F0.5"),
        MetricSpec("f1", "F1"),
        MetricSpec("f2", "F2"),
        MetricSpec("mae", "mean absolute error"),
        MetricSpec("mse", "mean squared error"),
        MetricSpec("rmse", "root mean squared error"),
        MetricSpec("r2", "R²"),
        MetricSpec(
            "brier",
            "Brier score",
            "mean squared distance of the probability from what happened; 0 is best",
        ),
        MetricSpec(
            "brier_skill",
            "Brier skill",
            "gain over always predicting the reference's rate; 1 is best, 0 is no gain",
        ),
        MetricSpec("ece", "calibration error"),
        MetricSpec("macro_precision", "macro precision", "mean of the classes' precision"),
        MetricSpec("macro_recall", "macro recall", "mean of the classes' recall"),
        MetricSpec("macro_f1", "macro F1", "mean of the classes' F1"),
        MetricSpec("macro_auc", "macro AUC", "mean of the classes' AUC, each against all others"),
        MetricSpec("weighted_auc", "weighted AUC", "the same, by each class's share of the labels"),
        MetricSpec("mape", "MAPE", "mean of |error| / |label|; 0.1 is 10%"),
        MetricSpec("smape", "sMAPE", "mean of 2 |error| / (|label| + |prediction|)"),
        MetricSpec("median_absolute_error", "median absolute error"),
        MetricSpec("cost", "mean cost", "what a row costs on average, by your prices"),
        MetricSpec("max_error", "largest error"),
        MetricSpec(
            "mean_error", "bias", "mean of prediction - label; above 0 it predicts too much"
        ),
        MetricSpec("log_loss", "log loss"),
        MetricSpec(
            "pinball_loss", "pinball loss", "mean loss of quantiles, each by its level; 0 is best"
        ),
        MetricSpec("coverage", meaning="share of labels at or below the quantile of this level"),
        MetricSpec(
            "interval_coverage", "interval coverage", "share of labels within the central interval"
        ),
        MetricSpec("interval_width", "interval width", "mean width of the central interval"),
    ),
    headline_metrics=("auc", "accuracy", "rmse", "mae", "weighted_f1", "f1"),
    panels=("quality",),
    default_alarms=(
        {
            "title": "loss of quality",
            "alarm_description": "Measured against the labels, the model had lost its skill in one "
            "of the last four windows.",
            "metric_name": "pages",
            "severity": "page",
            **ONE_OF_FOUR,
            "treat_missing_data": "ignore",
        },
    ),
    is_deployable=lambda roles, has_model: roles.label is not None and roles.has_predictions,
)
