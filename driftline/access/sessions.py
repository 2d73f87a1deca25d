"""Sessions of people in the dashboard: a cookie's secret, stored as a digest, ending by itself."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from driftline.access.principal import Principal
from driftline.access.tables import sessions, tokens
from driftline.access.tokens import digest_of, is_valid, new_secret
from driftline.errors import NotFoundError


def begin_session(
    connection: Connection, principal: Principal, now: datetime, length: timedelta
) -> str:
    """Store a new session and return the secret for its cookie; forget those that have ended.

    A session is about all endpoints: the dashboard refuses people of some.
    """
    assert principal.endpoints is None
    connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
    secret = new_secret()
    connection.execute(
        insert(sessions).values(
            digest=digest_of(secret),
            subject=principal.subject,
            roles=sorted(principal.roles),
            token=principal.token,
            created_at=now,
            expires_at=now + length,
        )
    )
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
