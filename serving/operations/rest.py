"""The operations as routes of FastAPI, which writes their OpenAPI document."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, get_args

import orjson
from fastapi import APIRouter, Body, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.params import Param
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.routing import Match

from driftline.errors import InputError
from driftline.loopback import Scope
from driftline.serving.operations import areas  # noqa: F401 - registers all
from driftline.serving.operations.registry import (
    JSON,
    OPERATIONS,
    Items,
    Operation,
    about,
    operation_of,
    plain,
)
from driftline.serving.operations.services import Services

_ASKED = "asked"


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


class Beneath(APIRoute):
    """A route beneath a name that may end like the route: slashes of names are %2F."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Look at the path as it was sent: there slashes of names are told from those of routes."""
        last = self.path.rpartition("/")[2]
        if not scope.get("raw_path", b"").partition(b"?")[0].endswith(b"/" + last.encode()):
            return Match.NONE, {}
        return super().matches(scope)


async def require_plain(request: Request) -> None:
    """Refuse what would be read as something else, or could not be stored.

    A name in the query that the operation does not have: a misspelt one would do nothing. JSON with
    NaN, an infinity or half of a surrogate pair, which Python's reader takes.
    """
    operation = operation_of(request.scope)
    query = operation.query if operation else frozenset()
    if unknown := {*request.query_params} - query:
        expected = ", ".join(sorted(query)) or "no query"
        raise InputError(f'query: "{min(unknown)[:80]}" is unknown; expected {expected}')
    if request.scope["route"].body_field is not None and (body := await request.body()):
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InputError(
                f"body: {error}; expected JSON in UTF-8 with finite numbers"
            ) from error


def router(services: Services) -> APIRouter:
    """Return the routes of all operations."""
    routes = APIRouter()
    # The paths that take any collection come last.
    for one in sorted(OPERATIONS.values(), key=lambda one: "{collection}" in one.path):
        status = 204 if one.returns is None else one.status
        routes.add_api_route(
            one.path, _bound(one, services), methods=[one.method], tags=[one.tag],
            name=one.id, operation_id=one.id, summary=one.about.partition("\n")[0],
            description=one.about, responses={status: _answer(one), **_ERRORS},
            response_model=None, status_code=status,
            response_class=Response, openapi_extra=_body(one),
            route_class_override=Beneath if ":path}/" in one.path else None,
        )  # fmt: skip
    return routes


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
        _in_path(one) if operation.is_in_path(name) else one
        for name, one in operation.parameters.items()
        if not operation.is_field(name)
    ]
    if operation.fields is not None:
        source = Query() if operation.has_query else Body()
        own.append(inspect.Parameter(_ASKED, keyword, default=source, annotation=operation.fields))
    call = partial(operation.function, services)

    async def run(**given: Any) -> Response:  # noqa: ANN401 - as declared
        asked = given.pop(_ASKED, None)
        named = {**given, **(dict(asked) if asked is not None else {})}
        _require_span(named.get("start"), named.get("end"))
        if inspect.iscoroutinefunction(operation.function):
            return _response(await call(**named), operation.status)
        return await run_in_threadpool(lambda: _response(call(**named), operation.status))

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
