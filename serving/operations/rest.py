"""The operations as routes of FastAPI, which writes their OpenAPI document."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Body, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.routing import Match

from driftline.loopback import Scope
from driftline.serving.operations.areas import AREAS
from driftline.serving.operations.registry import OPERATIONS, Operation, plain
from driftline.serving.operations.services import Services

_ASKED = "asked"


class Beneath(APIRoute):
    """A route beneath a name that may end like the route: slashes of names are %2F."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Look at the path as it was sent: there slashes of names are told from those of routes."""
        last = self.path.rpartition("/")[2]
        if not scope.get("raw_path", b"").partition(b"?")[0].endswith(b"/" + last.encode()):
            return Match.NONE, {}
        return super().matches(scope)


def router(services: Services) -> APIRouter:
    """Return the routes of all operations."""
    assert AREAS  # Their modules have registered them.
    routes = APIRouter()
    # The paths that take any collection come last.
    for one in sorted(OPERATIONS.values(), key=lambda one: "{collection}" in one.path):
        status = 204 if one.returns is None else one.status
        routes.add_api_route(
            one.path, _bound(one, services), methods=[one.method], tags=[one.tag],
            name=one.id, response_model=None, status_code=status,
            route_class_override=Beneath if ":path}/" in one.path else None,
        )  # fmt: skip
    return routes


def _bound(operation: Operation, services: Services) -> Callable[..., Any]:
    """Return the operation as a function of what FastAPI reads of a request."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [one for name, one in operation.parameters.items() if not operation.is_field(name)]
    if operation.fields is not None:
        source = Query() if operation.method in ("GET", "DELETE") else Body()
        own.append(inspect.Parameter(_ASKED, keyword, default=source, annotation=operation.fields))
    call = partial(operation.function, services)

    async def run(**given: Any) -> Response:  # noqa: ANN401 - as declared
        asked = given.pop(_ASKED, None)
        named = {**given, **(dict(asked) if asked is not None else {})}
        if inspect.iscoroutinefunction(operation.function):
            return _response(await call(**named), operation.status)
        return await run_in_threadpool(lambda: _response(call(**named), operation.status))

    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(kind=keyword) for one in own]
    )
    run.__doc__ = operation.function.__doc__
    return run


def _response(result: object, status: int) -> Response:
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status_code=204)
    return JSONResponse(plain({"items": result} if isinstance(result, list) else result), status)
