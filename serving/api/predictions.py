"""The route by which monitors and replays ask a model: answers as invocations do, uncaptured.

Explaining asks tens of thousands of rows that nobody ever sent, and a replay those that were sent
before; in the capture table they would drown the others.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.datastructures import Headers

from driftline.loopback import error_body
from driftline.serving.bodies.media_types import answer_form, body_form
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.hosting.multi_model.target_model import HEADER
from driftline.serving.hosting.pool import Pool
from driftline.serving.hosting.routing import CONTAINER_HEADER


def router(reconciler: EndpointReconciler) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["predictions"])

    @routes.post("/endpoints/{name}/predictions")
    async def predictions(name: str, request: Request, model: str | None = None) -> Response:
        """Predict rows as an invocation does, or as it would by another declared model.

        Of several variants the one with the largest weight answers; of many models the one that the
        header X-Amzn-SageMaker-Target-Model names, of containers X-Amzn-SageMaker-Target-Container-
        Hostname. Nothing of it is captured.
        """
        form = body_form(request.headers.get("content-type", ""))
        answer = answer_form(request.headers.get("accept", ""), form)
        pool, target_model = await _pool(reconciler, name, model, request.headers)
        reply = await pool.invoke(form, answer, await request.body(), target_model)
        if reply.status != 200:
            body = error_body(reply.code, reply.message)
            return Response(body, reply.status, media_type="application/json")
        return Response(reply.body, media_type=reply.media_type)

    return routes


async def _pool(
    reconciler: EndpointReconciler, name: str, model: str | None, headers: Headers
) -> tuple[Pool, str | None]:
    """Return the workers to ask, and for which of many models."""
    if model is not None:
        return await reconciler.rehearsals.pool(name, model), None
    route = max(reconciler.served(name).routes, key=lambda route: route.desired.weight)
    return route.pool, route.target_model(headers.get(HEADER), headers.get(CONTAINER_HEADER))
