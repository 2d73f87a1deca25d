"""``POST /endpoints/{name}/invocations``: bytes in, bytes out, as little between as can be.

A bare ASGI callable: no framework, no model of the body, no copy of it. The body goes to the
worker as it came; what is in it is the worker's business.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from driftline.capture.tap.asgi import REQUEST_ID_KEY
from driftline.capture.tap.target import CaptureTarget, parse_event_time
from driftline.errors import DriftlineError, InputError, NotFoundError, UnavailableError
from driftline.loopback import Receive, Scope, Send, refuse
from driftline.serving.bodies.media_types import UnsupportedMediaError, answer_form, body_form
from driftline.serving.context import ServerContext
from driftline.serving.hosting.child import Reply
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler, Route
from driftline.serving.http.responses import (
    ClientGoneError,
    Headers,
    read_body,
    status_of,
)
from driftline.serving.metrics.traffic import Answered
from driftline.validation import nearest

log = logging.getLogger(__name__)

# What servers log for a caller that did not wait: nothing was sent.
CLIENT_GONE = 499
_PATH = re.compile(r"/endpoints/([^/]+)/invocations")


class Invocations:
    """Answers invocations; tells the tap what each of them is recorded as."""

    def __init__(
        self,
        context: ServerContext,
        reconciler: EndpointReconciler,
        observe: Callable[[Answered, float], None],
    ) -> None:
        self._reconciler = reconciler
        self._observe = observe
        self._limit = context.max_request_bytes
        self._body_timeout_s = context.body_timeout_s

    @staticmethod
    def takes(scope: Scope) -> bool:
        """Whether a call is an invocation."""
        return scope["type"] == "http" and _PATH.fullmatch(scope["path"]) is not None

    def target(self, scope: Scope) -> CaptureTarget | None:
        """Return what the tap records a call as; None when it reaches no endpoint."""
        if scope["method"] != "POST":
            return None
        found = self._find(scope["path"])
        return None if found is None else found.target

    def endpoint(self, scope: Scope) -> str:
        """Return the name of the endpoint that a call reaches; "" for none."""
        found = self._find(scope["path"])
        return "" if found is None else found.desired.name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one invocation."""
        began_s = time.perf_counter()
        answered = await self._answer(scope, receive, send)
        self._observe(answered, time.perf_counter() - began_s)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Answered:
        """Answer, and say how it went."""
        request_id = scope.get(REQUEST_ID_KEY) or str(uuid.uuid4())
        endpoint = variant = ""
        headers: Headers = [(b"x-amzn-requestid", request_id.encode())]
        if scope["method"] != "POST":
            allow: Headers = [*headers, (b"allow", b"POST")]
            await refuse(send, 405, "method_not_allowed", "expected POST", allow)
            return Answered(405)
        try:
            route = self._find(scope["path"])
            if route is None:
                if not self._reconciler.is_read:
                    raise UnavailableError(
                        "the server has not read yet which endpoints there are; ask again"
                    )
                name = scope["path"].split("/")[2][:80]
                if self._reconciler.is_foreign(name):
                    raise NotFoundError(
                        f'endpoint "{name}" has no model here; ask the app that it is captured in'
                    )
                near = (
                    nearest(name, self._reconciler.names)
                    or "no endpoint with a model has been applied yet"
                )
                raise NotFoundError(f'endpoint "{name}" does not exist; {near}')
            endpoint, variant = route.desired.name, route.desired.variant
            headers.append((b"x-amzn-invoked-production-variant", variant.encode("ascii")))
            reply, model_s = await self._invoke(route, scope, receive)
        except DriftlineError as error:
            status, code, extra = status_of(error)
            await refuse(send, status, code, str(error), headers + extra)
            if status >= 500:
                log.warning("request=%s status=%d error=%s", request_id, status, error)
            return Answered(status, endpoint, variant)
        except ClientGoneError:
            log.info("request=%s event=client-gone", request_id)
            return Answered(CLIENT_GONE, endpoint, variant)
        await _send(reply, headers, send)
        return Answered(reply.status, endpoint, variant, model_s)

    def _find(self, path: str) -> Route | None:
        matched = _PATH.fullmatch(path)
        return None if matched is None else self._reconciler.route(matched[1])

    async def _invoke(self, route: Route, scope: Scope, receive: Receive) -> tuple[Reply, float]:
        """Return what the model answers, and the seconds that it took."""
        content_type, accept, event_time, encoding = _headers(scope)
        form = body_form(content_type)
        answer = answer_form(accept, form)
        if encoding.lower() not in ("", "identity"):
            raise UnsupportedMediaError(f'Content-Encoding is "{encoding[:40]}"; expected none')
        if (
            route.desired.trust_event_time
            and event_time is not None
            and parse_event_time(event_time) is None
        ):
            raise InputError(
                f'X-Driftline-Event-Time is "{event_time[:40]}"; '
                "expected a time with zone such as 2013-01-15T06:00:00Z"
            )
        body = await read_body(scope, receive, limit=self._limit, timeout_s=self._body_timeout_s)
        asked_s = time.perf_counter()
        reply = await route.pool.invoke(form, answer, body)
        return reply, time.perf_counter() - asked_s


def _headers(scope: Scope) -> tuple[str, str, str | None, str]:
    """Pick the headers that matter here: type, accepted types, event time, encoding."""
    content_type = accept = encoding = ""
    event_time: str | None = None
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"accept":
            accept = f"{accept},{value.decode('latin-1')}" if accept else value.decode("latin-1")
        elif name == b"x-driftline-event-time":
            event_time = value.decode("latin-1")
        elif name == b"content-encoding":
            encoding = value.decode("latin-1")
    return content_type, accept, event_time, encoding


async def _send(reply: Reply, headers: Headers, send: Send) -> None:
    if reply.status != 200:
        await refuse(send, reply.status, reply.code, reply.message, headers)
        return
    start = [
        *headers,
        (b"content-type", reply.media_type.encode()),
        (b"content-length", str(len(reply.body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    await send({"type": "http.response.body", "body": reply.body})
