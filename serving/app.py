"""The server: invocations, the API, health; one ASGI application.

From outside in: own hosts and pages only (LocalOnly), authentication (Gate), the tap (Capture),
then either the bare invocation route, the wire of AWS, or FastAPI with everything else. No
framework handles an invocation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from driftline import __version__
from driftline.access.authentication import Gate
from driftline.capture.events import pairing, undeclared
from driftline.capture.events.pairing import Pairing
from driftline.capture.events.undeclared import UndeclaredEndpoints
from driftline.capture.tap.tap import Capture
from driftline.loopback import App, LocalOnly, Receive, Scope, Send
from driftline.serving.asynchronous.dispatch import AsyncInvocations
from driftline.serving.aws.app import AwsWire
from driftline.serving.aws.s3 import S3
from driftline.serving.aws.signing import SignedRequests, refuse_unsigned
from driftline.serving.context import ServerContext
from driftline.serving.health import Health
from driftline.serving.hosting.asked_models import EndpointModels
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.http.invocations import Invocations
from driftline.serving.http.response_stream import ResponseStream
from driftline.serving.http.responses import answer_error
from driftline.serving.http.sagemaker_errors import SageMakerErrors
from driftline.serving.jobs.processes import JobProcesses
from driftline.serving.metrics.exposition import Exposition
from driftline.serving.metrics.traffic import Traffic
from driftline.serving.operations.asking import Asking
from driftline.serving.operations.authorization import AuditLog, admit_invocations
from driftline.serving.operations.pages import ABOUT, add_pages
from driftline.serving.operations.rest import add_operations
from driftline.serving.operations.services import Services
from driftline.serving.provisioning.apply import Applier
from driftline.serving.provisioning.controllers import Controllers
from driftline.serving.resources.endpoints import declared_endpoints
from driftline.serving.scaling.controller import Autoscaler
from driftline.tracing import traced

log = logging.getLogger(__name__)

# A load balancer asks for them without a token.
HEALTH_PATHS = ("/healthz", "/readyz")
LOOPS = {"failures": "Times that a fault ended a loop of the server, which was begun again."}
AGAIN_S = 5.0


class Running(Protocol):
    """What goes on as long as the server."""

    async def run(self) -> None:
        """Go on until cancelled."""


def create_app(context: ServerContext) -> App:
    """Build the server's ASGI application; its life begins and ends with ASGI's lifespan."""
    settings = context.settings
    reconciler, health, registry = EndpointReconciler(context), Health(context), CollectorRegistry()
    traffic = Traffic(context.engine, context.now, registry, reconciler.workers)
    invocations = Invocations(context, reconciler, traffic.observe)
    answer = traced(invocations, invocations.endpoint)

    def serve(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Send invocations one way and everything else the other."""
        return (answer if invocations.takes(scope) else wire)(scope, receive, send)

    tap = Capture(
        serve,
        route=invocations.target,
        now_ns=lambda: round(context.now().timestamp() * 1e9),
        place=settings.capture_place,
    )
    invocations.mirror_through(tap)
    controllers = Controllers(context, reconciler)
    services = Services(
        context=context,
        applier=Applier(context, reconciler, controllers),
        reconciler=reconciler,
        # A process that explains is not one that serves; it ends a minute after its last question.
        models=EndpointModels(
            context.engine, context.root, trust_pickle=settings.serving.trust_pickle,
            local_dir=context.local_dir,
        ),
        later=AsyncInvocations(context, reconciler, tap),
        jobs=JobProcesses(context),
        pairing=Pairing(settings.capture_place),
        undeclared=UndeclaredEndpoints(
            context.root, context.max_undeclared_endpoints,
            partial(declared_endpoints, context.engine),
        ),
        health=health,
        exposition=Exposition(
            context, registry, health=health, readiness=lambda: reconciler.readiness,
        ),
    )  # fmt: skip
    audit, scaling = AuditLog(context), Autoscaler(context, reconciler)
    api = _api(services, audit, (reconciler, controllers, scaling, traffic, health))
    wire = AwsWire(services, Asking(services, audit), api, S3(context, audit))
    if context.authenticator is None:
        return SageMakerErrors(LocalOnly(ResponseStream(tap), settings.server.external_url))
    signed = SignedRequests(
        context.authenticator, limit=settings.serving.max_request_bytes,
        body_timeout_s=context.body_timeout_s, external_url=settings.server.external_url,
    )  # fmt: skip
    admitted = ResponseStream(admit_invocations(tap, invocations))
    known = Gate(admitted, context.authenticator, HEALTH_PATHS, refuse_unsigned, signed)
    return SageMakerErrors(LocalOnly(known, settings.server.external_url, settings.own_hosts))


def _api(services: Services, audit: AuditLog, running: Iterable[Running]) -> FastAPI:
    context, failures = services.context, dict.fromkeys(LOOPS, 0)
    for prefix, counters, about in (
        ("loop", lambda: failures, LOOPS),
        ("cloud", lambda: services.pairing.counters, pairing.COUNTED),
        ("undeclared", lambda: services.undeclared.counters, undeclared.COUNTED),
    ):
        services.exposition.count(f"driftline_{prefix}_", counters, about)

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        # In the background: the server answers health checks while models are loaded.
        loops = (*running, services.later, services.jobs, services.pairing)
        tasks = [asyncio.create_task(_loop(one, failures)) for one in loops]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        closing = (asyncio.to_thread(one.close) for one in (services.models, services.pairing))
        await asyncio.gather(services.reconciler.stop(), *closing)

    api = FastAPI(
        title="driftline", version=__version__, description=ABOUT, lifespan=life,
        docs_url=None, redoc_url=None, openapi_url=None,
        dependencies=[Security(HTTPBearer(scheme_name="token", auto_error=False))],
        exception_handlers={HTTPException: answer_error},
    )  # fmt: skip
    add_operations(api, services, audit)
    add_pages(api, context.dashboard_url)
    return api


async def _loop(one: Running, counters: dict[str, int]) -> None:
    """Run a loop; nobody awaits it, so a fault of ours would end it unseen: it begins again."""
    while True:
        try:
            return await one.run()
        except Exception:
            counters["failures"] += 1
            log.exception("loop=%s failed, begins again", type(one).__name__)
        await asyncio.sleep(AGAIN_S)
