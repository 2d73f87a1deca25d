"""Names of metrics in words: what an alarm looks at, and what a monitor measures."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from driftline.dashboard.words import CHECKS, number
from driftline.monitors.kind import metric_spec

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

RIVALS = ("_best_constant_classifier", "_majority_classifier")
"""What SageMaker compares a model with: the end of such a metric's name."""


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
    return metric_spec(name).title or name.replace("_", " ")
