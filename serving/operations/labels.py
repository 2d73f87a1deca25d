"""Operations on ground truth: labels of captured rows, as they become known."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Annotated

import pyarrow as pa
from fastapi import Query, Request
from pydantic import Field

from driftline.baseline import versions as baselines
from driftline.capture.labels.files import read_label_body
from driftline.capture.labels.labelling import Labels
from driftline.capture.labels.labels import LABEL_SCHEMA, LabelCounts, put
from driftline.capture.labels.records import LabelNames
from driftline.capture.labels.report import LabelReport, label_report
from driftline.database.engine import read_connection
from driftline.monitors.kind import find_kind
from driftline.monitors.run.captured_window import labels_of
from driftline.serving.bodies.media_types import TEXT_TYPES, text_form
from driftline.serving.context import ServerContext
from driftline.serving.known import known_endpoint
from driftline.serving.operations.captures import Endpoint
from driftline.serving.operations.registry import RawBody, operation
from driftline.serving.operations.services import Services
from driftline.serving.resources import store


@dataclass(frozen=True, kw_only=True)
class EndpointLabels(LabelReport):
    """The label coverage of an endpoint, and the type of its labels."""

    endpoint: str
    type: str | None


@operation(
    "POST /endpoints/{name}/truth", role="ingest", of="name",
    takes=(*TEXT_TYPES.values(),),
)  # fmt: skip
def put_truth(
    services: Services,
    name: Endpoint,
    request: Request,
    body: RawBody,
    label: Annotated[str, Query(min_length=1, description="The column with the label.")] = "label",
    identity: Annotated[
        str | None,
        Query(
            alias="id", min_length=1, description="The column with the event id or inference id."
        ),
    ] = None,
    row_index: Annotated[
        str, Query(min_length=1, description="The column with the row's place in its request.")
    ] = "row_index",
) -> LabelCounts:
    """Store the labels of a body, all or none; of several for one row the last one counts.

    application/jsonlines: records of SageMaker (groundTruthData, eventMetadata.eventId), or
    objects with id, label and perhaps row_index. application/json: a list of those. text/csv: a
    header that names such columns. id is an event id or inference id; the parameters give other
    names.
    """
    form = text_form(request.headers.get("content-type", ""))
    endpoint = known_endpoint(services.context, name)
    tables = read_label_body(body, form, LabelNames(identity, label, row_index))
    labels = pa.concat_tables([LABEL_SCHEMA.empty_table(), *tables])
    return put(services.context.root, endpoint, labels, services.context.now)


@operation(
    "GET /endpoints/{name}/truth", role="viewer", of="name", command="truth report",
)  # fmt: skip
def truth_report(
    services: Services,
    name: Endpoint,
    first: Annotated[
        date | None, Field(alias="from", description="First day to list; else all.")
    ] = None,
    last: Annotated[
        date | None, Field(alias="to", description="Last day to list; else all.")
    ] = None,
) -> EndpointLabels:
    """Show how labels and captured rows fit: coverage by day, delays, what fits nothing.

    Labels whose id nothing that was captured has so far, rows with different labels, labels for
    rows that a request does not have, requests that are labelled in part.

    Example: driftline truth report flights --from 2026-01-01
    """
    endpoint = known_endpoint(services.context, name)
    labels = _labels(services.context, endpoint)
    kind, are_amounts = (labels.type, labels.are_amounts) if labels else (None, False)
    found = label_report(
        services.context.root, endpoint, kind, are_amounts=are_amounts, first=first, last=last
    )
    return EndpointLabels(**asdict(found), endpoint=endpoint, type=kind)


def _labels(context: ServerContext, endpoint: str) -> Labels | None:
    """Return how monitors of an endpoint read labels; None when none of them does."""
    with read_connection(context.engine) as connection:
        monitors = [
            row.spec["baseline"]
            for row in store.list_kind(connection, "Monitor")
            if (kind := find_kind(row.spec["kind"])) is not None
            and kind.uses_labels
            and str(row.spec["endpoint"]).casefold() == endpoint.casefold()
        ]
        found = [store.find(connection, "Baseline", name) for name in monitors]
    for row in found:
        if row is not None and row.made:
            baseline = baselines.get(context.root, row.name, row.made["version"])
            labels = labels_of(baseline)
            if labels is not None:
                return labels
    return None
