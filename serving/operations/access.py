"""Operations on access: who asks, tokens, access keys, sessions, the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from sqlalchemy import Connection

from driftline.access import audit as log
from driftline.access import credentials as stored
from driftline.access import tokens as sessions
from driftline.access.credentials import AccessKey, Grant, Kind, Token
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


@dataclass(frozen=True, kw_only=True)
class NewToken(Grant):
    """A token that was made, with its secret."""

    token: str


@dataclass(frozen=True, kw_only=True)
class NewAccessKey(Grant):
    """An access key that was made, with its secret."""

    access_key_id: str
    secret_access_key: str


NewName = Annotated[str, "A name that was never used before."]
Roles = Annotated[
    list[Role],
    Field(min_length=1, description="Some of viewer, analyst, operator, admin, invoke and ingest."),
]
Endpoints = Annotated[
    list[str] | None,
    Field(min_length=1, description="The only endpoints that it is for; else all."),
]
Expires = Annotated[Time | None, "When it ends; else when it is revoked."]


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
def tokens(connection: Connection, page: Paging) -> Page[Token]:
    """List tokens by name, revoked ones too, without their secrets.

    Example: driftline token list
    """
    return _listed(connection, page, Token)


@operation("POST /tokens", role="admin", status=201, notes_itself=True)
def create_token(
    services: Services, connection: Connection, name: NewName, roles: Roles,
    endpoints: Endpoints = None, expires_at: Expires = None,
) -> NewToken:  # fmt: skip
    """Make a token; the answer alone shows its secret."""
    grant = Grant(name, roles, endpoints, expires_at)
    _, secret = _create(services, connection, Token, grant)
    return NewToken(name, roles, endpoints, expires_at, token=secret)


@operation("DELETE /tokens/{name}", role="admin", notes_itself=True, command="token revoke")
def revoke_token(
    services: Services, connection: Connection, name: Annotated[str, "The token's name."]
) -> None:
    """End a token for good, with the sessions in the dashboard that began by it.

    Servers that know it refuse it some seconds later at most.

    Example: driftline token revoke grafana
    """
    _revoke(services, connection, Token, name)


@operation(
    "GET /access-keys", role="admin", command="access-key list",
    columns="name access_key_id roles endpoints until=expires_at revoked_at",
)  # fmt: skip
def access_keys(connection: Connection, page: Paging) -> Page[AccessKey]:
    """List the access keys of AWS's clients by name, revoked ones too, without their secrets.

    Example: driftline access-key list
    """
    return _listed(connection, page, AccessKey)


@operation("POST /access-keys", role="admin", status=201, notes_itself=True)
def create_access_key(
    services: Services, connection: Connection, name: NewName, roles: Roles,
    endpoints: Endpoints = None, expires_at: Expires = None,
) -> NewAccessKey:  # fmt: skip
    """Make an access key, by which boto3 and others sign; the answer alone shows its secret."""
    grant = Grant(name, roles, endpoints, expires_at)
    key, secret = _create(services, connection, AccessKey, grant)
    return NewAccessKey(
        name, roles, endpoints, expires_at, access_key_id=key.access_key_id,
        secret_access_key=secret,
    )  # fmt: skip


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
    _revoke(services, connection, AccessKey, name)


def _listed(connection: Connection, page: Paging, kind: type[Kind]) -> Page[Kind]:
    found = stored.list_granted(connection, kind, after=page.after(str), limit=page.count)
    return page.of(found, lambda one: (one.name,))


def _create(
    services: Services, connection: Connection, kind: type[Kind], grant: Grant
) -> tuple[Kind, str]:
    now, seal = services.context.now(), services.context.vault.seal
    made, secret = stored.create(
        connection, kind, grant, now=now, created_by=CURRENT.get().subject, seal=seal
    )
    log.record(connection, "create", f"{kind.__name__}/{grant.name}", now, after=plain(made))
    return made, secret


def _revoke(services: Services, connection: Connection, kind: type[Kind], name: str) -> None:
    now = services.context.now()
    before = plain(stored.revoke(connection, kind, name, now))
    log.record(connection, "delete", f"{kind.__name__}/{name}", now, before=before)


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
    after = {"ended": sessions.end_sessions(connection, subject)}
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
