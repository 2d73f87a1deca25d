"""Tokens and access keys, which an admin grants: by their secrets the server knows who asks."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

from sqlalchemy import Connection, Row, select, update

from driftline.access.audit import record
from driftline.access.principal import Principal, Role
from driftline.access.tables import credentials
from driftline.access.tokens import digest_of, is_valid, new_secret
from driftline.database.dialects import upsert
from driftline.database.paging import Place, is_behind
from driftline.errors import ConflictError, InputError, NotFoundError
from driftline.validation import nearest

# Not as the audit log calls tokens that servers make, and who has none.
_NAME = re.compile(r"(?!(?i:local(-[0-9a-f]{8})?|nobody)$)[A-Za-z0-9][A-Za-z0-9_.@-]{0,127}")
# As AWS's own look, so that clients, and scanners for leaked secrets, know them for what they are.
_PREFIX, _ID_LETTERS, _ID_LENGTH = "AKIA", string.ascii_uppercase + "234567", 16
_SECRET_LETTERS, _SECRET_LENGTH = string.ascii_letters + string.digits, 40


@dataclass(frozen=True, slots=True)
class Grant:
    """What is granted under a name: roles, for some endpoints or all, until an end if there is one.

    No name is used twice, for the audit log.
    """

    name: str
    roles: Sequence[Role]
    endpoints: Sequence[str] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Grant):
    """A token without its secret."""

    kind: ClassVar[Literal["token", "access-key"]] = "token"
    created_by: str
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey(Token):
    """An access key without its secret."""

    kind = "access-key"
    access_key_id: str


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs with an access key, with what, and until when."""

    principal: Principal
    secret: str = field(repr=False)
    expires_at: datetime | None


Kind = TypeVar("Kind", bound=Token)


def create(
    connection: Connection, kind: type[Kind], grant: Grant, *, now: datetime, created_by: str,
    seal: Callable[[str], str] | None = None,
) -> tuple[Kind, str]:  # fmt: skip
    """Store a new token, or a new access key with its secret sealed; return it and its secret."""
    name, expires_at = grant.name, grant.expires_at
    if not _NAME.fullmatch(name):
        raise InputError(
            f'{kind.kind} "{name[:80]}"; expected up to 128 letters, digits, "_", ".", "@" and '
            '"-", and neither local nor nobody, whom the audit log calls so'
        )
    if expires_at is not None and expires_at <= now:
        raise InputError(f"expires_at {expires_at.isoformat()} is past; expected a later time")
    secret = new_secret()
    kept = {"digest": digest_of(secret)}
    if kind is AccessKey:
        assert seal is not None
        secret = "".join(secrets.choice(_SECRET_LETTERS) for _ in range(_SECRET_LENGTH))
        key_id = _PREFIX + "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
        kept = {"access_key_id": key_id, "sealed": seal(secret)}
    row = _insert(connection, kind, grant, created_by=created_by, created_at=now, **kept)
    if row is None:
        raise ConflictError(f'{kind.kind} "{name}" exists or was revoked; choose another name')
    return _read(kind, row), secret


def register_token(connection: Connection, secret: str, *, now: datetime, created_by: str) -> Token:
    """Store the secret of a token file as an admin's token, once, for all servers."""
    digest = digest_of(secret)
    query = select(credentials).where(credentials.c.digest == digest)
    for name in ("local", f"local-{digest[:8]}"):
        if connection.execute(query).first() is not None:
            break
        grant, made = Grant(name, ["admin"]), {"created_by": created_by, "created_at": now}
        if _insert(connection, Token, grant, **made, digest=digest) is not None:
            who = Principal(created_by, frozenset(), via="file")
            record(connection, "create", f"Token/{name}", now, principal=who)
    return _read(Token, connection.execute(query).one())


def _insert(
    connection: Connection, kind: type[Token], grant: Grant, **columns: object
) -> Row[Any] | None:
    """Store a grant, and return what is stored; None where its name is not new."""
    endpoints = grant.endpoints and sorted(one.lower() for one in grant.endpoints)
    granted = {**asdict(grant), "roles": sorted(grant.roles), "endpoints": endpoints}
    new = upsert(connection, credentials).values(kind=kind.kind, **granted, **columns)
    stored = new.on_conflict_do_nothing().returning(*credentials.c)
    return connection.execute(stored).one_or_none()


def list_granted(
    connection: Connection, kind: type[Kind], *,
    after: Place | None = None, limit: int | None = None,
) -> list[Kind]:  # fmt: skip
    """Return tokens, or access keys, by name, revoked ones too; those behind a place (name)."""
    query = select(credentials).where(credentials.c.kind == kind.kind)
    query = query.where(is_behind(after, [credentials.c.name])).order_by(credentials.c.name)
    return [_read(kind, row) for row in connection.execute(query.limit(limit))]


def revoke(connection: Connection, kind: type[Kind], name: str, now: datetime) -> Kind:
    """End a token, and the sessions that began with it, or an access key; return it as it was."""
    own = credentials.c.kind == kind.kind, credentials.c.name == name
    row = connection.execute(select(credentials).where(*own)).one_or_none()
    if row is None or row.revoked_at is not None:
        names = [one.name for one in list_granted(connection, kind) if one.revoked_at is None]
        fault = "does not exist" if row is None else "is revoked already"
        raise NotFoundError(f'{kind.kind} "{name[:80]}" {fault}; {nearest(name, names) or "none"}')
    connection.execute(update(credentials).where(*own).values(revoked_at=now, sealed=None))
    return _read(kind, row)


def find_token(connection: Connection, secret: str, now: datetime) -> Principal | None:
    """Return whom a secret stands for; None when nobody, or nobody any more."""
    query = select(credentials).where(credentials.c.digest == digest_of(secret))
    row = connection.execute(query).one_or_none()
    if row is None or not is_valid(row.revoked_at, row.expires_at, now):
        return None
    return _principal(row)


def find_signer(
    connection: Connection, access_key_id: str, unseal: Callable[[str], str]
) -> Signer | None:
    """Return who signs with an access key; None when nobody, or nobody any more."""
    query = select(credentials).where(
        credentials.c.access_key_id == access_key_id, credentials.c.revoked_at.is_(None)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else Signer(_principal(row), unseal(row.sealed), row.expires_at)


def _principal(row: Row[Any]) -> Principal:
    endpoints = None if row.endpoints is None else frozenset(row.endpoints)
    token = row.name if row.kind == Token.kind else None
    return Principal(row.name, frozenset(row.roles), endpoints, row.kind, token)


def _read(kind: type[Kind], row: Row[Any]) -> Kind:
    return kind(**{one.name: row._mapping[one.name] for one in fields(kind)})
