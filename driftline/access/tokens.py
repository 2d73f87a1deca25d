"""Secrets of tokens, the files that hold one, and sessions of people in the dashboard."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, and_, delete, insert, select

from driftline.access.principal import Principal
from driftline.access.tables import credentials, sessions
from driftline.errors import NotFoundError, UnavailableError

# By which scanners for secrets in logs and repositories know one.
PREFIX = "dl_"


def new_secret() -> str:
    """Return a new secret of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """Return under what a secret is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def is_valid(revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> bool:
    """Whether a token is neither revoked nor past its end."""
    return revoked_at is None and (expires_at is None or now < expires_at)


def token_of_file(file: Path) -> str:
    """Return the secret in a token file; the first caller creates it."""
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as folder:
                new = Path(folder) / file.name
                new.touch(mode=0o600)
                new.write_text(f"{new_secret()}\n", encoding="ascii")
                with suppress(FileExistsError):
                    os.link(new, file)  # Whole or not at all; who comes second finds the first's.
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
        select(sessions, credentials.c.revoked_at, credentials.c.expires_at.label("token_ends"))
        .outerjoin(
            credentials,
            and_(credentials.c.kind == "token", credentials.c.name == sessions.c.token),
        )
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
