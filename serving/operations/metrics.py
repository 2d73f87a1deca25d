"""Operations on metrics: put datapoints, list metrics, ask for statistics, metrics and math."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Header
from pydantic import BeforeValidator, Field
from sqlalchemy import Connection

from driftline.alerts.documents import iso
from driftline.alerts.math import data
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery, read_dimensions
from driftline.alerts.math.reading import fetch_from
from driftline.alerts.metrics import questions
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.putdata import digest_of, read_put
from driftline.errors import InputError
from driftline.formats.json.parsing import fault_of
from driftline.serving.http.responses import TooLargeError, is_packing, unpacked
from driftline.serving.operations.registry import JSON, Json, Page, Paging, RawBody, Time, operation
from driftline.serving.operations.services import Services
from driftline.validation import require_unicode

# PutMetricData: 1 MB as sent; what it may become when it was packed is bounded, too.
_BODY_MAX = 1 << 20
_INFLATED_MAX = 10 << 20

Dimensions = Annotated[
    Mapping[str, str], BeforeValidator(lambda given: read_dimensions(given, "the request"))
]


@dataclass(frozen=True)
class ListedMetric:
    """One metric."""

    namespace: str
    metric_name: str
    dimensions: Mapping[str, str]


@operation("POST /metrics", role="ingest", takes=(JSON,))
def put_metrics(
    services: Services,
    body: RawBody,
    content_encoding: Annotated[str, Header(description="gzip, or none.")] = "",
    idempotency_key: Annotated[
        str | None, Header(description="Of the call: a repeated one adds nothing.")
    ] = None,
) -> Json:
    """Add datapoints as PutMetricData does; a repeated call under one id adds them once.

    The body is PutMetricData's, at most 1 MB, packed or not; the id stands in the header
    ``Idempotency-Key`` and is known for an hour. Another body
    under that id is refused with 409.
    """
    if len(body) > _BODY_MAX:
        raise TooLargeError(f"the body has {len(body)} bytes; expected {_BODY_MAX} or fewer")
    is_packed = is_packing(content_encoding)
    text = unpacked(body, content_encoding, _INFLATED_MAX) if is_packed else body
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is no JSON ({fault_of(error)}); expected an object") from error
    require_unicode(found, "body")
    now = services.context.now()
    points = read_put(found, now)
    with services.context.engine.begin() as connection:
        count = add(connection, points, idempotency_key, digest=digest_of(found), now=now)
    return {"stored": count}  # 0 where the same call came before.


@operation(
    "GET /metrics", role="viewer", command="metric list",
    columns="namespace metric_name dimensions",
)  # fmt: skip
def metrics(
    services: Services,
    connection: Connection,
    page: Paging,
    namespace: Annotated[str | None, "Only metrics of this namespace."] = None,
    name: Annotated[str | None, "Only metrics of this name."] = None,
    dimension: Annotated[
        Sequence[str],
        Field(
            max_length=10,
            description="NAME or NAME=VALUE; all that are given must be there; repeatable.",
        ),
    ] = (),
    recently_active: Annotated[
        Literal["PT3H"] | None, "Only metrics with data in the last three hours."
    ] = None,
) -> Page[ListedMetric]:
    """List metrics that had data in the last two weeks, as ListMetrics does.

    Example: driftline metric list --namespace AWS/SageMaker --dimension EndpointName=flights
    """
    wanted = [one.partition("=") for one in dimension]
    found = questions.aws_metrics(
        connection, services.context.now(), namespace=namespace, name=name,
        dimensions=[(key, value if sign else None) for key, sign, value in wanted],
        only_recent=recently_active is not None, next_token=page.next_token, limit=page.limit,
    )  # fmt: skip
    items = [ListedMetric(one.namespace, one.name, one.dimensions) for one in found.metrics]
    return Page(items, found.next_token)


@operation("POST /metrics/data", role="viewer")
def get_metric_data(
    services: Services,
    connection: Connection,
    metric_data_queries: Annotated[list[dict[str, Any]], "Up to 500 metrics and expressions."],
    start_time: Annotated[Time, "Begin here; included."],
    end_time: Annotated[Time, "End here; left out."],
    scan_by: Annotated[
        Literal["TimestampDescending", "TimestampAscending"], "Which points come first."
    ] = "TimestampDescending",
    max_datapoints: Annotated[int, "So many on one page."] = data.MOST_POINTS,
    next_token: Annotated[str | None, "`next_token` of the page before."] = None,
) -> data.MetricResults:
    """Return one page of metrics and metric math, as GetMetricData does."""
    request = data.DataRequest(
        queries=tuple(MetricQuery.from_dict(one) for one in metric_data_queries),
        start=start_time, end=end_time, is_newest_first=scan_by == "TimestampDescending",
        max_datapoints=max_datapoints, next_token=next_token,
    ).aligned(services.context.now())  # fmt: skip
    plan = Plan.of(request.queries)
    first, last = int(request.start.timestamp()), int(request.end.timestamp())
    is_banded = any(True for _ in plan.bands())
    band = services.bands.over(connection, plan, first, last) if is_banded else None
    return data.get_metric_data(request, fetch_from(connection, first, last), band)


@operation("POST /metrics/statistics", role="viewer", command="metric stats")
def metric_statistics(
    services: Services,
    connection: Connection,
    namespace: str,
    metric_name: str,
    start_time: Annotated[Time, "Begin here; included, and rounded down."],
    end_time: Annotated[Time, "End here; left out."],
    period: Annotated[int, "Seconds."] = 60,
    statistics: Annotated[Sequence[str], Field(max_length=5, description="Such as Average.")] = (),
    extended_statistics: Annotated[
        Sequence[str], Field(max_length=10, description="Such as p99.")
    ] = (),
    dimensions: Annotated[Dimensions | None, "All that the metric has."] = None,
    unit: Annotated[str | None, "Only datapoints of this unit."] = None,
) -> Json:
    """Return statistics of one metric, period by period and unit by unit.

    As GetMetricStatistics does; one statistic at least must be named.

    Example: driftline metric stats shop orders --start-time 3h --end-time 0m --statistic Sum
    """
    asked = questions.StatisticsRequest(
        namespace=namespace, name=metric_name, dimensions=dimensions or {}, start=start_time,
        end=end_time, period_s=period, statistics=[*statistics, *extended_statistics], unit=unit,
    )  # fmt: skip
    found = questions.metric_statistics(connection, asked, services.context.now())
    points = [{**one, "timestamp": iso(one["timestamp"])} for one in found]
    return {"label": metric_name, "datapoints": points}
