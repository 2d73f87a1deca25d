"""Installations that ask for tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.kit.installation import Installation

TOKENS = '[auth]\nmode = "token"\n'


class Guarded(Installation):
    """An installation, asked with its own token or with another one."""

    @property
    def token(self) -> str:
        """The token that it made at its first start."""
        return (self.folder / "store" / "access.token").read_text().strip()

    def ask(self, method: str, path: str, token: str = "", **more: Any) -> httpx.Response:
        """Send one request with a token, by default the installation's own."""
        headers = {"authorization": f"Bearer {token or self.token}"} | more.pop("headers", {})
        return self.request(method, path, headers=headers, **more)

    def send(self, method: str, path: str, body: str) -> httpx.Response:
        """Send JSON as it is written, whatever it says."""
        kind = {"content-type": "application/json"}
        return self.ask(method, path, headers=kind, content=body)

    def new_token(self, name: str, *words: str) -> str:
        """Make a token by the command line; return its secret."""
        found = self.cli("token", "create", name, *words)
        assert found.returncode == 0, found.stderr
        return found.stdout.strip()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One server for all black-box tests of this folder."""
    folder = tmp_path_factory.mktemp("access")
    with Guarded(folder, TOKENS, words=("--only", "server"), is_forked=True) as found:
        yield found
