"""The route that KServe's inference logger sends to: ``POST /v1/cloudevents``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from driftline.capture.events.cloudevents import Event, read_events
from driftline.capture.events.pairing import Expected, Outcome, Pairing
from driftline.capture.tap.target import CaptureTarget, is_name
from driftline.database.disconnects import is_disconnect
from driftline.database.engine import read_connection
from driftline.errors import InputError, UnavailableError
from driftline.serving.api.undeclared import UndeclaredEndpoints
from driftline.serving.authorization import require_endpoint
from driftline.serving.context import ServerContext
from driftline.serving.resources import store

log = logging.getLogger(__name__)

COUNTED = {
    "events": "Cloud events that were taken.",
    "known": "Cloud events that had come before.",
    "stored": "Records written of cloud events.",
    "dropped": "Records of cloud events that were lost, and are counted as gaps.",
    "unpaired": "Records that were written alone, for their other half did not come.",
}
_SWEEP_S = 5.0


def router(context: ServerContext, pairing: Pairing, undeclared: UndeclaredEndpoints) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["capture"])

    @routes.post("/v1/cloudevents")
    async def receive(
        request: Request,
        endpoint: Annotated[str | None, Query(min_length=1)] = None,
        expect: Expected = "both",
    ) -> JSONResponse:
        """Record the inferences that KServe's logger tells of; set it as the logger's url.

        Takes CloudEvents of type org.kubeflow.serving.inference.request and .response, in binary,
        structured or batched mode. The two of one id become one record of the endpoint that is
        named as the InferenceService, or as the parameter endpoint says. A half whose other half
        does not come within ten minutes is recorded alone; expect=request or expect=response, for
        loggers of that mode, records each at once. 2xx: it is safe, also from a kill; 503: the disk
        takes nothing, or it was dropped and counted; 409: too many endpoints were begun that nobody
        declared.
        """
        body = await request.body()
        headers = {name.lower(): value for name, value in request.headers.items()}

        def store_events() -> list[Outcome]:
            events = [
                (event, _target(context, undeclared, endpoint or event.service))
                for event in read_events(headers, body)
            ]
            return _receive(pairing, events, expect)

        outcomes = await run_in_threadpool(store_events)
        if "dropped" in outcomes:
            raise UnavailableError("dropped and counted: the spool takes nothing now")
        return JSONResponse({"events": len(outcomes), "outcomes": outcomes})

    return routes


async def sweep_for_ever(pairing: Pairing) -> None:
    """Record alone what has waited too long, every few seconds, until cancelled."""
    while True:
        try:
            await asyncio.to_thread(pairing.sweep)
        except (OSError, UnavailableError) as error:
            log.warning("cloud events that wait are not looked through error=%s", error)
        await asyncio.sleep(_SWEEP_S)


def _receive(
    pairing: Pairing, events: Sequence[tuple[Event, CaptureTarget]], expect: Expected
) -> list[Outcome]:
    try:
        return pairing.receive(events, expect)
    except OSError as error:
        raise UnavailableError(
            f"cloud events: the disk takes nothing ({error.strerror})"
        ) from error


def _target(context: ServerContext, undeclared: UndeclaredEndpoints, name: str) -> CaptureTarget:
    """Return what an event is recorded as, by the endpoint's spelling and rules if declared."""
    if not is_name(name):
        raise InputError(
            f'cloud event: inferenceservicename "{name[:80]}" names no endpoint; expected up to 63 '
            "letters, digits and inner hyphens, or ?endpoint=NAME in the logger's url"
        )
    require_endpoint(name)
    try:
        with read_connection(context.engine) as connection:
            found = store.find(connection, "Endpoint", name)
    except SQLAlchemyError as error:
        if not is_disconnect(error):
            raise
        raise UnavailableError("cloud events: the database does not answer") from error
    if found is None:
        undeclared.admit(name)
        return CaptureTarget(name)
    spec = found.spec
    return CaptureTarget(
        found.name,
        variant=spec["variant"],
        model=spec["model"] or "",
        trust_event_time=spec["trust_event_time"],
    )
