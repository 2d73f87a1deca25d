"""The metrics of an endpoint's variants, under CloudWatch's names: which there are, and lately."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant: what the server says of it, and its metrics of the last hour.

    ``measured`` is by metric and statistic, as in ``("ModelLatency", "p99")``; what was not
    published is not in it.
    """

    name: str
    model: str = ""
    share: float | None = None  # Of the requests, 0 to 1; None where the server did not tell.
    worker_count: int | None = None
    is_shadow: bool = False
    problem: str | None = None
    is_new: bool = False  # Of two, while the endpoint is deployed.
    measured: Mapping[tuple[str, str], float] = field(default_factory=dict)


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


def hourly_invocations(
    connection: Connection, endpoint: str, names: Iterable[str], start: datetime, end: datetime
) -> dict[datetime, float]:
    """Return the invocations of variants, added up by hour, from a full hour on."""
    requests = [
        SeriesRequest(
            metric_key(_TRAFFIC, "Invocations", {"EndpointName": endpoint, "VariantName": name}),
            start, end, int(LATELY.total_seconds()),
        )
        for name in names
    ]  # fmt: skip
    found: dict[datetime, float] = {}
    for summaries in read_many(connection, requests):
        for place, summary in summaries.items():
            hour = start + place * LATELY
            found[hour] = found.get(hour, 0.0) + summary.sum
    return found


def told_variants(
    connection: Connection, endpoint: str, told: Iterable[Mapping[str, Any]], now: datetime
) -> tuple[Variant, ...]:
    """Return the variants that the server tells of, then those that only metrics know."""
    found = {
        (one["name"], one["is_new"]): Variant(
            one["name"], one["model"], one["share"], one["instance_count"], one["shadow"],
            one["problem"], one["is_new"],
        )
        for one in told
    }  # fmt: skip
    names = dict.fromkeys(name for name, _ in found)
    for name in published_variants(connection, endpoint):
        if name not in names:
            names[name] = None
            found[name, False] = Variant(name)
    measured = last_hour(connection, endpoint, list(names), now)
    return tuple(
        replace(one, measured=measured[one.name])
        for one in found.values()
        if one.share is not None or measured[one.name]
    )
