"""Routes of access: who asks, tokens, the audit log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AwareDatetime, Field

from driftline.access import audit
from driftline.access.principal import CURRENT, Role
from driftline.access.sessions import end_sessions
from driftline.access.tokens import Token, create_token, list_tokens, revoke_token
from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.serving.api.requests import PAGE, Fields, Limit, PageToken, in_utc, page_of
from driftline.serving.context import ServerContext


class TokenRequest(Fields):
    """A token to be made."""

    name: str
    roles: Annotated[list[Role], Field(min_length=1)]
    endpoints: list[str] | None = None
    expires_at: AwareDatetime | None = None


def router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["access"])

    @routes.get("/whoami")
    async def whoami() -> dict[str, Any]:
        """Return who asks, with which roles, for which endpoints (null: all)."""
        principal = CURRENT.get()
        endpoints = principal.endpoints
        return {
            "subject": principal.subject,
            "via": principal.via,
            "roles": sorted(principal.roles),
            "endpoints": None if endpoints is None else sorted(endpoints),
        }

    @routes.get("/tokens")
    def tokens(limit: Limit = PAGE, next_token: PageToken = None) -> dict[str, Any]:
        """List tokens by name, revoked ones too, without their secrets."""
        with read_connection(context.engine) as connection:
            found = list_tokens(connection, after=place_of(next_token, str), limit=limit + 1)
        return page_of(found, limit, lambda one: (one.name,), Token.as_dict)

    @routes.post("/tokens", status_code=201)
    def create(asked: TokenRequest) -> dict[str, Any]:
        """Make a token; the answer alone shows its secret."""
        now = context.now()
        after = asked.model_dump(mode="json")
        with context.engine.begin() as connection:
            secret = create_token(
                connection, asked.name, asked.roles, now=now, created_by=CURRENT.get().subject,
                endpoints=asked.endpoints, expires_at=asked.expires_at and in_utc(asked.expires_at),
            )  # fmt: skip
            audit.record(connection, "create", f"Token/{asked.name}", now, after=after)
        return {**after, "token": secret}

    @routes.delete("/tokens/{name}", status_code=204)
    def revoke(name: str) -> None:
        """End a token for good; servers that know it refuse it some seconds later at most."""
        now = context.now()
        with context.engine.begin() as connection:
            before = revoke_token(connection, name, now).as_dict()
            audit.record(connection, "delete", f"Token/{name}", now, before=before)

    @routes.delete("/sessions/{subject}", status_code=204)
    def log_out(subject: str) -> None:
        """End all sessions of somebody in the dashboard, some seconds later at most."""
        with context.engine.begin() as connection:
            after = {"ended": end_sessions(connection, subject)}
            audit.record(connection, "delete", f"Sessions/{subject}", context.now(), after=after)

    @routes.get("/audit")
    def read_audit(
        limit: Limit = PAGE,
        next_token: PageToken = None,
        subject: str | None = None,
        target: str | None = None,
        since: AwareDatetime | None = None,
        until: AwareDatetime | None = None,
    ) -> dict[str, Any]:
        """List who did what, the newest first."""
        with read_connection(context.engine) as connection:
            found = audit.entries(
                connection, limit=limit + 1, after=place_of(next_token, int), subject=subject,
                target=target, since=since and in_utc(since), until=until and in_utc(until),
            )  # fmt: skip
        return page_of(found, limit, lambda one: (one.id,), audit.AuditEntry.as_dict)

    return routes
