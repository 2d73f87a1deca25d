"""The kind "bias" as one value: what it reads, publishes and shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from driftline.monitors.kind import ONE_OF_FOUR, Kind, MetricSeries, MetricSpec, answer_columns
from driftline.roles import Roles
from driftline.signature import Signature

if TYPE_CHECKING:
    # Heavy, and only for types.
    from driftline.baseline.store import Baseline

NAMESPACE = "aws/sagemaker/Endpoints/bias-metrics"


def _columns(signature: Signature, baseline: Baseline) -> list[str]:
    """Return the captured columns that are counted, and the flip test's features."""
    near = None if baseline.outcomes is None else baseline.outcomes.neighbours
    return answer_columns(signature, baseline, *(() if near is None else near.column_names))


def _is_deployable(roles: Roles, has_model: bool) -> bool:
    return bool(roles.facets) and (roles.has_predictions or roles.label is not None)


KIND = Kind(
    name="bias",
    evaluation="driftline.monitors.kinds.bias.evaluation",
    compat_evaluation="driftline.monitors.sagemaker.bias",
    columns=_columns,
    uses_labels=True,
    needs_positive=True,
    needs="the reference needs groups to compare and answers; name a facet, and a label "
    "or a prediction",
    violations_version="1.0",
    namespace=NAMESPACE,
    series=MetricSeries(NAMESPACE, "bias_metric_", has_label=False),
    metrics=(
        MetricSpec(
            "DPPL",
            "difference in positive predictions",
            "share of positive predictions among all others, less the group's own; 0 is parity",
        ),
        MetricSpec(
            "DI",
            "disparate impact",
            "the group's share of positive predictions over that of all others; 1 is parity",
        ),
        MetricSpec("CDDPL", "conditional disparity of predictions"),
        MetricSpec("DPL", "difference in positive labels"),
        MetricSpec("CI", "class imbalance"),
        MetricSpec("CDDL", "conditional disparity of labels"),
        MetricSpec(
            "RD",
            "recall difference",
            "recall among all others less the group's; above 0 the group's cases are missed more",
        ),
        MetricSpec("SD", "specificity difference"),
        MetricSpec(
            "AD",
            "accuracy difference",
            "accuracy among all others less the group's; above 0 the model errs more on the group",
        ),
        MetricSpec("DAR", "acceptance rate difference"),
        MetricSpec("DRR", "rejection rate difference"),
        MetricSpec("DCA", "conditional acceptance"),
        MetricSpec("DCAcc", "conditional acceptance"),
        MetricSpec("DCR", "conditional rejection"),
        MetricSpec("TE", "treatment equality"),
        MetricSpec("GE", "generalised entropy"),
        MetricSpec(
            "FT",
            "flip test",
            "the group's rows that are refused where the nearest others are accepted, less those "
            "accepted where they are refused, as a share",
        ),
        MetricSpec("JS", "Jensen-Shannon divergence"),
        MetricSpec("KL", "Kullback-Leibler divergence"),
        MetricSpec("KS", "Kolmogorov-Smirnov distance"),
        MetricSpec("LP", "Lp norm"),
        MetricSpec("TVD", "total variation distance"),
    ),
    headline_metrics=("DPPL", "DI", "CDDPL", "DPL"),
    panels=("bias",),
    default_alarms=(
        {
            "title": "bias",
            "alarm_description": "Groups were treated more unequally than in the reference in one "
            "of the last four windows.",
            "metric_name": "violations",
            "severity": "ticket",
            **ONE_OF_FOUR,
            "treat_missing_data": "ignore",
        },
    ),
    is_deployable=_is_deployable,
)
