"""Which server a command talks to: that of the installation here, or one that the user names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from driftline.app.cli import build
from driftline.app.doctor import examine
from driftline.app.installation import WrongServerError, installation_id
from driftline.errors import InputError
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

    assert isinstance(refused.value, InputError)  # Exit code 2.
    assert f"add --server {server.url}" in str(refused.value)
    assert (before, channels(server)) == ([], ["pager"])
    assert by_file.stdout == "unchanged Channel pager\n"
    assert installation_id(own) == installation_id(own) != installation_id(other)


def server_commands(group=None, path=()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    for name, one in (group or get_command(build())).commands.items():
        if hasattr(one, "commands"):
            yield from server_commands(one, (*path, name))
        elif "--server" in (flags := {flag for param in one.params for flag in param.opts}):
            yield (*path, name), flags


def test_every_command_that_takes_a_server_takes_a_settings_file():
    found = dict(server_commands())

    assert {("apply",), ("deploy",), ("truth", "load"), ("monitor", "run")} <= set(found)
    assert {path for path, flags in found.items() if "-c" not in flags} == set()


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize(
    "words",
    [
        "get monitor",
        "delete monitor m",
        "monitor run m",
        "alarm set-state a OK",
        "channel test c",
        "capture list",
        "truth load rows.csv --endpoint e",
        "invoke e rows.csv",
    ],
)
def test_every_command_refuses_the_server_of_another_installation(words):
    with pytest.raises(WrongServerError):
        run(*words.split())


def test_the_doctor_sees_that_the_server_is_not_its_own(server, other, tmp_path):
    own = settle(tmp_path / "theirs", server.port, server.database)

    found, well = (
        {one.what: one for one in examine(settings, now=lambda: datetime.now(UTC))}["server"]
        for settings in (other, own)
    )

    assert (found.verdict, well.verdict) == ("defect", "ok")
    assert "another installation" in found.found
    assert "[server] port" in found.mend
