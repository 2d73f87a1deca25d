"""The route by which monitors ask an endpoint's model: answers as invocations do, uncaptured.

Explaining asks tens of thousands of rows that nobody ever sent; in the capture table they would
drown those that were.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from driftline.errors import NotFoundError
from driftline.serving.fleet import Fleet
from driftline.serving.http import error_body
from driftline.serving.media import answer_form, body_form

__all__ = ["router"]


def router(fleet: Fleet) -> APIRouter:
    """Give the route."""
    routes = APIRouter(tags=["predictions"])

    @routes.post("/endpoints/{name}/predictions")
    async def predictions(name: str, request: Request) -> Response:
        """Predict rows as an invocation does; nothing of it is captured."""
        route = fleet.route(name)
        if route is None:
            raise NotFoundError(f'endpoint "{name[:80]}" is not served here')
        form = body_form(request.headers.get("content-type", ""))
        answer = answer_form(request.headers.get("accept", ""), form)
        reply = await route.pool.invoke(form, answer, await request.body())
        if reply.status != 200:
            body = error_body(reply.code, reply.message)
            return Response(body, reply.status, media_type="application/json")
        return Response(reply.body, media_type=reply.media_type)

    return routes
