"""The kind "command" as one value: what it reads, publishes and shows."""

from __future__ import annotations

from driftline.monitors.kind import COMMAND, Kind, MetricSeries

# Where SageMaker publishes what the containers of its users write.
NAMESPACE = "aws/sagemaker/Endpoints/data-metrics"

KIND = Kind(
    name=COMMAND,
    evaluation="driftline.monitors.kinds.command.evaluation",
    uses_labels=True,
    namespace=NAMESPACE,
    series=MetricSeries(NAMESPACE),
)
