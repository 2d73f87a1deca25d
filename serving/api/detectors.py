"""Routes of detectors of anomalies: put, describe, delete."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from driftline.alerts.math.detector import Detector
from driftline.alerts.math.detectors import (
    DetectorRecord,
    delete_detector,
    get_detector,
    list_detectors,
    put_detector,
)
from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.serving.api.requests import PAGE, Limit, PageToken, page_of
from driftline.serving.context import ServerContext


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

    @routes.delete("/detectors/{detector_id}", status_code=204)
    def delete(detector_id: str) -> None:
        """Delete a detector; an alarm that needs it has it made again."""
        with context.engine.begin() as connection:
            delete_detector(connection, detector_id)

    return routes
