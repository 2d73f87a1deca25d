"""API tokens, and sessions of people in the dashboard: secrets that are stored as digests."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from driftline.access.audit import record
from driftline.access.principal import Principal, Role, checked_roles
from driftline.access.tables import sessions, tokens
from driftline.database.dialects import upsert
from driftline.database.paging import Place, is_behind
from driftline.errors import ConflictError, InputError, NotFoundError, UnavailableError
from driftline.validation import nearest

# By which scanners for secrets in logs and repositories know one.
PREFIX = "dl_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,127}")
# Tokens that servers make, and who has none, in the audit log.
_TAKEN = re.compile(r"local(-[0-9a-f]{8})?|nobody", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret."""

    name: str
    roles: frozenset[Role]
    endpoints: frozenset[str] | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def new_secret() -> str:
    """Return a new secret of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """Return under what a secret is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def create_token(
    connection: Connection,
    name: str,
    roles: Collection[str],
    *,
    now: datetime,
    created_by: str,
    endpoints: Collection[str] | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Store a new token and return its secret; no name is used twice, for the audit log."""
    columns = grant(
        "token", name, roles, now=now, created_by=created_by, endpoints=endpoints,
        expires_at=expires_at,
    )  # fmt: skip
    if _find(connection, name) is not None:
        raise ConflictError(f'token "{name}" exists or was revoked; choose another name')
    secret = new_secret()
    connection.execute(insert(tokens).values(**columns, digest=digest_of(secret)))
    return secret


def grant(
    kind: str,
    name: str,
    roles: Collection[str],
    *,
    now: datetime,
    created_by: str,
    endpoints: Collection[str] | None,
    expires_at: datetime | None,
) -> dict[str, Any]:
    """Return what is stored of a token or an access key beside its secret; refuse what is wrong."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f'{kind} "{name[:80]}"; expected up to 128 letters, digits, "_", ".", "@" and "-"'
        )
    if _TAKEN.fullmatch(name):
        raise InputError(f'{kind} "{name}": the audit log calls others so; choose another name')
    if expires_at is not None and expires_at <= now:
        raise InputError(f"expires_at {expires_at.isoformat()} is past; expected a later time")
    if endpoints is not None and not endpoints:
        raise InputError("endpoints: an empty list; name some, or leave it out for all")
    return {
        "name": name, "roles": sorted(checked_roles(roles)),
        "endpoints": None if endpoints is None else sorted(one.lower() for one in endpoints),
        "created_by": created_by, "created_at": now, "expires_at": expires_at,
    }  # fmt: skip


def register_token(connection: Connection, secret: str, *, now: datetime, created_by: str) -> Token:
    """Store the secret of a token file as an admin's token, once, for all servers."""
    digest = digest_of(secret)
    query = select(tokens).where(tokens.c.digest == digest)
    for name in ("local", f"local-{digest[:8]}"):
        if connection.execute(query).first() is not None:
            break
        new = upsert(connection, tokens).values(
            name=name, digest=digest, roles=["admin"], created_by=created_by, created_at=now
        )
        if connection.execute(new.on_conflict_do_nothing()).rowcount:
            who = Principal(created_by, frozenset(), via="file")
            record(connection, "create", f"Token/{name}", now, principal=who)
    return _read(connection.execute(query).one())


def list_tokens(
    connection: Connection, *, after: Place | None = None, limit: int | None = None
) -> list[Token]:
    """Return tokens, revoked ones too, by name; those behind a place (name)."""
    query = select(tokens).order_by(tokens.c.name).limit(limit)
    query = query.where(is_behind(after, [tokens.c.name]))
    return [_read(row) for row in connection.execute(query)]


def revoke_token(connection: Connection, name: str, now: datetime) -> Token:
    """Revoke a token and end the sessions that began with it; return the token."""
    found = _find(connection, name)
    if found is None or found.revoked_at is not None:
        names = [one.name for one in list_tokens(connection) if one.revoked_at is None]
        fault = "does not exist" if found is None else "is revoked already"
        raise NotFoundError(f'token "{name[:80]}" {fault}; {nearest(name, names) or "none"}')
    connection.execute(update(tokens).where(tokens.c.name == name).values(revoked_at=now))
    return found


def find_token(connection: Connection, secret: str, now: datetime) -> Principal | None:
    """Return whom a secret stands for; None when nobody, or nobody any more."""
    query = select(tokens).where(tokens.c.digest == digest_of(secret))
    row = connection.execute(query).one_or_none()
    token = None if row is None else _read(row)
    if token is None or not is_valid(token.revoked_at, token.expires_at, now):
        return None
    return Principal(token.name, token.roles, token.endpoints, "token", token.name)


def is_valid(revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> bool:
    """Whether a token is neither revoked nor past its end."""
    return revoked_at is None and (expires_at is None or now < expires_at)


def token_of_file(file: Path) -> str:
    """Return the secret in a token file; the first caller creates it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}-{os.getpid()}")
        if not file.exists():
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as out:
                out.write(new_secret() + "\n")
            try:
                os.link(new, file)  # Whole or not at all; who comes second finds the first's.
            except FileExistsError:
                pass
            finally:
                new.unlink()
    except OSError as error:
        raise UnavailableError(f"token {file}: {error.strerror}; let this user write it") from error
    return read_token(file)


def read_token(file: Path) -> str:
    """Return the secret in a token file; refuse a file that others may read."""
    try:
        status = file.stat()
        secret = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnavailableError(f"token {file}: {error}; let this user read it") from error
    # A group may read it where root or this user owns it, as with Secrets that Kubernetes mounts.
    is_own = status.st_uid in (0, os.geteuid())
    if status.st_mode & (0o007 if is_own else 0o077):
        raise UnavailableError(f"token {file}: others may read it; run: chmod 600 {file}")
    if len(secret) < 32:
        raise UnavailableError(
            f"token {file}: expected 32 characters or more; delete it, and a new one is made"
        )
    return secret


def _find(connection: Connection, name: str) -> Token | None:
    row = connection.execute(select(tokens).where(tokens.c.name == name)).one_or_none()
    return None if row is None else _read(row)


def _read(row: Row[Any]) -> Token:
    found = {**row._mapping, "roles": frozenset(row.roles)}
    del found["digest"]
    if row.endpoints is not None:
        found["endpoints"] = frozenset(row.endpoints)
    return Token(**found)


def begin_session(
    connection: Connection, principal: Principal, now: datetime, length: timedelta
) -> str:
    """Store a new session, of somebody of all endpoints; return the secret for its cookie."""
    assert principal.endpoints is None
    connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
    secret = new_secret()
    connection.execute(
        insert(sessions).values(
            digest=digest_of(secret), subject=principal.subject, roles=sorted(principal.roles),
            token=principal.token, created_at=now, expires_at=now + length,
        )
    )  # fmt: skip
    return secret


def find_session(connection: Connection, secret: str, now: datetime) -> Principal | None:
    """Return whose session a secret is of; None when it has ended, or its token has."""
    row = connection.execute(
        select(sessions, tokens.c.revoked_at, tokens.c.expires_at.label("token_ends"))
        .outerjoin(tokens, tokens.c.name == sessions.c.token)
        .where(sessions.c.digest == digest_of(secret), sessions.c.expires_at > now)
    ).one_or_none()
    if row is None or not is_valid(row.revoked_at, row.token_ends, now):
        return None
    return Principal(row.subject, frozenset(row.roles), None, "session", row.token)


def end_session(connection: Connection, secret: str) -> None:
    """Forget a session."""
    connection.execute(delete(sessions).where(sessions.c.digest == digest_of(secret)))


def end_sessions(connection: Connection, subject: str) -> int:
    """Delete all sessions of a person or token; return how many there were."""
    ended = connection.execute(delete(sessions).where(sessions.c.subject == subject)).rowcount
    if not ended:
        raise NotFoundError(f'"{subject[:80]}" has no session; expected a name of the audit log')
    return ended


def csrf_token(secret: str) -> str:
    """Return what a page of a session shows with each change: no other page can read it."""
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()
