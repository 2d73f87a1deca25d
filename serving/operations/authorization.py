"""Who may ask what: the role of each operation, and the endpoints of its caller.

The caller is known already (driftline/access/authentication.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cachetools import TTLCache
from sqlalchemy.exc import SQLAlchemyError

from driftline.access.audit import record
from driftline.access.principal import CURRENT, Principal, Role
from driftline.errors import ForbiddenError
from driftline.loopback import App, Receive, Scope, Send, refuse
from driftline.serving.context import ServerContext
from driftline.serving.http.invocations import Invocations
from driftline.serving.operations.registry import Operation

log = logging.getLogger(__name__)

# Sent by programs, many times a second; what came is counted elsewhere.
_UNNOTED = frozenset({"anyone", "viewer", "invoke", "ingest"})


def authorize(operation: Operation, named: Mapping[str, Any]) -> None:
    """Refuse what the caller may not do; ``named``: what it is asked of, by parameter."""
    if operation.role == "anyone":
        return
    require(operation.role)
    principal = CURRENT.get()
    # Which endpoint an event is of stands in the event; its function asks.
    if principal.endpoints is None or operation.id == "receive_cloudevents":
        return
    is_endpoint = operation.of and named.get("collection", "endpoints") == "endpoints"
    if not (is_endpoint and principal.reaches(named.get(operation.of, ""))):
        raise ForbiddenError(
            f'"{principal.subject}" is for {", ".join(sorted(principal.endpoints))} only, '
            f"and {operation.key} asks about all or others"
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
        if invocations.takes(scope):
            try:
                require("invoke")
                require_endpoint(scope["path"].split("/")[2])
            except ForbiddenError as error:
                await refuse(send, 403, "forbidden", str(error))
                return
        await app(scope, receive, send)

    return admit


class AuditLog:
    """Notes what was asked for and how that ended."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        # Of its own: a database that is slow to write must not hold up other work.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        # Of one subject on one route.
        self._refused: TTLCache[tuple[str, str, str], bool] = TTLCache(10_000, 60)

    async def note(self, operation: Operation, path: str, status: int) -> None:
        """Note what the log shows: refusals once a minute, or they would fill it."""
        who = CURRENT.get()
        if status == 403:
            key = who.via, who.subject, operation.key
            if is_noted := key not in self._refused:
                self._refused[key] = True
        else:
            is_own = operation.notes_itself and status < 400
            is_noted = operation.role not in _UNNOTED and not is_own
        if is_noted:
            await asyncio.get_running_loop().run_in_executor(
                self._thread, self._store, operation, who, path, status
            )

    def _store(self, operation: Operation, who: Principal, path: str, status: int) -> None:
        context = self._context
        try:
            with context.engine.begin() as connection:
                record(
                    connection, operation.key[:64], path, context.now(), status=status,
                    principal=who,
                )  # fmt: skip
        except SQLAlchemyError:
            # What was done stays done; that it is missing in the audit log stands in this log.
            log.exception("audit_entry_lost action=%s subject=%s", operation.key, who.subject)
