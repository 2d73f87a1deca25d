"""Display names of metrics and checks."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from driftline.monitors.kind import metric_spec
from driftline.monitors.report.datapoints import CHECKS, OTHER_CHECKS, OWN

COLUMNS = {
    "feature_baseline_drift_": "distance of {} from the reference",
    "feature_non_null_": "share of rows with a value of {}",
    "feature_data_": "values of {}",
}
"""SageMaker's metrics of a column, namespace ``aws/sagemaker/Endpoints/data-metrics``."""

RIVALS = ("_best_constant_classifier", "_majority_classifier")
"""What SageMaker compares a model with: the end of such a metric's name."""


def check_words(check: str) -> str:
    """Return the display name of a check; an unknown one stays as it is."""
    return CHECKS.get(check) or OTHER_CHECKS.get(check, check)


def metric_words(name: str, dimensions: Mapping[str, str] | None = None) -> str:
    """Return the words for a metric; an unknown name stays as it is.

    Feature names are percent-encoded in metrics where CloudWatch would not take them.
    """
    if name in OWN:
        return OWN[name]
    check = name.removeprefix("violations_")
    if check != name:
        return f"violations: {check_words(check)}"
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
    """Return the display name of a metric."""
    if name.startswith("share_"):
        return f"attribution of {name.removeprefix('share_')}"
    if name.startswith("estimated_"):
        return f"estimated {title_of(name.removeprefix('estimated_'))}"
    for suffix in RIVALS:
        if name.endswith(suffix):
            return f"{title_of(name.removesuffix(suffix))}, {suffix.replace('_', ' ').strip()}"
    return metric_spec(name).title or name.replace("_", " ")
