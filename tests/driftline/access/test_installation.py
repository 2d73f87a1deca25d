"""Installations that ask for tokens, on one database: whose tokens are valid where, until when."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tests.kit.installation import Installation
from tests.kit.waiting import wait

TOKENS = '[auth]\nmode = "token"\n'
TOKENS_API = "/api/v1/tokens"


class Guarded(Installation):
    """A server, asked with its own token or with another one."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        super().__init__(folder, TOKENS + settings, words=("--only", "server"), is_forked=True)

    @property
    def token(self) -> str:
        """The token that it made at its first start."""
        return (self.folder / "store" / "access.token").read_text().strip()

    def ask(self, path: str, token: str = "") -> httpx.Response:
        """Send one request with a token, by default the installation's own."""
        headers = {"authorization": f"Bearer {token or self.token}"}
        return self.request("GET", path, headers=headers)


def test_tokens_are_valid_on_every_server_of_a_database_and_can_be_made_anew(
    tmp_path: Path,
) -> None:
    url = f'[database]\nurl = "sqlite:///{tmp_path}/one/store/driftline.db"\n'
    with Guarded(tmp_path / "one") as server, Guarded(tmp_path / "two", url) as other:
        assert server.token != other.token
        for asked in (server, other):
            for token in (server.token, other.token):
                assert asked.ask(TOKENS_API, token).status_code == 200
        listed = json.loads(other.cli("token", "list", "--json").stdout)
        assert [one["roles"] for one in listed] == [["admin"]] * 2
        noted = server.ask("/api/v1/audit?target=Token/local").json()["items"]
        assert [one["action"] for one in noted] == ["create"]

        old, subject = other.token, other.ask("/api/v1/whoami").json()["subject"]
        server.done("token", "revoke", subject)
        wait(lambda: other.ask(TOKENS_API, old).status_code == 401)
        other.restart()
        assert other.ask(TOKENS_API, old).status_code == 401
        assert "revoked" in other.log
        (other.folder / "store" / "access.token").unlink()
        other.restart()
        assert other.token != old
        assert server.ask(TOKENS_API, other.token).status_code == 200
