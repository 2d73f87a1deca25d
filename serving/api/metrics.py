"""Routes of metrics: put datapoints, list metrics, ask for statistics, metrics and metric math."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, Field, model_validator
from starlette.concurrency import run_in_threadpool

from driftline.alerts.documents import snake
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.math.data import MOST_POINTS, DataRequest, get_metric_data
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery, read_dimensions
from driftline.alerts.math.reading import fetch_from
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.putdata import digest_of, read_put
from driftline.alerts.metrics.questions import (
    PAGE_MAX,
    StatisticsRequest,
    aws_metrics,
    metric_statistics,
)
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.formats.json.parsing import fault_of
from driftline.serving.api.requests import Fields, Limit, PageToken, in_utc
from driftline.serving.bodies.media_types import UnsupportedMediaError
from driftline.serving.context import ServerContext
from driftline.serving.http.responses import TooLargeError
from driftline.validation import require_unicode

# PutMetricData: 1 MB as sent; what it may become when it was deflated is bounded, too.
_BODY_MAX = 1 << 20
_INFLATED_MAX = 10 << 20
# botocore writes the id of a call into the first header, and the same one when it tries again.
_REQUEST_IDS = ("amz-sdk-invocation-id", "idempotency-key")


class AwsFields(Fields):
    """Fields of AWS in snake case; its camel case and its list of dimensions are taken as well."""

    @model_validator(mode="before")
    @classmethod
    def in_snake_case(cls, given: object) -> object:
        """Write AWS's names in snake case."""
        if not isinstance(given, Mapping):
            return given
        found = {snake(str(key)): value for key, value in given.items()}
        if isinstance(found.get("dimensions"), list):
            found["dimensions"] = read_dimensions(found["dimensions"], "the request")
        return found


class StatisticsAsked(AwsFields):
    """What GetMetricStatistics asks."""

    namespace: str
    metric_name: str
    dimensions: dict[str, str] = Field(default_factory=dict)
    start_time: AwareDatetime
    end_time: AwareDatetime
    period: int
    statistics: list[str] = Field(default_factory=list, max_length=5)
    extended_statistics: list[str] = Field(default_factory=list, max_length=10)
    unit: str | None = None


class DataAsked(AwsFields):
    """What GetMetricData asks."""

    metric_data_queries: list[dict[str, Any]]
    start_time: AwareDatetime
    end_time: AwareDatetime
    scan_by: Literal["TimestampDescending", "TimestampAscending"] = "TimestampDescending"
    max_datapoints: int = MOST_POINTS
    next_token: str | None = None


def router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["metrics"])

    @routes.post("/metrics")
    async def put_metrics(request: Request) -> dict[str, int]:
        """Add datapoints as PutMetricData does; a repeated call under one id adds them once.

        The body is PutMetricData's, at most 1 MB, gzip allowed; the id stands in the header
        ``Idempotency-Key`` or ``amz-sdk-invocation-id`` and is known for an hour. Another body
        under that id is refused with 409.
        """
        body = _inflated(await request.body(), request.headers.get("content-encoding", ""))
        named = (request.headers.get(name) for name in _REQUEST_IDS)
        request_id = next((one for one in named if one), None)
        return {"stored": await run_in_threadpool(_put, context, body, request_id)}

    @routes.get("/metrics")
    def list_metrics(
        namespace: str | None = None,
        name: str | None = None,
        dimension: Annotated[list[str] | None, Query(max_length=10)] = None,
        recently_active: Literal["PT3H"] | None = None,
        limit: Limit = PAGE_MAX,
        next_token: PageToken = None,
    ) -> dict[str, Any]:
        """List metrics that had data in the last two weeks, as ListMetrics does.

        A ``dimension`` is ``NAME`` or ``NAME=VALUE``; all that are given must be there.
        """
        wanted = [one.partition("=") for one in dimension or ()]
        with read_connection(context.engine) as connection:
            page = aws_metrics(
                connection,
                context.now(),
                namespace=namespace,
                name=name,
                dimensions=[(key, value if sign else None) for key, sign, value in wanted],
                only_recent=recently_active is not None,
                next_token=next_token,
                limit=limit,
            )
        items = [
            {"namespace": one.namespace, "metric_name": one.name, "dimensions": one.dimensions}
            for one in page.metrics
        ]
        return {"items": items, "next_token": page.next_token}

    _add_questions(routes, context)
    return routes


def _add_questions(routes: APIRouter, context: ServerContext) -> None:
    band_models = BandModels()

    @routes.post("/metrics/data")
    def metric_data(asked: DataAsked) -> dict[str, Any]:
        """Answer up to 500 queries, metrics and metric math, as GetMetricData does."""
        request = DataRequest(
            queries=tuple(MetricQuery.from_dict(one) for one in asked.metric_data_queries),
            start=in_utc(asked.start_time),
            end=in_utc(asked.end_time),
            is_newest_first=asked.scan_by == "TimestampDescending",
            max_datapoints=asked.max_datapoints,
            next_token=asked.next_token,
        ).aligned(context.now())
        plan = Plan.of(request.queries)
        first, last = int(request.start.timestamp()), int(request.end.timestamp())
        with read_connection(context.engine) as connection:
            band = None
            if any(True for _ in plan.bands()):
                band = band_models.over(connection, plan, first, last)
            page = get_metric_data(request, fetch_from(connection, first, last), band)
        return page.as_dict()

    @routes.post("/metrics/statistics")
    def statistics(asked: StatisticsAsked) -> dict[str, Any]:
        """Return statistics of one metric, period by period and unit by unit."""
        request = StatisticsRequest(
            namespace=asked.namespace,
            name=asked.metric_name,
            dimensions=asked.dimensions,
            start=in_utc(asked.start_time),
            end=in_utc(asked.end_time),
            period_s=asked.period,
            statistics=[*asked.statistics, *asked.extended_statistics],
            unit=asked.unit,
        )
        with read_connection(context.engine) as connection:
            return {
                "label": asked.metric_name,
                "datapoints": metric_statistics(connection, request, context.now()),
            }


def _put(context: ServerContext, body: bytes, request_id: str | None) -> int:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is no JSON ({fault_of(error)}); expected an object") from error
    require_unicode(found, "body")
    now = context.now()
    points = read_put(found, now)
    with context.engine.begin() as connection:
        return add(connection, points, request_id, digest=digest_of(found), now=now)


def _inflated(body: bytes, encoding: str) -> bytes:
    if len(body) > _BODY_MAX:
        raise TooLargeError(f"the body has {len(body)} bytes; expected {_BODY_MAX} or fewer")
    if encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() != "gzip":
        raise UnsupportedMediaError(f'Content-Encoding is "{encoding[:40]}"; expected gzip or none')
    reader = zlib.decompressobj(wbits=31)
    try:
        found = reader.decompress(body, _INFLATED_MAX)
    except zlib.error as error:
        raise InputError(f"the body is no gzip: {error}") from error
    if reader.unconsumed_tail:
        raise TooLargeError(f"the body inflates to more than {_INFLATED_MAX} bytes")
    if not reader.eof:
        raise InputError("the body is no gzip: it is cut off")
    if reader.unused_data:
        raise InputError("the body is one gzip and more; expected one, of the whole body")
    return found
