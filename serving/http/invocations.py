"""``POST /endpoints/{name}/invocations``: bare ASGI; the body goes to the worker as it came."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from driftline.capture.tap.asgi import CAME_KEY, REQUEST_ID_KEY
from driftline.capture.tap.target import CaptureTarget, parse_event_time
from driftline.errors import DriftlineError, InputError
from driftline.loopback import App, Message, Receive, Scope, Send, refuse
from driftline.serving.bodies.media_types import answer_form, body_form
from driftline.serving.context import ServerContext
from driftline.serving.hosting.child import Reply, UnansweredError
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.hosting.multi_model.target_model import HEADER
from driftline.serving.hosting.routing import CONTAINER_HEADER, Route, ServedEndpoint
from driftline.serving.http.responses import (
    CLIENT_GONE,
    ClientGoneError,
    Headers,
    is_packing,
    read_body,
    status_of,
    unpacked,
)
from driftline.serving.http.sagemaker_errors import with_original
from driftline.serving.metrics.traffic import Answered

log = logging.getLogger(__name__)

_VARIANT = b"x-amzn-sagemaker-target-variant"
_MODEL = HEADER.lower().encode()
_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
_CONTAINER = CONTAINER_HEADER.lower().encode()
_READ = (b"content-type", b"content-encoding", b"x-driftline-event-time")
# What only SageMaker does, and would change the answer.
_REFUSED = {
    b"x-amzn-sagemaker-enable-explanations": "EnableExplanations",
    b"x-amzn-sagemaker-session-id": "SessionId",
    b"x-amzn-sagemaker-inference-component": "InferenceComponentName",
    b"x-amzn-sagemaker-filename": "Filename",
    b"x-amzn-sagemaker-s3outputpathextension": "S3OutputPathExtension",
}
# What the scope of an asynchronous invocation has: the seconds that it may take.
LATER = "driftline.later"
_draw = random.random
# Where the _Call stands that the tap was told of.
_CALL = "driftline.call"
_PATH = re.compile(r"/endpoints/([^/]+)/invocations")


@dataclass(slots=True)
class _Call:
    """Which variant and model answer a call."""

    route: Route
    headers: Mapping[bytes, bytes]
    model: str | None = None
    is_copy: bool = False  # Of a call that a caller got an answer to, for the shadow.
    shadow: Route | None = None  # It is asked the same when the caller has the answer,
    came_ns: int = 0  # as of when the call came.
    asked_s: float = 0.0  # When the model was asked, in seconds of no epoch.


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
        self._now = context.now
        self._tap: App | None = None
        self._limit = context.settings.serving.max_request_bytes
        self._body_timeout_s = context.body_timeout_s

    def mirror_through(self, tap: App) -> None:
        """Send copies for shadows through the tap, which records them as it does the requests."""
        self._tap = tap

    @staticmethod
    def takes(scope: Scope) -> bool:
        """Whether a call is an invocation."""
        return _CALL in scope or (
            scope["type"] == "http" and _PATH.fullmatch(scope["path"]) is not None
        )

    def target(self, scope: Scope) -> CaptureTarget | None:
        """Return what the tap records a call as; None when it reaches no endpoint."""
        if scope["method"] != "POST":
            return None
        call: _Call | None = scope.get(_CALL)  # There is one of a copy.
        if call is None:
            found = self._find(scope)
            if found is None:
                return None
            headers = dict(scope["headers"])
            try:
                call = _Call(self._chosen(found, headers, scope), headers)
                call.model = _target(call.route, headers)
            except DriftlineError:
                return None  # Refused: no model is asked.
            scope[_CALL] = call
            if found.shadow is not None and _draw() < found.mirrored:
                call.shadow, call.came_ns = found.shadow, round(self._now().timestamp() * 1e9)
        return call.route.captured_as(call.model)

    def endpoint(self, scope: Scope) -> str | None:
        """Return the name of the endpoint that a call reaches; "" for none, None for a copy."""
        call: _Call | None = scope.get(_CALL)
        if call is not None and call.is_copy:
            return None
        found = self._find(scope)
        return "" if found is None else found.name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one invocation."""
        began_s = time.perf_counter()
        answered = await self._answer(scope, receive, send)
        self._observe(answered, time.perf_counter() - began_s)

    def _mirror(self, call: _Call, scope: Scope, request_id: str, body: bytes) -> None:
        """Ask a shadow what a model has just answered; nothing waits for it."""
        shadow, tap = call.shadow, self._tap
        if shadow is None or shadow.mirror is None or tap is None:
            return
        can_answer, model = shadow.pool.is_ready, None  # Copies would but wait for a worker.
        try:
            model = _target(shadow, call.headers)
        except DriftlineError:
            can_answer = False  # One of the two has many models, and the other one.
        copy = {
            "type": "http", "method": "POST", "path": scope["path"], "headers": scope["headers"],
            CAME_KEY: call.came_ns, REQUEST_ID_KEY: request_id,
            _CALL: _Call(shadow, call.headers, model, is_copy=True),
        }  # fmt: skip

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        async def ask() -> None:
            await tap(copy, receive, _discard)

        if not can_answer:
            shadow.mirror.drop()
        elif shadow.mirror.offer(ask, len(body)):
            return
        desired = shadow.desired
        fleet = desired.fleet.label
        self._observe(Answered(0, desired.endpoint, desired.name, is_copy=True, fleet=fleet), 0.0)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Answered:
        """Answer, and say how it went."""
        request_id = scope.get(REQUEST_ID_KEY) or str(uuid.uuid4())
        headers: Headers = [(b"x-amzn-requestid", request_id.encode())]
        if scope["method"] != "POST":
            allow: Headers = [*headers, (b"allow", b"POST")]
            await refuse(send, 405, "method_not_allowed", "expected POST", allow)
            return Answered(405)
        call: _Call | None = scope.get(_CALL)
        try:
            is_chosen = call is not None
            if call is None:
                served = self._reconciler.served(scope["path"].split("/")[2])
                given = dict(scope["headers"])
                call = _Call(self._chosen(served, given, scope), given)
            desired = call.route.desired
            headers.append((b"x-amzn-invoked-production-variant", desired.name.encode("ascii")))
            if not is_chosen:
                call.model = _target(call.route, call.headers)
            reply, body, model_s = await self._invoke(call, scope, receive)
        except DriftlineError as error:
            status, code, extra = status_of(error)
            await refuse(send, status, code, str(error), headers + extra)
            found = Answered(status)
            if call is not None:
                desired = call.route.desired
                found = Answered(
                    status, desired.endpoint, desired.name, is_copy=call.is_copy,
                    fleet=desired.fleet.label,
                )  # fmt: skip
                if isinstance(error, UnansweredError) and error.was_asked:
                    model_s = time.perf_counter() - call.asked_s
                    found = found._replace(model_s=model_s, note={"containers": error.containers})
            if status >= 500 and not found.is_copy:  # Nobody waits for a copy; it is counted.
                log.warning("request=%s status=%d error=%s", request_id, status, error)
            return found
        except ClientGoneError:
            log.info("request=%s event=client-gone", request_id)
            fleet = desired.fleet.label
            return Answered(CLIENT_GONE, desired.endpoint, desired.name, fleet=fleet)
        await _send(reply, headers, send)
        if call.shadow is not None:
            self._mirror(call, scope, request_id, body)
        note = reply.note or {}
        return Answered(
            reply.status, desired.endpoint, desired.name, model_s - note.get("setup_s", 0.0),
            call.is_copy, reply.model_status, desired.worker.many_memory_mb is not None, note,
            desired.fleet.label,
        )  # fmt: skip

    def _find(self, scope: Scope) -> ServedEndpoint | None:
        matched = _PATH.fullmatch(scope["path"])
        return None if matched is None else self._reconciler.endpoint(matched[1])

    def _chosen(
        self, served: ServedEndpoint, headers: Mapping[bytes, bytes], scope: Scope
    ) -> Route:
        """Return the variant that a call names, or else one by the weights."""
        variant = _text(headers, _VARIANT)
        route = served.by_weight(_draw()) if variant is None else served.named(variant, _draw())
        if route.desired.answers_later is not None and LATER not in scope:
            raise InputError(
                f'endpoint "{served.name}" answers asynchronously only; ask '
                f"POST /endpoints/{served.name}/async-invocations"
            )
        return route

    async def _invoke(
        self, call: _Call, scope: Scope, receive: Receive
    ) -> tuple[Reply, bytes, float]:
        """Return what the model answers, and the seconds that it took."""
        pool, desired = call.route.pool, call.route.desired
        headers = call.headers
        require_supported(headers)
        form, encoding, event_time = [headers.get(name, b"").decode("latin-1") for name in _READ]
        accepted = [value for name, value in scope["headers"] if name == b"accept"]
        answer = b",".join(accepted).decode("latin-1")
        if not desired.worker.reads_bodies:
            read_form = body_form(form)
            form, answer = read_form, answer_form(answer, read_form)
        is_packed, limit = is_packing(encoding), self._limit
        if desired.trust_event_time and event_time and parse_event_time(event_time) is None:
            raise InputError(
                f'X-Driftline-Event-Time is "{event_time[:40]}"; '
                "expected a time with zone such as 2013-01-15T06:00:00Z"
            )
        # Another variant may take this one's place before the body is here.
        with pool.coming:
            body = await read_body(scope, receive, limit=limit, timeout_s=self._body_timeout_s)
            call.asked_s = time.perf_counter()
            content = body
            if is_packed:
                content = await asyncio.to_thread(unpacked, body, encoding, limit)
            reply = await pool.invoke(form, answer, content, call.model, scope.get(LATER))
        said = reply.media_type + reply.attributes
        if not (said.isascii() and said.isprintable()):
            message = f"the model's headers are {said[:80]!r}; expected printable ASCII"
            reply = Reply(424, "", b"", "model_error", message, reply.note)
        return reply, body, time.perf_counter() - call.asked_s


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def _target(route: Route, headers: Mapping[bytes, bytes]) -> str | None:
    return route.target_model(_text(headers, _MODEL), _text(headers, _CONTAINER))


def require_supported(names: Iterable[bytes]) -> None:
    """Refuse headers of SageMaker that would change the answer, and do not here."""
    for name in _REFUSED.keys() & names:
        raise InputError(f"{_REFUSED[name]} is not supported; send the request without it")


async def _discard(_message: Message) -> None:
    """Take an answer that nobody gets."""


async def _send(reply: Reply, headers: Headers, send: Send) -> None:
    if reply.status != 200:
        told = send if reply.original is None else with_original(send, reply.original)
        await refuse(told, reply.status, reply.code, reply.message, headers)
        return
    start = [
        *headers,
        (b"content-type", reply.media_type.encode()),
        (b"content-length", str(len(reply.body)).encode()),
    ]
    if reply.attributes:
        start.append((_ATTRIBUTES, reply.attributes.encode()))
    await send({"type": "http.response.start", "status": 200, "headers": start})
    await send({"type": "http.response.body", "body": reply.body})
