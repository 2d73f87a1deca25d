"""Tokens and sessions on both databases: who they stand for, how they end, what is stored."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, text

from driftline.access.principal import Principal
from driftline.access.sessions import (
    begin_session,
    end_session,
    end_sessions,
    find_session,
)
from driftline.access.tokens import (
    create_token,
    find_token,
    list_tokens,
    read_token,
    revoke_token,
    token_of_file,
)
from driftline.errors import ConflictError, NotFoundError, UnavailableError

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_token_stands_for_its_roles_until_it_is_revoked(engine: Engine) -> None:
    with engine.begin() as connection:
        secret = create_token(
            connection, "ci", ["viewer"], now=NOW, created_by="ana", endpoints=["Flights"],
            expires_at=NOW + HOUR,
        )  # fmt: skip
        found = find_token(connection, secret, NOW)
        ended = find_token(connection, secret, NOW + HOUR)
        revoke_token(connection, "ci", NOW)
        later = find_token(connection, secret, NOW)
        listed = list_tokens(connection)

    expected = Principal("ci", frozenset({"viewer"}), frozenset({"flights"}), "token", "ci")
    assert found == expected
    assert later is ended is None
    assert secret not in repr(listed)
    assert [one.revoked_at for one in listed] == [NOW]


def test_secrets_are_not_in_the_database(engine: Engine) -> None:
    with engine.begin() as connection:
        secret = create_token(connection, "ci", ["admin"], now=NOW, created_by="ana")
        session = begin_session(connection, Principal("ana", frozenset({"admin"})), NOW, HOUR)
        stored = [
            str(row)
            for table in ("access_tokens", "access_sessions")
            for row in connection.execute(text(f"SELECT * FROM {table}"))
        ]

    assert len(stored) == 2
    assert not any(shown in row for row in stored for shown in (secret, session))


def test_no_second_token_of_a_name_even_after_the_first_is_revoked(engine: Engine) -> None:
    with engine.begin() as connection:
        create_token(connection, "ci", ["admin"], now=NOW, created_by="ana")
        revoke_token(connection, "ci", NOW)
        with pytest.raises(ConflictError, match='token "ci" exists or was revoked'):
            create_token(connection, "ci", ["viewer"], now=NOW, created_by="ana")
        with pytest.raises(NotFoundError, match='token "ci" is revoked already'):
            revoke_token(connection, "ci", NOW)


def test_a_session_ends_by_its_time_its_log_out_and_its_token(engine: Engine) -> None:
    with engine.begin() as connection:
        create_token(connection, "ana", ["analyst"], now=NOW, created_by="root")
        who = Principal("ana", frozenset({"analyst"}), None, "token", "ana")
        by_time = begin_session(connection, who, NOW, HOUR)
        by_log_out = begin_session(connection, who, NOW, HOUR)

        found = find_session(connection, by_time, NOW)
        assert found == Principal("ana", frozenset({"analyst"}), None, "session", "ana")
        assert find_session(connection, by_time, NOW + HOUR) is None
        end_session(connection, by_log_out)
        assert find_session(connection, by_log_out, NOW) is None
        assert find_session(connection, by_time, NOW) is not None
        revoke_token(connection, "ana", NOW)
        assert find_session(connection, by_time, NOW) is None


def test_the_own_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "access.token"

    first, second = token_of_file(file), token_of_file(file)

    assert first == second
    assert len(first) > 40
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


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
    file.chmod(mode)
    status = file.stat()
    uid = {"this user": status.st_uid, "root": 0, "another user": status.st_uid + 1}[owner]
    monkeypatch.setattr(Path, "stat", lambda _: SimpleNamespace(st_uid=uid, st_mode=mode))

    if is_read:
        assert read_token(file) == secret
    else:
        with pytest.raises(UnavailableError, match="others may read it; run: chmod 600"):
            read_token(file)


def test_a_short_own_token_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "access.token"
    file.write_text("secret\n")
    file.chmod(0o600)

    with pytest.raises(UnavailableError, match="expected 32 characters or more"):
        token_of_file(file)


def test_all_sessions_of_a_person_end_and_no_others(engine: Engine) -> None:
    with engine.begin() as connection:
        ana, ben = (
            begin_session(connection, Principal(name, frozenset({"viewer"}), via="oidc"), NOW, HOUR)
            for name in ("ana", "ben")
        )

        assert end_sessions(connection, "ana") == 1

        assert find_session(connection, ana, NOW) is None
        assert find_session(connection, ben, NOW) is not None
        with pytest.raises(NotFoundError, match='"ana" has no session'):
            end_sessions(connection, "ana")
