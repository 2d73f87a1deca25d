"""Tokens and access keys: whom they stand for, how that ends, and that no secret is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Connection, Engine, text

from driftline.access.audit import entries
from driftline.access.credentials import (
    AccessKey,
    Grant,
    Token,
    create,
    find_signer,
    find_token,
    list_granted,
    register_token,
    revoke,
)
from driftline.access.principal import Principal
from driftline.alerts.notify.secrets import Vault
from driftline.errors import ConflictError, NotFoundError, UnavailableError
from tests.servers.postgres import both_in_full

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
VAULT = Vault(Fernet.generate_key().decode())
GRANT = Grant("ci", ["operator"], ["Flights"], NOW + HOUR)
MADE = {"now": NOW, "created_by": "ana", "seal": VAULT.seal}


@both_in_full
@pytest.mark.parametrize("kind", [Token, AccessKey])
def test_a_secret_stands_for_its_roles_until_it_is_revoked(
    engine: Engine, kind: type[Token]
) -> None:
    with engine.begin() as connection:
        made, secret = create(connection, kind, GRANT, **MADE)
        found = whose(connection, made, secret)
        stored = connection.execute(text("SELECT * FROM access_credentials")).one()
        revoke(connection, kind, "ci", NOW)
        later = whose(connection, made, secret)
        gone = connection.execute(text("SELECT sealed FROM access_credentials")).scalar_one()
        with pytest.raises(ConflictError):  # The audit log must not mix up two of them.
            create(connection, kind, GRANT, **MADE)
        with pytest.raises(NotFoundError):
            revoke(connection, kind, "ci", NOW)
        listed = list_granted(connection, kind)
        # Of the other kind the name is new.
        create(connection, AccessKey if kind is Token else Token, GRANT, **MADE)

    token = "ci" if kind is Token else None
    who = Principal("ci", frozenset({"operator"}), frozenset({"flights"}), kind.kind, token)
    assert found == who
    assert secret not in f"{made!r}{listed!r}{json.dumps([*map(str, stored)])}"
    assert later is gone is None
    assert [(one.name, one.revoked_at) for one in listed] == [("ci", NOW)]


def whose(connection: Connection, made: Token, secret: str) -> Principal | None:
    if not isinstance(made, AccessKey):
        return find_token(connection, secret, NOW)
    signer = find_signer(connection, made.access_key_id, VAULT.unseal)
    return None if signer is None else signer.principal


def test_a_token_stands_for_nobody_once_it_has_expired(engine: Engine) -> None:
    with engine.begin() as connection:
        _, secret = create(connection, Token, GRANT, **MADE)

        assert find_token(connection, secret, NOW + HOUR) is None


def test_a_signer_has_the_secret_itself_where_its_key_is(engine: Engine) -> None:
    with engine.begin() as connection:
        made, secret = create(connection, AccessKey, GRANT, **MADE)
        found = find_signer(connection, made.access_key_id, VAULT.unseal)
        with pytest.raises(UnavailableError):  # Of another machine, whose key is another.
            find_signer(
                connection, made.access_key_id, Vault(Fernet.generate_key().decode()).unseal
            )

    assert found is not None
    assert (found.secret, found.expires_at) == (secret, NOW + HOUR)
    assert secret not in repr(found)
    key_id = made.access_key_id
    assert (len(key_id), key_id[:4], len(secret)) == (20, "AKIA", 40)


@both_in_full
def test_each_token_file_is_registered_once_under_a_name_of_its_own(engine: Engine) -> None:
    with engine.begin() as connection:
        names = [
            register_token(connection, secret * 40, now=NOW, created_by="root@a").name
            for secret in "aba"
        ]
        noted = entries(connection, limit=9)

    assert names[0] == names[2] == "local"
    assert names[1].startswith("local-")
    assert sorted(one.target for one in noted) == [f"Token/{name}" for name in names[:2]]
