"""Tokens are of the installation: valid on every server of its database, never locked out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.driftline.access.conftest import TOKENS, Guarded
from tests.kit.waiting import wait

TOKENS_API = "/api/v1/tokens"


def _sharing(server: Guarded, more: str = "") -> str:
    return f'{TOKENS}{more}[database]\nurl = "sqlite:///{server.folder}/store/driftline.db"\n'


@pytest.fixture(scope="module")
def other(server: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A second server of the same database, in another folder."""
    folder, words = tmp_path_factory.mktemp("other"), ("--only", "server")
    with Guarded(folder, _sharing(server), words=words, is_forked=True) as found:
        yield found


def test_the_first_token_of_each_machine_is_valid_on_all(server: Guarded, other: Guarded) -> None:
    assert server.token != other.token
    for asked in (server, other):
        for token in (server.token, other.token):
            assert asked.ask("GET", TOKENS_API, token).status_code == 200

    listed = json.loads(other.cli("token", "list", "--json").stdout)
    own = {one["name"]: one["roles"] for one in listed if one["name"].startswith("local")}
    assert len(own) == 2
    assert set(own) > {"local"}
    assert set(map(tuple, own.values())) == {("admin",)}
    noted = server.ask("GET", "/api/v1/audit?target=Token/local").json()["items"]
    assert [one["action"] for one in noted] == ["create"]


def test_the_token_of_a_file_can_be_revoked_and_made_anew(server: Guarded, tmp_path: Path) -> None:
    words = ("--only", "server")
    with Guarded(tmp_path, _sharing(server), words=words, is_forked=True) as third:
        old = third.token
        subject = third.ask("GET", "/api/v1/whoami").json()["subject"]
        server.done("token", "revoke", subject)
        wait(lambda: third.ask("GET", TOKENS_API, old).status_code == 401)

        third.restart()
        assert third.ask("GET", TOKENS_API, old).status_code == 401
        assert "revoked" in third.log
        (tmp_path / "store" / "access.token").unlink()
        third.restart()

        assert third.token != old
        assert server.ask("GET", TOKENS_API, third.token).status_code == 200


def test_a_dashboard_elsewhere_takes_a_token_of_its_server(server: Guarded, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    settings = _sharing(server, f"[server]\nport = {port}\n")
    words = ("--only", "dashboard")
    with Guarded(tmp_path, settings, words=words, is_forked=True) as pages:
        assert not (tmp_path / "store" / "access.token").exists()
        with httpx.Client(base_url=pages.dashboard_url, trust_env=False, timeout=60) as browser:
            answer = browser.post("/login", json={"token": server.token})
            assert answer.status_code == 200
            assert browser.get("/docs").status_code == 200  # The server's, as this person.
