"""Names of metrics in words: what an alarm looks at, and what a monitor measures."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from driftline.dashboard.words import CHECKS, number

OPERATORS = {
    "GreaterThanOrEqualToThreshold": "≥",
    "GreaterThanThreshold": ">",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "≤",
    "LessThanLowerOrGreaterThanUpperThreshold": "outside of its band",
    "LessThanLowerThreshold": "below its band",
    "GreaterThanUpperThreshold": "above its band",
}

OWN = {
    "violations": "violations",
    "pages": "violations that page",
    "tickets": "violations that make tickets",
    "expected_violations": "violations that somebody expected",
    "drifted_features": "columns that drifted",
    "max_drift_ratio": "greatest drift ÷ bound",
    "rows": "rows judged",
    "labelled_rows": "rows with a label",
    "unfit_labels": "rows whose label does not fit the label's type",
    "stray_labels": "labels for a row that their request does not have",
    "requests": "requests judged",
    "late_requests": "requests that came late",
    "unparsed_requests": "requests that could not be read",
    "decoder_faults": "requests not decoded by a fault of the decoder",
    "failed_requests": "requests that the model failed",
    "failed": "windows that could not be judged",
    "outliers": "outliers among the rows",
    "outlier_share": "share of outliers among the rows",
}
"""Our own metrics, namespace ``Driftline``."""

COLUMNS = {
    "feature_baseline_drift_": "distance of {} from the reference",
    "feature_non_null_": "share of rows with a value of {}",
    "feature_data_": "values of {}",
}
"""SageMaker's metrics of a column, namespace ``aws/sagemaker/Endpoints/data-metrics``."""

TITLES = {
    "auc": "AUC",
    "f0_5": "F0.5",
    "f1": "F1",
    "f2": "F2",
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "brier": "Brier score",
    "brier_skill": "Brier skill",
    "ece": "calibration error",
    "log_loss": "log loss",
    "ndcg": "NDCG",
    "level": "sum of all attributions",
    "attribution_ndcg": "NDCG of the features' ranking",
    "attribution_level": "sum of all attributions",
    "outlier_share": "share of outliers among the rows",
    "correlation": "correlation",
    "reconstruction_error": "error of rebuilt rows, over the reference's",
    "domain_auc": "AUC of telling the window from the reference",
    "prediction_drift": "drift of the answers",
    "embedding_drift": "drift of the embedding",
    "text_drift": "drift of the text",
    "joint_correlation_ratio": "strongest change of a correlation, over its bound",
    "joint_reconstruction_error": "error of rebuilt rows, over the reference's",
    "joint_domain_auc": "AUC of telling the window from the reference",
    "joint_share_ratio": "strongest change of an answer, embedding or text, over its bound",
    "DPPL": "difference in positive predictions",
    "DI": "disparate impact",
    "CDDPL": "conditional disparity of predictions",
    "DPL": "difference in positive labels",
    "CI": "class imbalance",
    "CDDL": "conditional disparity of labels",
    "RD": "recall difference",
    "SD": "specificity difference",
    "AD": "accuracy difference",
    "DAR": "acceptance rate difference",
    "DRR": "rejection rate difference",
    "DCA": "conditional acceptance",
    "DCAcc": "conditional acceptance",
    "DCR": "conditional rejection",
    "TE": "treatment equality",
    "GE": "generalised entropy",
    "FT": "flip test",
    "JS": "Jensen-Shannon divergence",
    "KL": "Kullback-Leibler divergence",
    "KS": "Kolmogorov-Smirnov distance",
    "LP": "Lp norm",
    "TVD": "total variation distance",
}
"""SageMaker's names of metrics that do not say by themselves what they mean."""

RIVALS = ("_best_constant_classifier", "_majority_classifier")
"""What SageMaker compares a model with: the end of such a metric's name."""

MEANINGS = {
    "auc": "the chance that a positive case gets a higher score than a negative one",
    "accuracy": "share of predictions that are right",
    "precision": "share of positive predictions that are right",
    "recall": "share of positive cases that are found",
    "brier": "mean squared distance of the probability from what happened; 0 is best",
    "brier_skill": "gain over always predicting the reference's rate; 1 is best, 0 is no gain",
    "DPPL": "share of positive predictions among all others, less the group's own; 0 is parity",
    "DI": "the group's share of positive predictions over that of all others; 1 is parity",
    "RD": "recall among all others less the group's; above 0 the group's cases are missed more",
    "AD": "accuracy among all others less the group's; above 0 the model errs more on the group",
    "ndcg": "how well the reference's ranking of features still holds; 1 is the same ranking",
}
"""What a metric measures, in a sentence, for whoever points at its name."""


def limit_words(operator: str, threshold: float | None) -> str:
    """Say when a value breaches: ``> 0.5``, or how it lies to its band."""
    words = OPERATORS[operator]
    return words if threshold is None else f"{words} {number(threshold)}"


def metric_words(name: str, dimensions: Mapping[str, str] | None = None) -> str:
    """Say in words what a metric counts; a name that is not known stays as it is.

    Names of features are percent-encoded in metrics where CloudWatch would not take them.
    """
    if name in OWN:
        return OWN[name]
    check = name.removeprefix("violations_")
    if check != name:
        return f"violations: {CHECKS.get(check, check)}"
    for prefix, words in COLUMNS.items():
        if name.startswith(prefix):
            return words.format(unquote(name.removeprefix(prefix)))
    where = dimensions or {}
    if name.startswith("bias_metric_"):
        group = "=".join(where[key] for key in ("Facet", "FacetValue") if key in where)
        words = title_of(name.removeprefix("bias_metric_"))
        return f"{words} of {group}" if group else words
    if name.startswith("feature_") and "ExplainabilityMethod" in where:
        return f"attribution of {unquote(name.removeprefix('feature_'))}"
    return title_of(name)


def title_of(name: str) -> str:
    """Name one measured metric as people do."""
    if name.startswith("share_"):
        return f"attribution of {name.removeprefix('share_')}"
    for suffix in RIVALS:
        if name.endswith(suffix):
            return f"{title_of(name.removesuffix(suffix))}, {suffix.replace('_', ' ').strip()}"
    return TITLES.get(name) or name.replace("_", " ")
