"""Operations on the server itself: its health, its metrics, its installation."""

from __future__ import annotations

from typing import Annotated

from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection, select

from driftline.serving import tables
from driftline.serving.metrics.exposition import CONTENT_TYPE, Part
from driftline.serving.operations.registry import Json, operation
from driftline.serving.operations.services import Services


@operation("GET /installation", role="anyone")
def installation(services: Services, connection: Connection) -> Json:
    """Return the id of this server's installation, and where it stores its data."""
    found = connection.execute(select(tables.installation.c.id)).scalar_one()
    return {"id": found, "storage": services.context.root}


@operation("GET //healthz", role="anyone")
async def get_health(services: Services) -> Json:
    """Return that the process answers, and what was wrong when it last looked.

    A new process would help none of that, so the status is 200 all the same.
    """
    problems = services.health.problems
    return {"status": "impaired", **problems} if problems else {"status": "ok"}


@operation("GET //readyz", role="anyone")
async def get_readiness(services: Services) -> Response:
    """Whether this process accepts and routes requests, and what else is wrong."""
    reconciler = services.reconciler
    problems = services.health.problems
    if waiting := sum(not is_ready for is_ready in reconciler.readiness.values()):
        # Not by their names: who asks for health shows no token.
        problems["endpoints"] = f"{waiting} not ready; driftline get endpoint names them"
    status, code = ("ready", 200) if reconciler.is_ready else ("not ready", 503)
    return JSONResponse({"status": status, **problems}, status_code=code)


@operation("GET //metrics", role="viewer", media=("text/plain",))
def get_prometheus_metrics(
    services: Services,
    of: Annotated[Part, "Of this server alone, of the installation alone, or all."] = "all",
) -> Response:
    """Return what Prometheus reads: traffic, capture, monitors, alarms.

    Of several servers of one installation, each is asked for of=server, and any one of them for
    of=installation (monitors, alarms, losses).
    """
    return Response(services.exposition.render(of), media_type=CONTENT_TYPE)
