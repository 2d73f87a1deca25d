"""The server: invocations, the API, health; one ASGI application.

From outside in: own hosts and pages only (LocalOnly), authentication (Gate), the tap (Capture),
then either the bare invocation route or FastAPI with everything else. No framework handles an
invocation.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial

from fastapi import Depends, FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException

from driftline import __version__
from driftline.access.gate import Gate
from driftline.capture.events import pairing, undeclared
from driftline.capture.tap.tap import Capture
from driftline.database.disconnects import is_disconnect
from driftline.errors import DriftlineError, InputError, UnavailableError
from driftline.loopback import App, LocalOnly, Receive, Scope, Send, error_body
from driftline.serving.asynchronous.dispatch import AsyncInvocations
from driftline.serving.context import ServerContext
from driftline.serving.health import Health
from driftline.serving.hosting.asked_models import EndpointModels
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.http.invocations import Invocations
from driftline.serving.http.responses import BodyLimit, status_of
from driftline.serving.http.sagemaker_errors import SageMakerErrors
from driftline.serving.metrics.exposition import Exposition
from driftline.serving.metrics.traffic import Traffic
from driftline.serving.operations import rest
from driftline.serving.operations.authorization import Audited, admit_invocations, authorization
from driftline.serving.operations.pages import ABOUT, add_pages
from driftline.serving.operations.services import Services
from driftline.serving.provisioning.annotating import resume_marks
from driftline.serving.provisioning.apply import Applier
from driftline.serving.provisioning.controllers import Controllers
from driftline.serving.provisioning.rolling import Rolling
from driftline.serving.resources.endpoints import declared_endpoints
from driftline.serving.transform.dispatch import TransformJobs
from driftline.tracing import traced
from driftline.validation import told

log = logging.getLogger(__name__)

# A load balancer asks for them without a token.
HEALTH_PATHS = ("/healthz", "/readyz")
LOOPS = {"failures": "Times that a fault ended a loop of the server, which was begun again."}
AGAIN_S = 5.0


def create_app(context: ServerContext) -> App:
    """Build the server's ASGI application; its life begins and ends with ASGI's lifespan."""
    reconciler = EndpointReconciler(context)
    health = Health(context)
    registry = CollectorRegistry()
    traffic = Traffic(context.engine, context.now, registry, reconciler.workers)
    exposition = Exposition(
        context, registry, lambda: tap.counters, health=health,
        readiness=lambda: reconciler.readiness,
    )  # fmt: skip

    async def ask(scope: Scope, receive: Receive, send: Send) -> None:
        """Ask through the tap, which records it, what no caller waits for."""
        await tap(scope, receive, send)

    invocations = Invocations(context, reconciler, traffic.observe)
    later = AsyncInvocations(context, reconciler, ask)
    api: App = BodyLimit(
        Audited(
            _api(context, reconciler, exposition, (traffic, health), later),
            context,
        ),
        limit=context.settings.serving.max_request_bytes,
        timeout_s=context.body_timeout_s,
    )

    answer = traced(invocations, invocations.endpoint)

    def serve(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Send invocations one way and everything else the other."""
        return (answer if invocations.takes(scope) else api)(scope, receive, send)

    tap = Capture(
        serve,
        route=invocations.target,
        now_ns=lambda: round(context.now().timestamp() * 1e9),
        place=context.settings.capture_place,
    )
    invocations.mirror_through(tap)
    settings = context.settings
    if context.authenticator is None:
        return SageMakerErrors(LocalOnly(tap, settings.server.external_url))
    known = Gate(admit_invocations(tap, invocations), context.authenticator, HEALTH_PATHS)
    return SageMakerErrors(LocalOnly(known, settings.server.external_url, settings.own_hosts))


def _api(
    context: ServerContext,
    reconciler: EndpointReconciler,
    exposition: Exposition,
    watch: tuple[Traffic, Health],
    later: AsyncInvocations,
) -> FastAPI:
    controllers = Controllers(context, reconciler)
    applier = Applier(context, reconciler, controllers)
    counters = dict.fromkeys(LOOPS, 0)
    exposition.count("driftline_loop_", lambda: counters, LOOPS)
    jobs = TransformJobs(context, lambda file: reconciler.outdate([file]))
    pairs, begun = _receivers(context, exposition)
    # A process that explains is not one that serves; it ends when nobody has asked for a minute.
    asked = EndpointModels(
        context.engine, context.root, trust_pickle=context.settings.serving.trust_pickle,
        local_dir=context.local_dir,
    )  # fmt: skip

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        stop = threading.Event()
        # In the background: the server answers health checks while models are loaded.
        rolling = Rolling(context, applier.promote)
        runs = (reconciler, controllers, *watch, later, jobs, rolling, pairs)
        loops = {type(one).__name__: one.run for one in runs}
        tasks = [asyncio.create_task(_loop(*one, counters)) for one in loops.items()]
        tasks.append(asyncio.create_task(asyncio.to_thread(resume_marks, context, asked, stop)))
        yield
        stop.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        closing = (asyncio.to_thread(one.close) for one in (asked, pairs))
        await asyncio.gather(reconciler.stop(), jobs.stop(), *closing)

    api = FastAPI(
        title="driftline", version=__version__, description=ABOUT, lifespan=life,
        docs_url=None, redoc_url=None, openapi_url=None,
        dependencies=[
            Depends(authorization(context)), Depends(rest.require_plain),
            Security(HTTPBearer(scheme_name="token", auto_error=False)),
        ],
    )  # fmt: skip
    services = Services(
        context,
        applier,
        reconciler,
        asked,
        later,
        jobs,
        pairs,
        begun,
        watch[1],
        exposition,
    )
    api.include_router(rest.router(services))
    add_pages(api, context.dashboard_url)
    _add_errors(api)
    return api


async def _loop(
    name: str, run: Callable[[], Coroutine[object, object, None]], counters: dict[str, int]
) -> None:
    """Run a loop; nobody awaits it, so a fault of ours would end it unseen: it begins again."""
    while True:
        try:
            return await run()
        except Exception:
            counters["failures"] += 1
            log.exception("loop=%s failed, begins again", name)
        await asyncio.sleep(AGAIN_S)


def _receivers(
    context: ServerContext, exposition: Exposition
) -> tuple[pairing.Pairing, undeclared.UndeclaredEndpoints]:
    """Return what takes records of others' endpoints, and bounds which; both are counted."""
    pairs = pairing.Pairing(context.settings.capture_place)
    exposition.count("driftline_cloud_", lambda: pairs.counters, pairing.COUNTED)
    begun = undeclared.UndeclaredEndpoints(
        context.root, context.max_undeclared_endpoints, partial(declared_endpoints, context.engine)
    )
    exposition.count("driftline_undeclared_", lambda: begun.counters, undeclared.COUNTED)
    return pairs, begun


def _add_errors(api: FastAPI) -> None:
    """Bring every error of the programming interface to the one form."""

    @api.exception_handler(DriftlineError)
    async def ours(_request: Request, error: DriftlineError) -> Response:
        status, code, headers = status_of(error)
        if status >= 500:
            log.warning("status=%d error=%s", status, error)
        return _error(status, code, str(error), {k.decode(): v.decode() for k, v in headers})

    @api.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> Response:
        return _error(400, "bad_request", told(error.errors()[0]))

    @api.exception_handler(HTTPException)
    async def theirs(request: Request, error: HTTPException) -> Response:
        codes = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "bad_request")
        if error.status_code == 400:  # FastAPI's own for JSON that Python's reader gives up on.
            return _error(400, code, "body: not readable; expected JSON in UTF-8, not so deep")
        message = f"{request.method} {request.url.path[:200]}: {error.detail}; see /docs"
        return _error(error.status_code, code, message, dict(error.headers or {}))

    @api.exception_handler(SQLAlchemyError)
    async def away(request: Request, error: SQLAlchemyError) -> Response:
        reason = str(getattr(error, "orig", error)).partition("\n")[0]
        if isinstance(error, DataError):
            # What no rule of ours forbids, and the database does: PostgreSQL knows no NUL in texts.
            unfit = InputError(f"a value cannot be stored or looked for: {reason}")
            return await ours(request, unfit)
        if not is_disconnect(error):
            log.error("status=500", exc_info=error)
            return await unforeseen(request, error)
        log.warning("database error=%s", reason)
        message = "the database does not answer; the server's log says why"
        return await ours(request, UnavailableError(message))

    @api.exception_handler(Exception)
    async def unforeseen(request: Request, _error_: Exception) -> Response:
        # Starlette logs the trace; the caller gets none.
        message = f"{request.method} {request.url.path[:200]} failed; the server's log says why"
        return _error(500, "internal", message)


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(error_body(code, message), status, headers, media_type="application/json")
