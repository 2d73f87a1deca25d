"""How long a secret is believed: revocation is prompt, and an outage stops nobody."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from driftline.access import authentication
from driftline.access.authentication import KNOWN_S, STALE_S, Authenticator, Gate
from driftline.access.credentials import Grant, Token, create, find_token, revoke
from driftline.errors import UnavailableError

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)


class Database:
    """Token look-ups that are counted, and can fail or hang."""

    def __init__(self) -> None:
        self.count = 0
        self.is_away = False
        self.hangs: threading.Event | None = None

    def find(self, *args: object) -> object:
        self.count += 1
        if self.hangs is not None:
            self.hangs.wait(30)
        if self.is_away:
            raise OperationalError("SELECT", {}, Exception("connection refused"))
        return find_token(*args)  # type: ignore[arg-type]


class Clock:
    """Seconds that the test passes."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    found = Database()
    monkeypatch.setattr(authentication, "find_token", found.find)
    monkeypatch.setattr(authentication, "_PATIENCE_S", 0.01)
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(engine: Engine, clock: Clock) -> Authenticator:
    return Authenticator(engine, lambda: NOW, clock=clock)


@pytest.fixture
def secret(engine: Engine) -> str:
    with engine.begin() as connection:
        grant = Grant("ci", ["viewer"])
        _, secret = create(connection, Token, grant, now=NOW, created_by="ana")
    return secret


async def through_gate(authenticator: Authenticator, secret: str) -> int:
    """Return the status that a request with a secret is answered with."""
    sent = []

    async def app(_scope, _receive, send) -> None:  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message) -> None:  # type: ignore[no-untyped-def]
        sent.append(message)

    headers = [(b"authorization", f"Bearer {secret}".encode())]
    scope = {"type": "http", "path": "/x", "headers": headers}
    await Gate(app, authenticator, ())(scope, None, send)  # type: ignore[arg-type]
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_revoked_token_is_refused_in_time(
    engine: Engine, database: Database, clock: Clock, authenticator: Authenticator, secret: str,
    is_slow: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if not is_slow:
        monkeypatch.setattr(authentication, "_PATIENCE_S", 30)

    async def ask() -> None:
        assert await authenticator.find(secret)
        with engine.begin() as connection:
            revoke(connection, Token, "ci", NOW)
        clock.now_s += KNOWN_S - 1
        assert await authenticator.find(secret)
        assert database.count == 1
        clock.now_s += 1
        if is_slow:
            database.hangs = threading.Event()
            assert await authenticator.find(secret)  # As it was last known.
            database.hangs.set()
        while await authenticator.find(secret):
            assert is_slow
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(ask(), 30))


def test_while_the_database_is_away_the_known_stay_known_for_an_hour(
    database: Database, clock: Clock, authenticator: Authenticator, secret: str
) -> None:
    async def ask() -> None:
        assert await authenticator.find(secret)
        database.is_away = True
        clock.now_s += STALE_S - 1
        assert await through_gate(authenticator, secret) == 200
        assert await through_gate(authenticator, "dl_never_seen_before") == 503
        clock.now_s += KNOWN_S
        with pytest.raises(UnavailableError):
            await authenticator.find(secret)
        database.is_away = False
        assert await authenticator.find(secret)

    asyncio.run(ask())


def test_a_database_that_hangs_holds_up_no_known_token_for_long(
    database: Database, clock: Clock, authenticator: Authenticator, secret: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async def ask() -> None:
        assert await authenticator.find(secret)
        database.hangs = threading.Event()
        for _ in range(20):
            clock.now_s += KNOWN_S
            assert await authenticator.find(secret)
        clock.now_s += STALE_S
        monkeypatch.setattr(authentication, "_PATIENCE_UNKNOWN_S", 0.01)
        assert await asyncio.wait_for(through_gate(authenticator, secret), 10) == 503
        assert database.count == 2  # One question is open; no second is asked beside it.
        database.hangs.set()

    asyncio.run(ask())
