"""Operations on access: who asks, tokens, access keys, sessions, the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import Connection

from driftline.access import access_keys as keys
from driftline.access import audit as log
from driftline.access import tokens as stored
from driftline.access.principal import CURRENT, Principal, Role
from driftline.serving.operations.registry import (
    End,
    Latest,
    Page,
    Paging,
    Start,
    Time,
    operation,
    plain,
)
from driftline.serving.operations.services import Services


@dataclass(frozen=True)
class NewToken:
    """A token that was made, with its secret."""

    name: str
    roles: Sequence[Role]
    endpoints: Sequence[str] | None
    expires_at: datetime | None
    token: str


@dataclass(frozen=True)
class NewAccessKey:
    """An access key that was made, with its secret."""

    name: str
    access_key_id: str
    roles: Sequence[Role]
    endpoints: Sequence[str] | None
    expires_at: datetime | None
    secret_access_key: str


Roles = Annotated[
    list[Role],
    Field(min_length=1, description="Some of viewer, analyst, operator, admin, invoke and ingest."),
]


@operation("GET /whoami", role="anyone", command="whoami")
async def whoami() -> Principal:
    """Show who the server takes you for, with which roles, for which endpoints (null: all).

    Example: driftline whoami
    """
    return CURRENT.get()


@operation(
    "GET /tokens", role="admin", command="token list",
    columns="name roles endpoints until=expires_at revoked_at",
)  # fmt: skip
def tokens(connection: Connection, page: Paging) -> Page[stored.Token]:
    """List tokens by name, revoked ones too, without their secrets.

    Example: driftline token list
    """
    found = stored.list_tokens(connection, after=page.after(str), limit=page.count)
    return page.of(found, lambda one: (one.name,))


@operation("POST /tokens", role="admin", status=201, notes_itself=True)
def create_token(
    services: Services,
    connection: Connection,
    name: Annotated[str, "A name that no token had before."],
    roles: Roles,
    endpoints: Annotated[list[str] | None, "The only endpoints that it is for; else all."] = None,
    expires_at: Annotated[Time | None, "When it ends; else when it is revoked."] = None,
) -> NewToken:
    """Make a token; the answer alone shows its secret."""
    now = services.context.now()
    end = expires_at and expires_at.isoformat()
    after = {"name": name, "roles": roles, "endpoints": endpoints, "expires_at": end}
    secret = stored.create_token(
        connection, name, roles, now=now, created_by=CURRENT.get().subject, endpoints=endpoints,
        expires_at=expires_at,
    )  # fmt: skip
    log.record(connection, "create", f"Token/{name}", now, after=after)
    return NewToken(name, roles, endpoints, expires_at, secret)


@operation("DELETE /tokens/{name}", role="admin", notes_itself=True, command="token revoke")
def revoke_token(
    services: Services, connection: Connection, name: Annotated[str, "The token's name."]
) -> None:
    """End a token for good, with the sessions in the dashboard that began by it.

    Servers that know it refuse it some seconds later at most.

    Example: driftline token revoke grafana
    """
    now = services.context.now()
    before = plain(stored.revoke_token(connection, name, now))
    log.record(connection, "delete", f"Token/{name}", now, before=before)


@operation(
    "GET /access-keys", role="admin", command="access-key list",
    columns="name access_key_id roles endpoints until=expires_at revoked_at",
)  # fmt: skip
def access_keys(connection: Connection, page: Paging) -> Page[keys.AccessKey]:
    """List the access keys of AWS's clients by name, revoked ones too, without their secrets.

    Example: driftline access-key list
    """
    found = keys.list_access_keys(connection, after=page.after(str), limit=page.count)
    return page.of(found, lambda one: (one.name,))


@operation("POST /access-keys", role="admin", status=201, notes_itself=True)
def create_access_key(
    services: Services,
    connection: Connection,
    name: Annotated[str, "A name that no access key had before."],
    roles: Roles,
    endpoints: Annotated[list[str] | None, "The only endpoints that it is for; else all."] = None,
    expires_at: Annotated[Time | None, "When it ends; else when it is revoked."] = None,
) -> NewAccessKey:
    """Make an access key, by which boto3 and others sign; the answer alone shows its secret."""
    now = services.context.now()
    key_id, secret = keys.create_access_key(
        connection, name, roles, now=now, created_by=CURRENT.get().subject, endpoints=endpoints,
        expires_at=expires_at, seal=services.context.vault.seal,
    )  # fmt: skip
    end = expires_at and expires_at.isoformat()
    after = {
        "name": name, "access_key_id": key_id, "roles": roles, "endpoints": endpoints,
        "expires_at": end,
    }  # fmt: skip
    log.record(connection, "create", f"AccessKey/{name}", now, after=after)
    return NewAccessKey(name, key_id, roles, endpoints, expires_at, secret)


@operation(
    "DELETE /access-keys/{name}", role="admin", notes_itself=True, command="access-key revoke"
)
def revoke_access_key(
    services: Services, connection: Connection, name: Annotated[str, "The access key's name."]
) -> None:
    """End an access key for good, and forget its secret.

    Servers that know it refuse it some seconds later at most.

    Example: driftline access-key revoke airflow
    """
    now = services.context.now()
    before = plain(keys.revoke_access_key(connection, name, now))
    log.record(connection, "delete", f"AccessKey/{name}", now, before=before)


@operation(
    "DELETE /sessions/{subject:path}", role="admin", notes_itself=True,
    command="token end-sessions",
)  # fmt: skip
def end_sessions(
    services: Services,
    connection: Connection,
    subject: Annotated[str, "Who is logged in, as `driftline audit` shows it."],
) -> None:
    """Log somebody out of the dashboard everywhere, some seconds later at most.

    Whoever has lost a group at the provider keeps its role as long as a session lasts.

    Example: driftline token end-sessions ana@example.org
    """
    after = {"ended": stored.end_sessions(connection, subject)}
    log.record(connection, "delete", f"Sessions/{subject}", services.context.now(), after=after)


@operation("GET /audit", role="admin", command="audit")
def audit(
    connection: Connection,
    page: Latest,
    subject: Annotated[str | None, "Only what this one did."] = None,
    target: Annotated[
        str | None, "Only what was done to this, such as Alarm/late or a path."
    ] = None,
    start: Start = None,
    end: End = None,
) -> Page[log.AuditEntry]:
    """List who changed what, who read raw rows, and who was refused; the newest first.

    Example: driftline audit --target Alarm/late --from 7d
    """
    found = log.entries(
        connection, limit=page.count, after=page.after(int), subject=subject, target=target,
        since=start, until=end,
    )  # fmt: skip
    return page.of(found, lambda one: (one.id,))
