"""Access keys: an id and a secret, by which clients of AWS sign what they ask for."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from driftline.access.principal import Principal, Role
from driftline.access.tables import access_keys
from driftline.access.tokens import grant
from driftline.database.paging import Place, is_behind
from driftline.errors import ConflictError, NotFoundError
from driftline.validation import nearest

# As AWS's own look, so that clients, and scanners for leaked secrets, know them for what they are.
_PREFIX, _ID_LETTERS, _ID_LENGTH = "AKIA", string.ascii_uppercase + "234567", 16
_SECRET_LETTERS, _SECRET_LENGTH = string.ascii_letters + string.digits, 40


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key without its secret."""

    name: str
    access_key_id: str
    roles: frozenset[Role]
    endpoints: frozenset[str] | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs with an access key, with what, and until when."""

    principal: Principal
    secret: str = field(repr=False)
    expires_at: datetime | None


def create_access_key(
    connection: Connection,
    name: str,
    roles: Collection[str],
    *,
    seal: Callable[[str], str],
    now: datetime,
    created_by: str,
    endpoints: Collection[str] | None = None,
    expires_at: datetime | None = None,
) -> tuple[str, str]:
    """Store a new access key and return its id and its secret; no name is used twice."""
    columns = grant(
        "access key", name, roles, now=now, created_by=created_by, endpoints=endpoints,
        expires_at=expires_at,
    )  # fmt: skip
    if _find(connection, name) is not None:
        raise ConflictError(f'access key "{name}" exists or was revoked; choose another name')
    key_id = _PREFIX + "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
    secret = "".join(secrets.choice(_SECRET_LETTERS) for _ in range(_SECRET_LENGTH))
    values = {**columns, "access_key_id": key_id, "sealed": seal(secret)}
    connection.execute(insert(access_keys).values(**values))
    return key_id, secret


def list_access_keys(
    connection: Connection, *, after: Place | None = None, limit: int | None = None
) -> list[AccessKey]:
    """Return access keys, revoked ones too, by name; those behind a place (name)."""
    query = select(access_keys).order_by(access_keys.c.name).limit(limit)
    query = query.where(is_behind(after, [access_keys.c.name]))
    return [_read(row) for row in connection.execute(query)]


def revoke_access_key(connection: Connection, name: str, now: datetime) -> AccessKey:
    """Revoke an access key and forget its secret; return the key."""
    found = _find(connection, name)
    if found is None or found.revoked_at is not None:
        names = [one.name for one in list_access_keys(connection) if one.revoked_at is None]
        fault = "does not exist" if found is None else "is revoked already"
        raise NotFoundError(f'access key "{name[:80]}" {fault}; {nearest(name, names) or "none"}')
    revoked = update(access_keys).where(access_keys.c.name == name)
    connection.execute(revoked.values(revoked_at=now, sealed=None))
    return found


def find_signer(
    connection: Connection, access_key_id: str, unseal: Callable[[str], str]
) -> Signer | None:
    """Return who signs with an access key; None when nobody, or nobody any more."""
    query = select(access_keys).where(
        access_keys.c.access_key_id == access_key_id, access_keys.c.revoked_at.is_(None)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    key = _read(row)
    principal = Principal(key.name, key.roles, key.endpoints, "access-key")
    return Signer(principal, unseal(row.sealed), key.expires_at)


def _find(connection: Connection, name: str) -> AccessKey | None:
    query = select(access_keys).where(access_keys.c.name == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else _read(row)


def _read(row: Row[Any]) -> AccessKey:
    found = {**row._mapping, "roles": frozenset(row.roles)}
    del found["sealed"]
    if row.endpoints is not None:
        found["endpoints"] = frozenset(row.endpoints)
    return AccessKey(**found)
