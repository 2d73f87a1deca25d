"""The metrics of an endpoint's variants, under CloudWatch's names: which there are, and lately."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.tables import metrics

LATELY = timedelta(hours=1)
_TRAFFIC, _INSTANCES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
# What is read of each variant: namespace, metric and statistics, by CloudWatch's names.
_READ = (
    (_TRAFFIC, "Invocations", ("Sum",)),
    (_TRAFFIC, "Invocation4XXErrors", ("Average",)),
    (_TRAFFIC, "Invocation5XXErrors", ("Average",)),
    (_TRAFFIC, "ModelLatency", ("p50", "p99")),
    (_TRAFFIC, "OverheadLatency", ("p99",)),
    (_INSTANCES, "CPUUtilization", ("Average",)),
    (_INSTANCES, "MemoryUtilization", ("Maximum",)),
    (_INSTANCES, "LoadedModelCount", ("Maximum",)),
)  # fmt: skip


def published_variants(connection: Connection, endpoint: str) -> list[str]:
    """Name the variants of which there are invocations, of any time that is kept."""
    table = metrics.c
    query = select(table.dimensions).where(table.namespace == _TRAFFIC, table.name == "Invocations")
    found = map(dict, connection.scalars(query))
    return sorted(
        one["VariantName"]
        for one in found
        if one.keys() == {"EndpointName", "VariantName"} and one["EndpointName"] == endpoint
    )


def last_hour(
    connection: Connection, endpoint: str, names: list[str], now: datetime
) -> dict[str, dict[tuple[str, str], float]]:
    """Read each variant's metrics of the last hour, by metric and statistic."""
    asked = [(name, *one) for name in names for one in _READ]
    requests = [
        SeriesRequest(
            metric_key(namespace, metric, {"EndpointName": endpoint, "VariantName": name}),
            now - LATELY, now, int(LATELY.total_seconds()), needs_distribution=True,
        )
        for name, namespace, metric, _ in asked
    ]  # fmt: skip
    found: dict[str, dict[tuple[str, str], float]] = {name: {} for name in names}
    answers = read_many(connection, requests)
    for (name, _, metric, statistics), summaries in zip(asked, answers, strict=True):
        for summary in summaries.values():
            for statistic in statistics:
                value = summary.get(statistic)
                if value is not None:
                    found[name][metric, statistic] = value
    return found
