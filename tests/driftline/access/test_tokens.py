"""Who a session or a proxy's headers stand for, how that ends, and what is stored of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError

from driftline.access.audit import entries, record
from driftline.access.credentials import Grant, Token, create, revoke
from driftline.access.principal import (
    ANYBODY,
    Principal,
    TrustedProxy,
    read_group_roles,
    read_networks,
)
from driftline.access.tokens import (
    begin_session,
    end_session,
    end_sessions,
    find_session,
    read_token,
    token_of_file,
)
from driftline.errors import NotFoundError, UnavailableError
from tests.servers.postgres import BOTH

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_session_ends_by_its_time_its_log_out_its_token_and_an_admin(engine: Engine) -> None:
    who = Principal("ana", frozenset({"analyst"}), None, "token", "ana")
    with engine.begin() as connection:
        grant = Grant("ana", ["analyst"])
        _, shown = create(connection, Token, grant, now=NOW, created_by="root")
        by_time, by_log_out = (begin_session(connection, who, NOW, HOUR) for _ in range(2))
        other = begin_session(connection, Principal("ben", frozenset()), NOW, HOUR)
        stored = [
            str(row)
            for table in ("access_credentials", "access_sessions")
            for row in connection.execute(text(f"SELECT * FROM {table}"))
        ]

        found = find_session(connection, by_time, NOW)
        assert found == Principal("ana", frozenset({"analyst"}), None, "session", "ana")
        assert find_session(connection, by_time, NOW + HOUR) is None
        end_session(connection, by_log_out)
        assert find_session(connection, by_log_out, NOW) is None
        assert find_session(connection, by_time, NOW) is not None
        revoke(connection, Token, "ana", NOW)
        assert find_session(connection, by_time, NOW) is None
        assert end_sessions(connection, "ben") == 1
        assert find_session(connection, other, NOW) is None
        with pytest.raises(NotFoundError):
            end_sessions(connection, "ben")

    assert not any(secret in row for row in stored for secret in (shown, by_time, other))


def test_the_own_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "access.token"

    first, second = token_of_file(file), token_of_file(file)

    assert first == second
    assert len(first) > 40
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]
    file.write_text("secret\n")
    with pytest.raises(UnavailableError):  # It could be guessed.
        token_of_file(file)


@pytest.mark.parametrize(
    ("owner", "mode", "is_read"),
    [
        ("this user", 0o644, False),
        ("this user", 0o602, False),
        ("this user", 0o440, True),  # As Kubernetes mounts a Secret.
        ("root", 0o440, True),
        ("another user", 0o640, False),
    ],
)
def test_a_token_that_others_may_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str, mode: int, is_read: bool
) -> None:
    file = tmp_path / "access.token"
    secret = token_of_file(file)
    own = file.stat().st_uid
    uid = {"this user": own, "root": 0, "another user": own + 1}[owner]
    monkeypatch.setattr(Path, "stat", lambda _: SimpleNamespace(st_uid=uid, st_mode=mode))

    if is_read:
        assert read_token(file) == secret
    else:
        with pytest.raises(UnavailableError):
            read_token(file)


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize(
    "statement", ["DELETE FROM access_audit", "UPDATE access_audit SET subject = 'nobody'"]
)
def test_the_database_itself_refuses_to_change_an_entry(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        record(connection, "update", "Alarm/a", NOW)

    with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))

    with engine.connect() as connection:
        assert [one.subject for one in entries(connection, limit=9)] == [ANYBODY.subject]


PROXY = TrustedProxy(
    read_networks(["10.0.0.0/8", "::1/128"]),
    "s" * 40,
    read_group_roles(["on-call=operator", "on-call = analyst", "staff=viewer"]),
)
SECRET = ("x-driftline-proxy-secret", "s" * 40)
ANA, GROUPS = ("x-forwarded-user", "ana"), ("x-forwarded-groups", "on-call, others")
RIGHT = [SECRET, ANA, GROUPS]
OPERATOR = Principal("ana", frozenset({"operator", "analyst"}), via="proxy")


@pytest.mark.parametrize(
    ("headers", "peer", "expected"),
    [
        (RIGHT, "10.1.2.3", OPERATOR),
        # Who is in no known group may do nothing.
        ([SECRET, ANA], "10.1.2.3", Principal("ana", frozenset(), via="proxy")),
        (RIGHT, "192.168.0.1", None),
        (RIGHT, None, None),
        (RIGHT, "not an address", None),
        ([ANA, GROUPS], "10.1.2.3", None),
        ([("x-driftline-proxy-secret", "t" * 40), ANA, GROUPS], "10.1.2.3", None),
        ([("x-driftline-proxy-secret", ""), ANA, GROUPS], "10.1.2.3", None),
        ([*RIGHT, ("x-forwarded-user", "root")], "10.1.2.3", None),
        ([SECRET, GROUPS], "10.1.2.3", None),
    ],
)
def test_a_proxy_is_believed_by_its_network_and_its_secret(
    headers: list[tuple[str, str]], peer: str | None, expected: Principal | None
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    client = None if peer is None else (peer, 1234)

    assert PROXY.principal({"type": "http", "headers": raw, "client": client}) == expected
