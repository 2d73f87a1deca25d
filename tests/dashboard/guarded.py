"""A server and a dashboard that ask who asks, on one database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from driftline.access.authentication import COOKIE, Authenticator
from driftline.access.credentials import Grant, Token, create, register_token
from driftline.access.logins import Access
from driftline.access.oidc import Provider
from driftline.access.principal import ROLES, TrustedProxy
from driftline.access.tokens import new_secret
from driftline.app.client.connection import ServerCalls
from tests.clock import Clock
from tests.dashboard.conftest import serving
from tests.servers.postgres import new_sqlite, open_url
from tests.serving.conftest import NOW, Running, resource, running

FILE_SECRET = new_secret()
ALARM = "latency high"
SESSION_H = 12
SILENCE = {"alarms": [ALARM], "length": "2h", "comment": "c", "created_by": "somebody else"}
PAGE = {"accept": "text/html,application/xhtml+xml"}
LAYOUT = "/_dash-layout"


@dataclass
class Guarded:
    """Where the pages are, and how to come in."""

    server: Running
    calls: ServerCalls
    access: Access
    clock: Clock
    url: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    engine = property(lambda self: self.server.engine)
    root = property(lambda self: str(self.server.root))
    send = property(lambda self: self.calls.send)
    read = property(lambda self: self.calls.read)

    def now(self) -> datetime:
        return self.server.context.now()

    def token(self, name: str, roles: list[str], **more) -> str:
        with self.engine.begin() as connection:
            grant = Grant(name, roles, **more)
            _, secret = create(connection, Token, grant, now=NOW, created_by="test")
        return secret

    @contextmanager
    def browser(self, token: str | None = None) -> Iterator[httpx.Client]:
        """Open a client that keeps cookies, as a browser does; logged in with a token."""
        with httpx.Client(base_url=self.url, headers=PAGE, timeout=30) as found:
            if token is not None:
                answer = found.post("/login", json={"token": token})
                assert answer.status_code == 200, answer.text
            yield found

    def audit(self, **params) -> list[dict]:
        headers = {"authorization": f"Bearer {FILE_SECRET}"}
        answer = self.server.client.get("/api/v1/audit", params=params, headers=headers)
        return answer.json()["items"]


def csrf_of(browser: httpx.Client) -> str:
    """Return what a page of a browser shows with each change."""
    return re.search(r'"data-csrf":"([^"]*)"', browser.get(LAYOUT).text).group(1)


def act(browser: httpx.Client, name: str, body: dict, csrf: str | None = None) -> httpx.Response:
    headers = {"x-csrf-token": csrf_of(browser) if csrf is None else csrf}
    return browser.post(f"/actions/{name}", json=body, headers=headers)


def session_of(browser: httpx.Client) -> str:
    return browser.cookies[COOKIE]


@contextmanager
def guarded(
    folder: Path, *, proxy: TrustedProxy | None = None, provider: Provider | None = None
) -> Iterator[Guarded]:
    """Run both; there is a token for each role, of its name."""
    url, clock = new_sqlite(folder), Clock(NOW)
    engine = open_url(url)
    with engine.begin() as connection:
        register_token(connection, FILE_SECRET, now=NOW, created_by="test")

    def asked(**more) -> Authenticator:
        return Authenticator(engine, clock, **more)

    access = Access(
        asked(takes_cookies=True, proxy=proxy), engine, timedelta(hours=SESSION_H), clock,
        hosts=["drift.example.org"], provider=provider,
    )  # fmt: skip
    with (
        running(folder, database=url, authenticator=asked()) as server,
        ServerCalls(server.url) as calls,
    ):
        found = Guarded(server, calls, access, clock)
        found.tokens = {role: found.token(role, [role]) for role in ROLES}
        alarm = resource(
            "Alarm", ALARM, namespace="Shop", metric_name="latency", threshold=1.0, period=60,
            evaluation_periods=1, comparison_operator="GreaterThanThreshold",
        )  # fmt: skip
        server.client.headers["authorization"] = f"Bearer {FILE_SECRET}"
        assert server.apply(alarm).status_code == 200
        with serving(found) as found.url:
            yield found
    engine.dispose()
