"""Invocations, answered at once or later by a file; and what the workers of an endpoint print."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Header, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from sqlalchemy import Connection, Engine, Insert, insert, select
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from driftline.errors import InputError, NotFoundError
from driftline.serving.asynchronous.dispatch import KEPT
from driftline.serving.asynchronous.outcome import AsyncStatus
from driftline.serving.bodies.media_types import MEDIA_TYPES
from driftline.serving.context import ServerContext
from driftline.serving.hosting.worker_output import LogLine, read_lines
from driftline.serving.http.invocations import require_supported
from driftline.serving.operations.registry import Json, Latest, Page, Time, operation
from driftline.serving.operations.services import Services
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import variants_and_shadows
from driftline.serving.tables import async_requests

# SageMaker's, in bytes and seconds.
_BODY_MAX = 128_000
_TTL_S = 21_600
_TIMEOUT_S = 900

_KEPT = ("x-amzn-sagemaker-custom-attributes", "x-amzn-sagemaker-target-variant")
# Those of an invocation, of which InvokeEndpointAsync has headers of its own.
_TYPES = ("content-type", "accept")


def _header(name: str, about: str, **limits: Any) -> Any:  # noqa: ANN401 - FastAPI's
    return Header(alias=f"x-amzn-sagemaker-{name}", description=about, **limits)


@dataclass(frozen=True)
class AsyncInvocation:
    """What came of an asynchronous invocation, or that it waits."""

    inference_id: str
    status: AsyncStatus
    failure_reason: str | None
    input_location: str | None
    output_location: str
    failure_location: str
    attempts: int
    received_at: datetime
    expires_at: datetime
    ended_at: datetime | None


@operation(
    "POST //endpoints/{name}/invocations", role="invoke", of="name",
    media=(*MEDIA_TYPES.values(),), takes=(*MEDIA_TYPES.values(),),
)  # fmt: skip
def invoke(services: Services, name: Annotated[str, "The endpoint's name."]) -> Response:
    """Answer rows by the endpoint's model, and capture both.

    `text/csv` (rows without header), `application/json` (`{"instances": […]}`, a list of rows, or
    one row) or `application/jsonlines`. The header `x-amzn-RequestId` of the answer is the event's
    id.
    """
    # serving/http/invocations.py answers, before any framework; but for a path with odd ends.
    raise NotFoundError(f'endpoint "{name[:80]}": expected the path /endpoints/NAME/invocations')


@operation(
    "POST //endpoints/{name}/async-invocations", role="invoke", status=202,
    of="name", takes=(*MEDIA_TYPES.values(),),
)  # fmt: skip
async def invoke_async(
    services: Services,
    name: Annotated[str, "The endpoint's name."],
    request: Request,
    location: Annotated[
        str | None,
        _header(
            "inputlocation",
            "A file in place of a body, as path or URI.",
            min_length=1,
            max_length=1024,
        ),
    ] = None,
    inference_id: Annotated[
        str | None,
        _header(
            "inference-id", "An id of your own for the request.", max_length=64, pattern=r"^[!-~]+$"
        ),
    ] = None,
    ttl_s: Annotated[
        int, _header("requestttlseconds", "Seconds that it may wait.", ge=60, le=_TTL_S)
    ] = _TTL_S,
    timeout_s: Annotated[
        int, _header("invocationtimeoutseconds", "Seconds that the model may take.", ge=1, le=3600)
    ] = _TIMEOUT_S,
) -> Annotated[Response, Json]:
    """Accept an invocation, of a body or of a file, and answer it later by a file.

    As InvokeEndpointAsync does: the headers of the answer say where it will lie.
    """
    context, body = services.context, await request.body()
    served = services.reconciler.served(name)
    desired = served.routes[0].desired
    config, endpoint = desired.answers_later, desired.endpoint
    if config is None:
        raise InputError(
            f'endpoint "{endpoint}" answers at once; ask its path /invocations, or apply it with '
            "async_inference_config"
        )
    require_supported(name for name, _ in request.headers.raw)
    _require_one_input(body, location)
    if location is not None:
        context.reach.check_object(location, endpoint)
    id_, now = str(uuid.uuid4()), context.lease_clock()
    inference_id = inference_id or id_
    answer, failure = _outputs(context, config["output_config"], id_)
    accepted = insert(async_requests).values(
        **config["output_config"]["notification_config"], variant=desired.name,
        id=id_, endpoint=endpoint, inference_id=inference_id, input_location=location,
        content=body or None, headers=_headers(request.headers), output_location=answer,
        failure_location=failure, timeout_s=timeout_s, received_at=now,
        expires_at=now + timedelta(seconds=ttl_s), status="Queued", next_attempt_at=now,
    )  # fmt: skip
    await run_in_threadpool(_store, context.engine, accepted)
    services.later.look()
    headers = {
        "x-amzn-sagemaker-outputlocation": answer, "x-amzn-sagemaker-failurelocation": failure
    }  # fmt: skip
    return JSONResponse({"InferenceId": inference_id}, 202, headers)


@operation(
    "GET /endpoints/{name}/async-invocations/{inference_id}", role="invoke",
    of="name",
)  # fmt: skip
def async_invocation(
    services: Services,
    connection: Connection,
    name: Annotated[str, "The endpoint's name."],
    inference_id: Annotated[str, "The id that the request was accepted with."],
) -> AsyncInvocation:
    """Return what came of an asynchronous invocation, or that it waits."""
    endpoint = services.reconciler.endpoint(name)
    known, table = name if endpoint is None else endpoint.name, async_requests.c
    newest = (
        select(async_requests)
        .where(table.endpoint == known, table.inference_id == inference_id)
        .order_by(table.received_at.desc())
        .limit(1)
    )
    found = connection.execute(newest).one_or_none()
    if found is None:
        raise NotFoundError(
            f'endpoint "{known}" has no asynchronous invocation "{inference_id[:64]}"; ended ones '
            f"are known for {KEPT.days} days"
        )
    return AsyncInvocation(
        **{one.name: getattr(found, one.name) for one in fields(AsyncInvocation)}
    )


def _headers(sent: Headers) -> dict[str, str]:
    """Return the headers of the invocation that an asynchronous one becomes."""
    found = {key: sent[key] for key in _KEPT if key in sent}
    for key in _TYPES:
        value = sent.get(f"x-amzn-sagemaker-{key}") or sent.get(key)
        if value is not None:
            found[key] = value
    return found


def _outputs(context: ServerContext, output: Mapping[str, Any], id_: str) -> tuple[str, str]:
    """Return the files of a request's answer and of its failure, which are within reach.

    With the id in their names, which nobody can choose, they replace no file that is there.
    """
    answers = output["s3_output_path"].rstrip("/")
    failures = (output["s3_failure_path"] or answers).rstrip("/")
    context.reach.check_output(answers)
    context.reach.check_output(failures)
    return f"{answers}/{id_}.out", f"{failures}/{id_}-error.out"


def _store(engine: Engine, accepted: Insert) -> None:
    with engine.begin() as connection:
        connection.execute(accepted)


def _require_one_input(body: bytes, location: str | None) -> None:
    if bool(body) == (location is not None):
        raise InputError(
            "expected either a body or the header X-Amzn-SageMaker-InputLocation, "
            f"and {'both are' if body else 'neither is'} given"
        )
    if len(body) > _BODY_MAX:
        raise InputError(
            f"the body has {len(body)} bytes, the limit is {_BODY_MAX}; put it into a file, "
            "and name that by X-Amzn-SageMaker-InputLocation"
        )


@operation("GET /logs", role="viewer", command="logs", of="endpoint")
def logs(
    services: Services,
    connection: Connection,
    page: Latest,
    endpoint: Annotated[str, Field(max_length=63, description="The endpoint's name.")],
    variant: Annotated[str | None, Field(max_length=63, description="Only its workers.")] = None,
    since: Annotated[Time | None, "Begin here; included."] = None,
    until: Annotated[Time | None, "End here; left out."] = None,
    order: Annotated[Literal["newest", "oldest"], "Which lines come first."] = "newest",
) -> Page[LogLine]:
    """List what the workers of an endpoint have printed, the newest line first.

    Lines that were printed on the machine of the server that answers; the oldest are deleted.

    Example: driftline logs flights --since 10m
    """
    after: Any = page.after(datetime, str)
    declared = store.get(connection, "Endpoint", endpoint)
    if variant is not None:
        _require_variant(declared, variant)
    found = read_lines(
        services.context.model_logs_of(declared.name), limit=page.count, variant=variant,
        since=since, until=until, after=after, newest_first=order == "newest",
    )  # fmt: skip
    return page.of(found, lambda one: (one.time, one.file))


def _require_variant(endpoint: store.Stored, variant: str) -> None:
    names = [one["variant_name"] for one in variants_and_shadows(endpoint.spec)]
    if variant.casefold() not in map(str.casefold, names):
        there = f"it has {', '.join(names)}" if names else "an app of its own answers for it"
        raise NotFoundError(f'Endpoint "{endpoint.name}" has no variant "{variant}"; {there}')
