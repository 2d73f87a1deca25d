"""Access keys: whom they stand for, how that ends, and that no secret of theirs is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, text

from driftline.access.access_keys import (
    create_access_key,
    find_signer,
    list_access_keys,
    revoke_access_key,
)
from driftline.access.principal import Principal
from driftline.alerts.notify.secrets import Vault
from driftline.errors import ConflictError, InputError, NotFoundError, UnavailableError

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
VAULT = Vault(Fernet.generate_key().decode())


def test_a_key_stands_for_its_roles_until_it_is_revoked(engine: Engine) -> None:
    with engine.begin() as connection:
        key_id, secret = create_access_key(
            connection, "ci", ["operator"], seal=VAULT.seal, now=NOW, created_by="ana",
            endpoints=["Flights"], expires_at=NOW + HOUR,
        )  # fmt: skip
        found = find_signer(connection, key_id, VAULT.unseal)
        stored = connection.execute(text("SELECT * FROM access_keys")).one()
        with pytest.raises(UnavailableError):  # Of another machine, whose key is another.
            find_signer(connection, key_id, Vault(Fernet.generate_key().decode()).unseal)
        revoke_access_key(connection, "ci", NOW)
        later = find_signer(connection, key_id, VAULT.unseal)
        gone = connection.execute(text("SELECT sealed FROM access_keys")).scalar_one()
        with pytest.raises(ConflictError):  # The audit log must not mix up two keys.
            create_access_key(
                connection, "ci", ["viewer"], seal=VAULT.seal, now=NOW, created_by="ana"
            )
        with pytest.raises(NotFoundError):
            revoke_access_key(connection, "ci", NOW)
        listed = list_access_keys(connection)

    who = Principal("ci", frozenset({"operator"}), frozenset({"flights"}), "access-key")
    assert found is not None
    assert (found.principal, found.secret, found.expires_at) == (who, secret, NOW + HOUR)
    assert (len(key_id), key_id[:4], len(secret)) == (20, "AKIA", 40)
    assert secret not in f"{found!r}{listed!r}{json.dumps([*map(str, stored)])}"
    assert later is gone is None
    assert [one.revoked_at for one in listed] == [NOW]


@pytest.mark.parametrize(
    "wrong",
    [{"name": "a b"}, {"roles": []}, {"roles": ["root"]}, {"endpoints": []}, {"expires_at": NOW}],
)
def test_a_key_that_could_not_be_used_is_refused(engine: Engine, wrong: dict[str, object]) -> None:
    given = {"name": "ci", "roles": ["viewer"], "now": NOW, "created_by": "ana", **wrong}

    with engine.begin() as connection, pytest.raises(InputError):
        create_access_key(connection, seal=VAULT.seal, **given)  # type: ignore[arg-type]
