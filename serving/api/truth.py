"""Route of ground truth: labels of captured rows, as they become known."""

from __future__ import annotations

import threading
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from driftline.baseline import store as baselines
from driftline.capture.labels.files import read_label_body
from driftline.capture.labels.labelling import Labels
from driftline.capture.labels.labels import LABEL_SCHEMA, LabelCounts, put
from driftline.capture.labels.records import LabelNames
from driftline.capture.labels.report import label_report
from driftline.database.engine import read_connection
from driftline.formats.media_types import TextFormat
from driftline.monitors.kind import find_kind
from driftline.monitors.run.captured_window import labels_of
from driftline.serving.api.known import known_endpoint
from driftline.serving.bodies.media_types import text_form
from driftline.serving.context import ServerContext
from driftline.serving.resources import store


def router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["truth"])
    # Loads of one server wait for each other here rather than at the table.
    turn = threading.Lock()

    @routes.post("/endpoints/{name}/truth")
    async def load(
        name: str,
        request: Request,
        label: Annotated[str, Query(min_length=1)] = "label",
        identity: Annotated[str | None, Query(alias="id", min_length=1)] = None,
        row_index: Annotated[str, Query(min_length=1)] = "row_index",
    ) -> dict[str, Any]:
        """Store the labels of a body, all or none; of several for one row the last one counts.

        application/jsonlines: records of SageMaker (groundTruthData, eventMetadata.eventId), or
        objects with id, label and perhaps row_index. application/json: a list of those. text/csv: a
        header that names such columns. id is an event id or inference id; the parameters give other
        names.
        """
        form = text_form(request.headers.get("content-type", ""))
        names = LabelNames(identity, label, row_index)
        body = await request.body()
        endpoint = await run_in_threadpool(known_endpoint, context, name)

        def store_labels() -> LabelCounts:
            labels = _read(body, form, names)
            with turn:
                return put(context.root, endpoint, labels, context.now)

        return {"endpoint": endpoint, **asdict(await run_in_threadpool(store_labels))}

    @routes.get("/endpoints/{name}/truth")
    def report(
        name: str,
        first: Annotated[date | None, Query(alias="from")] = None,
        last: Annotated[date | None, Query(alias="to")] = None,
    ) -> dict[str, Any]:
        """Return how labels and captured rows fit together.

        Labels for nobody so far, two answers for one row, labels for rows that a request does not
        have, how late they are, and how much of each day of event time has labels.
        """
        endpoint = known_endpoint(context, name)
        labels = _labels(context, endpoint)
        kind, are_amounts = (labels.type, labels.are_amounts) if labels else (None, False)
        found = label_report(
            context.root, endpoint, kind, are_amounts=are_amounts, first=first, last=last
        )
        days = [
            asdict(day) | {"day": day.day.isoformat(), "share": day.share} for day in found.days
        ]
        since = found.unmatched_since
        shown = asdict(found) | {"days": days, "type": kind}
        return {
            "endpoint": endpoint,
            **shown,
            "unmatched_since": None if since is None else since.isoformat(),
        }

    return routes


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
        if row is not None:
            baseline = baselines.get(context.root, row.name, row.made["version"])
            labels = labels_of(baseline)
            if labels is not None:
                return labels
    return None


def _read(body: bytes, form: TextFormat, names: LabelNames) -> pa.Table:
    return pa.concat_tables([LABEL_SCHEMA.empty_table(), *read_label_body(body, form, names)])
