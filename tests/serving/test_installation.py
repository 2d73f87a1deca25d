"""Which server a command talks to: that of the installation here, or one that the user names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from driftline.app.cli import build
from driftline.app.installation import WrongServerError, installation_id
from driftline.settings.settings import Settings, load
from tests.servers.postgres import new_sqlite


def settle(folder: Path, port: int, database: str) -> Settings:
    """Write the settings of an installation with this database."""
    folder.mkdir(exist_ok=True)
    text = f'[server]\nport = {port}\n[database]\nurl = "{database}"\n'
    (folder / "driftline.toml").write_text(text)
    return load(folder / "driftline.toml", environment={})


@pytest.fixture(scope="module")
def server(start, tmp_path_factory) -> Iterator:
    folder = tmp_path_factory.mktemp("theirs")
    url = new_sqlite(folder)
    with start(folder, database=url, allow_networks=["127.0.0.0/8"]) as found:
        found.database = url
        found.port = int(found.url.rsplit(":", 1)[1])
        yield found


@pytest.fixture
def other(server, tmp_path, monkeypatch) -> Settings:
    """Be in the folder of another installation whose settings name the server's port."""
    found = settle(tmp_path / "other", server.port, new_sqlite(tmp_path / "database"))
    monkeypatch.chdir(tmp_path / "other")
    Path("rows.csv").write_text("inference_id,label\na,1\n")
    channel = {"kind": "Channel", "name": "pager", "spec": {"url": "http://127.0.0.1:9/hook"}}
    Path("pager.json").write_text(json.dumps(channel))
    return found


def run(*words: object) -> Result:
    done = CliRunner().invoke(build(str(words[0])), [str(word) for word in words])
    if isinstance(done.exception, Exception):
        raise done.exception
    return done


def channels(server) -> list[str]:
    return [one["name"] for one in server.client.get("/api/v1/channels").json()["items"]]


def test_apply_writes_into_no_other_installation_unless_its_user_names_it(server, other, tmp_path):
    own = settle(tmp_path / "theirs", server.port, server.database)

    with pytest.raises(WrongServerError) as refused:
        run("apply", "-f", "pager.json")
    before = channels(server)
    run("apply", "-f", "pager.json", "--server", server.url)
    by_file = run("apply", "-f", "pager.json", "-c", own.folder / "driftline.toml")

    assert f"add --server {server.url}" in str(refused.value)
    assert (before, channels(server)) == ([], ["pager"])
    assert by_file.stdout == "unchanged Channel pager\n"
    assert installation_id(own) == installation_id(own) != installation_id(other)


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize(
    "words", ["get monitor", "monitor run m", "truth load rows.csv --endpoint e"]
)
def test_a_command_refuses_the_server_of_another_installation(words):
    with pytest.raises(WrongServerError):
        run(*words.split())
