"""The operations as routes of FastAPI, which writes their OpenAPI document."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, get_args

import orjson
from fastapi import Body, FastAPI, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.params import Param
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.routing import Match

from driftline.errors import InputError
from driftline.loopback import Message, Scope
from driftline.serving.context import ServerContext
from driftline.serving.http.responses import answer_error, read_body, require_type
from driftline.serving.operations import areas  # noqa: F401 - registers all
from driftline.serving.operations.authorization import AuditLog, authorize
from driftline.serving.operations.registry import JSON, OPERATIONS, Items, Operation, about, plain
from driftline.serving.operations.services import Services

_ASKED = "asked"
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


class Guard:
    """What stands around each operation: roles, the body's limits, the audit log, errors."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._limit = context.settings.serving.max_request_bytes
        self._audit = AuditLog(context)

    def route_of(self, operation: Operation) -> type[APIRoute]:
        """Return the class of an operation's route."""
        guard = self

        class Route(APIRoute):
            def matches(self, scope: Scope) -> tuple[Match, Scope]:
                # Slashes of names are %2F in the path as it was sent, and those of routes are not.
                _, is_named, last = self.path.partition(":path}/")
                sent = scope.get("raw_path", b"").partition(b"?")[0]
                if is_named and not sent.endswith(b"/" + last.encode()):
                    return Match.NONE, {}
                return super().matches(scope)

            def get_route_handler(self) -> Handler:
                handle, has_json = super().get_route_handler(), self.body_field is not None

                async def answer(request: Request) -> Response:
                    try:
                        await authorize(guard._context, operation, request)
                        response = await handle(await guard._read(operation, request, has_json))
                    except Exception as error:  # noqa: BLE001 - the top of a request
                        response = await answer_error(request, error)
                    path = request.url.path
                    await guard._audit.note(operation, path, response.status_code)
                    return response

                return answer

        return Route

    async def _read(self, operation: Operation, request: Request, has_json: bool) -> Request:
        """Return a request with its whole body, within limits of size, time and type.

        Refused is what would be read as something else, or could not be stored: a name in the query
        that the operation does not have (a misspelt one would do nothing); JSON with NaN, an
        infinity or half of a surrogate pair, which Python's reader takes.
        """
        if unknown := {*request.query_params} - operation.query:
            expected = ", ".join(sorted(operation.query)) or "no query"
            raise InputError(f'query: "{min(unknown)[:80]}" is unknown; expected {expected}')
        scope, receive = request.scope, request.receive
        body = await read_body(
            scope, receive, limit=self._limit, timeout_s=self._context.body_timeout_s
        )
        require_type(scope, body)
        if has_json and body:
            try:
                orjson.loads(body)
            except orjson.JSONDecodeError as error:
                raise InputError(
                    f"body: {error}; expected JSON in UTF-8 with finite numbers"
                ) from error
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        return Request(scope, replay)


def add_operations(api: FastAPI, services: Services) -> None:
    """Add the routes of all operations."""
    guard = Guard(services.context)
    # The paths that take any collection come last.
    for one in sorted(OPERATIONS.values(), key=lambda one: "{collection}" in one.path):
        status = 204 if one.returns is None else one.status
        api.router.add_api_route(
            one.path, _bound(one, services), methods=[one.method], tags=[one.tag],
            name=one.id, operation_id=one.id, summary=one.about.partition("\n")[0],
            description=one.about, responses={status: _answer(one), **_ERRORS},
            response_model=None, status_code=status,
            response_class=Response, openapi_extra=_body(one),
            route_class_override=guard.route_of(one),
        )  # fmt: skip


def _answer(operation: Operation) -> dict[str, Any]:
    if operation.form is not None:
        return {"model": operation.form}
    is_json: dict[str, Any] = {"schema": {}}  # Any value.
    is_text = {"schema": {"type": "string"}}
    content = {one: is_json if one == JSON else is_text for one in operation.media}
    return {} if operation.returns is None else {"content": content}


def _body(operation: Operation) -> dict[str, Any] | None:
    """Return the body that the function reads by itself."""
    if not operation.takes:
        return None
    kinds = {JSON: "object"}
    content = {one: {"schema": {"type": kinds.get(one, "string")}} for one in operation.takes}
    return {"requestBody": {"required": True, "content": content}}


def _bound(operation: Operation, services: Services) -> Callable[..., Any]:
    """Return the operation as a function of what FastAPI reads of a request."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [
        _in_path(one) if operation.source(name) == "path" else one
        for name, one in operation.parameters.items()
        if operation.source(name) != "field"
    ]
    if operation.fields is not None:
        source = Query() if operation.has_query else Body()
        own.append(inspect.Parameter(_ASKED, keyword, default=source, annotation=operation.fields))

    async def run(**given: Any) -> Response:  # noqa: ANN401 - as declared
        asked = given.pop(_ASKED, None)
        named = {**given, **(dict(asked) if asked is not None else {})}
        _require_span(named.get("start"), named.get("end"))
        if inspect.iscoroutinefunction(operation.function):
            return _response(await operation.call(services, named), operation.status)
        return await run_in_threadpool(
            lambda: _response(operation.call(services, named), operation.status)
        )

    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(kind=keyword) for one in own]
    )
    return run


def _require_span(start: object, end: object) -> None:
    """Refuse a span that ends before it begins: its answer would be empty, and look like one."""
    if isinstance(start, datetime) and isinstance(end, datetime) and start > end:
        raise InputError(
            f"from {start.isoformat()} is after to {end.isoformat()}; expected a start before the "
            "end"
        )


def _in_path(one: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter of the path with its description where FastAPI looks for it."""
    kind, *marks = get_args(one.annotation)
    if any(isinstance(mark, Param) for mark in marks):
        return one
    return one.replace(annotation=kind, default=Path(description=about(one.annotation)))


def _response(result: object, status: int) -> Response:
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status_code=204)
    return JSONResponse(plain(Items(result) if isinstance(result, list) else result), status)
