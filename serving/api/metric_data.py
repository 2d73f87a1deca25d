"""Route of GetMetricData: metrics and expressions over them, many at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import AwareDatetime, model_validator

from driftline.alerts.documents import snake
from driftline.alerts.math.band_models import BandModels
from driftline.alerts.math.data import MOST_POINTS, DataRequest, get_metric_data
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.reading import fetch_from
from driftline.database.engine import read_connection
from driftline.serving.api.requests import Fields, in_utc
from driftline.serving.context import ServerContext


class DataAsked(Fields):
    """GetMetricData's fields in snake case; AWS's camel case is taken as well."""

    metric_data_queries: list[dict[str, Any]]
    start_time: AwareDatetime
    end_time: AwareDatetime
    scan_by: Literal["TimestampDescending", "TimestampAscending"] = "TimestampDescending"
    max_datapoints: int = MOST_POINTS
    next_token: str | None = None

    @model_validator(mode="before")
    @classmethod
    def in_snake_case(cls, given: object) -> object:
        """Take AWS's names, too."""
        if not isinstance(given, Mapping):
            return given
        return {snake(str(key)): value for key, value in given.items()}


def router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["metrics"])
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

    return routes
