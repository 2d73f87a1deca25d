"""A server with access on: a secret of its machine, a trusted proxy, a host of its settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from driftline.access.authentication import Authenticator
from driftline.access.credentials import register_token
from driftline.access.principal import TrustedProxy, read_group_roles, read_networks
from driftline.access.tokens import new_secret
from tests.servers.postgres import new_sqlite, open_url
from tests.serving.conftest import NOW, Running, running

FILE_SECRET = new_secret()
PROXY_SECRET = "p" * 43


@contextmanager
def guarded(folder: Path, **more: Any) -> Iterator[Running]:
    """Run it in a folder, with more of a context."""
    url = new_sqlite(folder)
    engine = open_url(url)
    proxy = TrustedProxy(
        read_networks(["127.0.0.0/8"]), PROXY_SECRET,
        read_group_roles(["staff=viewer"]),
    )  # fmt: skip
    authenticator = knowing(engine, FILE_SECRET, proxy=proxy)
    settings = {"authenticator": authenticator, "hosts": ["drift.example.org"], **more}
    with running(folder, database=url, **settings) as found:
        yield found
    engine.dispose()


def knowing(engine: Engine, secret: str, **more: Any) -> Authenticator:
    """Return who lets in an admin by the secret of a token file."""
    with engine.begin() as connection:
        register_token(connection, secret, now=NOW, created_by="test")
    return Authenticator(engine, lambda: NOW, **more)


def bearer(secret: str) -> dict[str, str]:
    """Return the header that shows a secret."""
    return {"authorization": f"Bearer {secret}"}
