"""The operations as routes of FastAPI, which writes their OpenAPI document."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.params import Body, Query
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.routing import Match

from driftline.access.principal import CURRENT
from driftline.errors import InputError, NotFoundError
from driftline.loopback import Message, Scope
from driftline.serving.context import ServerContext
from driftline.serving.http.responses import answer_error, read_body, require_type
from driftline.serving.operations import areas  # noqa: F401 - registers all
from driftline.serving.operations.authorization import AuditLog, authorize
from driftline.serving.operations.registry import (
    JSON,
    OPERATIONS,
    Items,
    Operation,
    form_of,
    plain,
)
from driftline.serving.operations.services import Services
from driftline.validation import nearest

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ErrorDetail(BaseModel):
    """What went wrong, in a word for programs and in a sentence for people."""

    code: str
    message: str


class Error(BaseModel):
    """The one form of every error; of invocations SageMaker's members beside it."""

    model_config = ConfigDict(extra="allow")
    error: ErrorDetail


_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Refused; `error` says why, and how to mend it.", "model": Error},
    "5XX": {"description": "A store does not answer, or a defect of the server.", "model": Error},
}


def add_operations(api: FastAPI, services: Services, audit: AuditLog) -> None:
    """Add the routes of all operations."""
    # The paths that take any collection come last.
    for one in sorted(OPERATIONS.values(), key=lambda one: "{collection}" in one.path):
        status = 204 if one.returns is None else one.status
        api.router.add_api_route(
            one.path, _bound(one, services), methods=[one.method], tags=[one.tag],
            name=one.id, operation_id=one.id, summary=one.about.partition("\n")[0],
            description=one.about, responses={status: _answer(one), **_ERRORS},
            response_model=None, status_code=status,
            response_class=Response, openapi_extra=_body(one),
            route_class_override=_route_of(one, services.context, audit),
        )  # fmt: skip


def _bound(operation: Operation, services: Services) -> Callable[..., Any]:
    """Return the operation as a function of what FastAPI reads of a request."""

    def run(**given: Any) -> Response:  # noqa: ANN401 - as declared
        return _response(operation.call(services, given), operation.status)

    async def run_async(**given: Any) -> Response:  # noqa: ANN401 - as declared
        return _response(await operation.call(services, given), operation.status)

    bound: Any = run_async if inspect.iscoroutinefunction(operation.function) else run
    bound.__signature__ = inspect.Signature([*operation.parameters.values()])
    return bound  # type: ignore[no-any-return]


def _response(result: object, status: int) -> Response:
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status_code=204)
    return JSONResponse(plain(Items(result) if isinstance(result, list) else result), status)


def _answer(operation: Operation) -> dict[str, Any]:
    if (form := form_of(operation.returns)) is not None:
        return {"model": form}
    schemas = {JSON: dict[str, Any]()}  # Any value.
    content = {one: {"schema": schemas.get(one, {"type": "string"})} for one in operation.media}
    return {} if operation.returns is None else {"content": content}


def _body(operation: Operation) -> dict[str, Any] | None:
    """Return the body that the function reads by itself."""
    kinds = {JSON: "object"}
    content = {one: {"schema": {"type": kinds.get(one, "string")}} for one in operation.takes}
    return {"requestBody": {"required": True, "content": content}} if content else None


def _route_of(operation: Operation, context: ServerContext, audit: AuditLog) -> type[APIRoute]:
    """Return the class of a route, with roles, limits, the audit log and errors around it."""

    class Route(APIRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            # Slashes of names are %2F in the path as it was sent, and those of routes are not.
            _, is_named, last = self.path.partition(":path}/")
            sent = scope.get("raw_path", b"").partition(b"?")[0]
            if is_named and not sent.endswith(b"/" + last.encode()):
                return Match.NONE, {}
            return super().matches(scope)

        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    authorize(operation, {**request.query_params, **request.path_params})
                    response = await handle(await _read(operation, request, context))
                except NotFoundError as error:
                    # To those who are for some endpoints it would name the nearest of others.
                    is_told = CURRENT.get().endpoints is None
                    shown = error if is_told else NotFoundError("it does not exist")
                    response = await answer_error(request, shown)
                except Exception as error:  # noqa: BLE001 - the top of a request
                    response = await answer_error(request, error)
                await audit.note(operation, request.url.path, response.status_code)
                return response

            return answer

    return Route


async def _read(operation: Operation, request: Request, context: ServerContext) -> Request:
    """Return a request with its whole body, within limits of size, time and type.

    Refused is what would be read as something else, or could not be stored: a name that the
    operation does not have (a misspelt one would do nothing); JSON with NaN, an infinity or half of
    a surrogate pair, which Python's reader takes.
    """
    _require_known("query", request.query_params, operation.names_of(Query))
    scope, receive = request.scope, request.receive
    limit = context.settings.serving.max_request_bytes
    body = await read_body(scope, receive, limit=limit, timeout_s=context.body_timeout_s)
    require_type(scope, body)
    if body and not operation.takes:
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InputError(
                f"body: {error}; expected JSON in UTF-8 with finite numbers"
            ) from error
        if isinstance(found, dict):
            _require_known("body", found, operation.names_of(Body))
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return Request(scope, replay)


def _require_known(where: str, given: Iterable[str], known: frozenset[str] | None) -> None:
    if known is not None and (unknown := {*given} - known):
        near = nearest(min(unknown), known) or f"expected no {where}"
        raise InputError(f'{where}: unknown key "{min(unknown)[:80]}"; {near}')
