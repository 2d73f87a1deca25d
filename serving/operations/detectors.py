"""Operations on detectors of anomalies."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body

from driftline.alerts.math import detectors as store
from driftline.alerts.math.detector import Detector
from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.serving.operations.registry import (
    PAGE,
    Limit,
    Page,
    PageToken,
    operation,
    page_of,
)
from driftline.serving.operations.services import Services

Id = Annotated[str, "The detector's id."]


@operation("POST /detectors", role="admin")
def put_detector(
    services: Services,
    document: Annotated[dict[str, Any], Body(description="PutAnomalyDetector's fields.")],
) -> store.DetectorRecord:
    """Put a detector, in PutAnomalyDetector's form; it is trained within seconds."""
    detector = Detector.from_dict(document)
    with services.context.engine.begin() as connection:
        return store.put_detector(connection, detector, services.context.now())


@operation("GET /detectors", role="viewer", command="detector list")
def detectors(
    services: Services,
    namespace: Annotated[str | None, "Only of metrics of this namespace."] = None,
    metric_name: Annotated[str | None, "Only of metrics of this name."] = None,
    limit: Limit = PAGE,
    next_token: PageToken = None,
) -> Page[store.DetectorRecord]:
    """List detectors by id, all or those that look at a metric.

    Example: driftline detector list
    """
    (after,) = place_of(next_token, str) or ("",)
    with read_connection(services.context.engine) as connection:
        known = store.list_detectors(connection, namespace=namespace, metric_name=metric_name)
    found = sorted((one for one in known if one.id > str(after)), key=lambda one: one.id)
    return page_of(found, limit, lambda one: (one.id,))


@operation("GET /detectors/{detector_id}", role="viewer", command="detector get")
def detector(services: Services, detector_id: Id) -> store.DetectorRecord:
    """Show one detector: what it watches, how it learns, what it has learnt.

    Example: driftline detector get 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    """
    with read_connection(services.context.engine) as connection:
        return store.get_detector(connection, detector_id)


@operation("DELETE /detectors/{detector_id}", role="admin", command="detector delete")
def delete_detector(services: Services, detector_id: Id) -> None:
    """Delete a detector; an alarm that needs it has it made again.

    Example: driftline detector delete 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    """
    with services.context.engine.begin() as connection:
        store.delete_detector(connection, detector_id)
