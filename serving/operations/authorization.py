"""Checks the role of each route and the endpoints of its caller: deny by default.

The caller is known already (driftline/access/gate.py). A route that is no operation is refused to
everybody, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError

from driftline.access.audit import record
from driftline.access.limits import RateLimit
from driftline.access.principal import CURRENT, Principal, Role
from driftline.errors import ForbiddenError
from driftline.loopback import App, Message, Receive, Scope, Send, refuse
from driftline.serving.context import ServerContext
from driftline.serving.http.invocations import Invocations
from driftline.serving.operations.endpoint_scope import endpoint_of
from driftline.serving.operations.registry import OPERATIONS

log = logging.getLogger(__name__)

# Pages for whoever is known.
_PAGES = ("GET /docs", "GET /openapi.json", "GET /ui/{path}")

CALL_KEY = "driftline.call"
# Sent by programs, many times a second; what came is counted elsewhere.
_UNNOTED = frozenset({"anyone", "viewer", "invoke", "ingest"})


@dataclass(slots=True)
class Call:
    """The role and endpoint that a request needs: filled in when its route is known."""

    action: str = ""
    role: str = ""

    def is_noted(self, status: int) -> bool:
        """Whether the audit log shows it, answered with a status."""
        if not self.action:
            return False
        if status == 403:
            return True
        declared = OPERATIONS.get(self.action)
        notes_itself = declared is not None and declared.notes_itself
        return self.role not in _UNNOTED and not (notes_itself and status < 400)


class Authorization:
    """Refuses what the caller's roles and endpoints do not allow; a dependency of every route."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    async def __call__(self, request: Request) -> None:
        """Raise ForbiddenError, or let the route answer."""
        principal = CURRENT.get()
        action = f"{request.method} {request.scope['route'].path_format}"
        declared = OPERATIONS.get(action)
        role = declared.role if declared else "anyone" if action in _PAGES else None
        call = request.scope.get(CALL_KEY)
        if call is not None:
            call.action, call.role = action, role or ""
        if role is None:
            raise ForbiddenError(f"{action}: no role allows it yet")
        if role == "anyone":
            return
        require(role)
        # Which endpoint an event is of stands in the event; its route asks.
        if principal.endpoints is not None and not action.endswith("/v1/cloudevents"):
            named = {**request.query_params, **request.path_params}
            endpoint = await asyncio.to_thread(endpoint_of, self._context, action, named)
            if endpoint is None or not principal.reaches(endpoint):
                # Not by its name, which the path may not have told, nor whether it is there.
                raise ForbiddenError(
                    f'"{principal.subject}" is for {", ".join(sorted(principal.endpoints))} only, '
                    f"and {action} asks about all, about others, or about what is not there"
                )


def require(role: Role) -> None:
    """Refuse a caller without a role."""
    principal = CURRENT.get()
    if not principal.may(role):
        own = ", ".join(sorted(principal.roles)) or "no role"
        raise ForbiddenError(f'"{principal.subject}" has {own}; this takes the role {role}')


def withheld(reason: str | None) -> str | None:
    """Return why something failed, to those who may see rows; it may quote one."""
    if reason is None or CURRENT.get().may("analyst"):
        return reason
    return "not shown, because it may quote a record; the role analyst sees it"


def require_endpoint(name: str) -> None:
    """Refuse a caller whose token is not for an endpoint."""
    principal = CURRENT.get()
    if not principal.reaches(name):
        own = ", ".join(sorted(principal.endpoints or ()))
        raise ForbiddenError(f'"{principal.subject}" is for {own} only, not for "{name[:80]}"')


def admit_invocations(app: App, invocations: Invocations) -> App:
    """Refuse invocations before the tap records them."""

    async def admit(scope: Scope, receive: Receive, send: Send) -> None:
        if not invocations.takes(scope):
            await app(scope, receive, send)
            return
        try:
            require("invoke")
            require_endpoint(scope["path"].split("/")[2])
        except ForbiddenError as error:
            await refuse(send, 403, "forbidden", str(error))
            return
        await app(scope, receive, send)

    return admit


class Audited:
    """ASGI layer that notes in the audit log what was asked for and how that ended."""

    def __init__(self, app: App, context: ServerContext) -> None:
        self.app = app
        self._context = context
        # Of its own: a database that is slow to write must not hold up other work.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._refused = RateLimit(1)  # Of one subject on one route.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on; note it when its answer begins."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        call, principal = Call(), CURRENT.get()
        loop, note = asyncio.get_running_loop(), partial(self._note, call, principal, scope)

        async def noting(message: Message) -> None:
            status = message.get("status")  # Of the first message of an answer alone.
            if status and call.is_noted(status) and self._is_news(principal, call, status):
                await loop.run_in_executor(self._thread, note, status)
            await send(message)

        await self.app({**scope, CALL_KEY: call}, receive, noting)

    def _is_news(self, principal: Principal, call: Call, status: int) -> bool:
        """Whether a refusal was not noted in the last minute: nobody may fill the log with them."""
        key = f"{principal.via} {principal.subject} {call.action}"
        if status != 403:
            return True
        is_news = not self._refused.wait_s(key)
        self._refused.count(key)
        return is_news

    def _note(self, call: Call, principal: Principal, scope: Scope, status: int) -> None:
        try:
            with self._context.engine.begin() as connection:
                record(
                    connection, call.action[:64], scope["path"], self._context.now(),
                    status=status, principal=principal,
                )  # fmt: skip
        except SQLAlchemyError:
            # What was done stays done; that it is missing in the audit log stands in this log.
            log.exception("audit_entry_lost action=%s subject=%s", call.action, principal.subject)
