"""Routes of detectors of anomalies: put, describe, train again, delete; and a look at the band."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from driftline.alerts.documents import iso
from driftline.alerts.errors import DetectorError
from driftline.alerts.math.band_models import limits_of
from driftline.alerts.math.detector import Detector
from driftline.alerts.math.detectors import (
    DetectorRecord,
    ModelRecord,
    delete_detector,
    get_detector,
    list_detectors,
    put_detector,
    train_again,
)
from driftline.alerts.math.plan import Plan
from driftline.alerts.math.reading import fetch_from
from driftline.alerts.math.series import Series, Span
from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.serving.api.requests import PAGE, Limit, PageToken, in_utc, page_of
from driftline.serving.context import ServerContext

_DAY = timedelta(days=1)
_MOST_PERIODS = 20_000
_FIRST_DAY = datetime(1, 1, 2, tzinfo=UTC)


def router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["detectors"])

    @routes.post("/detectors")
    def put(given: dict[str, Any]) -> dict[str, Any]:
        """Put a detector, in PutAnomalyDetector's form; it is trained within seconds."""
        detector = Detector.from_dict(given)
        with context.engine.begin() as connection:
            return put_detector(connection, detector, context.now()).as_dict()

    @routes.get("/detectors")
    def list_all(
        namespace: str | None = None,
        metric_name: str | None = None,
        limit: Limit = PAGE,
        next_token: PageToken = None,
    ) -> dict[str, Any]:
        """List detectors by id, all or those that look at a metric."""
        (after,) = place_of(next_token, str) or ("",)
        with read_connection(context.engine) as connection:
            known = list_detectors(connection, namespace=namespace, metric_name=metric_name)
        found = sorted((one for one in known if one.id > str(after)), key=lambda one: one.id)
        return page_of(found, limit, lambda one: (one.id,), DetectorRecord.as_dict)

    @routes.get("/detectors/{detector_id}")
    def describe(detector_id: str) -> dict[str, Any]:
        """Return one detector."""
        with read_connection(context.engine) as connection:
            return get_detector(connection, detector_id).as_dict()

    @routes.post("/detectors/{detector_id}/train")
    def train(detector_id: str) -> dict[str, Any]:
        """Have a detector trained again as soon as the alarms' process can."""
        with context.engine.begin() as connection:
            get_detector(connection, detector_id)
            train_again(connection, detector_id, context.now())
            return get_detector(connection, detector_id).as_dict()

    @routes.delete("/detectors/{detector_id}", status_code=204)
    def delete(detector_id: str) -> None:
        """Delete a detector; an alarm that needs it has it made again."""
        with context.engine.begin() as connection:
            delete_detector(connection, detector_id)

    _add_band(routes, context)
    return routes


def _add_band(routes: APIRouter, context: ServerContext) -> None:
    @routes.get("/detectors/{detector_id}/band")
    def band(
        detector_id: str,
        start: Annotated[AwareDatetime | None, Query(alias="from")] = None,
        end: Annotated[AwareDatetime | None, Query(alias="to")] = None,
        period: Annotated[int | None, Query(ge=60)] = None,
        deviations: Annotated[float, Query(gt=0, le=100)] = 2.0,
    ) -> dict[str, Any]:
        """Return a detector's values and its band beside them; by default of the last day."""
        until = context.now() if end is None else in_utc(end)
        since = max(until, _FIRST_DAY) - _DAY if start is None else in_utc(start)
        with read_connection(context.engine) as connection:
            record = get_detector(connection, detector_id)
            model = _model(record, period)
            span = _span(since, until, model.period_s)
            plan = Plan.of(record.subject.at(model.period_s))
            fetch = fetch_from(connection, span.start, span.end)
            (found,) = plan.run(fetch, span.start, span.end)
        upper, lower = limits_of(
            model.model, span.times(model.period_s), model.period_s, deviations
        )
        return {
            "period": model.period_s,
            "state_value": model.state,
            "values": _shown(found.series[0]),
            "lower": _shown(lower),
            "upper": _shown(upper),
        }


def _model(record: DetectorRecord, period: int | None) -> ModelRecord:
    for one in record.models:
        if period in (None, one.period_s):
            return one
    known = ", ".join(str(one.period_s) for one in record.models)
    raise DetectorError(f"period {period} s is not learnt; expected one of: {known}")


def _span(since: datetime, until: datetime, period_s: int) -> Span:
    start = int(since.timestamp()) // period_s * period_s
    end = int(until.timestamp())
    if not 0 < (end - start) // period_s <= _MOST_PERIODS:
        raise DetectorError(
            f"from {since.isoformat()} to {until.isoformat()}: {(end - start) // period_s} periods "
            f"of {period_s} s; expected 1 to {_MOST_PERIODS}"
        )
    return Span(start, end, period_s)


def _shown(series: Series) -> list[list[Any]]:
    return [
        [iso(datetime.fromtimestamp(time, UTC)), value] for time, value in series.as_dict().items()
    ]
