"""Which token a client shows by itself, to which servers, and when it reads settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from driftline.access.tokens import new_secret, token_of_file
from driftline.app.client.client import Client
from driftline.app.client.connection import find_token
from driftline.errors import ForbiddenError
from tests.servers.answering import served
from tests.servers.settings import settings_in

OWN = "dl_of-the-settings-of-this-test-0000000000000"
SECRET = new_secret()
SHOWN: list[str | None] = []


class Guarded(BaseHTTPRequestHandler):
    """Answers who shows SECRET."""

    def do_GET(self) -> None:
        shown = self.headers.get("authorization")
        SHOWN.append(shown)
        status, body = 200, {"items": [], "counts": []}
        if shown != f"Bearer {SECRET}":
            status, body = 401, {"error": {"code": "unauthorized", "message": "no"}}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


@pytest.fixture
def guarded() -> Iterator[str]:
    SHOWN.clear()
    with served(Guarded) as found:
        yield found


def test_a_notebook_beside_the_settings_needs_no_token(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = settings_in(tmp_path, f"[server]\nport = {guarded.rpartition(':')[2]}\n")
    found.token_file.parent.mkdir()
    found.token_file.write_text(SECRET)
    found.token_file.chmod(0o600)
    monkeypatch.chdir(tmp_path)

    with Client(guarded) as client:
        assert client.list("Alarm") == []
        assert client.list("Alarm") == []

    assert [None, f"Bearer {SECRET}", f"Bearer {SECRET}"] == SHOWN


def test_a_token_that_is_given_is_shown_at_once_and_is_the_only_one(
    guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_AUTH__TOKEN", SECRET)

    with Client(guarded, token=SECRET) as client:
        client.list("Alarm")
    with Client(guarded, token="wrong") as client, pytest.raises(ForbiddenError):
        client.list("Alarm")

    assert [f"Bearer {SECRET}", "Bearer wrong"] == SHOWN


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("http://127.0.0.1:8080", "always"),
        ("http://localhost:8080", "always"),
        ("http://[::1]:8080", "always"),
        ("http://127.0.0.1:8081", "if set"),
        ("http://127.0.0.1", "if set"),
        ("https://drift.example.org", "if set"),
        ("http://drift.example.org:8080", "if set"),  # The settings name it.
        ("http://127.0.0.1.evil.example:8080", "never"),
        ("http://other.example.org:8080", "never"),
    ],
)
def test_a_token_goes_to_the_settings_server_and_where_it_is_set_nowhere_in_the_clear(
    tmp_path: Path, server: str, shown: str
) -> None:
    hosts = '[auth]\nhosts = ["Drift.example.org"]\n'
    found = settings_in(tmp_path, hosts)
    own = token_of_file(found.token_file)
    assert find_token(server, found) == (own if shown == "always" else None)

    found = settings_in(tmp_path, f'{hosts}token = "{OWN}"\n')
    if shown == "never":
        with pytest.raises(ForbiddenError) as error:
            find_token(server, found)
        assert OWN not in str(error.value)
    else:
        assert find_token(server, found) == OWN
